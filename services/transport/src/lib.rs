//! gRPC over the injected network: one way to serve and one way to reach a server, both tuned.
//!
//! HTTP/2 windows are memory that a slow peer can pin, and small ones cost more than half the throughput. So a server
//! gives each connection a window out of one byte budget ([`ServerSettings::windows_total_bytes`]): large while
//! connections are few, small when they are many. What all peers together can pin is bounded by the budget, by
//! [`WINDOW_BYTES_MIN`] for each of a thousand connections beyond it, and by 8 KiB for each open call of all others.
//!
//! Who connects is a stranger: connections are bounded in number, in all and by source ([`ConnectionBounds`]), calls in all
//! and by connection, headers in size, resets in number, and a connection has to begin in time.

mod calls;
mod channel;
mod connection;
mod door;
mod guarded;
mod leases;
mod metrics;
mod peers;
mod rate;
mod server;
mod windows;

pub use channel::{ChannelSettings, InvalidEndpoint, channel};
pub use door::{Acceptor, ConnectionBounds, Port};
pub use guarded::Guarded;
pub use leases::{Lease, Leases};
pub use peers::{CALL_BYTES, PeerMemory};
pub use server::{ServerSettings, serve};
pub use windows::WINDOW_BYTES_MIN;

/// The largest message that either side takes, in bytes: a batch of the largest size and room for its envelope. Pass it
/// to `max_decoding_message_size` of clients and of services that carry batches.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Frames of the default size (16 KiB) cost throughput on both sides.
const FRAME_BYTES: u32 = 256 << 10;
