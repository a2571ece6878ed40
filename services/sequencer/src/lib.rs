//! eagre-sequencer
