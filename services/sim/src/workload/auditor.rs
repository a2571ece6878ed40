//! Reads the index and looks whether all that it refers to is in the bucket.

use std::time::Duration;

use eagre_model::{ObjectId, UploadEpoch, batch::crc32c};
use eagre_proto::internal::v1::{
    GetTopicRequest, PartitionId, ReadIndexRequest, Run, sequencer_service_client::SequencerServiceClient,
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
    let rows = timeout(ANSWER_TIME, index(gateway.sequencer(), partition, end));
    let rows = rows.await.map_err(|_| "no index in time".to_owned())??;
    let rows: Vec<_> = rows.iter().map(|run| checked(&role.world.bucket, run)).collect();
    role.world.trace.note(&role.host, format_args!("index of {partition} up to {end}: {} rows", rows.len()));
    let op = Op::Index(Indexed { partition, from: 0, to: end, rows });
    role.world.history().record(role.process, invoked, role.world.moment(), op);
    Ok(())
}

async fn index(
    mut sequencer: SequencerServiceClient<Channel>,
    partition: Partition,
    end: i64,
) -> Result<Vec<Run>, String> {
    let failed = |status: tonic::Status| status.message().to_owned();
    let name = topic_name(partition).to_owned();
    let topic = sequencer.get_topic(GetTopicRequest { shard: 0, name }).await.map_err(failed)?.into_inner().topic;
    let topic = topic.ok_or("no topic in the answer")?.number;
    let mut rows: Vec<Run> = Vec::new();
    while rows.last().map_or(0, |row| row.last_offset + 1) < end {
        let request = ReadIndexRequest {
            shard: 0,
            partition: Some(PartitionId { topic, partition: partition.partition }),
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

/// The row, with what the bucket holds where it points to, looked at without a request.
fn checked(bucket: &SimBucket, run: &Run) -> IndexRow {
    let object = run.object.unwrap_or_default();
    let object = ObjectId { epoch: UploadEpoch(object.epoch), incarnation: object.incarnation, number: object.number };
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
