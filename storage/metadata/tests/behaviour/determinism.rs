//! The same seed gives the same bucket requests at the same virtual times, with compaction, deletion and faults.

use std::time::Duration;

use eagre_metadata::StoreSettings;

use crate::{
    bucket::{Request, TestBucket},
    world::{env, open_with, tail},
};

/// A writer that lives through faults and three crashes.
async fn story(seed: u64) -> Vec<Request> {
    let bucket = TestBucket::seeded(seed);
    bucket.set(|faults| faults.percent = Some((5, 3)));
    let env = env(seed);
    let settings = StoreSettings { flushes_per_table: 5, ..StoreSettings::for_folder() };
    let mut next = 0;
    for _ in 0..4 {
        let store = open_with(&env, &bucket, settings.clone()).await.unwrap();
        for _ in 0..60 {
            next += 1;
            store.write(tail(env.random.below(5), next)).await.unwrap();
            if store.flush().await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(env.random.below(3_000))).await;
        }
        store.abandon();
    }
    tokio::time::sleep(Duration::from_secs(300)).await;
    bucket.requests()
}

fn trace(seed: u64) -> Vec<Request> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_be_bytes()))
        .build()
        .unwrap();
    runtime.block_on(story(seed))
}

#[test]
fn on_a_seeded_runtime() {
    let mut traces = Vec::new();
    for seed in 1..=3 {
        let (first, second) = (trace(seed), trace(seed));
        assert!(first.len() > 500, "{} requests", first.len());
        if let Some(at) = first.iter().zip(&second).position(|(left, right)| left != right) {
            panic!("seed {seed} differs at request {at}: {:?} and {:?}", first[at], second[at]);
        }
        assert_eq!(first.len(), second.len());
        traces.push(first);
    }
    assert_ne!(traces[0], traces[1], "another seed, another story");
}

#[test]
fn under_turmoil() {
    let run = |seed: u64| {
        let mut sim = turmoil::Builder::new()
            .rng_seed(seed)
            .simulation_duration(Duration::from_secs(4_000))
            .tick_duration(Duration::from_millis(5))
            .build();
        let (requests, done) = std::sync::mpsc::sync_channel(1);
        sim.client("writer", async move {
            requests.send(story(seed).await)?;
            Ok(())
        });
        sim.run().unwrap();
        done.recv().unwrap()
    };
    for seed in 1..=2 {
        let (first, second) = (run(seed), run(seed));
        assert!(first.len() > 500, "{} requests", first.len());
        assert_eq!(first.iter().zip(&second).position(|(left, right)| left != right), None, "seed {seed}");
        assert_eq!(first.len(), second.len());
    }
}
