//! The sequencer of a gateway that has two candidates: the one in its own process and the one in the other node. It asks
//! the one that answered last, and the other one as soon as that one does not serve.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use eagre_model::{ProducerId, Run, TopicConfig, TopicPartition, TopicRecord};
use eagre_sequencer_api::{
    CommitStream, CreateTopicError, Joined, PartitionBounds, Sequencer, SequencerError, TailUpdates, TopicError,
};
use tokio::time::timeout;

/// A candidate that does not answer for so long is taken to be away.
const ANSWER_TIME: Duration = Duration::from_secs(3);

/// Follows whoever serves the shard.
pub(super) struct Following {
    candidates: [Arc<dyn Sequencer>; 2],
    current: AtomicUsize,
}

/// Asks the present candidate, and the other one when the first does not serve. Nothing was done where it is unavailable.
macro_rules! ask {
    ($following:expr, $unavailable:pat, $silence:expr, $call:expr) => {{
        let mut answer = $following.once($silence, $call).await;
        if matches!(answer, Err($unavailable)) {
            $following.turn();
            answer = $following.once($silence, $call).await;
        }
        if matches!(answer, Err($unavailable)) {
            $following.turn();
        }
        answer
    }};
}

impl Following {
    pub fn new(own: Arc<dyn Sequencer>, other: Arc<dyn Sequencer>) -> Self {
        Self { candidates: [own, other], current: AtomicUsize::new(0) }
    }

    fn turn(&self) {
        self.current.fetch_xor(1, Ordering::Relaxed);
    }

    async fn once<T, E, R>(&self, silence: E, call: impl FnOnce(Arc<dyn Sequencer>) -> R) -> Result<T, E>
    where
        R: Future<Output = Result<T, E>>,
    {
        let candidate = Arc::clone(&self.candidates[self.current.load(Ordering::Relaxed) % 2]);
        let answer = timeout(ANSWER_TIME, call(candidate)).await;
        answer.unwrap_or_else(|_| {
            self.turn();
            Err(silence)
        })
    }
}

fn silent() -> SequencerError {
    SequencerError::OutcomeUnknown("no answer in time".into())
}

/// For calls that change nothing.
fn away() -> SequencerError {
    SequencerError::Unavailable("no answer in time".into())
}

#[async_trait]
impl Sequencer for Following {
    async fn join(&self) -> Result<Joined, SequencerError> {
        ask!(self, SequencerError::Unavailable(_), away(), |candidate| async move { candidate.join().await })
    }

    async fn open_commits(&self, incarnation: u64) -> Result<CommitStream, SequencerError> {
        ask!(self, SequencerError::Unavailable(_), away(), |candidate| async move {
            candidate.open_commits(incarnation).await
        })
    }

    async fn subscribe(&self) -> Result<TailUpdates, SequencerError> {
        ask!(self, SequencerError::Unavailable(_), away(), |candidate| async move { candidate.subscribe().await })
    }

    async fn bounds(&self, partitions: &[TopicPartition]) -> Result<Vec<Option<PartitionBounds>>, SequencerError> {
        ask!(
            self,
            SequencerError::Unavailable(_),
            away(),
            |candidate| async move { candidate.bounds(partitions).await }
        )
    }

    async fn read_index(
        &self,
        partition: TopicPartition,
        offset: i64,
        max_rows: usize,
    ) -> Result<Vec<Run>, SequencerError> {
        ask!(self, SequencerError::Unavailable(_), away(), |candidate| async move {
            candidate.read_index(partition, offset, max_rows).await
        })
    }

    async fn read_inline(
        &self,
        partition: TopicPartition,
        last_offsets: &[i64],
    ) -> Result<Vec<Option<Bytes>>, SequencerError> {
        ask!(self, SequencerError::Unavailable(_), away(), |candidate| async move {
            candidate.read_inline(partition, last_offsets).await
        })
    }

    async fn find_by_time(&self, partition: TopicPartition, timestamp_ms: i64) -> Result<Option<Run>, SequencerError> {
        ask!(self, SequencerError::Unavailable(_), away(), |candidate| async move {
            candidate.find_by_time(partition, timestamp_ms).await
        })
    }

    async fn create_topic_with(
        &self,
        name: &str,
        partitions: Option<u32>,
        config: TopicConfig,
    ) -> Result<TopicRecord, CreateTopicError> {
        ask!(
            self,
            CreateTopicError::Sequencer(SequencerError::Unavailable(_)),
            silent().into(),
            |candidate| async move { candidate.create_topic_with(name, partitions, config).await }
        )
    }

    async fn delete_topic(&self, name: &str) -> Result<(), TopicError> {
        ask!(self, TopicError::Sequencer(SequencerError::Unavailable(_)), silent().into(), |candidate| async move {
            candidate.delete_topic(name).await
        })
    }

    async fn topic(&self, name: &str) -> Result<TopicRecord, TopicError> {
        ask!(self, TopicError::Sequencer(SequencerError::Unavailable(_)), away().into(), |candidate| async move {
            candidate.topic(name).await
        })
    }

    async fn topics(&self, after: &str, max: usize) -> Result<Vec<TopicRecord>, SequencerError> {
        ask!(
            self,
            SequencerError::Unavailable(_),
            away(),
            |candidate| async move { candidate.topics(after, max).await }
        )
    }

    async fn init_producer(&self) -> Result<ProducerId, SequencerError> {
        ask!(self, SequencerError::Unavailable(_), away(), |candidate| async move { candidate.init_producer().await })
    }
}
