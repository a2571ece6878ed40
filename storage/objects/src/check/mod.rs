//! What a bucket is worth: whether it keeps what Eagre relies on, and how quick it is.
//!
//! A store that passes one request after another may still fail races: some servers give a create-if-absent to several
//! writers at once. So the races are run with [`WRITERS`] at a time, over many keys. Everything happens below
//! `check/<random>/`, and [`Check::clean_up`] takes it away again.

mod behaviour;
mod bench;
mod oddities;
pub mod price;
mod races;
mod record;
mod speed;

use std::sync::Arc;

use eagre_env::Env;
use futures::{FutureExt, future::BoxFuture};
use object_store::{Error as StoreError, ObjectStore};

use self::bench::Bench;
pub use self::{
    bench::CHECK_FOLDER,
    record::{RECORD_KEY, Record},
    speed::{Latency, Op, percentile},
};
pub(crate) use self::{bench::is_leftover, record::RECORD_BYTES_MAX};

/// Writers that race for one key.
pub const WRITERS: usize = 8;

/// How much a check does. Every number bounds requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Keys that are raced for by [`WRITERS`] creators each.
    pub create_races: usize,
    /// Keys that are raced for by [`WRITERS`] conditional overwriters each.
    pub update_races: usize,
    /// Whether everything else is looked at.
    pub everything: bool,
    /// Keys that are written to be listed; a page of a listing holds 1,000. 0: that is left out.
    pub listed_keys: usize,
    /// What is timed: the size of an object, and how many of that size are written and read.
    pub timed: Vec<(usize, usize)>,
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

impl Plan {
    /// What `eagre bucket check` does: about 2,100 requests and 80 MiB each way.
    pub fn full() -> Self {
        let timed = vec![(4 * KIB, 48), (256 * KIB, 24), (8 * MIB, 8)];
        Self { create_races: 64, update_races: 16, everything: true, listed_keys: 1_100, timed }
    }

    /// The same with about 800 requests and 35 MiB each way; long listings are left out.
    pub fn quick() -> Self {
        let timed = vec![(4 * KIB, 16), (256 * KIB, 8), (8 * MIB, 3)];
        Self { create_races: 64, update_races: 8, everything: true, listed_keys: 0, timed }
    }

    /// What the service asks of a bucket before it keeps anything there.
    pub fn races() -> Self {
        Self { create_races: 64, update_races: 8, everything: false, listed_keys: 0, timed: vec![] }
    }

    /// What every implementation of a bucket is held to by its tests.
    pub fn promises() -> Self {
        Self { create_races: 20, update_races: 4, everything: true, listed_keys: 0, timed: vec![] }
    }
}

/// What became of one part of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Right,
    /// Not so; and what was seen.
    Wrong(String),
    /// The store, or its client, has no such thing.
    Unsupported,
    /// The store gave errors; and the last of them.
    Unknown(String),
}

/// One part of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its name.
    pub check: &'static str,
    /// `None`: Eagre relies on it. Otherwise what becomes of it where it is not so.
    pub otherwise: Option<&'static str>,
    /// What became of it.
    pub outcome: Outcome,
}

impl Finding {
    /// Whether it keeps Eagre from using the bucket.
    pub fn is_fatal(&self) -> bool {
        self.otherwise.is_none() && self.outcome != Outcome::Right
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// In the order in which they were looked at.
    pub findings: Vec<Finding>,
    /// Of every size that was timed, of PUT and of GET.
    pub latencies: Vec<Latency>,
}

impl Report {
    /// What keeps Eagre from using the bucket.
    pub fn fatal(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.is_fatal())
    }

    /// What became of the part of this name.
    pub(crate) fn outcome(&self, check: &str) -> Option<&Outcome> {
        self.findings.iter().find(|finding| finding.check == check).map(|finding| &finding.outcome)
    }
}

/// Why one part of a check did not end well.
enum Flaw {
    Wrong(String),
    Unsupported,
    Failed(StoreError),
}

impl From<StoreError> for Flaw {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotImplemented { .. } | StoreError::NotSupported { .. } => Self::Unsupported,
            // Only what was written is asked for like this.
            StoreError::NotFound { path, .. } => Self::Wrong(format!("{path} was written and is not there")),
            error => Self::Failed(error),
        }
    }
}

type Judged = Result<(), Flaw>;

fn ensure(holds: bool, detail: impl FnOnce() -> String) -> Judged {
    if holds { Ok(()) } else { Err(Flaw::Wrong(detail())) }
}

/// Name of the part that the service cannot do without.
pub(crate) const CREATE_RACES: &str = "create races";
/// Name of the part that decides whether SlateDB may overwrite conditionally.
pub(crate) const UPDATE_RACES: &str = "conditional overwrite races";

/// A check of one store.
pub struct Check {
    bench: Bench,
}

impl Check {
    /// Of this store; nothing is asked of it yet.
    pub fn new(env: &Env, store: Arc<dyn ObjectStore>) -> Self {
        Self { bench: Bench::new(env, store) }
    }

    /// Writes one object.
    pub(crate) async fn write(&self) -> Result<(), StoreError> {
        self.bench.put("first", &bytes::Bytes::from_static(b"a check of this bucket")).await
    }

    /// Does what the plan says and tells each finding as it comes. [`Check::clean_up`] is for the caller to call, however it
    /// ended. When it is dropped, writes may go on for a while, and come after the clean-up; [`Check::stop`] ends it better.
    pub async fn run(&self, plan: &Plan, mut tell: impl FnMut(&Finding)) -> Report {
        let bench = &self.bench;
        let mut report = Report { findings: Vec::new(), latencies: Vec::new() };
        let mut findings = Findings { report: &mut report, tell: &mut tell };
        findings.add(CREATE_RACES, None, races::create(bench, plan.create_races).await);
        let otherwise = Some(OTHERWISE_SLOW_DELETION);
        findings.add(UPDATE_RACES, otherwise, races::update(bench, plan.update_races).await);
        if plan.everything {
            for part in parts() {
                if bench.is_stopped() {
                    return report;
                }
                findings.add(part.check, part.otherwise, (part.look)(bench).await);
            }
        }
        if plan.listed_keys > 0 && !bench.is_stopped() {
            findings.add("long listings", None, behaviour::long_list(bench, plan.listed_keys).await);
        }
        for (size_bytes, count) in &plan.timed {
            if bench.is_stopped() {
                break;
            }
            match speed::time(bench, *size_bytes, *count).await {
                Ok(timed) => findings.report.latencies.extend(timed),
                Err(error) => {
                    findings.add("speed", None, Err(error.into()));
                    break;
                }
            }
        }
        report
    }

    /// Lets [`Check::run`] end as soon as what it has begun is answered; then its report is no verdict.
    pub fn stop(&self) {
        self.bench.stop();
    }

    /// Takes away what the check wrote. Bound it in time: a store may hang.
    ///
    /// # Errors
    ///
    /// Where it is and why it is still there.
    pub async fn clean_up(&self) -> Result<(), String> {
        self.bench.clean_up().await
    }
}

/// What is found, told at once.
struct Findings<'a> {
    report: &'a mut Report,
    tell: &'a mut dyn FnMut(&Finding),
}

impl Findings<'_> {
    fn add(&mut self, check: &'static str, otherwise: Option<&'static str>, judged: Judged) {
        let outcome = match judged {
            Ok(()) => Outcome::Right,
            Err(Flaw::Wrong(detail)) => Outcome::Wrong(detail),
            Err(Flaw::Unsupported) => Outcome::Unsupported,
            Err(Flaw::Failed(error)) => Outcome::Unknown(error.to_string()),
        };
        let finding = Finding { check, otherwise, outcome };
        (self.tell)(&finding);
        self.report.findings.push(finding);
    }
}

/// One part of a check that needs no numbers.
struct Part {
    check: &'static str,
    otherwise: Option<&'static str>,
    look: for<'a> fn(&'a Bench) -> BoxFuture<'a, Judged>,
}

/// What everybody who checks looks at, besides the races.
fn parts() -> [Part; 13] {
    let part = |check, otherwise, look| Part { check, otherwise, look };
    let nothing_overwritten = Some("nothing, for objects are written once");
    let nothing_by_suffix = Some("nothing, for the length of an object is known before it is read");
    let nothing_nested = Some("nothing, for no key of Eagre's lies below another");
    [
        part("read after write", None, |bench| behaviour::read_after_write(bench).boxed()),
        part("read after overwrite", nothing_overwritten, |bench| behaviour::read_after_overwrite(bench).boxed()),
        part("create if absent", None, |bench| behaviour::create_if_absent(bench).boxed()),
        part("whole overwrites", None, |bench| behaviour::overwrite_races(bench).boxed()),
        part("ranged reads", None, |bench| behaviour::ranged_reads(bench).boxed()),
        part("missing objects", None, |bench| behaviour::missing_objects(bench).boxed()),
        part("list after write", None, |bench| behaviour::list(bench).boxed()),
        part("delete", None, |bench| behaviour::delete(bench).boxed()),
        part("large object", None, |bench| behaviour::large_object(bench).boxed()),
        part("last bytes", nothing_by_suffix, |bench| oddities::suffix(bench).boxed()),
        part("keys below keys", nothing_nested, |bench| oddities::nested(bench).boxed()),
        part("attributes", Some(OTHERWISE_FENCED), |bench| oddities::attributes(bench).boxed()),
        part("clock", Some(OTHERWISE_UNTIMELY), |bench| oddities::clock(bench).boxed()),
    ]
}

const OTHERWISE_UNTIMELY: &str = "deletions of old metadata come early or late";
const OTHERWISE_SLOW_DELETION: &str =
    "over a network, metadata that is no longer needed is kept for a day instead of an hour";
const OTHERWISE_FENCED: &str =
    "a lost answer to a write of the metadata store looks like a rival's write: the service opens it anew";

/// Holds a store to everything that Eagre relies on; empty: it can be used. For the tests of implementations.
pub async fn violations(env: &Env, store: Arc<dyn ObjectStore>) -> Vec<Finding> {
    let check = Check::new(env, store);
    let report = check.run(&Plan::promises(), |_| ()).await;
    let mut violations: Vec<_> = report.fatal().cloned().collect();
    if let Err(left) = check.clean_up().await {
        violations.push(Finding { check: "clean up", otherwise: None, outcome: Outcome::Wrong(left) });
    }
    violations
}
