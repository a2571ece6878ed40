use eagre_proto::v1::*;
use tonic::Code;
use tonic_types::StatusExt;

use crate::world::{World, earliest, fetch_request, records};

#[tokio::test(start_paused = true)]
async fn a_topic_lives_and_dies() {
    let world = World::new().await;
    let mut topics = world.topics();
    let created = topics
        .create_topic(CreateTopicRequest { name: "fixed".into(), partitions: Some(3), ..Default::default() })
        .await
        .unwrap();
    let topic = created.into_inner().topic.unwrap();
    assert_eq!((topic.placement(), topic.partitions.len()), (Placement::Kafka, 3));
    assert_eq!(topic.partitions[2], TopicPartition { partition: 2, residue_class: None });
    let created = topics
        .create_topic(CreateTopicRequest { name: "elastic".into(), partitions: None, ..Default::default() })
        .await
        .unwrap();
    let topic = created.into_inner().topic.unwrap();
    let class = Some(ResidueClass { remainder: 3, modulus: 4 });
    assert_eq!(topic.partitions[3], TopicPartition { partition: 3, residue_class: class });
    world.append("fixed", 1, &["a", "b"]).await;
    let described = topics.describe_topic(DescribeTopicRequest { name: "fixed".into() }).await.unwrap().into_inner();
    let ends: Vec<_> = described.bounds.iter().map(|bounds| bounds.high_watermark).collect();
    assert_eq!(ends, [0, 2, 0]);
    topics.delete_topic(DeleteTopicRequest { name: "fixed".into() }).await.unwrap();
    let gone = topics.describe_topic(DescribeTopicRequest { name: "fixed".into() }).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    assert_eq!(gone.get_details_error_info().unwrap().reason, "UNKNOWN_TOPIC");
}

#[tokio::test(start_paused = true)]
async fn a_topic_takes_batches_up_to_its_own_limit() {
    let world = World::new().await;
    let request = CreateTopicRequest { name: "small".into(), partitions: Some(2), max_message_bytes: Some(1_024) };
    let topic = world.topics().create_topic(request).await.unwrap().into_inner().topic.unwrap();
    assert_eq!(topic.max_message_bytes, Some(1_024));
    let described = world.topics().describe_topic(DescribeTopicRequest { name: "small".into() }).await.unwrap();
    assert_eq!(described.into_inner().topic.unwrap().max_message_bytes, Some(1_024));
    // With the partition, and where the gateway places the record.
    for partition in [Some(1), None] {
        let request = |bytes| {
            let records = vec![Record { value: Some(vec![b'x'; bytes].into()), ..Record::default() }];
            let payload = Some(produce_request::Payload::Records(RecordList { records }));
            ProduceRequest { topic: "small".into(), partition, payload, producer: None, topic_id: None }
        };
        let refused = world.produce().produce(request(1_024)).await.unwrap_err();
        assert_eq!(
            (refused.code(), refused.get_details_error_info().unwrap().reason.as_str()),
            (Code::InvalidArgument, "TOO_LARGE")
        );
        assert!(refused.message().contains("max_message_bytes of topic \"small\" is 1024"), "{}", refused.message());
        world.produce().produce(request(900)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn topics_come_in_pages() {
    let world = World::new().await;
    for name in ["d", "b", "a", "c"] {
        world.topic(name, 1).await;
    }
    let mut pages = Vec::new();
    let mut token = String::new();
    loop {
        let request = ListTopicsRequest { page_size: 2, page_token: token };
        let page = world.topics().list_topics(request).await.unwrap().into_inner();
        pages.push(page.topics.iter().map(|topic| topic.name.clone()).collect::<Vec<_>>());
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(pages, [["a", "b"], ["c", "d"]]);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_answered_though_the_sequencer_is_silent() {
    let world = World::new().await;
    world.topic("there", 1).await;
    world.sequencer.change(|mood| (mood.changes_hang, mood.lookups_hang) = (true, true));
    let began = tokio::time::Instant::now();
    let name = || "late".to_owned();
    let mut topics = world.topics();
    let created = topics.create_topic(CreateTopicRequest { name: name(), ..Default::default() }).await.unwrap_err();
    let deleted = topics.delete_topic(DeleteTopicRequest { name: name() }).await.unwrap_err();
    for status in [created, deleted] {
        let info = status.get_details_error_info().unwrap();
        assert_eq!((status.code(), info.reason.as_str()), (Code::Unknown, "OUTCOME_UNKNOWN"), "{status}");
        assert!(status.message().contains("no answer within 8s"), "{status}");
    }
    let described = topics.describe_topic(DescribeTopicRequest { name: name() }).await.unwrap_err();
    let identified = world.produce().init_producer(InitProducerRequest {}).await.unwrap_err();
    let produced = world.produce().produce(records("late", 0, &["a"])).await.unwrap_err();
    let request = fetch_request("late", 0, earliest(), FetchEnd::Stop, FetchEncoding::Records);
    let fetched = world.fetch().fetch(request).await.unwrap_err();
    for status in [described, identified, produced, fetched] {
        let info = status.get_details_error_info().unwrap();
        assert_eq!((status.code(), info.reason.as_str()), (Code::Unavailable, "UNAVAILABLE"), "{status}");
    }
    // Time is the test's own: six calls, each answered when its time was over.
    assert_eq!(began.elapsed().as_secs(), 6 * 8);
}
