//! eagre-sim
