//! What the proxy knows of the batches that passed, and which of them are lied about: decided as they arrive, without
//! I/O.

use std::collections::BTreeMap;

use eagre_loadtest_stubs::v1::{ProduceRequest, RecordList, produce_request::Payload};

use crate::{
    batch::{self, Header},
    lane::{Lane, Standing},
    schedule::Schedule,
};

/// Lanes that are remembered; batches of others pass untouched.
const LANES_MAX: usize = 200_000;

/// What a producer is told that is not true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FalseAnswer {
    /// Acknowledged, and not even forwarded.
    Withheld,
    /// Acknowledged at the offset plus one.
    WrongOffset,
    /// Definitely not appended, and it is.
    Refused,
    /// Nobody knows, and it is appended.
    NeverKnown,
    /// Acknowledged under the number of a request that was never made.
    Astray,
}

/// A topic's name and a partition.
pub(crate) type Place = (String, u32);

/// A batch that passes, or does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Passing {
    /// Where it belongs.
    pub place: Place,
    /// How many offsets it takes.
    pub count: i64,
    /// Something is done to it or its answer.
    pub lied_about: bool,
    /// Producer id, epoch and position, for those that have them.
    lane: Option<(Writer, i64)>,
}

/// Producer id and epoch.
type Writer = (i64, u32);

#[derive(Debug)]
struct Partition {
    schedule: Schedule,
    /// The offset after the last one that was acknowledged.
    end: Option<i64>,
    lanes: BTreeMap<Writer, Lane>,
}

/// All partitions.
#[derive(Debug)]
pub(crate) struct Ledger {
    answer: FalseAnswer,
    partitions: BTreeMap<Place, Partition>,
    lanes: usize,
}

/// What a request says of its batch.
struct Said {
    writer: Option<(Writer, i32)>,
    count: i64,
    fingerprint: u32,
}

impl Ledger {
    /// Nothing has passed.
    pub fn new(answer: FalseAnswer) -> Self {
        Self { answer, partitions: BTreeMap::new(), lanes: 0 }
    }

    /// What is said of batches that are lied about.
    pub fn false_answer(&self) -> FalseAnswer {
        self.answer
    }

    /// Takes note of a request and gives it the sequence that the service expects. `None`: it names no partition or makes
    /// no sense, and passes as it is.
    pub fn arrive(&mut self, request: &mut ProduceRequest) -> Option<Passing> {
        let place = (request.topic.clone(), request.partition?);
        let said = said(request)?;
        let partition = self.partitions.entry(place.clone()).or_insert_with(|| Partition {
            schedule: Schedule::new(),
            end: None,
            lanes: BTreeMap::new(),
        });
        // A false ack needs an offset that fits the ones before.
        let is_possible = self.answer != FalseAnswer::Withheld || partition.end.is_some();
        let mut passing = Passing { place, count: said.count, lied_about: false, lane: None };
        let Some((writer, first_sequence)) = said.writer else {
            passing.lied_about = partition.schedule.count() && is_possible;
            if passing.lied_about {
                partition.schedule.commit();
            }
            return Some(passing);
        };
        if !partition.lanes.contains_key(&writer) {
            if self.lanes == LANES_MAX {
                return None;
            }
            self.lanes += 1;
        }
        let lane = partition.lanes.entry(writer).or_default();
        let (position, standing) = lane.arrive(first_sequence, said.count, said.fingerprint);
        passing.lane = Some((writer, position));
        passing.lied_about = match standing {
            Standing::Lied => true,
            Standing::Repeated => false,
            Standing::New => partition.schedule.count() && is_possible,
        };
        if standing == Standing::New && passing.lied_about {
            partition.schedule.commit();
            lane.lie(position, said.fingerprint);
            if self.answer == FalseAnswer::Withheld {
                lane.withhold(said.count);
            }
        }
        let forwarded = lane.forwarded(position);
        if forwarded != first_sequence {
            set_sequence(request, forwarded);
        }
        Some(passing)
    }

    /// A batch was acknowledged at an offset.
    pub fn acknowledged(&mut self, passing: &Passing, base_offset: i64) {
        if let Some(partition) = self.partitions.get_mut(&passing.place) {
            partition.end = partition.end.max(Some(base_offset + passing.count));
        }
    }

    /// The offset that a batch would have got, had it been forwarded; the same one when it is asked for again.
    pub fn false_offset(&mut self, passing: &Passing) -> i64 {
        let Some(partition) = self.partitions.get_mut(&passing.place) else { return 0 };
        let end = partition.end.unwrap_or(0);
        let lie = passing.lane.and_then(|(writer, position)| partition.lanes.get_mut(&writer)?.lie_at(position));
        lie.map_or(end, |lie| *lie.offset.get_or_insert(end))
    }

    /// A topic is gone: what comes under its name is another one.
    pub fn forget(&mut self, topic: &str) {
        self.partitions.retain(|(name, _), _| name != topic);
        self.lanes = self.partitions.values().map(|partition| partition.lanes.len()).sum();
    }
}

fn said(request: &ProduceRequest) -> Option<Said> {
    match request.payload.as_ref()? {
        Payload::Batch(batch) => {
            let header = Header::parse(batch).ok()?;
            let epoch = u32::try_from(header.producer_epoch).unwrap_or(0);
            let writer = (header.producer_id >= 0).then_some(((header.producer_id, epoch), header.base_sequence));
            Some(Said { writer, count: header.offsets, fingerprint: header.crc })
        }
        Payload::Records(list) => {
            let writer = request.producer.as_ref();
            let writer = writer.map(|by| ((by.producer_id, by.producer_epoch), by.first_sequence));
            let count = i64::try_from(list.records.len()).ok().filter(|count| *count > 0)?;
            Some(Said { writer, count, fingerprint: fingerprint(list) })
        }
    }
}

fn fingerprint(list: &RecordList) -> u32 {
    let parts = list.records.iter().flat_map(|record| [&record.key, &record.value]).flatten();
    parts.fold(0, |crc, part| crc32c::crc32c_append(crc, part))
}

fn set_sequence(request: &mut ProduceRequest, first_sequence: i32) {
    if let Some(producer) = &mut request.producer {
        producer.first_sequence = first_sequence;
    } else if let Some(Payload::Batch(batch)) = &mut request.payload {
        let mut bytes = bytes::BytesMut::from(&batch[..]);
        batch::set_base_sequence(&mut bytes, first_sequence);
        *batch = bytes.freeze();
    }
}

#[cfg(test)]
mod tests {
    use eagre_loadtest_stubs::v1::{ProducerSequence, Record};

    use super::*;
    use crate::batch::build::{Of, batch};

    fn request(partition: Option<u32>, payload: Payload, producer: Option<ProducerSequence>) -> ProduceRequest {
        ProduceRequest { topic: "t".into(), partition, payload: Some(payload), producer, topic_id: None }
    }

    fn ready(base_sequence: i32) -> ProduceRequest {
        let value = base_sequence.to_string();
        let of = Of { base_offset: 0, producer_id: 1, base_sequence };
        request(Some(0), Payload::Batch(batch(of, &[value.as_bytes(), b"x"])), None)
    }

    fn records(first_sequence: i32) -> ProduceRequest {
        let record = Record { value: Some(first_sequence.to_string().into()), ..Record::default() };
        let producer = ProducerSequence { producer_id: 1, producer_epoch: 0, first_sequence };
        let list = RecordList { records: vec![record.clone(), record] };
        request(Some(0), Payload::Records(list), Some(producer))
    }

    fn sequence(request: &ProduceRequest) -> i32 {
        match &request.payload {
            Some(Payload::Batch(batch)) => Header::parse(batch).unwrap().base_sequence,
            _ => request.producer.as_ref().unwrap().first_sequence,
        }
    }

    #[test]
    fn what_is_withheld_is_answered_in_the_same_way_again() {
        for made in [ready as fn(i32) -> ProduceRequest, records] {
            let mut ledger = Ledger::new(FalseAnswer::Withheld);
            let mut lies = Vec::new();
            for place in 0..10 {
                let mut request = made(place * 2);
                let passing = ledger.arrive(&mut request).unwrap();
                if passing.lied_about {
                    lies.push((place, ledger.false_offset(&passing)));
                } else {
                    assert_eq!(sequence(&request), if place < 4 { place * 2 } else { place * 2 - 2 });
                    ledger.acknowledged(&passing, 100 + i64::from(sequence(&request)));
                }
            }
            assert_eq!(lies, [(4, 108)]);
            let again = ledger.arrive(&mut made(8)).unwrap();
            assert_eq!((again.lied_about, ledger.false_offset(&again)), (true, 108));
        }
    }

    #[test]
    fn a_false_ack_waits_for_a_true_one() {
        let mut ledger = Ledger::new(FalseAnswer::Withheld);
        let passing: Vec<_> = (0..8).map(|place| ledger.arrive(&mut ready(place * 2)).unwrap()).collect();
        assert!(passing.iter().all(|passing| !passing.lied_about));
        ledger.acknowledged(&passing[0], 50);
        assert!(ledger.arrive(&mut ready(16)).unwrap().lied_about);
    }

    #[test]
    fn repetitions_do_not_count() {
        let mut ledger = Ledger::new(FalseAnswer::WrongOffset);
        for _ in 0..20 {
            assert!(!ledger.arrive(&mut ready(0)).unwrap().lied_about);
        }
        let lied_about: Vec<bool> =
            (1..6).map(|place| ledger.arrive(&mut ready(place * 2)).unwrap().lied_about).collect();
        assert_eq!(lied_about, [false, false, false, true, false]);
    }

    #[test]
    fn what_names_no_partition_or_makes_no_sense_passes() {
        let mut ledger = Ledger::new(FalseAnswer::Refused);
        let unplaced = ProduceRequest { partition: None, ..records(0) };
        let broken = request(Some(0), Payload::Batch("no batch".into()), None);
        let empty = ProduceRequest { payload: None, ..ready(0) };
        for mut request in [unplaced, broken, empty] {
            let before = request.clone();
            assert_eq!((ledger.arrive(&mut request), request), (None, before));
        }
    }

    #[test]
    fn a_topic_that_is_gone_is_forgotten() {
        let mut ledger = Ledger::new(FalseAnswer::WrongOffset);
        for place in 0..4 {
            ledger.arrive(&mut ready(place * 2));
        }
        ledger.forget("t");
        assert!(!ledger.arrive(&mut ready(8)).unwrap().lied_about);
        assert_eq!(ledger.lanes, 1);
    }
}
