//! The gateway's settings, with bounds that keep it within its memory.

use std::time::Duration;

use eagre_model::batch::Limits;
use eagre_objects::BucketKind;
use eagre_sequencer_api::INLINE_BYTES_MAX;

use crate::{
    produce::{Cutter, SteadyCuts},
    service::{INTERNAL_MESSAGE_BYTES_MAX, SMALL_MESSAGE_BYTES_MAX},
};

/// So large an object is worth its own cost: a file with its syncs, or a request, and a commit.
pub(crate) const LARGE_OBJECT_BYTES: usize = 3 << 20;

/// The bounds and paces of a gateway. Every value is checked by [`GatewaySettings::validate`].
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// What a record batch may take.
    pub batch_limits: Limits,
    /// How many bytes of produce requests may be in the gateway at a time, unread answers excluded. Clients wait beyond.
    /// Beginnings of requests may take a sixteenth of it more.
    pub produce_bytes_max: usize,
    /// The same of requests that carry no records.
    pub small_requests_bytes_max: usize,
    /// What requests with records, and those between nodes, may take from when they are decoded until they are something else:
    /// one of the largest at least.
    pub decoded_bytes_max: usize,
    /// The same of requests that carry no records.
    pub small_decoded_bytes_max: usize,
    /// Requests between nodes.
    pub internal_requests_bytes_max: usize,
    /// Unanswered requests of one produce stream while there are few streams. The client waits beyond.
    pub requests_per_stream_max: usize,
    /// Unanswered requests of all produce streams together, but 16 for each in any case.
    pub requests_max: usize,
    /// Open produce and fetch streams of all clients. Refused beyond. Not fewer than the server's calls: its bound is fair.
    pub streams_max: usize,
    /// An object is cut when it holds so many bytes.
    pub object_bytes_max: usize,
    /// While half of the uploads are under way, it is cut when it holds so many: then bytes have to go out, and not few objects.
    pub object_bytes_busy: usize,
    /// An object is cut when it holds so many partitions.
    pub object_partitions_max: usize,
    /// Two cuts by age are at least so far apart, to within a millisecond: an object costs a file or a request, whatever it holds.
    pub cut_interval_min: Duration,
    /// So far apart they are when objects are large, [`LARGE_OBJECT_BYTES`] and more; where there is a target, until it is
    /// known what it allows.
    pub cut_interval_max: Duration,
    /// 99 of 100 requests are to be acknowledged within this time. Cuts of large objects are as far apart as that allows, but
    /// not closer together than those of small ones. `None`: as above, whatever comes of it.
    pub target_p99: Option<Duration>,
    /// How many requests a second may be billed as PUTs, commits included, as far as the distance of cuts decides it: full
    /// objects are uploaded all the same. It goes before the target.
    pub puts_per_second_max: Option<f64>,
    /// An object with so many bytes of batches or fewer goes inside of its commit instead of into the bucket; 0: none.
    pub inline_bytes_max: usize,
    /// Two cuts by age are at least so far apart while objects that go inside are tiny; it grows with them up to the interval
    /// of small uploads.
    pub inline_interval_min: Duration,
    /// Uploads in flight.
    pub uploads_max: usize,
    /// An upload that fails is tried again for so long before its requests are refused.
    pub upload_retry_max: Duration,
    /// One attempt to upload may take so long.
    pub upload_attempt_max: Duration,
    /// A request that is not answered after so long is refused, or told that its outcome is unknown. So long may it also
    /// wait for room in the gateway before that.
    pub answer_after_max: Duration,
    /// A call that carries no records, as one that creates a topic, is answered after so long in any case. Less than what clients
    /// wait by default, so that they hear why.
    pub call_answer_max: Duration,
    /// A message of a produce request must have arrived so long after it was granted its memory; one that comes too
    /// slowly is given up before.
    pub message_arrival_max: Duration,
    /// Bytes read ahead of all fetch streams together. The streams that take them slowest lose them first.
    pub read_ahead_bytes_max: usize,
    /// Bytes read ahead of one fetch stream.
    pub read_ahead_per_stream_bytes_max: usize,
    /// The bytes of one message of a fetch stream while there are few streams; less when there are many.
    pub fetch_message_bytes: usize,
    /// Bytes of the usual fetch messages that clients have not taken, of all streams together, down to a least size.
    pub messages_bytes_max: usize,
    /// Bytes of fetch messages over that size, each of one large batch, which clients have not taken.
    pub large_messages_bytes_max: usize,
    /// Partitions of one fetch or list-offsets request.
    pub fetch_partitions_max: usize,
    /// Partitions of all fetch streams together. Refused beyond.
    pub partitions_read_max: usize,
    /// Index rows that fetch streams are about to read, in bytes, down to a few rows for each partition.
    pub index_rows_bytes_max: usize,
    /// Topics whose records are remembered.
    pub topics_cached_max: usize,
    /// Index rows kept in memory of what was pushed, of all partitions.
    pub recent_runs_max: usize,
}

impl GatewaySettings {
    /// What fits a bucket of this kind.
    pub fn for_bucket(kind: BucketKind) -> Self {
        let ms = Duration::from_millis;
        let (cut_interval_min, cut_interval_max, inline_interval_min) = match kind {
            // Files and inodes are a cost, and so are their syncs.
            BucketKind::Folder => (ms(8), ms(32), ms(2)),
            BucketKind::Memory => (ms(2), ms(8), ms(2)),
            // A PUT is billed: up to 25 commits a second, fewer with uploads, large objects from 20 MiB/s on.
            BucketKind::Remote => (ms(100), ms(140), ms(40)),
        };
        let inline_bytes_max = match kind {
            BucketKind::Folder | BucketKind::Memory => 64 << 10,
            // The PUT that it saves takes tens of milliseconds, whatever its size.
            BucketKind::Remote => 256 << 10,
        };
        let (object_bytes_max, target_p99) = match kind {
            BucketKind::Folder | BucketKind::Memory => (8 << 20, None),
            BucketKind::Remote => (16 << 20, Some(ms(500))),
        };
        Self {
            batch_limits: Limits {
                max_batch_bytes: 8 << 20,
                max_record_bytes: 1 << 20,
                max_decompressed_bytes: 32 << 20,
            },
            produce_bytes_max: 80 << 20,
            // Two of the largest, compressed: such a one is charged for itself and for what it may become.
            small_requests_bytes_max: 16 << 20,
            decoded_bytes_max: 16 << 20,
            small_decoded_bytes_max: 4 << 20,
            internal_requests_bytes_max: 2 * INTERNAL_MESSAGE_BYTES_MAX,
            requests_per_stream_max: 4_096,
            requests_max: 256 << 10,
            streams_max: 20_000,
            object_bytes_max,
            object_bytes_busy: 8 << 20,
            object_partitions_max: 10_000,
            cut_interval_min,
            cut_interval_max,
            target_p99,
            puts_per_second_max: None,
            inline_bytes_max,
            inline_interval_min,
            uploads_max: 6,
            upload_retry_max: Duration::from_secs(10),
            upload_attempt_max: Duration::from_secs(30),
            answer_after_max: Duration::from_secs(30),
            call_answer_max: Duration::from_secs(8),
            message_arrival_max: Duration::from_secs(30),
            read_ahead_bytes_max: 64 << 20,
            read_ahead_per_stream_bytes_max: 32 << 20,
            fetch_message_bytes: 512 << 10,
            messages_bytes_max: 64 << 20,
            large_messages_bytes_max: 32 << 20,
            fetch_partitions_max: 10_000,
            partitions_read_max: 65_536,
            index_rows_bytes_max: 32 << 20,
            topics_cached_max: 10_000,
            recent_runs_max: 65_536,
        }
    }

    /// With another target, or with a bound on PUTs where there is one.
    #[must_use]
    pub fn with_wishes(self, target_p99: Option<Duration>, puts_per_second_max: Option<f64>) -> Self {
        let inline_bytes_max = match puts_per_second_max {
            // Inside of its commit an object is one PUT and not two.
            Some(puts) if puts <= FEW_PUTS_PER_SECOND => INLINE_BYTES_MAX,
            _ => self.inline_bytes_max,
        };
        let target_p99 = target_p99.or(self.target_p99);
        Self { target_p99, puts_per_second_max, inline_bytes_max, ..self }
    }

    /// How objects are cut while so many bytes come each second, before a target says otherwise.
    pub fn steady_cuts(&self, bytes_per_second: u64) -> SteadyCuts {
        Cutter::of(self).steady(bytes_per_second)
    }

    /// Checks the values against each other.
    ///
    /// # Errors
    /// Which setting cannot be, and why.
    pub fn validate(&self) -> Result<(), InvalidSettings> {
        let message = eagre_transport::MESSAGE_BYTES_MAX;
        let checks = [
            (
                self.batch_limits.max_batch_bytes + ENVELOPE_BYTES <= message,
                "the largest batch does not fit into a message",
            ),
            (self.produce_bytes_max >= 2 * message, "the produce budget does not hold two of the largest messages"),
            (
                self.internal_requests_bytes_max >= 2 * INTERNAL_MESSAGE_BYTES_MAX,
                "the budget of requests between nodes does not hold two of the largest",
            ),
            (
                self.small_requests_bytes_max >= 2 * SMALL_MESSAGE_BYTES_MAX,
                "the budget of small requests does not hold the largest, compressed",
            ),
            (self.produce_bytes_max <= u32::MAX as usize, "the produce budget is over 4 GiB"),
            (self.requests_per_stream_max > 0, "a stream needs a request in flight"),
            (self.streams_max > 0, "no stream may be opened"),
            (self.object_bytes_busy > 0, "an object needs a byte"),
            (self.object_bytes_max <= self.produce_bytes_max / 2, "the produce budget does not hold two objects"),
            (
                self.puts_per_second_max.is_none_or(|puts| puts >= PUTS_PER_SECOND_MIN),
                "fewer PUTs than one in two seconds",
            ),
            (self.object_partitions_max > 0, "an object needs a partition"),
            (self.cut_interval_min <= self.cut_interval_max, "the shortest cut interval is longer than the longest"),
            (self.inline_bytes_max <= INLINE_BYTES_MAX, "objects inside of commits may have a MiB at most"),
            (
                self.inline_interval_min <= self.cut_interval_min,
                "the cut interval of objects inside of commits is longer than that of others",
            ),
            (self.uploads_max > 0, "no upload may run"),
            (self.read_ahead_per_stream_bytes_max > 0, "a fetch stream needs a byte"),
            (
                self.read_ahead_bytes_max >= self.read_ahead_per_stream_bytes_max,
                "one stream may read ahead more than all",
            ),
            (self.read_ahead_bytes_max <= u32::MAX as usize, "the read-ahead budget is over 4 GiB"),
            (
                self.large_messages_bytes_max >= self.batch_limits.max_batch_bytes,
                "the largest batch does not fit among large messages",
            ),
            (
                self.partitions_read_max >= self.fetch_partitions_max,
                "one fetch stream may have more partitions than all",
            ),
            (self.fetch_message_bytes > 0, "a fetch message needs a byte"),
        ];
        match checks.iter().find(|(holds, _)| !holds) {
            Some((_, why)) => Err(InvalidSettings(why)),
            None => Ok(()),
        }
    }
}

/// Cuts are so far apart then that each holds more than the usual inline object at any rate that matters.
const FEW_PUTS_PER_SECOND: f64 = 10.0;
/// With fewer, requests would wait for many seconds.
const PUTS_PER_SECOND_MIN: f64 = 0.5;

/// Room for topic, partition and framing around the largest batch.
const ENVELOPE_BYTES: usize = 64 << 10;

/// Settings that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("gateway settings: {0}")]
pub struct InvalidSettings(&'static str);
