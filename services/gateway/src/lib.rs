//! eagre-gateway
