//! Follows all partitions over one stream, and now and then reads an old stretch again.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use eagre_env::Randomness;
use eagre_model::{batch::Limits, records};
use eagre_proto::v1::{
    ErrorReason, FetchEncoding, FetchEnd, FetchError, FetchPartition, FetchRequest, FetchResponse, Position,
    position::Position as At,
};
use eagre_verify::{Damaged, Moment, Op, Partition, Polled, Seen};
use tokio::time::{sleep, timeout};
use tonic::Streaming;

use super::{
    Role,
    gateway::{Reached, reach_all},
    partitions, topic_name,
};
use crate::{payload, world::Phase};

/// No message for so long: the stream is opened anew.
const SILENCE: Duration = Duration::from_secs(4);

/// Reads on until all that the drainer found has been read.
pub(crate) async fn run(role: Role, encoding: FetchEncoding) {
    let random = role.world.random("tailer", u64::from(role.process.0));
    let gateways = reach_all(&role);
    let mut next: BTreeMap<Partition, i64> = partitions().into_iter().map(|partition| (partition, 0)).collect();
    let mut streams = 0;
    loop {
        let gateway = &gateways[usize::try_from(random.below(gateways.len() as u64)).unwrap_or(0)];
        streams += 1;
        // Re-reading goes back somewhere and takes a few messages, beside the position that is followed.
        let rereads = random.below(3) == 0 && role.world.phase() == Phase::Chaos;
        let mut from = next.clone();
        if rereads {
            for offset in from.values_mut() {
                *offset = i64::try_from(random.below(u64::try_from(*offset).unwrap_or(0) + 1)).unwrap_or(0);
            }
        }
        let messages = if rereads { 1 + random.below(12) } else { 20 + random.below(400) };
        let mut reading = Reading { role: &role, encoding, stream: u64::from(role.process.0) << 32 | streams, from };
        reading.read(gateway, messages).await;
        if !rereads {
            next = reading.from;
        }
        if role.world.phase() == Phase::Done && role.world.has_read_all(&next) {
            return;
        }
        sleep(Duration::from_millis(20 + random.below(200))).await;
    }
}

/// One stream.
struct Reading<'a> {
    role: &'a Role,
    encoding: FetchEncoding,
    stream: u64,
    from: BTreeMap<Partition, i64>,
}

impl Reading<'_> {
    async fn read(&mut self, gateway: &Reached, messages: u64) {
        let assigned: Vec<_> = self.from.iter().map(|(partition, offset)| (*partition, *offset)).collect();
        let opened = self.role.world.moment();
        let mut stream = match open(gateway, &assigned, FetchEnd::Follow, self.encoding).await {
            Ok(stream) => stream,
            Err(error) => {
                self.role.world.trace.note(&self.role.host, format_args!("cannot fetch: {error}"));
                return;
            }
        };
        for _ in 0..messages {
            match timeout(SILENCE, stream.message()).await {
                Ok(Ok(Some(FetchResponse { error: Some(error), .. }))) => {
                    let what = format_args!("a partition ended: {:?} {}", error.reason(), error.message);
                    self.role.world.trace.note(&self.role.host, what);
                    return self.role.note_end(&error, &self.from);
                }
                Ok(Ok(Some(message))) => self.take(gateway, &assigned, opened, message),
                Ok(Ok(None)) => return,
                Ok(Err(status)) => {
                    let what = format_args!("the stream broke: {:?} {}", status.code(), status.message());
                    return self.role.world.trace.note(&self.role.host, what);
                }
                Err(_) => return,
            }
            if self.role.world.phase() == Phase::Done && self.role.world.has_read_all(&self.from) {
                return;
            }
        }
    }

    fn take(&mut self, gateway: &Reached, assigned: &[(Partition, i64)], opened: Moment, message: FetchResponse) {
        let Some((partition, asked)) = assigned.get(message.index as usize) else { return };
        let from = self.from.get(partition).copied().unwrap_or(0);
        let mut records = seen(&message, from);
        // The batch in which a stream begins may begin before it; after that nothing comes twice.
        if self.encoding == FetchEncoding::Batches && from == *asked {
            records.retain(|seen| seen.offset >= from);
        }
        let world = &self.role.world;
        let (first, last) = (records.first().map(|seen| seen.offset), records.last().map(|seen| seen.offset));
        let what = format_args!("read {partition} {first:?}..{last:?} of {}", message.high_watermark);
        world.trace.note(&self.role.host, what);
        self.from.insert(*partition, last.map_or(from, |last| last + 1));
        let polled = Polled {
            partition: *partition,
            gateway: gateway.gateway,
            stream: self.stream,
            from,
            records,
            high_watermark: message.high_watermark,
        };
        world.history().record(self.role.process, opened, world.moment(), Op::Poll(polled));
    }
}

impl Role {
    /// Writes down why a partition ended, when the service calls its stored bytes damaged. The message names it.
    pub(super) fn note_end(&self, error: &FetchError, from: &BTreeMap<Partition, i64>) {
        if error.reason() != ErrorReason::StoredDataCorrupt {
            return;
        }
        let named = |partition: &Partition| {
            error.message.contains(&format!("\"{}\" partition {}:", topic_name(*partition), partition.partition))
        };
        let partition = from.keys().copied().find(named).unwrap_or(Partition { topic: 0, partition: 0 });
        let from = from.get(&partition).copied().unwrap_or(0);
        let damaged = Damaged { partition, from, message: error.message.clone() };
        let now = self.world.moment();
        self.world.history().record(self.process, now, now, Op::Damage(damaged));
    }
}

/// Opens a stream from the given offsets on.
pub(crate) async fn open(
    gateway: &Reached,
    assigned: &[(Partition, i64)],
    end: FetchEnd,
    encoding: FetchEncoding,
) -> Result<Streaming<FetchResponse>, String> {
    let place = |(partition, offset): &(Partition, i64)| FetchPartition {
        topic: topic_name(*partition).to_owned(),
        partition: partition.partition,
        position: Some(Position { position: Some(At::Offset(*offset)) }),
    };
    let partitions = assigned.iter().map(place).collect();
    let request = FetchRequest { partitions, end: end.into(), encoding: encoding.into() };
    match timeout(SILENCE, gateway.fetch().fetch(request)).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(format!("{:?} {}", status.code(), status.message())),
        Err(_) => Err("no answer".to_owned()),
    }
}

/// The records of a message, which was to begin at an offset or in the batch around it.
pub(crate) fn seen(message: &FetchResponse, from: i64) -> Vec<Seen> {
    let value = |bytes: Option<&[u8]>| bytes.and_then(payload::decode);
    let single =
        message.records.iter().map(|record| Seen { offset: record.offset, value: value(record.value.as_deref()) });
    let mut seen: Vec<_> = single.collect();
    for batch in batches(&message.batches) {
        match records::decode(&batch, &Limits::default()) {
            Ok(records) => seen.extend(
                records.iter().map(|record| Seen { offset: record.offset, value: value(record.value.as_deref()) }),
            ),
            // Bytes that are no batch are a record of no value at the place that was asked for.
            Err(_) => seen.push(Seen { offset: from, value: None }),
        }
    }
    seen
}

/// The batches of a message, each as its bytes; what cannot be taken apart is one that will not decode.
pub(crate) fn batches(bytes: &Bytes) -> Vec<Bytes> {
    eagre_model::batch::batches(bytes).map(|batch| batch.map_or(Bytes::new(), |(_, bytes)| bytes)).collect()
}
