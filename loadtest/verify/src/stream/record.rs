//! What is kept of a judge, to judge a later reading against.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{PartitionJudge, Place, Settings, blocks::Blocks, intervals::Intervals, judge::NUMBER_MAX, lane::Lane};

/// Of the layout below. A later layout has a higher number.
const VERSION: u32 = 1;

/// What a run knows of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartitionRecord {
    /// Of the layout.
    pub version: u32,
    /// Which log.
    pub place: Place,
    /// One above the highest acknowledged offset.
    pub end: Option<i64>,
    /// In the order of their producers.
    pub lanes: Vec<LaneRecord>,
    /// The sum of each block of 65,536 offsets that a reader got whole, by the block's number.
    pub blocks: Vec<(i64, u64)>,
    /// Sums of blocks that were read only to the offset here.
    pub stops: Vec<(i64, u64)>,
}

/// What became of a producer's records. Stretches of sequences are half open, in order and apart from each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaneRecord {
    /// Its number.
    pub producer: u32,
    /// They have to be there.
    pub acked: Vec<(u64, u64)>,
    /// They must not be there.
    pub failed: Vec<(u64, u64)>,
    /// They may be there.
    pub unknown: Vec<(u64, u64)>,
    /// Not acknowledged but read by somebody: they have to stay there.
    pub visible: Vec<(u64, u64)>,
    /// From this sequence on nothing is known.
    pub limit: Option<u64>,
}

/// A record that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RecordError {
    /// Written by another version.
    #[error("the run's record has version {found}, this program reads version {VERSION}")]
    Version {
        /// In the record.
        found: u32,
    },
    /// It contradicts itself.
    #[error("the run's record of {place} is damaged: {what}")]
    Damaged {
        /// The log.
        place: Place,
        /// A few words.
        what: &'static str,
    },
}

impl PartitionJudge {
    /// What a later reading is to be judged against. It may be asked for at any time; after [`Self::finish`] the sums
    /// of the last blocks are in it too.
    pub fn record(&self) -> PartitionRecord {
        let mut lanes: Vec<_> = (0..self.lanes.len()).map(|at| self.lane_record(at)).collect();
        lanes.sort_by_key(|lane| lane.producer);
        PartitionRecord {
            version: VERSION,
            place: self.findings.place.clone(),
            end: self.end,
            lanes,
            blocks: self.blocks.whole().to_vec(),
            stops: self.blocks.stops().to_vec(),
        }
    }

    /// A judge of a later reading of the log. Everything in the record must be found where the run found it.
    ///
    /// # Errors
    /// When the record is another version's, or contradicts itself.
    pub fn from_record(record: &PartitionRecord, settings: Settings) -> Result<Self, RecordError> {
        if record.version != VERSION {
            return Err(RecordError::Version { found: record.version });
        }
        let damaged = |what| RecordError::Damaged { place: record.place.clone(), what };
        let in_order = |sums: &[(i64, u64)]| sums.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if !in_order(&record.blocks) || !in_order(&record.stops) {
            return Err(damaged("sums out of order"));
        }
        let mut judge = Self::new(record.place.clone(), settings);
        judge.end = record.end;
        judge.blocks = Blocks::from_parts(record.blocks.clone(), record.stops.clone());
        judge.earlier_blocks = Some((record.blocks.len() + record.stops.len()) as u64);
        let mut producers = BTreeSet::new();
        for lane in &record.lanes {
            if !producers.insert(lane.producer) {
                return Err(damaged("a producer stands there twice"));
            }
            let Some(at) = judge.index.get_or_add(lane.producer, &mut judge.lanes) else {
                return Err(damaged("too many producers"));
            };
            let into = &mut judge.lanes[at];
            lane.put_into(into).ok_or_else(|| damaged("stretches out of order"))?;
            for set in [&into.acked, &into.failed, &into.unknown] {
                judge.budget.adopt(set);
            }
            judge.findings.verdict.counts.acked += into.acked.total();
            judge.findings.verdict.counts.failed += into.failed.total();
        }
        Ok(judge)
    }

    fn lane_record(&self, at: usize) -> LaneRecord {
        let lane = &self.lanes[at];
        let none = Intervals::default();
        let mut visible = Intervals::default();
        let left = lane.left.as_ref().map_or(&none, |left| &left.seen);
        let views = self.readers.iter().flatten().filter_map(|reader| reader.views.get(at));
        for seen in views.map(|view| &view.seen).chain([left]) {
            for (from, to) in seen.minus(&lane.acked).minus(&lane.failed).iter() {
                visible.insert(from, to);
            }
        }
        let limit = lane.limit.unwrap_or(u64::MAX);
        let stretches = |set: &Intervals| set.within(0, limit).collect();
        LaneRecord {
            producer: lane.producer,
            acked: stretches(&lane.acked),
            failed: stretches(&lane.failed.minus(&lane.acked)),
            unknown: stretches(&lane.unknown.minus(&lane.acked).minus(&visible)),
            visible: stretches(&visible),
            limit: lane.limit,
        }
    }
}

impl LaneRecord {
    fn put_into(&self, lane: &mut Lane) -> Option<()> {
        let set = |stretches: &[(u64, u64)]| Intervals::from_sorted(stretches).filter(|set| set.end() <= NUMBER_MAX);
        lane.acked = set(&self.acked)?;
        for (from, to) in set(&self.visible)?.iter() {
            lane.acked.insert(from, to);
        }
        lane.failed = set(&self.failed)?;
        lane.unknown = set(&self.unknown)?;
        lane.limit = self.limit;
        Some(())
    }
}
