//! What may be set of a producer.

use std::time::Duration;

use eagre_model::batch::Compression;

/// The largest batch that a producer makes of several records.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// The least memory: some batches of the largest size.
const MEMORY_BYTES_MIN: usize = 4 << 20;

/// How a producer gathers and keeps records. The defaults suit most.
///
/// ```
/// use std::time::Duration;
/// use eagre_client::{Compression, ProducerSettings};
///
/// // For many small records a second: larger batches, compressed, and more of them on the way.
/// let settings = ProducerSettings {
///     linger: Duration::from_millis(20),
///     compression: Compression::Lz4,
///     memory_bytes: 256 << 20,
///     ..ProducerSettings::default()
/// };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerSettings {
    /// How long a record waits for others to share its batch. 1 ms. Behind a bucket with a network it is more by itself where there
    /// would be more batches unanswered than may be: up to a 16th of what an answer takes.
    pub linger: Duration,
    /// A batch of several records is not larger than this: 1 MiB, which is also the most. A larger record goes alone.
    pub batch_bytes: usize,
    /// How batches are compressed: not at all. A batch is compressed by the task that sends it.
    pub compression: Compression,
    /// What records take that are not settled: 64 MiB, at least 4 MiB. When it is full, handing over more waits.
    pub memory_bytes: usize,
    /// For how long a record is tried to be delivered: 2 minutes.
    pub delivery_timeout: Duration,
}

impl Default for ProducerSettings {
    fn default() -> Self {
        Self {
            linger: Duration::from_millis(1),
            batch_bytes: BATCH_BYTES_MAX,
            compression: Compression::None,
            memory_bytes: 64 << 20,
            delivery_timeout: Duration::from_secs(120),
        }
    }
}

impl ProducerSettings {
    pub(crate) fn batch_bytes(&self) -> usize {
        self.batch_bytes.min(BATCH_BYTES_MAX)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes.max(MEMORY_BYTES_MIN)
    }
}
