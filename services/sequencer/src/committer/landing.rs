//! The second half: from a flush under way to the answers.

use std::sync::Arc;

use eagre_env::{Env, PlantedBug};
use eagre_sequencer_api::{BatchOutcome, CommitReply, RefusalReason};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tracing::Span;

use super::{CommitterEnd, takeoff::Flight};
use crate::{
    group::Answer,
    lease::authority::Authority,
    published::{Delta, Published},
    spill::{Pending, PendingObject},
};

/// Publishes and answers.
pub(super) struct Landing {
    pub(super) env: Env,
    pub(super) authority: Arc<Authority>,
    pub(super) published: Arc<Published>,
    pub(super) pending: Arc<Pending>,
}

/// A flight whose flush has ended.
struct Landed {
    flushed: Result<(), CommitterEnd>,
    /// Whether there was a flush.
    wrote: bool,
    /// What to publish, if it was not done too early by a planted bug.
    delta: Option<Delta>,
    inline: Vec<PendingObject>,
    answers: Vec<Answer>,
    room: OwnedSemaphorePermit,
    spans: Vec<Span>,
}

impl Landing {
    /// Until a flight fails, or no more can come and all have landed.
    pub(super) async fn run(self, mut flights: mpsc::Receiver<Flight>) -> CommitterEnd {
        let mut airborne: FuturesOrdered<BoxFuture<'static, Landed>> = FuturesOrdered::new();
        let mut is_over = false;
        while !is_over || !airborne.is_empty() {
            tokio::select! {
                biased;
                landed = self.authority.unless_deposed(airborne.next()), if !airborne.is_empty() => {
                    let ended = match landed {
                        Ok(Some(landed)) => self.land(landed).await,
                        Ok(None) => Ok(()),
                        Err(deposed) => Err(deposed.into()),
                    };
                    if let Err(end) = ended {
                        return end;
                    }
                }
                flight = flights.recv(), if !is_over => match flight {
                    Some(flight) => airborne.push_back(self.wait_for(flight)),
                    None => is_over = true,
                },
            }
        }
        CommitterEnd::Stopped
    }

    fn wait_for(&self, flight: Flight) -> BoxFuture<'static, Landed> {
        let Flight { delta, inline, answers, flush, room, spans } = flight;
        let authority = self.authority.clone();
        let is_told = self.env.has_planted(PlantedBug::FencedIsFailure);
        async move {
            let wrote = flush.is_some();
            let flushed = match flush {
                Some(flush) => tokio::select! {
                    biased;
                    flushed = flush => flushed,
                    () = authority.deposed(), if is_told => Err(CommitterEnd::Deposed),
                },
                None => Ok(()),
            };
            Landed { flushed, wrote, delta, inline, answers, room, spans }
        }
        .boxed()
    }

    async fn land(&self, landed: Landed) -> Result<(), CommitterEnd> {
        let Landed { flushed, wrote, delta, inline, answers, room, spans } = landed;
        if let Err(end) = flushed {
            self.report_failure(&end, answers);
            return Err(end);
        }
        if !wrote {
            // It says what is so, and a flush did not prove that this process may.
            self.authority.await_it().await?;
        }
        if let Some(delta) = delta {
            self.published.publish(&delta);
        }
        self.pending.add(inline);
        self.env.fail_point("answer.before").await;
        answers.into_iter().for_each(Answer::give);
        drop(spans);
        // Given back in order, so that whoever takes off knows which flights have landed by their number alone.
        drop(room);
        Ok(())
    }

    /// Nothing is reported: the streams end, which says "unknown". But for a planted bug.
    fn report_failure(&self, end: &CommitterEnd, answers: Vec<Answer>) {
        let is_unknown = matches!(end, CommitterEnd::Write(_) | CommitterEnd::Deposed);
        if !self.env.has_planted(PlantedBug::FencedIsFailure) || !is_unknown {
            return;
        }
        for answer in answers {
            if let Answer::Commit(slot, CommitReply { object, result: Ok(mut judged), takes_inline }, budget) = answer {
                judged.outcomes.fill(BatchOutcome::Refused(RefusalReason::OutOfOrderSequence { expected: 0 }));
                Answer::Commit(slot, CommitReply { object, result: Ok(judged), takes_inline }, budget).give();
            }
        }
    }
}
