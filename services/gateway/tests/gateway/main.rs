//! The gateway at its gRPC surface: over memory, with a sequencer that does what a test says.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where something unexpected happens")]

mod bad_input;
mod compressed;
mod fetch;
mod inline;
mod linger;
mod numbered;
mod produce;
mod sequencer;
mod topics;
mod world;
