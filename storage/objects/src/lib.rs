//! eagre-objects
