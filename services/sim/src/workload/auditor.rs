//! Reads the index and looks whether all that it refers to is in the bucket.

use std::time::Duration;

use eagre_model::{ObjectId, UploadEpoch, batch::crc32c};
use eagre_proto::internal::v1::{
    GetTopicRequest, PartitionId, ReadIndexRequest, ReadInlineRequest, Run,
    sequencer_service_client::SequencerServiceClient,
};
use eagre_verify::{IndexRow, Indexed, Op, Partition, Stored};
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;

use super::{
    Role,
    asker::ends,
    gateway::{Reached, reach_all},
    partitions, topic_name,
};
use crate::{bucket::SimBucket, world::Phase};

const ROWS: u32 = 1_000;
/// The kind of a run whose bytes are beside it.
const INLINE: u32 = 3;
const ANSWER_TIME: Duration = Duration::from_secs(4);

/// Audits now and then while things break, and once after everything has come to rest.
pub(crate) async fn run(role: Role) {
    let gateways = reach_all(&role);
    let mut turn = 0;
    loop {
        let last = role.world.phase() >= Phase::Quiet;
        for partition in partitions() {
            // One of two nodes holds the shard, so each is asked.
            loop {
                turn += 1;
                let Err(error) = audit(&role, &gateways[turn % gateways.len()], partition).await else { break };
                role.world.trace.note(&role.host, format_args!("no index of {partition}: {error}"));
                if !last {
                    break;
                }
                sleep(Duration::from_millis(100)).await;
            }
        }
        if last {
            return;
        }
        sleep(Duration::from_millis(500)).await;
    }
}

async fn audit(role: &Role, gateway: &Reached, partition: Partition) -> Result<(), String> {
    let invoked = role.world.moment();
    let ends = timeout(ANSWER_TIME, ends(gateway, &[partition])).await.map_err(|_| "no end in time".to_owned())??;
    let end = ends.first().copied().unwrap_or(0);
    let looked = timeout(ANSWER_TIME, look(role, gateway, partition, end));
    let rows = looked.await.map_err(|_| "no index in time".to_owned())??;
    role.world.trace.note(&role.host, format_args!("index of {partition} up to {end}: {} rows", rows.len()));
    let op = Op::Index(Indexed { partition, from: 0, to: end, rows });
    role.world.history().record(role.process, invoked, role.world.moment(), op);
    Ok(())
}

/// The index up to an end, and what there is of each row.
async fn look(role: &Role, gateway: &Reached, partition: Partition, end: i64) -> Result<Vec<IndexRow>, String> {
    let mut sequencer = gateway.sequencer();
    let name = topic_name(partition).to_owned();
    let topic = sequencer.get_topic(GetTopicRequest { shard: 0, name }).await.map_err(failed)?.into_inner().topic;
    let topic = topic.ok_or("no topic in the answer")?.number;
    let partition = PartitionId { topic, partition: partition.partition };
    let runs = index(&mut sequencer, partition, end).await?;
    let mut rows = Vec::with_capacity(runs.len());
    for run in &runs {
        rows.push(match run.kind {
            INLINE => inline(&mut sequencer, partition, run).await?,
            _ => in_bucket(&role.world.bucket, run),
        });
    }
    Ok(rows)
}

fn failed(status: tonic::Status) -> String {
    status.message().to_owned()
}

async fn index(
    sequencer: &mut SequencerServiceClient<Channel>,
    partition: PartitionId,
    end: i64,
) -> Result<Vec<Run>, String> {
    let mut rows: Vec<Run> = Vec::new();
    while rows.last().map_or(0, |row| row.last_offset + 1) < end {
        let request = ReadIndexRequest {
            shard: 0,
            partition: Some(partition),
            offset: rows.last().map_or(0, |row| row.last_offset + 1),
            max_rows: ROWS,
        };
        let page = sequencer.read_index(request).await.map_err(failed)?.into_inner().runs;
        if page.is_empty() {
            break;
        }
        rows.extend(page);
    }
    Ok(rows)
}

/// The row, with the bytes that the sequencer gives for it. An error when they are in an object by now.
async fn inline(
    sequencer: &mut SequencerServiceClient<Channel>,
    partition: PartitionId,
    run: &Run,
) -> Result<IndexRow, String> {
    let last_offsets = vec![run.last_offset];
    let request = ReadInlineRequest { shard: 0, partition: Some(partition), last_offsets };
    let found = sequencer.read_inline(request).await.map_err(failed)?.into_inner().runs.into_iter().next();
    let stored = match found.and_then(|found| found.bytes) {
        Some(bytes) if bytes.len() != run.length_bytes as usize => {
            Stored::Short { object_bytes: bytes.len() as u64, wanted_bytes: u64::from(run.length_bytes) }
        }
        Some(bytes) if crc32c(&bytes) == run.crc32c => Stored::Sound,
        Some(bytes) => Stored::Corrupt { expected: run.crc32c, found: crc32c(&bytes) },
        None => {
            let offset = run.last_offset;
            let request = ReadIndexRequest { shard: 0, partition: Some(partition), offset, max_rows: 1 };
            let again = sequencer.read_index(request).await.map_err(failed)?.into_inner().runs;
            if again.first() != Some(run) {
                return Err("its rows were swapped meanwhile".into());
            }
            Stored::NoObject
        }
    };
    let object = format!("inline, of {}", object_of(run));
    Ok(IndexRow { base_offset: run.base_offset, last_offset: run.last_offset, object, stored })
}

fn object_of(run: &Run) -> ObjectId {
    let object = run.object.unwrap_or_default();
    ObjectId { epoch: UploadEpoch(object.epoch), incarnation: object.incarnation, number: object.number }
}

/// The row, with what the bucket holds where it points to, looked at without a request.
fn in_bucket(bucket: &SimBucket, run: &Run) -> IndexRow {
    let object = object_of(run);
    let start = usize::try_from(run.position_bytes).unwrap_or(usize::MAX);
    let end = start.saturating_add(run.length_bytes as usize);
    let stored = match bucket.peek(&object.key()) {
        None => Stored::NoObject,
        Some(bytes) => match bytes.get(start..end) {
            None => Stored::Short { object_bytes: bytes.len() as u64, wanted_bytes: end as u64 },
            Some(run_bytes) if crc32c(run_bytes) == run.crc32c => Stored::Sound,
            Some(run_bytes) => Stored::Corrupt { expected: run.crc32c, found: crc32c(run_bytes) },
        },
    };
    IndexRow { base_offset: run.base_offset, last_offset: run.last_offset, object: object.key(), stored }
}
