//! Forgets producers that do not append any more, so that what is remembered of them does not grow for ever.
//!
//! Off the commits' way the rows of producers are looked through, page by page, and those that are due are handed to the
//! committer, a few at a time. It looks at what it knows of each by then, deletes those that are still due, and raises
//! the mark below which ids do not begin anew, in one write: `docs/decisions/0006-producer-expiry.md` says why. When there are
//! too many rows the oldest go, which a second look finds by the ages that the first one counted.

mod cutoff;
mod growth;

use std::{convert::Infallible, sync::Arc, time::Duration};

use eagre_env::Env;
use eagre_metadata::{
    MetadataStore, RowKind,
    rows::{Producer, ProducerKey, TopicProducer, TopicProducerKey},
};
use eagre_model::TopicPartition;
use tokio::{sync::mpsc, time::sleep};
use tracing::info;

use crate::{
    beside::{End, ask, note_end},
    clock::TermClock,
    group::Work,
    published::Published,
    telemetry,
};
use cutoff::Ages;
pub use cutoff::{Cutoff, Fate};
pub use growth::Growth;

/// Rows are looked at in pages of so many bytes.
const PAGE_BYTES: usize = 256 << 10;
/// A pause between two pages.
const PAGE_PAUSE: Duration = Duration::from_millis(20);
/// So many are forgotten by one write at most.
const FORGET_MAX: usize = 256;
/// A pause behind each such write.
const FORGET_PAUSE: Duration = Duration::from_millis(100);
/// A term begins with other things.
const FIRST_PASS_AFTER: Duration = Duration::from_secs(60);
/// Rows are looked through so often while producers are remembered for one time.
const PASSES: u32 = 16;
const PASS_INTERVAL_MAX: Duration = Duration::from_secs(6 * 3_600);

/// How long, and how many, producers are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpirySettings {
    /// A producer that did not append to a partition for so long is forgotten there. At least a millisecond.
    pub after: Duration,
    /// Beyond so many rows, one a producer and partition or topic, the oldest are forgotten. What is new since the last look
    /// comes on top, up to an eighth of it.
    pub rows_max: u64,
}

impl Default for ExpirySettings {
    fn default() -> Self {
        Self { after: Duration::from_secs(7 * 24 * 3_600), rows_max: 1_000_000 }
    }
}

impl ExpirySettings {
    fn interval(&self) -> Duration {
        (self.after / PASSES).clamp(Duration::from_millis(1), PASS_INTERVAL_MAX)
    }

    /// Told to the committer, so that a look comes early when much is new.
    pub fn growth(&self) -> Growth {
        Growth::new((self.rows_max / 8).max(1))
    }
}

/// Producers that are due, all of one kind.
#[derive(Debug)]
pub struct Forget {
    /// Who.
    pub keys: Keys,
    /// By which they were found to be.
    pub cutoff: Cutoff,
}

/// Keys of one kind.
#[derive(Debug)]
pub enum Keys {
    /// In partitions.
    Partitions(Vec<ProducerKey>),
    /// In topics.
    Topics(Vec<TopicProducerKey>),
}

/// What became of producers that were due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forgotten {
    /// They had not appended for too long.
    pub expired: u64,
    /// They made room.
    pub evicted: u64,
    /// They went with their topics.
    pub freed: u64,
    /// Their rows say now when they appended last.
    pub dated: u64,
}

impl Forgotten {
    fn add(&mut self, more: Self) {
        self.expired += more.expired;
        self.evicted += more.evicted;
        self.freed += more.freed;
        self.dated += more.dated;
    }
}

/// Forgets for one term.
pub struct Expirer {
    /// Clock.
    pub env: Env,
    /// The same that the committer writes times by.
    pub clock: TermClock,
    /// The rows.
    pub store: Arc<MetadataStore>,
    /// Which topics live.
    pub published: Arc<Published>,
    /// To the committer.
    pub queue: mpsc::Sender<Work>,
    /// Told by the committer.
    pub growth: Arc<Growth>,
    /// When.
    pub settings: ExpirySettings,
}

/// One look through all rows.
struct Pass {
    cutoff: Cutoff,
    evictions_left: u64,
    ages: Ages,
    forgotten: Forgotten,
}

impl Expirer {
    /// Runs until the term ends. When it cannot go on before, producers are remembered for longer.
    pub async fn run(self) {
        note_end(self.work().await, "producers are no longer forgotten");
    }

    async fn work(&self) -> Result<Infallible, End> {
        let mut wait = FIRST_PASS_AFTER.min(self.settings.interval());
        loop {
            tokio::select! {
                biased;
                () = self.growth.is_much() => {}
                () = sleep(wait) => {}
            }
            wait = self.settings.interval();
            self.growth.begin_again();
            let mut surplus = None;
            loop {
                let Pass { ages, forgotten, .. } = self.pass(surplus).await?;
                telemetry::producer_rows(ages.rows());
                if forgotten != Forgotten::default() {
                    let Forgotten { expired, evicted, freed, dated } = forgotten;
                    info!(expired, evicted, freed, dated, left = ages.rows(), "producers forgotten");
                }
                surplus = ages.excess(self.settings.rows_max);
                if surplus.is_none() {
                    break;
                }
                sleep(FORGET_PAUSE).await;
            }
        }
    }

    /// Looks through all rows. `surplus`: how many have to make room, and before which time they appended last.
    async fn pass(&self, surplus: Option<(u64, i64)>) -> Result<Pass, End> {
        let remembered_ms = i64::try_from(self.settings.after.as_millis()).unwrap_or(i64::MAX);
        let expired_before_ms = self.clock.now_ms(&self.env).saturating_sub(remembered_ms);
        let (evictions_left, evicted_before_ms) = surplus.unwrap_or((0, i64::MIN));
        let cutoff = Cutoff { expired_before_ms, evicted_before_ms };
        let ages = Ages::new(expired_before_ms, self.settings.after);
        let mut pass = Pass { cutoff, evictions_left, ages, forgotten: Forgotten::default() };
        self.look_through::<Producer>(&mut pass, |key, row| (key.partition, row.last_append_ms), Keys::Partitions)
            .await?;
        let of_topic = |key: &TopicProducerKey, row: &TopicProducer| {
            (TopicPartition { topic: key.topic, partition: 0 }, row.last_append_ms)
        };
        self.look_through::<TopicProducer>(&mut pass, of_topic, Keys::Topics).await?;
        Ok(pass)
    }

    async fn look_through<R: RowKind>(
        &self,
        pass: &mut Pass,
        about: impl Fn(&R::Key, &R::Value) -> (TopicPartition, Option<i64>),
        keys: impl Fn(Vec<R::Key>) -> Keys,
    ) -> Result<(), End>
    where
        R::Key: Copy,
    {
        let mut pages = self.store.pages::<R>(.., PAGE_BYTES);
        while let Some(page) = pages.next().await? {
            let now_ms = self.clock.now_ms(&self.env);
            let mut due = Vec::new();
            for (key, row) in &page {
                let (partition, last_append_ms) = about(key, row);
                let lives = self.published.tail(partition).is_some();
                if pass.is_due(lives, last_append_ms, now_ms) {
                    due.push(*key);
                }
            }
            drop(page);
            for some in due.chunks(FORGET_MAX) {
                self.forget::<R>(pass, some, &keys).await?;
            }
            sleep(PAGE_PAUSE).await;
        }
        Ok(())
    }

    async fn forget<R: RowKind>(
        &self,
        pass: &mut Pass,
        due: &[R::Key],
        keys: impl Fn(Vec<R::Key>) -> Keys,
    ) -> Result<(), End>
    where
        R::Key: Copy,
    {
        // The committer looks at them once more: then they are near, and no commit waits for the bucket.
        drop(self.store.get_all::<R>(due).await?);
        let forget = Forget { keys: keys(due.to_vec()), cutoff: pass.cutoff };
        let forgotten = ask(&self.queue, |answer| Work::Forget { forget, answer }).await?;
        telemetry::producers_forgotten(&forgotten);
        if forgotten.expired > 0 {
            self.env.fail_point("expiry.expired").await;
        }
        if forgotten.evicted > 0 {
            self.env.fail_point("expiry.evicted").await;
        }
        pass.forgotten.add(forgotten);
        sleep(FORGET_PAUSE).await;
        Ok(())
    }
}

impl Pass {
    /// Whether a row is to be handed to the committer; counts those that stay.
    fn is_due(&mut self, lives: bool, last_append_ms: Option<i64>, now_ms: i64) -> bool {
        let fate = if lives { self.cutoff.fate(last_append_ms, now_ms) } else { Fate::Free };
        match fate {
            Fate::Keep => {}
            Fate::Expire | Fate::Free => return true,
            Fate::Evict if self.evictions_left > 0 => {
                self.evictions_left -= 1;
                return true;
            }
            Fate::Evict => {}
            Fate::Date => {
                self.ages.add(now_ms);
                return true;
            }
        }
        self.ages.add(last_append_ms.unwrap_or(now_ms));
        false
    }
}
