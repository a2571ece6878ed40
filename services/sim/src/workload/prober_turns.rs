//! What the prober does in one turn.

use std::time::Duration;

use eagre_env::Randomness;
use eagre_proto::v1::{ErrorReason, ProduceStreamRequest, produce_stream_response::Outcome};
use futures::stream;
use tokio::time::timeout;

use super::prober::{Batch, Prober, Verdict};

const PATIENCE: Duration = Duration::from_secs(4);

impl Prober {
    /// One of the things that producers do, or that networks do to them.
    pub async fn turn(&mut self) {
        let partition = self.any_partition();
        if self.role.world.producers_expire() {
            match self.random.below(10) {
                0 => return self.makes_an_id_up().await,
                1 => return self.leave_id().await,
                2 => return self.sends_again_what_it_began_with_long_ago().await,
                _ => {}
            }
        }
        let batch = self.batch(partition);
        match self.random.below(10) {
            0 => self.sends_a_recent_one_again(batch).await,
            1 => self.sends_twice_at_once(batch).await,
            2 | 3 => self.sends_an_old_and_a_new_one_together(batch).await,
            4 => self.sends_several_without_waiting(batch).await,
            5 => self.leaves_a_gap(batch).await,
            6 => self.goes_away_early(batch).await,
            7 => self.fences_itself(batch).await,
            _ => {
                self.settle(batch).await;
            }
        }
    }

    async fn makes_an_id_up(&mut self) {
        let partition = self.any_partition();
        let batch = self.made_up_batch(partition);
        let verdict = self.attempt(&self.any_gateway(), &batch, PATIENCE).await;
        let expected = [ErrorReason::UnissuedProducerId, ErrorReason::Unavailable];
        if matches!(verdict, Verdict::Refused(reason) if !expected.contains(&reason)) {
            self.role.world.complain(format!("{} was made up, and the answer was {verdict:?}", batch.identity));
        }
    }

    /// Whether it is remembered or forgotten: it is not appended again.
    async fn sends_again_what_it_began_with_long_ago(&mut self) {
        let count = self.left.len() as u64;
        if count > 0 {
            let batch = self.left[usize::try_from(self.random.below(count)).unwrap_or(0)].clone();
            self.attempt(&self.any_gateway(), &batch, PATIENCE).await;
        }
    }

    async fn sends_a_recent_one_again(&mut self, batch: Batch) {
        let partition = batch.partition;
        if !self.settle(batch).await {
            return;
        }
        let recent = &self.recent[&partition];
        let again = recent[usize::try_from(self.random.below(recent.len() as u64)).unwrap_or(0)].clone();
        self.attempt(&self.any_gateway(), &again, PATIENCE).await;
    }

    async fn sends_twice_at_once(&mut self, batch: Batch) {
        let (one, other) = (self.any_gateway(), self.any_gateway());
        // The second one a moment later, so that it meets the first one at every stage of its way.
        let later = async {
            tokio::time::sleep(Duration::from_millis(self.random.below(60))).await;
            self.attempt(&other, &batch, PATIENCE).await
        };
        futures::join!(self.attempt(&one, &batch, PATIENCE), later);
        self.settle(batch).await;
    }

    async fn sends_an_old_and_a_new_one_together(&mut self, batch: Batch) {
        let mut together: Vec<_> = self.recent.get(&batch.partition).into_iter().flatten().cloned().collect();
        let old = usize::try_from(self.random.below(2)).unwrap_or(0);
        together.drain(..together.len().saturating_sub(1 + old));
        together.push(batch.clone());
        self.stream(&together).await;
        self.settle(batch).await;
    }

    async fn sends_several_without_waiting(&mut self, batch: Batch) {
        let partition = batch.partition;
        let mut several = vec![batch];
        for _ in 0..1 + self.random.below(3) {
            several.push(self.batch(partition));
        }
        self.stream(&several).await;
        for batch in several {
            if !self.settle(batch).await {
                return;
            }
        }
    }

    async fn leaves_a_gap(&mut self, batch: Batch) {
        let early = self.batch(batch.partition);
        let verdict = self.attempt(&self.any_gateway(), &early, PATIENCE).await;
        if verdict == Verdict::Appended {
            let role = &self.role;
            role.world.complain(format!("{} was appended, though the batch before it was never sent", early.identity));
        }
        if self.settle(batch).await {
            self.settle(early).await;
        }
    }

    async fn goes_away_early(&mut self, batch: Batch) {
        let patience = Duration::from_millis(1 + self.random.below(80));
        self.attempt(&self.any_gateway(), &batch, patience).await;
        self.settle(batch).await;
    }

    /// A newer epoch writes; then the older one tries to go on.
    async fn fences_itself(&mut self, batch: Batch) {
        if !self.settle(batch.clone()).await {
            return;
        }
        let zombie = self.batch(batch.partition);
        self.new_epoch();
        let first = self.batch(batch.partition);
        if self.settle(first).await {
            let verdict = self.attempt(&self.any_gateway(), &zombie, PATIENCE).await;
            let is_right = match verdict {
                Verdict::Unknown | Verdict::Refused(ErrorReason::ProducerFenced | ErrorReason::Unavailable) => true,
                Verdict::Refused(ErrorReason::UnknownProducerId) => self.role.world.producers_expire(),
                Verdict::Appended | Verdict::Refused(_) => false,
            };
            if !is_right {
                let role = &self.role;
                role.world
                    .complain(format!("{} is of an older epoch, and the answer was {verdict:?}", zombie.identity));
            }
        }
    }

    /// Sends batches over one stream, one behind the other, and reads the answers.
    async fn stream(&self, batches: &[Batch]) {
        let ids: Vec<_> = batches.iter().map(|batch| self.invoke(batch)).collect();
        let requests: Vec<_> = (0..)
            .zip(batches)
            .map(|(request_id, batch)| ProduceStreamRequest { request_id, request: Some(self.request(batch)) })
            .collect();
        let gateway = self.any_gateway();
        let mut answered = vec![false; batches.len()];
        let exchange = async {
            let Ok(answers) = gateway.produce().produce_stream(stream::iter(requests)).await else { return };
            let mut answers = answers.into_inner();
            while let Ok(Some(answer)) = answers.message().await {
                let Some(index) = usize::try_from(answer.request_id).ok().filter(|index| *index < ids.len()) else {
                    continue;
                };
                answered[index] = true;
                let (id, batch) = (ids[index], &batches[index]);
                match answer.outcome {
                    Some(Outcome::Response(response)) => self.appended(id, batch, response.base_offset),
                    Some(Outcome::Error(error)) => {
                        self.not_appended(id, batch, Some(error.reason()), !error.outcome_unknown)
                    }
                    None => self.not_appended(id, batch, None, false),
                };
            }
        };
        let _ = timeout(PATIENCE, exchange).await;
        for index in (0..batches.len()).filter(|index| !answered[*index]) {
            self.not_appended(ids[index], &batches[index], None, false);
        }
    }
}
