//! eagre-cache
