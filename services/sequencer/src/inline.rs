//! The inline runs of a shard that are in no object yet, and what it takes to replace them. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use eagre_metadata::rows::{ObjectStream, RunKey};
use eagre_model::{ObjectId, Run, RunKind, TopicPartition, batch::crc32c_combine};

/// How much may be inline before gateways are asked to make objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InlineLimits {
    /// Bytes of commits of which something is inline.
    pub bytes: u64,
    /// Runs: each is a row.
    pub runs: usize,
}

/// Every inline run of the tentative view, those of deleted topics too until they are freed. What an earlier term left
/// comes in a moment after the begin of this one.
#[derive(Debug)]
pub struct InlineRuns {
    rows: BTreeMap<RunKey, Run>,
    objects: BTreeMap<ObjectId, Held>,
    /// As in the rows.
    heads: BTreeMap<ObjectStream, u64>,
    bytes: u64,
    limits: InlineLimits,
}

/// An inline object.
#[derive(Debug)]
struct Held {
    /// How many of its runs are inline.
    runs: usize,
    length_bytes: u64,
}

impl InlineRuns {
    /// None yet; the heads are those in the rows.
    pub fn new(limits: InlineLimits, heads: BTreeMap<ObjectStream, u64>) -> Self {
        Self { rows: BTreeMap::new(), objects: BTreeMap::new(), heads, bytes: 0, limits }
    }

    /// From which numbers on there may be inline objects, as in the rows.
    pub fn heads(&self) -> &BTreeMap<ObjectStream, u64> {
        &self.heads
    }

    /// The head that is to be written with this object, so that it lies behind it.
    pub fn head_for(&mut self, object: ObjectId) -> Option<(ObjectStream, u64)> {
        let stream = ObjectStream::of(object);
        let is_behind = self.heads.get(&stream).is_some_and(|head| *head <= object.number);
        let head = (!is_behind).then_some((stream, object.number));
        self.heads.extend(head);
        head
    }

    /// Takes note of an object; false when it is known.
    pub fn add(&mut self, object: ObjectId, length_bytes: u64, runs: &[(TopicPartition, Run)]) -> bool {
        if self.objects.contains_key(&object) {
            return false;
        }
        self.rows.extend(runs.iter().map(|(partition, run)| (key(*partition, run), *run)));
        self.objects.insert(object, Held { runs: runs.len(), length_bytes });
        self.bytes += length_bytes;
        true
    }

    /// Forgets a run. Returns the object that it was the last one of.
    pub fn remove(&mut self, key: &RunKey) -> Option<ObjectId> {
        let object = self.rows.remove(key)?.object;
        let held = self.objects.get_mut(&object)?;
        held.runs -= 1;
        if held.runs > 0 {
            return None;
        }
        self.bytes -= held.length_bytes;
        self.objects.remove(&object);
        Some(object)
    }

    /// The heads that may be higher now that these objects have gone.
    pub fn advance(&mut self, gone: &[ObjectId]) -> BTreeMap<ObjectStream, u64> {
        let mut last_of = BTreeMap::<ObjectStream, u64>::new();
        for object in gone {
            let last = last_of.entry(ObjectStream::of(*object)).or_default();
            *last = object.number.max(*last);
        }
        let mut advanced = BTreeMap::new();
        for (stream, last) in last_of {
            let mut left = self.objects.range(stream.object(0)..=stream.object(u64::MAX));
            let head = left.next().map_or(last + 1, |(object, _)| object.number);
            if self.heads.insert(stream, head) != Some(head) {
                advanced.insert(stream, head);
            }
        }
        advanced
    }

    /// Forgets the head of a stream in which nothing comes any more.
    pub fn end(&mut self, stream: &ObjectStream) {
        self.heads.remove(stream);
    }

    /// Whether all of these are still what the index says.
    pub fn holds(&self, partition: TopicPartition, runs: &[Run]) -> bool {
        runs.iter().all(|run| self.rows.get(&key(partition, run)) == Some(run))
    }

    /// Whether more may come.
    pub fn has_room(&self) -> bool {
        self.bytes < self.limits.bytes && self.rows.len() < self.limits.runs
    }

    /// Bytes and number of the runs.
    pub fn held(&self) -> (u64, usize) {
        (self.bytes, self.rows.len())
    }
}

/// The bytes of a run, out of those of its object.
pub fn bytes_of(run: &Run, object: &Bytes) -> Result<Bytes, &'static str> {
    let start = usize::try_from(run.position_bytes).unwrap_or(usize::MAX);
    let end = start.saturating_add(run.length_bytes as usize);
    if end > object.len() {
        return Err("the run lies beyond its object");
    }
    Ok(object.slice(start..end))
}

/// The key of a run's row.
pub fn key(partition: TopicPartition, run: &Run) -> RunKey {
    RunKey { partition, last_offset: run.last_offset }
}

/// Inline runs and what is to stand in the index instead of them.
#[derive(Debug)]
pub struct Swap {
    /// The object that holds their bytes; it is durable.
    pub object: ObjectId,
    /// Each on its own: one that does not fit any more leaves the others as they are.
    pub stretches: Vec<Stretch>,
}

/// Inline runs of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Whose.
    pub partition: TopicPartition,
    /// As they were read.
    pub old: Vec<Run>,
    /// All of them as one run; `None`: their topic is deleted, and they only go.
    pub new: Option<Run>,
}

impl Stretch {
    /// Whether the new run holds exactly what the old ones do.
    pub fn is_true(&self, object: ObjectId) -> bool {
        let Some(new) = &self.new else { return true };
        let whole = self.old.split_first().and_then(|(first, rest)| rest.iter().try_fold(*first, joined));
        let placed = |run: Run| Run { kind: RunKind::Wal, object, position_bytes: new.position_bytes, ..run };
        whole.map(placed) == Some(*new)
    }
}

/// A run and the one behind it as one; `None` when they do not follow each other.
pub fn joined(run: Run, next: &Run) -> Option<Run> {
    (run.next_offset() == next.base_offset).then(|| joined_blindly(run, next)).flatten()
}

/// The same whatever lies between them; for [`PlantedBug::SwapWithoutCheck`](eagre_env::PlantedBug::SwapWithoutCheck).
pub fn joined_blindly(run: Run, next: &Run) -> Option<Run> {
    Some(Run {
        last_offset: next.last_offset,
        length_bytes: run.length_bytes.checked_add(next.length_bytes)?,
        batches: run.batches.checked_add(next.batches)?,
        crc32c: crc32c_combine(run.crc32c, next.crc32c, u64::from(next.length_bytes)),
        prefix_max_timestamp_ms: next.prefix_max_timestamp_ms,
        ..run
    })
}

#[cfg(test)]
mod tests {
    use eagre_model::{TopicNumber, UploadEpoch, batch::crc32c};

    use super::*;

    const P: TopicPartition = TopicPartition { topic: TopicNumber(1), partition: 0 };
    const OBJECT: ObjectId = ObjectId { epoch: UploadEpoch(1), incarnation: 9, number: 0 };

    fn run(base_offset: i64, last_offset: i64, bytes: &[u8]) -> Run {
        Run {
            kind: RunKind::Inline,
            base_offset,
            last_offset,
            object: ObjectId { incarnation: 1, number: base_offset.unsigned_abs(), ..OBJECT },
            position_bytes: 5,
            length_bytes: u32::try_from(bytes.len()).unwrap(),
            batches: 2,
            crc32c: crc32c(bytes),
            prefix_max_timestamp_ms: last_offset,
        }
    }

    #[test]
    fn a_stretch_is_true_when_it_holds_what_the_runs_held() {
        let old = vec![run(3, 4, b"abc"), run(5, 9, b"de"), run(10, 10, b"f")];
        let whole = Run {
            kind: RunKind::Wal,
            base_offset: 3,
            last_offset: 10,
            object: OBJECT,
            position_bytes: 100,
            length_bytes: 6,
            batches: 6,
            crc32c: crc32c(b"abcdef"),
            prefix_max_timestamp_ms: 10,
        };
        let stretch = |old: &[Run], new| Stretch { partition: P, old: old.to_vec(), new: Some(new) };
        assert!(stretch(&old, whole).is_true(OBJECT));
        assert!(!stretch(&old, whole).is_true(ObjectId { number: 1, ..OBJECT }), "in another object");
        assert!(!stretch(&old[1..], whole).is_true(OBJECT));
        assert!(!stretch(&old[..2], whole).is_true(OBJECT));
        assert!(!stretch(&[old[0], old[2]], whole).is_true(OBJECT), "with a gap");
        assert!(!stretch(&[], whole).is_true(OBJECT));
        for wrong in [
            Run { crc32c: 0, ..whole },
            Run { length_bytes: 7, ..whole },
            Run { batches: 5, ..whole },
            Run { base_offset: 2, ..whole },
            Run { prefix_max_timestamp_ms: 9, ..whole },
            Run { kind: RunKind::Inline, ..whole },
        ] {
            assert!(!stretch(&old, wrong).is_true(OBJECT), "{wrong:?}");
        }
        assert!(Stretch { partition: P, old, new: None }.is_true(OBJECT), "what only goes");
    }

    #[test]
    fn what_is_held_is_counted() {
        let mut runs = InlineRuns::new(InlineLimits { bytes: 5, runs: 3 }, BTreeMap::new());
        let add = |runs: &mut InlineRuns, run: Run| runs.add(run.object, u64::from(run.length_bytes), &[(P, run)]);
        assert!(add(&mut runs, run(0, 1, b"abc")) && runs.has_room());
        assert!(!add(&mut runs, run(0, 1, b"abc")), "it is known");
        assert!(add(&mut runs, run(2, 3, b"de")) && !runs.has_room(), "of bytes");
        assert!(runs.holds(P, &[run(0, 1, b"abc"), run(2, 3, b"de")]));
        assert!(!runs.holds(P, &[run(0, 1, b"abd")]), "another one of the same end");
        assert_eq!(runs.remove(&key(P, &run(0, 1, b"abc"))), Some(run(0, 1, b"abc").object));
        assert!(!runs.holds(P, &[run(0, 1, b"abc")]));
        assert_eq!(runs.held(), (2, 1));
        assert!(add(&mut runs, run(4, 4, b"f")) && runs.has_room());
        assert!(add(&mut runs, run(5, 5, b"g")) && !runs.has_room(), "of rows");
    }

    #[test]
    fn an_object_goes_with_the_last_of_its_runs_and_heads_follow() {
        let (stream, other) = (ObjectStream::of(OBJECT), ObjectStream { incarnation: 10, ..ObjectStream::of(OBJECT) });
        let mut inline = InlineRuns::new(InlineLimits { bytes: 100, runs: 100 }, BTreeMap::from([(other, 7)]));
        let at = |number: u64, offset: i64| Run { object: stream.object(number), ..run(offset, offset, b"a") };
        assert_eq!(inline.head_for(stream.object(4)), Some((stream, 4)));
        assert_eq!(inline.head_for(stream.object(6)), None, "behind the head");
        assert_eq!(inline.head_for(stream.object(3)), Some((stream, 3)), "before it");
        assert_eq!(inline.head_for(other.object(7)), None, "of an earlier term");
        assert!(inline.add(stream.object(4), 2, &[(P, at(4, 0)), (P, at(4, 1))]));
        assert!(inline.add(stream.object(6), 1, &[(P, at(6, 2))]));
        assert!(inline.add(stream.object(3), 1, &[(P, at(3, 3))]));
        assert_eq!(inline.remove(&key(P, &at(3, 3))), Some(stream.object(3)));
        assert_eq!(inline.advance(&[stream.object(3)]), BTreeMap::from([(stream, 4)]));
        assert_eq!(inline.remove(&key(P, &at(6, 2))), Some(stream.object(6)));
        assert_eq!(inline.advance(&[stream.object(6)]), BTreeMap::new(), "one before it is left");
        assert_eq!(inline.remove(&key(P, &at(4, 0))), None, "it has another run");
        assert_eq!(inline.held(), (2, 1));
        assert_eq!(inline.remove(&key(P, &at(4, 1))), Some(stream.object(4)));
        assert_eq!(inline.advance(&[stream.object(4)]), BTreeMap::from([(stream, 5)]));
    }
}
