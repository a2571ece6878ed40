//! WAL objects: how they are built, what their footer says, and how runs are read back.
//!
//! [`WalObjectBuilder`] and [`parse_footer`] are pure; [`RunReader`] brings the bytes of a run through the caches from the
//! bucket and gives them out only when their CRC is right. Layout: `docs/formats.md`.

mod builder;
mod footer;
mod reader;

pub use builder::{WalBatch, WalObject, WalObjectBuilder, WalRun};
pub use footer::{
    FOOTER_FORMAT, Footer, FooterError, FooterRun, TRAILER_BYTES, VerifyError, parse_footer, verify_object,
};
pub use reader::{PAGE_BYTES, PAGES_TOTAL, ReadError, ReaderSettings, RunReader};
