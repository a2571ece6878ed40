//! eagre-log
