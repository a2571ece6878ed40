//! `eagre.v1` as any client would generate it: the load test's own, so that nothing of the service stands between it and
//! the wire. Servers are generated as well, for sinks and for the fault proxy.

#![expect(missing_docs, reason = "generated: the protocol files hold the documentation")]
#![expect(clippy::all, clippy::allow_attributes, clippy::allow_attributes_without_reason, reason = "generated")]

/// The public API.
pub mod v1 {
    tonic::include_proto!("eagre.v1");
}
