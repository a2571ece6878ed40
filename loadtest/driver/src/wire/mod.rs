//! Bytes that go over the wire, written and read by this crate alone: the service's own codecs are what is under test.

pub mod batch;
pub mod partition;
pub mod stamp;
