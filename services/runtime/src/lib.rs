//! eagre-runtime
