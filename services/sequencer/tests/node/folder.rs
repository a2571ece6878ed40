//! A real folder, the real clock, this process.

use std::sync::Arc;

use async_trait::async_trait;
use eagre_env::Env;
use eagre_metadata::StoreSettings;
use eagre_model::ShardId;
use eagre_objects::{Bucket, BucketUrl};
use eagre_sequencer::{SequencerNode, SequencerSettings};
use eagre_sequencer_api::{Peers, PingAnswer, Sequencer};

use crate::world::{Gateway, appended, batch, end_of, of};

struct Nobody;

#[async_trait]
impl Peers for Nobody {
    async fn ping(&self, _: &str, _: ShardId) -> Option<PingAnswer> {
        None
    }
}

#[tokio::test]
async fn a_log_grows_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let url: BucketUrl = folder.path().to_str().unwrap().parse().unwrap();
    let env = Env::system();
    let mut topic = None;
    for round in 0..3 {
        let bucket = Bucket::open(&env, &url).await.unwrap();
        let settings = SequencerSettings::new("http://127.0.0.1:1", StoreSettings::for_folder());
        let node = SequencerNode::new(env.clone(), bucket, Arc::new(Nobody), settings);
        node.start().await.unwrap();
        if round == 0 {
            topic = Some(node.create_topic("flights", Some(1)).await.unwrap());
        }
        let partition = of(topic.as_ref().unwrap(), 0);
        assert_eq!(end_of(node.as_ref(), partition).await, Some(round * 10));
        let mut gateway = Gateway::join(node.as_ref()).await;
        for number in 0..10 {
            assert_eq!(gateway.commit(partition, vec![batch(1)]).await, [appended(round * 10 + number)]);
        }
        node.stop().await;
    }
    let claims = folder.path().join("lease/0000000000");
    let mut names: Vec<String> =
        std::fs::read_dir(claims).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let expected = (1..=3).flat_map(|number| [format!("{number:020}"), format!("{number:020}.stepped-down")]);
    assert_eq!(names, expected.collect::<Vec<_>>());
}
