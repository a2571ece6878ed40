//! One log's judge: readers and what they get.

use super::{
    Kind, Place, ReaderId, Record, Settings, Start, Verdict,
    blocks::Blocks,
    compare::{Pending, meet_ack},
    findings::Findings,
    folded::mix,
    intervals::{Budget, Intervals},
    lane::{Index, Lane},
    leave::Jump,
    reader::{Came, Reader, Surroundings},
    sight::{Sighting, not_sound, observe},
};

/// Higher offsets and sequences are nonsense that would only make sums overflow.
pub(super) const NUMBER_MAX: u64 = 1 << 48;

/// Judges one log. It is for one thread at a time.
#[derive(Debug)]
pub struct PartitionJudge {
    pub(super) settings: Settings,
    pub(super) findings: Findings,
    pub(super) index: Index,
    pub(super) lanes: Vec<Lane>,
    /// `None`: it has left.
    pub(super) readers: Vec<Option<Box<Reader>>>,
    pub(super) blocks: Blocks,
    pub(super) budget: Budget,
    pub(super) pending: Pending,
    /// One above the highest acknowledged offset.
    pub(super) end: Option<i64>,
    /// Offsets that a reader who has left got.
    pub(super) covered: Intervals,
    /// Offsets where a reader got damaged bytes.
    pub(super) damaged: Intervals,
    /// Readers who have left and were not given some offsets.
    pub(super) jumps: Vec<Jump>,
    /// Records that readers missed, and which may be those that they got damaged.
    pub(super) excused: u64,
    /// Blocks of an earlier run that this reading is to be compared with; `None` where there was none.
    pub(super) earlier_blocks: Option<u64>,
    pub(super) finished: bool,
}

impl PartitionJudge {
    /// A judge of a log in which nothing of this run is yet.
    pub fn new(place: Place, settings: Settings) -> Self {
        let findings = Findings::new(place, settings.examples_max);
        let pending = Pending { waiting: 0, max: settings.pending_max };
        Self {
            settings,
            findings,
            index: Index::default(),
            lanes: Vec::new(),
            readers: Vec::new(),
            blocks: Blocks::default(),
            budget: Budget::default(),
            pending,
            end: None,
            covered: Intervals::default(),
            damaged: Intervals::default(),
            jumps: Vec::new(),
            excused: 0,
            earlier_blocks: None,
            finished: false,
        }
    }

    /// A new reader. Its name stands in sentences: "reader tail-1".
    pub fn reader(&mut self, name: &str, start: Start) -> ReaderId {
        self.readers.push(Some(Box::new(Reader::new(name, start, &self.blocks))));
        ReaderId(self.readers.len() - 1)
    }

    /// The reader continues at this offset, by its own will. Among what it has read it goes on with all that it knows.
    /// Elsewhere it begins anew: what lies between is not judged, and each lane begins with what it gets first.
    pub fn reposition(&mut self, reader: ReaderId, next_offset: i64) {
        let Some(mut taken) = self.take_reader(reader) else {
            return;
        };
        if taken.knows(next_offset) {
            taken.go_back(next_offset, &self.blocks);
        } else if (0..=NUMBER_MAX.cast_signed()).contains(&next_offset) {
            self.fold_seen(&mut taken);
            self.judge_views(&mut taken, false);
            taken.begin(next_offset, &self.blocks);
        } else {
            self.findings.unchecked("a reader was set to an offset that no log has");
        }
        self.readers[reader.0] = Some(taken);
    }

    /// The reader got a record. `at_ns` is nanoseconds since the run began, for sentences.
    pub fn read(&mut self, reader: ReaderId, offset: i64, record: Record, at_ns: u64) {
        let Self { readers, findings, blocks, budget, lanes, index, settings, damaged, pending, .. } = self;
        let Some(reader) = readers.get_mut(reader.0).and_then(Option::as_deref_mut) else {
            findings.unchecked("a reader that had left got more records");
            return;
        };
        findings.verdict.counts.read += 1;
        if offset.cast_unsigned() > NUMBER_MAX {
            let sentence = || format!("{} got a record at offset {offset}, which no log has", reader.name);
            findings.note(Kind::WrongOffset, 1, sentence);
            return;
        }
        let mut judge = Surroundings { blocks, budget, findings };
        let came = reader.take(offset, settings.gaps, at_ns, &mut judge);
        if came == Came::Again && !reader.jumped.is_empty() {
            reader.given_at_last(offset, &mut judge);
        }
        let Record::Sound { producer, sequence } = record else {
            let mixed = not_sound(reader, came, (offset, at_ns), record, damaged, &mut judge);
            reader.add(came, offset, mixed, &mut judge);
            return;
        };
        reader.add(came, offset, mix(offset, producer, sequence), &mut judge);
        let at = match reader.last_lane {
            Some((last, at)) if last == producer => at,
            _ => {
                let Some(at) = index.get_or_add(producer, lanes) else {
                    findings.unchecked("there are more producers than are kept");
                    return;
                };
                reader.last_lane = Some((producer, at));
                at
            }
        };
        let sighting = Sighting { sequence, offset, at_ns };
        if observe(reader, at, &mut lanes[at], came, sighting, &mut judge) {
            meet_ack(&mut lanes[at], sighting, &reader.name, pending, &mut judge);
        }
    }

    /// The offset that the reader has to get next; `None` before it got any when it may begin anywhere, and after it
    /// has left.
    pub fn next_offset(&self, reader: ReaderId) -> Option<i64> {
        let reader = self.readers.get(reader.0)?.as_deref()?;
        reader.low.map(|_| reader.next)
    }

    /// One above the highest acknowledged offset.
    pub fn end(&self) -> Option<i64> {
        self.end
    }

    /// What has been found and counted up to now. What is missing shows only when readers leave.
    pub fn so_far(&self) -> &Verdict {
        &self.findings.verdict
    }

    /// Bytes of heap that the judge holds, estimated.
    pub fn heap_bytes(&self) -> usize {
        let lanes = self.lanes.capacity() * size_of::<Lane>() + self.lanes.iter().map(Lane::heap_bytes).sum::<usize>();
        let readers = self.readers.iter().flatten().map(|reader| reader.heap_bytes()).sum::<usize>();
        let jumps = self.jumps.iter().map(Jump::heap_bytes).sum::<usize>();
        let offsets = self.covered.heap_bytes() + self.damaged.heap_bytes();
        let slots = self.readers.capacity() * size_of::<Option<Box<Reader>>>();
        lanes
            + readers
            + jumps
            + offsets
            + slots
            + self.blocks.heap_bytes()
            + self.index.heap_bytes()
            + self.findings.heap_bytes()
    }

    /// The reader, who comes back or has left.
    pub(super) fn take_reader(&mut self, reader: ReaderId) -> Option<Box<Reader>> {
        self.readers.get_mut(reader.0)?.take()
    }

    pub(super) fn surroundings(&mut self) -> Surroundings<'_> {
        Surroundings { blocks: &mut self.blocks, budget: &mut self.budget, findings: &mut self.findings }
    }
}
