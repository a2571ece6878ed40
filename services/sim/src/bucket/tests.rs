//! Each fault does what it says, and a bucket without faults is one by the house's own conformance suite.

use eagre_env::{Env, HostIdentity};
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion};

use super::*;
use crate::{network::Links, network::TurmoilNetwork, time::SimClock};

const HOST: &str = "here";
const FOLDER: BucketKind = BucketKind::Folder { fsync: true };

/// Runs one host with a bucket of its own.
fn simulate<F, R>(kind: BucketKind, faults: Faults, seed: u64, body: F) -> SimBucket
where
    F: FnOnce(SimBucket, Arc<dyn ObjectStore>, SimClock) -> R + 'static,
    R: Future<Output = ()> + 'static,
{
    let time = Arc::new(VirtualTime::default());
    let bucket = SimBucket::new(kind, Arc::clone(&time), Trace::new(Arc::clone(&time)), seed);
    bucket.set_faults(faults);
    let mut sim = turmoil::Builder::new().rng_seed(seed).simulation_duration(Duration::from_secs(600)).build();
    let (inside, store, clock) = (bucket.clone(), bucket.on_host(HOST), SimClock::new(Arc::clone(&time)));
    sim.client(HOST, async move {
        body(inside, store, clock).await;
        Ok(())
    });
    while !time.during_step(|| sim.step()).unwrap() {
        time.settle(sim.elapsed());
        bucket.settle(sim.elapsed());
    }
    time.settle(sim.elapsed());
    bucket
}

fn always(set: impl FnOnce(&mut Faults)) -> Faults {
    let mut faults = Faults::NONE;
    set(&mut faults);
    faults
}

fn key(name: &str) -> Path {
    Path::from(name)
}

fn payload(text: &'static str) -> PutPayload {
    PutPayload::from_static(text.as_bytes())
}

#[test]
fn without_faults_it_is_a_bucket() {
    for kind in [BucketKind::Remote, FOLDER] {
        simulate(kind, Faults::NONE, 1, |_, store, clock| async move {
            let random = Arc::new(SeededRandomness::new(1));
            let network = Arc::new(TurmoilNetwork::new(HOST, &Links::default()));
            let host = HostIdentity { machine: String::new(), process: 1, started: 1 };
            let env = Env::new(Arc::new(clock), random, network, host);
            assert_eq!(eagre_objects::check::violations(&env, store).await, []);
        });
    }
}

#[test]
fn a_refused_put_is_not_applied() {
    let bucket = simulate(BucketKind::Remote, always(|faults| faults.refused = 1_000), 1, |_, store, _| async move {
        assert!(store.put(&key("wal/1"), payload("x")).await.is_err());
    });
    assert_eq!(bucket.peek("wal/1"), None);
}

#[test]
fn a_put_whose_answer_is_lost_is_applied() {
    let bucket =
        simulate(BucketKind::Remote, always(|faults| faults.answer_lost = 1_000), 1, |bucket, store, _| async move {
            assert!(store.put(&key("wal/1"), payload("x")).await.is_err());
            assert!(bucket.peek("wal/1").is_some());
        });
    assert!(bucket.peek("wal/1").is_some());
}

#[test]
fn a_late_put_is_applied_after_its_caller_gave_up() {
    simulate(BucketKind::Remote, always(|faults| faults.late = 1_000), 1, |bucket, store, _| async move {
        assert!(store.put(&key("wal/1"), payload("x")).await.is_err());
        assert_eq!(bucket.peek("wal/1"), None);
        tokio::time::sleep(Duration::from_secs(7)).await;
        assert!(bucket.peek("wal/1").is_some());
    });
}

#[test]
fn a_create_conflicts_with_its_own_retry() {
    simulate(BucketKind::Remote, always(|faults| faults.own_conflict = 1_000), 1, |bucket, store, _| async move {
        let created = store.put_opts(&key("lease/1"), payload("mine"), PutMode::Create.into()).await;
        assert!(matches!(created, Err(object_store::Error::AlreadyExists { .. })), "{created:?}");
        assert_eq!(bucket.peek("lease/1").as_deref(), Some(&b"mine"[..]));
    });
}

#[test]
fn a_hard_refusal_strikes_the_log_of_the_metadata_only() {
    simulate(BucketKind::Remote, always(|faults| faults.hard = 1_000), 1, |_, store, _| async move {
        let refused = store.put(&key("metadata/wal/1.sst"), payload("x")).await;
        assert!(matches!(refused, Err(object_store::Error::NotFound { .. })), "{refused:?}");
        assert!(store.put(&key("wal/1"), payload("x")).await.is_ok());
    });
}

#[test]
fn reads_break_or_end_early() {
    simulate(BucketKind::Remote, always(|faults| faults.broken_read = 1_000), 1, |_, store, _| async move {
        store.put(&key("a"), payload("0123456789")).await.unwrap();
        assert!(store.get(&key("a")).await.unwrap().bytes().await.is_err());
    });
    simulate(BucketKind::Remote, always(|faults| faults.short_read = 1_000), 1, |_, store, _| async move {
        for name in ["wal/a", "metadata/a"] {
            store.put(&key(name), payload("0123456789")).await.unwrap();
        }
        let short = store.get(&key("wal/a")).await.unwrap();
        assert_eq!(short.range, 0..10);
        assert!(short.bytes().await.unwrap().len() < 10);
        assert_eq!(store.get(&key("metadata/a")).await.unwrap().bytes().await.unwrap().len(), 10);
    });
}

#[test]
fn a_bucket_that_is_gone_fails_or_hangs() {
    simulate(BucketKind::Remote, Faults::NONE, 1, |bucket, store, _| async move {
        bucket.take_away(HOST, false);
        assert!(store.put(&key("a"), payload("x")).await.is_err());
        bucket.take_away(HOST, true);
        let (a, x) = (key("a"), payload("x"));
        let put = store.put(&a, x);
        let mut put = std::pin::pin!(put);
        assert!(tokio::time::timeout(Duration::from_secs(30), &mut put).await.is_err());
        bucket.give_back();
        assert!(put.await.is_ok());
    });
}

#[test]
fn a_put_whose_caller_went_away_arrives_or_does_not() {
    let arrives = |seed| {
        let bucket = simulate(BucketKind::Remote, Faults::NONE, seed, |_, store, _| async move {
            let (a, x) = (key("wal/a"), payload("x"));
            let impatient = tokio::time::timeout(Duration::from_millis(2), store.put(&a, x)).await;
            assert!(impatient.is_err());
            tokio::time::sleep(Duration::from_secs(1)).await;
        });
        bucket.peek("wal/a").is_some()
    };
    let outcomes: Vec<_> = (0..20).map(arrives).collect();
    assert!(outcomes.contains(&true) && outcomes.contains(&false), "{outcomes:?}");
}

#[test]
fn updates_are_conditional_remotely_and_not_implemented_in_a_folder() {
    simulate(BucketKind::Remote, Faults::NONE, 1, |_, store, _| async move {
        let first = store.put(&key("a"), payload("1")).await.unwrap();
        let update = |tag: &Option<String>| PutOptions {
            mode: PutMode::Update(UpdateVersion { e_tag: tag.clone(), version: None }),
            ..PutOptions::default()
        };
        let second = store.put_opts(&key("a"), payload("2"), update(&first.e_tag)).await.unwrap();
        assert_ne!(first.e_tag, second.e_tag);
        let stale = store.put_opts(&key("a"), payload("3"), update(&first.e_tag)).await;
        assert!(matches!(stale, Err(object_store::Error::Precondition { .. })), "{stale:?}");
    });
    simulate(FOLDER, Faults::NONE, 1, |_, store, _| async move {
        let update = PutMode::Update(UpdateVersion { e_tag: None, version: None });
        let refused = store.put_opts(&key("a"), payload("3"), update.into()).await;
        assert!(matches!(refused, Err(object_store::Error::NotImplemented { .. })), "{refused:?}");
    });
}

/// Puts three objects one after the other, of which the last one is not answered, and takes the power away. Gives back
/// how many of the answered ones are whole, and whether the unanswered one is there.
fn after_power_loss(fsync: bool, seed: u64) -> (usize, bool) {
    let bucket = simulate(BucketKind::Folder { fsync }, Faults::NONE, seed, |bucket, store, _| async move {
        for name in ["wal/0", "wal/1"] {
            store.put(&key(name), payload("0123456789")).await.unwrap();
        }
        let last = tokio::spawn(async move { store.put(&key("wal/2"), payload("0123456789")).await });
        // Visible, and not yet answered.
        while bucket.peek("wal/2").is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
            bucket.settle(bucket.shared.time.now());
        }
        bucket.power_loss();
        last.abort();
    });
    let whole = |name: &&str| bucket.peek(name).is_some_and(|bytes| bytes.len() == 10);
    (["wal/0", "wal/1"].iter().filter(|name| whole(name)).count(), bucket.peek("wal/2").is_some())
}

#[test]
fn a_folder_with_fsync_keeps_what_was_answered() {
    let outcomes: Vec<_> = (0..20).map(|seed| after_power_loss(true, seed)).collect();
    assert!(outcomes.iter().all(|(answered, _)| *answered == 2), "{outcomes:?}");
    assert!(outcomes.iter().any(|(_, last)| *last) && outcomes.iter().any(|(_, last)| !*last), "{outcomes:?}");
}

#[test]
fn a_folder_without_fsync_loses_what_was_answered() {
    let outcomes: Vec<_> = (0..20).map(|seed| after_power_loss(false, seed)).collect();
    assert!(outcomes.iter().any(|(answered, _)| *answered < 2), "{outcomes:?}");
}
