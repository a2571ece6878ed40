//! How the memory of a process is divided: the only place that knows all of its bounds together.
//!
//! What has a bound has a [`Portion`]. A portion is the least with which it works, and a share of what is left of the limit
//! when every portion has its least, and the allocator has what it cannot give back. Pure.

use eagre_cache::CacheSettings;
use eagre_gateway::GatewaySettings;
use eagre_log::ReaderSettings;
use eagre_metadata::StoreMemory;
use eagre_sequencer::{InlineLimits, SequencerMemory, SpillSettings};
use eagre_sequencer_api::INLINE_BYTES_MAX;
use eagre_transport::{CALL_BYTES, PeerMemory, ServerSettings, WINDOW_BYTES_MIN};

const MIB: usize = 1 << 20;

/// When nothing is said.
pub const MEMORY_LIMIT_DEFAULT_BYTES: usize = 512 * MIB;
/// More would be of no use: some bounds are counted in 32 bits.
const LIMIT_MAX_BYTES: usize = 16 << 30;
/// Of the limit, what an allocator holds beside the bytes that are asked of it: pages that are partly used, and free ones that
/// it has not given back yet.
const SLACK_DIVISOR: usize = 6;
const PERMILLE: usize = 1_000;

/// Requests that carry no records, decoded.
const SMALL_DECODED_BYTES: usize = 4 * MIB;
/// Connections that have HTTP/2's least window though nothing is free.
const LEAST_WINDOWS_MAX: usize = 128;
/// A partition of a fetch stream.
const READER_BYTES: usize = 1 << 10;
/// What a record of an index takes in memory: the row and its place.
const INDEX_ROW_BYTES: usize = 128;
/// The state of a producer in a partition, with its part of those in topics.
const PRODUCER_BYTES: usize = 960;

/// Something that the limit is divided among.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Portion {
    /// Code, threads, metrics, what is known of topics and partitions.
    Process,
    /// Connections and open calls, whoever made them.
    Peers,
    /// Produce requests until they are answered, and the beginnings of those that are not whole.
    ProduceRequests,
    /// Requests with records, and those between nodes, from when they are decoded until they are something else.
    Decoded,
    /// Copies that are made on the way: objects being put together, batches being decompressed.
    Copies,
    /// Requests that carry no records, with their beginnings, and decoded.
    SmallRequests,
    /// Requests between nodes, with their beginnings.
    InternalRequests,
    /// JSON requests, as text with its strings.
    JsonRequests,
    /// The same, as objects.
    JsonObjects,
    /// JSON answers with records that are put together or not taken yet.
    JsonAnswers,
    /// What clients may send before it is asked for.
    Windows,
    /// Runs that are being read ahead, or were and are not taken.
    ReadAhead,
    /// Partitions that fetch streams read, with the index rows that they are about to read.
    Readers,
    /// Fetch messages that clients have not taken.
    Messages,
    /// The same of one large batch each.
    LargeMessages,
    /// GETs under way.
    Fetching,
    /// The page cache: objects that this process wrote.
    WrittenPages,
    /// The page cache: pages read from the bucket.
    ReadPages,
    /// Blocks of the metadata's tables.
    Blocks,
    /// Rows that are in no table yet, and the table that is made of them.
    Rows,
    /// A table that compaction makes, and the blocks that it reads.
    Compaction,
    /// Commits that wait for the sequencer, or are being flushed.
    Commits,
    /// The state of producers.
    Producers,
    /// Inline runs that are in no object yet, and the object that is made of them.
    InlineRuns,
    /// Index rows that were pushed.
    RecentRuns,
}

/// What a portion needs, in MiB at least, and its share of the rest in thousandths.
struct Part(Portion, &'static str, usize, usize);

const PARTS: [Part; 25] = [
    Part(Portion::Process, "code, threads, topics", 32, 0),
    Part(Portion::Peers, "connections and open calls", 24, 200),
    Part(Portion::ProduceRequests, "produce requests", 36, 69),
    Part(Portion::Decoded, "requests, decoded", 16, 0),
    Part(Portion::Copies, "objects being put together, decompression", 16, 6),
    Part(Portion::SmallRequests, "requests without records", 13, 0),
    Part(Portion::InternalRequests, "requests between nodes", 9, 0),
    Part(Portion::JsonRequests, "json requests", 20, 0),
    Part(Portion::JsonObjects, "json requests, parsed", 14, 0),
    Part(Portion::JsonAnswers, "json answers", 16, 12),
    Part(Portion::Windows, "http/2 windows", 12, 40),
    Part(Portion::ReadAhead, "reading ahead", 12, 62),
    Part(Portion::Readers, "partitions being read, index rows", 8, 35),
    Part(Portion::Messages, "fetch messages not taken", 4, 35),
    Part(Portion::LargeMessages, "large fetch messages not taken", 8, 72),
    Part(Portion::Fetching, "gets under way", 4, 29),
    Part(Portion::WrittenPages, "page cache, own objects", 8, 92),
    Part(Portion::ReadPages, "page cache, read from the bucket", 4, 23),
    Part(Portion::Blocks, "metadata, blocks", 8, 74),
    Part(Portion::Rows, "metadata, rows in no table", 9, 104),
    Part(Portion::Compaction, "metadata, compaction", 9, 23),
    Part(Portion::Commits, "commits", 2, 17),
    Part(Portion::Producers, "producers", 4, 23),
    Part(Portion::InlineRuns, "inline runs", 10, 78),
    Part(Portion::RecentRuns, "index rows pushed", 3, 6),
];

/// A limit with which nothing can be divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MemoryLimitError {
    /// Some bound would be too small to work.
    #[error("{given_mib} MiB are too little to work with: {least_mib}MiB is the smallest limit")]
    TooSmall {
        /// As given, rounded down.
        given_mib: usize,
        /// The smallest one.
        least_mib: usize,
    },
    /// Bounds of that size cannot be counted.
    #[error("{given_mib} MiB are more than can be used: 16GiB is the largest limit")]
    TooLarge {
        /// As given, rounded down.
        given_mib: usize,
    },
}

/// A limit, divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPlan {
    limit_bytes: usize,
}

impl Default for MemoryPlan {
    fn default() -> Self {
        Self { limit_bytes: MEMORY_LIMIT_DEFAULT_BYTES }
    }
}

impl MemoryPlan {
    /// Divides a limit.
    ///
    /// # Errors
    /// It is too small or too large.
    pub fn of(limit_bytes: usize) -> Result<Self, MemoryLimitError> {
        let (given_mib, least_mib) = (limit_bytes / MIB, Self::least_bytes() / MIB);
        if limit_bytes < Self::least_bytes() {
            return Err(MemoryLimitError::TooSmall { given_mib, least_mib });
        }
        if limit_bytes > LIMIT_MAX_BYTES {
            return Err(MemoryLimitError::TooLarge { given_mib });
        }
        Ok(Self { limit_bytes })
    }

    /// The smallest limit.
    fn least_bytes() -> usize {
        let portions: usize = PARTS.iter().map(|Part(_, _, least, _)| least * MIB).sum();
        (portions * SLACK_DIVISOR / (SLACK_DIVISOR - 1)).next_multiple_of(MIB)
    }

    /// What was divided.
    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// What the allocator is given beside the portions.
    fn slack_bytes(&self) -> usize {
        self.limit_bytes / SLACK_DIVISOR
    }

    /// What one gets.
    pub fn bytes(&self, portion: Portion) -> usize {
        let least: usize = PARTS.iter().map(|Part(_, _, least, _)| least * MIB).sum();
        let rest = self.limit_bytes - self.slack_bytes() - least;
        let own = PARTS.iter().find(|Part(of, ..)| *of == portion);
        own.map_or(0, |Part(_, _, least, share)| least * MIB + rest / PERMILLE * share)
    }

    /// Everything that the limit is divided among, in words, with its bytes. Together they are at most the limit.
    pub fn rows(&self) -> Vec<(&'static str, usize)> {
        let rows = PARTS.iter().map(|Part(portion, what, ..)| (*what, self.bytes(*portion)));
        rows.chain([("what the allocator holds beside", self.slack_bytes())]).collect()
    }

    /// The bounds of a gateway.
    pub fn bound_gateway(&self, settings: &mut GatewaySettings) {
        // A budget of requests is followed by a sixteenth of it for beginnings.
        settings.produce_bytes_max = self.bytes(Portion::ProduceRequests) / 17 * 16;
        settings.decoded_bytes_max = self.bytes(Portion::Decoded);
        settings.small_decoded_bytes_max = SMALL_DECODED_BYTES;
        settings.small_requests_bytes_max = (self.bytes(Portion::SmallRequests) - SMALL_DECODED_BYTES) / 17 * 16;
        settings.internal_requests_bytes_max = self.bytes(Portion::InternalRequests) / 17 * 16;
        // Half as much again is being read.
        settings.read_ahead_bytes_max = self.bytes(Portion::ReadAhead) / 3 * 2;
        settings.read_ahead_per_stream_bytes_max =
            settings.read_ahead_per_stream_bytes_max.min(settings.read_ahead_bytes_max / 2);
        settings.messages_bytes_max = self.bytes(Portion::Messages);
        settings.large_messages_bytes_max = self.bytes(Portion::LargeMessages);
        let readers = self.bytes(Portion::Readers);
        settings.partitions_read_max = readers / 2 / READER_BYTES;
        settings.fetch_partitions_max = settings.fetch_partitions_max.min(settings.partitions_read_max);
        settings.index_rows_bytes_max = readers / 2;
        settings.streams_max = settings.streams_max.min(self.bytes(Portion::Peers) / CALL_BYTES);
        settings.recent_runs_max = self.bytes(Portion::RecentRuns) / INDEX_ROW_BYTES;
    }

    /// The bounds of a gRPC port, but for what it shares with other ports.
    pub fn bound_server(&self, settings: &mut ServerSettings) {
        settings.least_windows_max = LEAST_WINDOWS_MAX;
        let least_windows = LEAST_WINDOWS_MAX * WINDOW_BYTES_MIN as usize;
        settings.windows_total_bytes = self.bytes(Portion::Windows) - least_windows;
    }

    /// What connections and open calls of all ports may take.
    pub fn peers(&self) -> PeerMemory {
        PeerMemory::of(self.bytes(Portion::Peers))
    }

    /// The page cache.
    pub fn caches(&self) -> CacheSettings {
        CacheSettings {
            written_bytes: self.bytes(Portion::WrittenPages),
            pages_bytes: self.bytes(Portion::ReadPages),
            disk: None,
        }
    }

    /// Reading from the bucket.
    pub fn reader(&self) -> ReaderSettings {
        ReaderSettings { fetching_bytes_max: self.bytes(Portion::Fetching) }
    }

    /// The metadata store.
    pub fn store(&self) -> StoreMemory {
        let rows = self.bytes(Portion::Rows);
        StoreMemory {
            block_cache_bytes: self.bytes(Portion::Blocks),
            // A third is the table that is being written. Inline runs that are in no object yet are among the rows, but may
            // have to be held beside them for a while.
            unflushed_bytes_max: rows / 3 * 2,
            table_bytes: rows / 3,
            compacted_table_bytes: self.bytes(Portion::Compaction) / 3 * 2,
        }
    }

    /// The sequencer.
    pub fn sequencer(&self) -> SequencerMemory {
        SequencerMemory {
            queued_bytes_max: self.bytes(Portion::Commits),
            producers_max: self.bytes(Portion::Producers) / PRODUCER_BYTES,
        }
    }

    /// Inline runs. They become an object before their rows become a table, which then has none of them.
    pub fn spill(&self) -> SpillSettings {
        let inline = self.bytes(Portion::InlineRuns) as u64;
        let usual = SpillSettings::default();
        let bytes = usual.bytes.min(inline / 4).min(self.store().table_bytes as u64 / 4 * 3);
        let held = InlineLimits { bytes: inline - bytes - INLINE_BYTES_MAX as u64, ..usual.held };
        SpillSettings { bytes, rest_bytes: usual.rest_bytes.min(bytes / 2), held, ..usual }
    }

    /// JSON requests, and answers with records.
    pub fn json(&self) -> JsonMemory {
        JsonMemory {
            requests_bytes: self.bytes(Portion::JsonRequests),
            objects_bytes: self.bytes(Portion::JsonObjects),
            answers_bytes: self.bytes(Portion::JsonAnswers),
        }
    }
}

/// What the JSON API may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonMemory {
    /// Requests, as text with its strings.
    pub requests_bytes: usize,
    /// The same, as objects.
    pub objects_bytes: usize,
    /// Answers that hold records.
    pub answers_bytes: usize,
}

#[cfg(test)]
mod tests {
    use eagre_objects::BucketKind;

    use super::*;

    fn plans() -> impl Iterator<Item = MemoryPlan> {
        let limits = [MemoryPlan::least_bytes(), 370 * MIB + 1, 512 * MIB, 1 << 30, 5 << 30, LIMIT_MAX_BYTES];
        limits.into_iter().map(|limit| MemoryPlan::of(limit).unwrap())
    }

    #[test]
    fn everything_together_is_within_the_limit_and_wastes_little() {
        assert_eq!(PARTS.iter().map(|Part(.., share)| share).sum::<usize>(), PERMILLE);
        for plan in plans() {
            let total: usize = plan.rows().iter().map(|(_, bytes)| bytes).sum();
            assert!(total <= plan.limit_bytes() && total + MIB >= plan.limit_bytes(), "{total} {plan:?}");
        }
    }

    #[test]
    fn every_limit_that_is_taken_gives_settings_that_work() {
        for plan in plans() {
            for kind in [BucketKind::Folder, BucketKind::Memory, BucketKind::Remote] {
                let mut gateway = GatewaySettings::for_bucket(kind);
                plan.bound_gateway(&mut gateway);
                assert_eq!(gateway.validate(), Ok(()), "{plan:?}");
            }
            let spill = plan.spill();
            assert!(spill.rest_bytes < spill.bytes && spill.bytes <= spill.held.bytes, "{spill:?}");
            let store = plan.store();
            assert!(store.table_bytes < store.unflushed_bytes_max, "{store:?}");
            assert!(spill.bytes < store.table_bytes as u64, "{spill:?} {store:?}");
        }
    }

    #[test]
    fn what_cannot_be_divided_is_refused_with_what_can() {
        let least = MemoryPlan::least_bytes();
        let error = MemoryPlan::of(least - 1).unwrap_err().to_string();
        assert!(error.contains(&format!("{}MiB is the smallest", least / MIB)), "{error}");
        assert!(MemoryPlan::of(0).is_err());
        let error = MemoryPlan::of(LIMIT_MAX_BYTES + 1).unwrap_err().to_string();
        assert!(error.contains("16GiB"), "{error}");
        assert!(least <= 364 * MIB, "{least}");
    }

    #[test]
    fn the_table_of_the_docs_is_the_plan() {
        let page = include_str!("../../../docs/ARCHITECTURE.md");
        for (what, bytes) in MemoryPlan::default().rows() {
            let row = format!("| {what} | {} |", bytes / MIB);
            assert!(page.contains(&row), "docs/ARCHITECTURE.md lacks: {row}");
        }
    }
}
