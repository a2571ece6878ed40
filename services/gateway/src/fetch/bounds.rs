//! Statements about the end of a log: asked of the sequencer, one call at a time for everybody who waits.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use eagre_model::TopicPartition;
use eagre_sequencer_api::{PartitionBounds, Sequencer, SequencerError};
use tokio::sync::oneshot;

use super::tails::Tails;

/// Partitions of one call.
const PARTITIONS_PER_CALL: usize = 10_000;

type Asked = BTreeMap<TopicPartition, Option<PartitionBounds>>;
type Answer = Result<Arc<Asked>, SequencerError>;

/// Asks for bounds. A call begins only when the one before has ended, and carries everything that was asked for
/// meanwhile: so an answer is never older than its question.
pub(crate) struct Bounds {
    sequencer: Arc<dyn Sequencer>,
    tails: Arc<Tails>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: bool,
    partitions: Asked,
    waiting: Vec<oneshot::Sender<Answer>>,
}

impl Bounds {
    pub fn new(sequencer: Arc<dyn Sequencer>, tails: Arc<Tails>) -> Self {
        Self { sequencer, tails, state: Mutex::default() }
    }

    /// Bounds in the order of the question, never below what this gateway has shown; `None`: there is no such partition.
    pub async fn ask(
        self: &Arc<Self>,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<PartitionBounds>>, SequencerError> {
        let (sender, answer) = oneshot::channel();
        {
            let mut state = self.state();
            state.partitions.extend(partitions.iter().map(|&partition| (partition, None)));
            state.waiting.push(sender);
            if !std::mem::replace(&mut state.running, true) {
                tokio::spawn(self.clone().run());
            }
        }
        let lost = |_| Err(SequencerError::Unavailable("the question for the end of a log was lost".into()));
        let answers = answer.await.unwrap_or_else(lost)?;
        Ok(partitions.iter().map(|partition| answers.get(partition).copied().flatten()).collect())
    }

    /// Calls until nobody waits.
    async fn run(self: Arc<Self>) {
        // After a panic the next question starts anew, and those that wait are told.
        let _end = End(&self);
        while let Some((partitions, waiting)) = self.next() {
            let answer = self.call(partitions).await;
            for waiter in waiting {
                // Whoever does not wait any more needs no answer.
                let _ = waiter.send(answer.clone());
            }
        }
    }

    fn next(&self) -> Option<(Asked, Vec<oneshot::Sender<Answer>>)> {
        let mut state = self.state();
        if state.waiting.is_empty() {
            state.running = false;
            return None;
        }
        Some((std::mem::take(&mut state.partitions), std::mem::take(&mut state.waiting)))
    }

    async fn call(&self, mut asked: Asked) -> Answer {
        let partitions: Vec<TopicPartition> = asked.keys().copied().collect();
        for part in partitions.chunks(PARTITIONS_PER_CALL) {
            let asked_at = self.tails.ask();
            let answers = self.sequencer.bounds(part).await?;
            for (partition, bounds) in part.iter().zip(answers) {
                let shown = bounds.map(|bounds| {
                    let view = self.tails.observe(*partition, &bounds, asked_at);
                    PartitionBounds {
                        log_start_offset: view.log_start_offset,
                        high_watermark: view.high_watermark,
                        size_bytes: bounds.size_bytes,
                    }
                });
                asked.insert(*partition, shown);
            }
        }
        Ok(Arc::new(asked))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Dropped when the calls end.
struct End<'a>(&'a Bounds);

impl Drop for End<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut state = self.0.state();
            state.running = false;
            state.waiting.clear();
        }
    }
}
