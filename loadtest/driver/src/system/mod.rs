//! The machine, and processes on it.

pub mod cleanup;
pub mod machine;
pub mod process;
pub mod raw;
pub mod scrape;
pub mod server;

/// Bytes in a MiB.
pub const MIB: f64 = 1_048_576.0;
/// Bytes in a GiB.
pub const GIB: f64 = 1_073_741_824.0;
