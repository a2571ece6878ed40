//! Makes the topics.

use std::time::Duration;

use eagre_proto::v1::{CreateTopicRequest, ErrorReason};
use tokio::time::{sleep, timeout};

use super::{
    Role, TOPICS,
    gateway::{reach_all, reason},
};

pub(crate) async fn run(role: Role) {
    let gateways = reach_all(&role);
    for (name, partitions) in TOPICS {
        for attempt in 0_usize.. {
            let mut service = gateways[attempt % gateways.len()].topics();
            let request = CreateTopicRequest { name: name.to_owned(), partitions, ..Default::default() };
            match timeout(Duration::from_secs(3), service.create_topic(request)).await {
                Ok(Ok(_)) => break,
                Ok(Err(status)) if reason(&status) == Some(ErrorReason::TopicExists) => break,
                Ok(Err(status)) => {
                    role.world.trace.note(&role.host, format_args!("no topic yet: {}", status.message()))
                }
                Err(_) => role.world.trace.note(&role.host, format_args!("no topic yet: no answer")),
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}
