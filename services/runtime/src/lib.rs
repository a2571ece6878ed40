//! What a process is made of: the only place outside of tests where services are wired together.
//!
//! [`Node`] is one gateway and one sequencer behind a gRPC port; the simulation runs it as it is. [`Dev`] is a node of a
//! real process with its bucket, its metrics and its HTTP port. [`InMemory`] is a node for examples of clients.

mod cut;
mod debug;
mod dev;
mod health;
mod http;
mod in_memory;
mod memory;
mod node;
mod state;
mod telemetry;

pub use cut::RequestPace;
pub use dev::{Dev, DevError, DevSettings};
pub use eagre_transport::ConnectionBounds;
pub use http::Observed;
pub use in_memory::InMemory;
pub use memory::{JsonMemory, MEMORY_LIMIT_DEFAULT_BYTES, MemoryLimitError, MemoryPlan, Portion};
pub use node::{Node, NodeParts, NodeSettings, StartError};
pub use state::NodeState;
pub use telemetry::Build;
