//! Reads every log from its beginning to its end after everything has come to rest, and asks it for times.

use std::time::Duration;

use eagre_proto::v1::{FetchEncoding, FetchEnd};
use eagre_verify::{Drained, Identity, Op, Partition, StoredBatch};
use tokio::time::{sleep, timeout};

use super::{
    Role,
    gateway::{Reached, reach_all},
    partitions,
    tailer::{batches, open, seen},
    times::Times,
};

const SILENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);

/// Reads everything, as often as it takes, and writes down each log and its end.
pub(crate) async fn run(role: Role) {
    let gateways = reach_all(&role);
    for (n, partition) in partitions().into_iter().enumerate() {
        let invoked = role.world.moment();
        let mut log = Drained { partition, log_start: 0, high_watermark: 0, records: Vec::new(), batches: Vec::new() };
        let mut times = Times::default();
        for attempt in n.. {
            let gateway = &gateways[attempt % gateways.len()];
            let drained = match drain(&role, gateway, &mut log, &mut times).await {
                Ok(()) => times.check(&role, gateway, partition, log.high_watermark).await,
                Err(error) => Err(error),
            };
            match drained {
                Ok(()) => break,
                Err(error) => role.world.trace.note(&role.host, format_args!("{partition} is not drained: {error}")),
            }
            sleep(PAUSE).await;
        }
        role.world.trace.note(&role.host, format_args!("{partition} holds offsets up to {}", log.high_watermark));
        role.world.set_end(partition, log.high_watermark);
        role.world.history().record(role.process, invoked, role.world.moment(), Op::Drain(log));
    }
}

/// Goes on after what is there already.
async fn drain(role: &Role, gateway: &Reached, log: &mut Drained, times: &mut Times) -> Result<(), String> {
    let from = |log: &Drained| log.records.last().map_or(log.log_start, |last| last.offset + 1);
    let assigned: [(Partition, i64); 1] = [(log.partition, from(log))];
    let mut stream = open(gateway, &assigned, FetchEnd::Stop, FetchEncoding::Batches).await?;
    loop {
        let message = timeout(SILENCE, stream.message()).await.map_err(|_| "silence".to_owned())?;
        let message = message.map_err(|status| status.message().to_owned())?.ok_or("the stream ended early")?;
        if let Some(error) = message.error {
            role.note_end(&error, &assigned.into());
            return Err(error.message);
        }
        let next = from(log);
        // After a reconnect a batch may begin below what was asked for.
        log.records.extend(seen(&message, next).into_iter().filter(|seen| seen.offset >= next));
        batches(&message.batches).iter().for_each(|batch| times.add(batch, next));
        log.batches.extend(batches(&message.batches).iter().filter_map(|batch| {
            let header = eagre_model::batch::BatchHeader::parse(batch).ok()?;
            let identity = Identity {
                producer: header.producer_id,
                epoch: i32::from(header.producer_epoch),
                first_sequence: header.base_sequence,
            };
            let identity = header.is_idempotent().then_some(identity);
            let records = u32::try_from(header.record_count).ok()?;
            let is_new = header.base_offset >= next;
            is_new.then_some(StoredBatch { base_offset: header.base_offset, records, identity })
        }));
        log.high_watermark = message.next_offset;
        if message.end_reached {
            return Ok(());
        }
    }
}
