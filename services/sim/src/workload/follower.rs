//! Follows all topics with the client crate's consumer, which reconnects by itself.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use eagre_client::{ConsumedRecord, Position};
use eagre_verify::{Gateway, Op, Partition, Polled, Seen};
use tokio::time::{sleep, timeout};

use super::{Role, TOPICS, partitions};
use crate::{payload, world::Phase};

const LOOK: Duration = Duration::from_millis(250);

/// Reads on until all that the drainer found has been read.
pub(crate) async fn run(role: Role) {
    let world = Arc::clone(&role.world);
    let client = role.client();
    let mut consumer = loop {
        let mut opening = client.consumer();
        for (name, _) in TOPICS {
            opening = opening.topic(name, Position::Beginning);
        }
        match opening.open().await {
            Ok(consumer) => break consumer,
            Err(error) => world.trace.note(&role.host, format_args!("no consumer: {error}")),
        }
        sleep(LOOK).await;
    };
    let mut next: BTreeMap<Partition, i64> = partitions().into_iter().map(|partition| (partition, 0)).collect();
    while world.phase() < Phase::Done || !world.has_read_all(&next) {
        match timeout(LOOK, consumer.next_chunk()).await {
            Ok(Some(Ok(chunk))) => role.write_down(&chunk, &mut next),
            Ok(Some(Err(error))) => return world.complain(format!("the consumer gave up: {error}")),
            Ok(None) => return world.complain("a consumer that follows came to an end".to_owned()),
            Err(_) => {}
        }
    }
}

impl Role {
    /// A chunk is of one partition. The consumer tells no high watermark: what it has read is one.
    fn write_down(&self, chunk: &[ConsumedRecord], next: &mut BTreeMap<Partition, i64>) {
        let Some(first) = chunk.first() else { return };
        let topic = TOPICS.iter().position(|(name, _)| *name == &*first.topic).unwrap_or(0);
        let partition = Partition { topic: u32::try_from(topic).unwrap_or(0), partition: first.partition };
        let value = |record: &ConsumedRecord| record.value.as_deref().and_then(payload::decode);
        let records: Vec<_> = chunk.iter().map(|record| Seen { offset: record.offset, value: value(record) }).collect();
        let end = records.last().map_or(0, |seen| seen.offset + 1);
        let from = next.insert(partition, end).unwrap_or(0);
        self.world.trace.note(&self.host, format_args!("read {partition} {from}..{end}"));
        // It may change its gateway at any time, so it stands for one of its own.
        let (gateway, stream) = (Gateway(1_000 + self.process.0), u64::from(self.process.0) << 32);
        let polled = Polled { partition, gateway, stream, from, records, high_watermark: end };
        let now = self.world.moment();
        self.world.history().record(self.process, now, now, Op::Poll(polled));
    }
}
