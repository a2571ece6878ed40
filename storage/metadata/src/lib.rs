//! eagre-metadata
