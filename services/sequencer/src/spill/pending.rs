//! Durable inline runs that wait to be in an object, and when it is time. What is due is decided purely.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use eagre_model::{ObjectId, Run, TopicPartition};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::inline::InlineLimits;

/// When inline runs become an object. Between these bounds they are a few rows and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpillSettings {
    /// As soon as there are so many bytes. An object holds no more, but for one commit that is larger.
    pub bytes: u64,
    /// As soon as there are so many runs, however small. An object holds no more, but for one commit that has more.
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
            bytes: 6 << 20,
            runs: 4_096,
            rest_bytes: 256 << 10,
            age: Duration::from_secs(60),
            held: InlineLimits { bytes: 16 << 20, runs: 16_384 },
        }
    }
}

/// A durable inline object.
#[derive(Debug, Clone)]
pub struct PendingObject {
    /// Under which its bytes stand.
    pub object: ObjectId,
    /// Its runs that are inline, as in the index.
    pub runs: Vec<(TopicPartition, Run)>,
    /// Of all of it.
    pub length_bytes: u64,
    /// `None`: to be read from the store.
    pub bytes: Option<Bytes>,
}

/// The objects, in the order of their commits. Bounded by [`SpillSettings::held`], which gateways obey, and what they had
/// under way by then.
#[derive(Debug)]
pub struct Pending {
    settings: SpillSettings,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    objects: VecDeque<PendingObject>,
    bytes: u64,
    runs: usize,
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

    /// Adds objects that have just become durable.
    pub fn add(&self, objects: Vec<PendingObject>) {
        if !objects.is_empty() {
            self.put(|state| {
                for object in objects {
                    state.count(&object);
                    state.objects.push_back(object);
                }
            });
        }
    }

    /// Adds objects that were committed before all that is here.
    pub fn add_older(&self, objects: Vec<PendingObject>) {
        self.put(|state| {
            for object in objects.into_iter().rev() {
                state.count(&object);
                state.objects.push_front(object);
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
    pub async fn due(&self) -> Vec<PendingObject> {
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
    fn count(&mut self, object: &PendingObject) {
        self.bytes += object.length_bytes;
        self.runs += object.runs.len();
    }

    fn due(&self, settings: &SpillSettings, now: Instant) -> Due {
        let Some(since) = self.since.filter(|_| !self.objects.is_empty()) else { return Due::Not };
        if self.bytes >= settings.bytes || self.runs >= settings.runs {
            return Due::Now;
        }
        if self.bytes < settings.rest_bytes {
            return Due::Not;
        }
        let at = since + settings.age;
        if now >= at { Due::Now } else { Due::At(at) }
    }

    fn take(&mut self, settings: &SpillSettings) -> Vec<PendingObject> {
        let (mut taken, mut bytes, mut runs) = (Vec::new(), 0, 0);
        while let Some(next) = self.objects.front() {
            (bytes, runs) = (bytes + next.length_bytes, runs + next.runs.len());
            if !taken.is_empty() && (bytes > settings.bytes || runs > settings.runs) {
                break;
            }
            self.bytes -= next.length_bytes;
            self.runs -= next.runs.len();
            taken.extend(self.objects.pop_front());
        }
        self.since = (!self.objects.is_empty()).then(Instant::now);
        taken
    }
}

#[cfg(test)]
mod tests {
    use eagre_model::{ObjectId, RunKind, TopicNumber, UploadEpoch};

    use super::*;

    /// Of one run.
    fn pending(number: u32, length_bytes: u32) -> PendingObject {
        let offset = i64::from(number);
        let object = ObjectId { epoch: UploadEpoch(0), incarnation: 0, number: u64::from(number) };
        let run = Run {
            kind: RunKind::Inline,
            base_offset: offset,
            last_offset: offset,
            object,
            position_bytes: 0,
            length_bytes,
            batches: 1,
            crc32c: 0,
            prefix_max_timestamp_ms: 0,
        };
        let runs = vec![(TopicPartition { topic: TopicNumber(1), partition: 0 }, run)];
        PendingObject { object, runs, length_bytes: u64::from(length_bytes), bytes: None }
    }

    fn settings() -> SpillSettings {
        let held = InlineLimits { bytes: 1_000, runs: 1_000 };
        SpillSettings { bytes: 100, runs: 5, rest_bytes: 20, age: Duration::from_secs(60), held }
    }

    fn offsets(objects: &[PendingObject]) -> Vec<i64> {
        objects.iter().flat_map(|object| &object.runs).map(|(_, run)| run.base_offset).collect()
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
        many.add((10..20).map(|number| pending(number, 30)).collect());
        many.add_older((0..2).map(|number| pending(number, 30)).collect());
        assert_eq!(offsets(&many.due().await), [0, 1, 10]);
        assert_eq!(offsets(&many.due().await), [11, 12, 13]);
        many.add_older(vec![pending(5, 1_000)]);
        assert_eq!(offsets(&many.due().await), [5], "one that is larger than an object");
        assert_eq!(offsets(&many.due().await), [14, 15, 16]);
        many.add((20..30).map(|number| pending(number, 1)).collect());
        assert_eq!(offsets(&many.due().await), [17, 18, 19, 20, 21], "by their number");
    }
}
