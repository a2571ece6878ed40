//! What a restart must keep, and what it must not.

mod common;

use std::sync::Arc;

use common::{Town, batch, bucket, commit, env, node, of, outcomes, request, sequenced};
use eagre_sequencer_api::{BatchOutcome, PartitionBounds, Sequencer};

#[tokio::test]
async fn what_was_answered_is_there_after_a_clean_stop() {
    let (env, town) = (env(1, "a"), Arc::new(Town::default()));
    let bucket = bucket(&env).await;
    let first = node(&env, &bucket, &town, "one");
    first.start().await.unwrap();
    let joined = first.join().await.unwrap();
    let topic = first.create_topic("flights", Some(2)).await.unwrap();
    let mut stream = first.open_commits(joined.incarnation).await.unwrap();
    let asked = request(joined.incarnation, joined.upload_epoch, 0, [(of(&topic, 1), vec![batch(3), sequenced(2, 7, 0, 0)])]);
    let answered = outcomes(commit(&mut stream, asked.clone()).await);
    assert_eq!(
        answered,
        [BatchOutcome::Appended { base_offset: 0 }, BatchOutcome::Appended { base_offset: 3 }]
    );
    first.stop().await;
    assert!(first.bounds(&[of(&topic, 1)]).await.is_err());
    assert_eq!(stream.replies.recv().await, None);

    let second = node(&env, &bucket, &town, "two");
    second.start().await.unwrap();
    let bounds = second.bounds(&[of(&topic, 0), of(&topic, 1), of(&topic, 2)]).await.unwrap();
    let full = PartitionBounds { log_start_offset: 0, high_watermark: 5, size_bytes: 500 };
    let empty = PartitionBounds { log_start_offset: 0, high_watermark: 0, size_bytes: 0 };
    assert_eq!(bounds, [Some(empty), Some(full), None]);
    assert_eq!(second.topic("flights").await, Ok(topic.clone()));
    let runs = second.read_index(of(&topic, 1), 2, 10).await.unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!((runs[0].base_offset, runs[0].last_offset, runs[0].batches), (0, 4, 2));

    // The same object again: the same answer. Another object with the same sequence: a duplicate.
    let again = second.join().await.unwrap();
    assert!(again.incarnation > joined.incarnation && again.upload_epoch > joined.upload_epoch);
    let mut resumed = second.open_commits(joined.incarnation).await.unwrap();
    assert_eq!(outcomes(commit(&mut resumed, asked).await), answered);
    let mut stream = second.open_commits(again.incarnation).await.unwrap();
    let hedged = request(again.incarnation, again.upload_epoch, 0, [(of(&topic, 1), vec![sequenced(2, 7, 0, 0)])]);
    assert_eq!(outcomes(commit(&mut stream, hedged).await), [BatchOutcome::Duplicate { base_offset: 3 }]);
    second.stop().await;
}
