//! Generated messages, clients and servers of `eagre.v1` (public) and `eagre.internal.v1` (between our own processes).

#![expect(missing_docs, reason = "generated: the protocol files hold the documentation")]
#![expect(clippy::all, clippy::allow_attributes, clippy::allow_attributes_without_reason, reason = "generated")]

pub mod codec;
pub mod walk;

/// The public API.
pub mod v1 {
    tonic::include_proto!("eagre.v1");

    /// The files of `eagre.v1` with their comments, as a `google.protobuf.FileDescriptorSet`.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/eagre.v1.bin"));
}

/// Between gateways and sequencers.
pub mod internal {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("eagre.internal.v1");
    }
}
