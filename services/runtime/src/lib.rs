//! What a process is made of: the only place outside of tests where services are wired together.
//!
//! [`Node`] is one gateway and one sequencer behind a gRPC port; the simulation runs it as it is. [`Dev`] is a node of a
//! real process with its bucket, its metrics and its HTTP port.

mod dev;
mod health;
mod http;
mod node;

pub use dev::{Dev, DevError, DevSettings};
pub use http::Observed;
pub use node::{Node, NodeParts, NodeSettings, StartError};
