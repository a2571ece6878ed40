//! eagre-client
