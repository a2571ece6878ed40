//! Durable inline runs that wait to be in an object, and when it is time. What is due is decided purely.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use eagre_model::{Run, TopicPartition};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::inline::InlineLimits;

/// When inline runs become an object. Between these bounds they are a few rows and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpillSettings {
    /// As soon as there are so many bytes. An object holds up to twice as many.
    pub bytes: u64,
    /// As soon as there are so many runs, however small. An object holds up to twice as many.
    pub runs: usize,
    /// Fewer bytes than these stay inline when nothing comes any more: they are not worth an object.
    pub rest_bytes: u64,
    /// More than that becomes an object after so long.
    pub age: Duration,
    /// Beyond that gateways are told to make objects.
    pub held: InlineLimits,
}

impl Default for SpillSettings {
    fn default() -> Self {
        Self {
            bytes: 4 << 20,
            runs: 4_096,
            rest_bytes: 256 << 10,
            age: Duration::from_secs(60),
            held: InlineLimits { bytes: 16 << 20, runs: 16_384 },
        }
    }
}

/// A durable inline run.
#[derive(Debug, Clone)]
pub struct PendingRun {
    /// Whose.
    pub partition: TopicPartition,
    /// As in the index.
    pub run: Run,
    /// `None`: to be read from the store.
    pub bytes: Option<Bytes>,
}

impl PendingRun {
    fn length_bytes(&self) -> u64 {
        u64::from(self.run.length_bytes)
    }
}

/// The runs, in the order of their commits. Bounded by [`SpillSettings::held`], which gateways obey, and what they had
/// under way by then.
#[derive(Debug)]
pub struct Pending {
    settings: SpillSettings,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    runs: VecDeque<PendingRun>,
    bytes: u64,
    /// When the first of them came.
    since: Option<Instant>,
}

/// When there is to be an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Now,
    At(Instant),
    /// Not before more comes.
    Not,
}

impl Pending {
    /// None yet.
    pub fn new(settings: SpillSettings) -> Self {
        Self { settings, state: Mutex::default(), changed: Notify::new() }
    }

    /// Adds runs that have just become durable.
    pub fn add(&self, runs: Vec<PendingRun>) {
        if !runs.is_empty() {
            self.put(|state| {
                state.bytes += runs.iter().map(PendingRun::length_bytes).sum::<u64>();
                state.runs.extend(runs);
            });
        }
    }

    /// Adds runs that were committed before all that is here.
    pub fn add_older(&self, runs: impl DoubleEndedIterator<Item = PendingRun>) {
        self.put(|state| {
            for run in runs.rev() {
                state.bytes += run.length_bytes();
                state.runs.push_front(run);
            }
        });
    }

    fn put(&self, put: impl FnOnce(&mut State)) {
        let mut state = self.state();
        put(&mut state);
        state.since.get_or_insert_with(Instant::now);
        drop(state);
        self.changed.notify_one();
    }

    /// Waits until there is to be an object, and takes what goes into it.
    pub async fn due(&self) -> Vec<PendingRun> {
        loop {
            let due = {
                let mut state = self.state();
                let due = state.due(&self.settings, Instant::now());
                if due == Due::Now {
                    return state.take(&self.settings);
                }
                due
            };
            match due {
                Due::Now | Due::Not => self.changed.notified().await,
                Due::At(at) => tokio::select! {
                    biased;
                    () = self.changed.notified() => {}
                    () = sleep_until(at) => {}
                },
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn due(&self, settings: &SpillSettings, now: Instant) -> Due {
        let Some(since) = self.since.filter(|_| !self.runs.is_empty()) else { return Due::Not };
        if self.bytes >= settings.bytes || self.runs.len() >= settings.runs {
            return Due::Now;
        }
        if self.bytes < settings.rest_bytes {
            return Due::Not;
        }
        let at = since + settings.age;
        if now >= at { Due::Now } else { Due::At(at) }
    }

    fn take(&mut self, settings: &SpillSettings) -> Vec<PendingRun> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(next) = self.runs.front() {
            let length = next.length_bytes();
            if !taken.is_empty() && (bytes + length > 2 * settings.bytes || taken.len() >= 2 * settings.runs) {
                break;
            }
            bytes += length;
            taken.extend(self.runs.pop_front());
        }
        self.bytes -= bytes;
        self.since = (!self.runs.is_empty()).then(Instant::now);
        taken
    }
}

#[cfg(test)]
mod tests {
    use eagre_model::{ObjectId, RunKind, TopicNumber, UploadEpoch};

    use super::*;

    fn pending(number: u32, length_bytes: u32) -> PendingRun {
        let offset = i64::from(number);
        let run = Run {
            kind: RunKind::Inline,
            base_offset: offset,
            last_offset: offset,
            object: ObjectId { epoch: UploadEpoch(0), incarnation: 0, number: u64::from(number) },
            position_bytes: 0,
            length_bytes,
            batches: 1,
            crc32c: 0,
            prefix_max_timestamp_ms: 0,
        };
        PendingRun { partition: TopicPartition { topic: TopicNumber(1), partition: 0 }, run, bytes: None }
    }

    fn settings() -> SpillSettings {
        let held = InlineLimits { bytes: 1_000, runs: 1_000 };
        SpillSettings { bytes: 100, runs: 5, rest_bytes: 20, age: Duration::from_secs(60), held }
    }

    fn offsets(runs: &[PendingRun]) -> Vec<i64> {
        runs.iter().map(|pending| pending.run.base_offset).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_is_due_by_bytes_by_number_or_by_age() {
        let begun = Instant::now();
        let full = Pending::new(settings());
        full.add(vec![pending(0, 60), pending(1, 40)]);
        assert_eq!(offsets(&full.due().await), [0, 1]);
        full.add((0..5).map(|number| pending(number, 1)).collect());
        assert_eq!(full.due().await.len(), 5);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        full.add(vec![pending(0, 30)]);
        assert_eq!(full.due().await.len(), 1);
        assert_eq!(begun.elapsed(), Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_rest_stays_until_more_comes() {
        let rest = Pending::new(settings());
        rest.add(vec![pending(0, 19)]);
        assert!(tokio::time::timeout(Duration::from_secs(86_400), rest.due()).await.is_err());
        rest.add(vec![pending(1, 1)]);
        assert_eq!(offsets(&rest.due().await), [0, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_is_bounded_and_older_runs_come_first() {
        let many = Pending::new(settings());
        many.add((10..20).map(|number| pending(number, 60)).collect());
        many.add_older((0..2).map(|number| pending(number, 60)));
        assert_eq!(offsets(&many.due().await), [0, 1, 10]);
        assert_eq!(offsets(&many.due().await), [11, 12, 13]);
        many.add_older(std::iter::once(pending(5, 1_000)));
        assert_eq!(offsets(&many.due().await), [5], "one that is larger than an object");
        assert_eq!(many.due().await.len() + many.due().await.len(), 6);
    }
}
