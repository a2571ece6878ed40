//! The metadata of a shard: typed rows on SlateDB in the bucket.
//!
//! The only crate that knows SlateDB. [`rows`] says what is stored, [`MetadataStore`] stores it; the behaviour of the
//! pinned SlateDB that the sequencer relies on is kept by the tests in `tests/` and written up in `docs/decisions/`.

mod block_cache;
mod built_in_log;
mod changes;
mod clock;
mod codec;
mod error;
mod gate;
mod open;
mod pages;
pub mod rows;
mod settings;
mod store;
mod wal;

pub use changes::Changes;
pub use codec::RowError;
pub use error::{CloseError, OpenError, ReadError, WriteError};
pub use pages::Pages;
pub use rows::RowKind;
pub use settings::{FLUSHES_PARALLEL_MAX, StoreMemory, StoreSettings};
pub use store::MetadataStore;
