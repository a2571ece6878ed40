//! From a position to records: where to begin ([position]), which runs ([tails] and the index), their bytes ahead of need
//! ([ahead]), and one [reader](partition) a partition, joined into one [stream].

pub(crate) mod ahead;
pub(crate) mod bounds;
pub(crate) mod bytes;
mod message;
pub(crate) mod messages;
mod partition;
mod position;
mod stream;
pub(crate) mod tails;

pub(crate) use message::MessageSizes;
pub(crate) use position::{Resolved, resolve};
pub(crate) use stream::fetch_stream;
