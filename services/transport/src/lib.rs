//! eagre-transport
