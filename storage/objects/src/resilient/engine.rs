//! Sends one request as often as it takes and is allowed: tries, hedges, retries.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eagre_env::{Env, PlantedBug};
use object_store::{Error, Result};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{
    ResilienceSettings,
    availability::{Availability, News},
    budget::Budget,
    lanes::{Lanes, Permit},
    pace::{self, ROUNDS_MAX, TRY_MIN},
    plan::{KINDS, Plan},
    quantile::Latencies,
    race::{Raced, race},
    telemetry::{self, Hedge},
    verdict::{TimedOut, Trouble, Verdict, failure},
};
use crate::{Presence, brief::brief};

/// Retries are at most this share of what succeeds, in thousandths, and
const RETRIES_PERMILLE: u64 = 100;
/// so many that were saved up.
const RETRIES_SAVED_MAX: u64 = 20;
/// Hedges are at most this share of all requests that may have one, in thousandths, and
const HEDGES_PERMILLE: u64 = 50;
/// so many that were saved up.
const HEDGES_SAVED_MAX: u64 = 5;

/// What all requests to one bucket share.
pub(crate) struct Engine {
    pub(crate) env: Env,
    settings: ResilienceSettings,
    lanes: Arc<Lanes>,
    memory: Mutex<Memory>,
    /// What others are told of the bucket.
    pub(crate) presence: Presence,
}

/// What was learnt from the requests so far.
struct Memory {
    latencies: [Latencies; KINDS],
    retries: Budget,
    hedges: Budget,
    availability: Availability,
}

/// What became of a request.
pub(crate) struct Outcome<T> {
    pub(crate) result: Result<T>,
    /// Of the try that was answered; none where nothing was sent.
    pub(crate) permit: Option<Permit>,
    /// How often it was sent.
    pub(crate) tries: u32,
}

/// What one try came to.
pub(crate) type Answer<T> = (Result<T>, Permit);

impl Engine {
    pub(crate) fn new(env: Env, settings: ResilienceSettings) -> Self {
        telemetry::describe();
        let memory = Memory {
            latencies: std::array::from_fn(|_| Latencies::new()),
            retries: Budget::new(RETRIES_PERMILLE, RETRIES_SAVED_MAX),
            hedges: Budget::new(HEDGES_PERMILLE, HEDGES_SAVED_MAX),
            availability: Availability::default(),
        };
        Self { env, settings, lanes: Lanes::new(), memory: Mutex::new(memory), presence: Presence::default() }
    }

    /// Sends a request until it is answered, or must be given up. `send` starts one try.
    pub(crate) async fn run<T, F>(&self, plan: &Plan, send: impl Fn() -> F) -> Outcome<T>
    where
        F: Future<Output = Result<T>>,
    {
        let deadline = Instant::now() + pace::request_max(plan.traffic, plan.bytes);
        let (mut tries, mut rounds) = (0, 0);
        loop {
            let Outcome { result, permit, tries: sent } = self.round(plan, deadline, &send).await;
            (tries, rounds) = (tries + sent, rounds + 1);
            let pause = match &result {
                Ok(_) => None,
                Err(error) => self.pause_before_next(plan, error, rounds, deadline),
            };
            let Some(pause) = pause else { return Outcome { result, permit, tries } };
            drop((result, permit));
            telemetry::retried(plan.traffic);
            sleep(pause).await;
        }
    }

    /// One try, and a second one beside it when it is slow.
    async fn round<T, F>(&self, plan: &Plan, deadline: Instant, send: &impl Fn() -> F) -> Outcome<T>
    where
        F: Future<Output = Result<T>>,
    {
        // A try that has no time would look like a bucket that gives no answer.
        let admitted = timeout_at(deadline - TRY_MIN, self.lanes.admit(plan.traffic)).await;
        let permit = match admitted.unwrap_or(Err(Trouble::NoTurn)) {
            Ok(permit) => permit,
            Err(trouble) => return Outcome { result: Err(failure(trouble)), permit: None, tries: 0 },
        };
        let began = self.env.clock.monotonic();
        let mut first = std::pin::pin!(self.attempt(plan, deadline, send(), permit));
        if let Some(after) = self.hedge_after(plan) {
            if let Ok(answer) = timeout(after, &mut first).await {
                return self.unhedged(plan, began, answer);
            }
            if let Some(permit) = self.admit_hedge(plan) {
                let second = std::pin::pin!(self.attempt(plan, deadline, send(), permit));
                let is_answer = |result: &Result<T>| match result {
                    Ok(_) => true,
                    Err(error) => plan.is_settled_by(error) || self.is_believed_done(error),
                };
                let Raced { answer: (result, permit), hedge } = race(first, second, is_answer).await;
                telemetry::hedged(plan.op.label(), hedge);
                if hedge != Hedge::Failed {
                    // Of a first try that was overtaken: what it had taken so far.
                    self.add_latency(plan, began);
                }
                return Outcome { result, permit: Some(permit), tries: 2 };
            }
        }
        let answer = first.await;
        self.unhedged(plan, began, answer)
    }

    fn unhedged<T>(&self, plan: &Plan, began: Duration, (result, permit): Answer<T>) -> Outcome<T> {
        // Failures that come at once say nothing of how long requests take.
        let counts = match &result {
            Ok(_) => true,
            Err(error) => matches!(Verdict::of(error), Verdict::Definite | Verdict::TimedOut),
        };
        if counts {
            self.add_latency(plan, began);
        }
        Outcome { result, permit: Some(permit), tries: 1 }
    }

    /// One try within its time.
    async fn attempt<T>(
        &self,
        plan: &Plan,
        deadline: Instant,
        request: impl Future<Output = Result<T>>,
        permit: Permit,
    ) -> Answer<T> {
        let p95 = self.memory().latencies[plan.kind()].p95();
        let after = pace::try_max(p95, plan.bytes).min(deadline.saturating_duration_since(Instant::now()));
        let result = match timeout(after, request).await {
            Ok(result) => result,
            Err(_) => Err(failure(TimedOut { after })),
        };
        self.learn(result.as_ref().err());
        (result, permit)
    }

    /// Takes what one answer says of the bucket.
    fn learn(&self, error: Option<&Error>) {
        let now = self.env.clock.monotonic();
        let verdict = error.map(Verdict::of);
        let news = {
            let mut memory = self.memory();
            match verdict {
                None => {
                    memory.retries.earn();
                    memory.availability.answered(now)
                }
                Some(Verdict::Definite) => memory.availability.answered(now),
                Some(Verdict::Throttled | Verdict::TimedOut | Verdict::Failed) => memory.availability.failed(now),
            }
        };
        match verdict {
            Some(Verdict::Throttled) => telemetry::throttled(),
            Some(Verdict::TimedOut) => telemetry::timed_out(),
            None | Some(Verdict::Definite | Verdict::Failed) => {}
        }
        match (news, error) {
            (Some(News::Gone), Some(error)) => {
                telemetry::available(false);
                self.presence.set(Some(brief(error)));
                tracing::error!(%error, "the bucket does not serve; writes wait and are refused until it is back");
            }
            (Some(News::Back { after }), _) => {
                telemetry::available(true);
                self.presence.set(None);
                tracing::info!(away_ms = after.as_millis(), "the bucket serves again");
            }
            (Some(News::Gone) | None, _) => {}
        }
        self.lanes.learn(verdict, now);
    }

    /// How long to wait before the next round; `None` when there is none.
    fn pause_before_next(&self, plan: &Plan, error: &Error, rounds: u32, deadline: Instant) -> Option<Duration> {
        if self.is_believed_done(error) || !plan.may_retry || !Verdict::of(error).may_pass() {
            return None;
        }
        if rounds >= ROUNDS_MAX {
            telemetry::given_up("tries");
            return None;
        }
        let pause = pace::pause(self.env.random.as_ref(), rounds);
        if Instant::now() + pause + TRY_MIN > deadline {
            telemetry::given_up("deadline");
            return None;
        }
        let mut memory = self.memory();
        if memory.availability.is_away() {
            telemetry::given_up("away");
            return None;
        }
        if !memory.retries.spend() {
            telemetry::given_up("budget");
            return None;
        }
        Some(pause)
    }

    /// After how long a hedge is sent, if one may be.
    fn hedge_after(&self, plan: &Plan) -> Option<Duration> {
        if !self.settings.has_hedges || !plan.may_hedge {
            return None;
        }
        let mut memory = self.memory();
        memory.hedges.earn();
        pace::hedge_after(memory.latencies[plan.kind()].p95())
    }

    fn admit_hedge(&self, plan: &Plan) -> Option<Permit> {
        let permit = self.lanes.admit_extra(plan.traffic, self.env.clock.monotonic())?;
        let mut memory = self.memory();
        (!memory.availability.is_away() && memory.hedges.spend()).then_some(permit)
    }

    fn add_latency(&self, plan: &Plan, began: Duration) {
        let latency = self.env.clock.monotonic().saturating_sub(began);
        self.memory().latencies[plan.kind()].add(latency);
    }

    /// With the planted bug a try that was given up counts as done.
    pub(crate) fn is_believed_done(&self, error: &Error) -> bool {
        self.env.has_planted(PlantedBug::TimeoutIsSuccess) && Verdict::of(error) == Verdict::TimedOut
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
