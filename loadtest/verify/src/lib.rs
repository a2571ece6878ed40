//! eagre-verify
