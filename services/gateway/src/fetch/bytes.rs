//! The bytes of runs: of objects by the [`RunReader`], of inline ones out of its memory or from the sequencer.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use bytes::Bytes;
use eagre_env::HashMap;
use eagre_log::{ReadError, RunReader};
use eagre_model::{Run, RunKind, TopicPartition};
use eagre_sequencer_api::{INLINE_READ_RUNS_MAX, Sequencer, SequencerError};
use futures::future::BoxFuture;

type Answer = Result<Vec<Option<Bytes>>, SequencerError>;
/// Asks for inline runs of a partition by their last offsets.
type Ask = Box<dyn Fn(TopicPartition, Vec<i64>) -> BoxFuture<'static, Answer> + Send + Sync>;

/// Reads runs of both kinds.
pub(crate) struct RunBytes {
    reader: RunReader,
    ask: Ask,
    turns: Mutex<HashMap<TopicPartition, Weak<Turn>>>,
}

/// Who reads inline runs of one partition at the same time asks for all of them at once: the first one to get the turn.
#[derive(Default)]
struct Turn {
    gate: tokio::sync::Mutex<()>,
    /// By last offset.
    wanted: Mutex<BTreeMap<i64, Run>>,
}

impl Turn {
    fn wanted(&self) -> MutexGuard<'_, BTreeMap<i64, Run>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This run, and what others wait for.
    fn take(&self, run: &Run) -> Vec<Run> {
        let mut wanted = self.wanted();
        wanted.remove(&run.last_offset);
        let mut taken = vec![*run];
        while taken.len() < INLINE_READ_RUNS_MAX {
            let Some((_, next)) = wanted.pop_first() else { break };
            taken.push(next);
        }
        taken
    }
}

impl RunBytes {
    pub fn new(reader: RunReader, sequencer: Arc<dyn Sequencer>) -> Self {
        Self::asking(
            reader,
            Box::new(move |partition, last_offsets| {
                let sequencer = Arc::clone(&sequencer);
                Box::pin(async move { sequencer.read_inline(partition, &last_offsets).await })
            }),
        )
    }

    fn asking(reader: RunReader, ask: Ask) -> Self {
        Self { reader, ask, turns: Mutex::default() }
    }

    /// The batches of a run as they came, checked.
    ///
    /// # Errors
    /// As [`RunReader::read`]: an inline run is missing when it is in an object by now.
    pub async fn read(&self, partition: TopicPartition, run: &Run) -> Result<Bytes, ReadError> {
        match run.kind {
            RunKind::Wal => self.reader.read(run).await,
            RunKind::Inline => self.read_inline(partition, run).await,
        }
    }

    async fn read_inline(&self, partition: TopicPartition, run: &Run) -> Result<Bytes, ReadError> {
        if let Some(bytes) = self.reader.kept_inline(run) {
            return Ok(bytes);
        }
        let turn = self.turn(partition);
        turn.wanted().insert(run.last_offset, *run);
        let _gate = turn.gate.lock().await;
        if let Some(bytes) = self.reader.kept_inline(run) {
            turn.wanted().remove(&run.last_offset);
            return Ok(bytes);
        }
        let asked = turn.take(run);
        let unavailable = |why: SequencerError| ReadError::Unavailable { object: run.object, why: why.to_string() };
        let last_offsets = asked.iter().map(|run| run.last_offset).collect();
        let found = (self.ask)(partition, last_offsets).await.map_err(unavailable)?;
        let mut found = asked.iter().zip(found);
        let own = found.next().and_then(|(_, bytes)| bytes);
        for (other, bytes) in found {
            // Whoever waits for it finds it in memory, or asks by itself and learns what is wrong.
            let kept = bytes.map(|bytes| self.reader.keep_inline(other, bytes));
            if let Some(Err(error)) = kept {
                tracing::warn!(%partition, %error, "bad inline bytes");
            }
        }
        self.reader.keep_inline(run, own.ok_or(ReadError::Missing { object: run.object })?)
    }

    fn turn(&self, partition: TopicPartition) -> Arc<Turn> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(&partition).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::<Turn>::default();
        turns.insert(partition, Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use eagre_cache::{CacheSettings, PageCaches};
    use eagre_env::Env;
    use eagre_log::ReaderSettings;
    use eagre_model::{ObjectId, TopicNumber, UploadEpoch, batch::crc32c};
    use eagre_objects::{Bucket, BucketKind};
    use object_store::memory::InMemory;

    use super::*;

    pub const P: TopicPartition = TopicPartition { topic: TopicNumber(1), partition: 0 };

    /// Over a reader where no run is inline.
    pub fn without_inline(reader: RunReader) -> RunBytes {
        RunBytes::asking(reader, Box::new(|_, asked| Box::pin(async move { Ok(vec![None; asked.len()]) })))
    }

    fn bytes(offset: i64) -> Bytes {
        Bytes::from(vec![u8::try_from(offset).unwrap(); 10])
    }

    fn run(offset: i64) -> Run {
        Run {
            kind: RunKind::Inline,
            base_offset: offset,
            last_offset: offset,
            object: ObjectId { epoch: UploadEpoch(0), incarnation: 1, number: offset.unsigned_abs() / 2 },
            position_bytes: if offset % 2 == 0 { 0 } else { 10 },
            length_bytes: 10,
            batches: 1,
            crc32c: crc32c(&bytes(offset)),
            prefix_max_timestamp_ms: 0,
        }
    }

    /// Answers for so many runs at a time; offset 7 is gone, and 8 is damaged.
    async fn serving(at_a_time: usize) -> (Arc<RunBytes>, Arc<AtomicUsize>) {
        let env = Env::system();
        let bucket = Bucket::from_store(&env, Arc::new(InMemory::new()), BucketKind::Memory).await.unwrap();
        let caches = PageCaches::plain(&CacheSettings::default());
        let reader = RunReader::new(&env, bucket, caches, &ReaderSettings::default());
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let ask = move |_, asked: Vec<i64>| -> BoxFuture<'static, Answer> {
            counted.fetch_add(1, Ordering::Relaxed);
            let answer = |offset: &i64| match offset {
                7 => None,
                8 => Some(bytes(9)),
                _ => Some(bytes(*offset)),
            };
            let found = asked.iter().take(at_a_time).map(answer).collect();
            Box::pin(async move {
                tokio::task::yield_now().await;
                Ok(found)
            })
        };
        (Arc::new(RunBytes::asking(reader, Box::new(ask))), calls)
    }

    async fn read_all(from: &RunBytes, offsets: std::ops::Range<i64>) {
        let reads = offsets.clone().map(|offset| async move { from.read(P, &run(offset)).await.unwrap() });
        assert_eq!(futures::future::join_all(reads).await, offsets.map(bytes).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn who_waits_at_the_same_time_is_asked_for_at_once() {
        let (from, calls) = serving(100).await;
        read_all(&from, 0..7).await;
        assert_eq!(calls.load(Ordering::Relaxed), 2, "the first one alone, then all others");
        read_all(&from, 0..7).await;
        assert_eq!(calls.load(Ordering::Relaxed), 2, "they are kept");
        let (from, calls) = serving(3).await;
        read_all(&from, 0..7).await;
        assert!((3..=7).contains(&calls.load(Ordering::Relaxed)), "an answer that ends early is no end: {calls:?}");
    }

    #[tokio::test]
    async fn what_is_gone_or_damaged_is_said_of_that_run_alone() {
        let (from, _) = serving(100).await;
        let (six, seven, eight) = (run(6), run(7), run(8));
        let (six, seven, eight) = futures::join!(from.read(P, &six), from.read(P, &seven), from.read(P, &eight));
        assert_eq!(six.unwrap(), bytes(6));
        assert!(matches!(seven, Err(ReadError::Missing { .. })), "{seven:?}");
        assert!(matches!(eight, Err(ReadError::Corrupt { .. })), "{eight:?}");
        assert!(from.turns.lock().unwrap().values().all(|turn| turn.strong_count() == 0), "nothing is left behind");
    }
}
