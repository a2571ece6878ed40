//! Asks for the ends of logs, of any gateway.

use std::time::Duration;

use eagre_env::Randomness;
use eagre_proto::v1::{FetchPartition, Latest, ListOffsetsRequest, Position, position::Position as At};
use eagre_verify::{Ended, Op, Outcome, Partition};
use tokio::time::{sleep, timeout};

use super::{
    Role,
    gateway::{Reached, reach_all},
    partitions, topic_name,
};
use crate::world::Phase;

const ANSWER_TIME: Duration = Duration::from_secs(3);

/// Asks until the quiet phase.
pub(crate) async fn run(role: Role) {
    let random = role.world.random("asker", u64::from(role.process.0));
    let gateways = reach_all(&role);
    let all = partitions();
    while role.world.phase() == Phase::Chaos {
        let gateway = &gateways[usize::try_from(random.below(gateways.len() as u64)).unwrap_or(0)];
        let mut asked = all.clone();
        asked.retain(|_| random.below(2) == 0);
        let invoked = role.world.moment();
        match timeout(ANSWER_TIME, ends(gateway, &asked)).await {
            Ok(Ok(ends)) => {
                for (partition, end) in asked.iter().zip(ends) {
                    role.world.trace.note(&role.host, format_args!("{partition} ends at {end}"));
                    let op = Op::End(Ended { partition: *partition, outcome: Outcome::Ok(end) });
                    role.world.history().record(role.process, invoked, role.world.moment(), op);
                }
            }
            Ok(Err(error)) => role.world.trace.note(&role.host, format_args!("no end: {error}")),
            Err(_) => role.world.trace.note(&role.host, format_args!("no end in time")),
        }
        sleep(Duration::from_millis(5 + random.below(150))).await;
    }
}

/// The ends of these partitions, as one gateway tells them.
pub(crate) async fn ends(gateway: &Reached, asked: &[Partition]) -> Result<Vec<i64>, String> {
    let place = |partition: &Partition| FetchPartition {
        topic: topic_name(*partition).to_owned(),
        partition: partition.partition,
        position: Some(Position { position: Some(At::Latest(Latest {})) }),
    };
    let request = ListOffsetsRequest { partitions: asked.iter().map(place).collect() };
    let answer =
        gateway.fetch().list_offsets(request).await.map_err(|status| status.message().to_owned())?.into_inner();
    if answer.offsets.len() != asked.len() {
        return Err(format!("{} offsets for {} partitions", answer.offsets.len(), asked.len()));
    }
    Ok(answer.offsets.iter().map(|offset| offset.offset).collect())
}
