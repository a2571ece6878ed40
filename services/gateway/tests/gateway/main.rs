//! The gateway at its gRPC surface: over memory, with a sequencer that does what a test says.

mod bad_input;
mod fetch;
mod produce;
mod sequencer;
mod topics;
mod world;
