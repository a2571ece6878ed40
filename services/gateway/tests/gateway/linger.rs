//! How far apart cuts are when somebody wishes for more than what is usual.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::Instant;

use crate::world::World;

/// From the first of these requests, each after the answer to the one before, to the last answer.
async fn one_after_another(world: &World, requests: u32, value: &str) -> Duration {
    let begin = Instant::now();
    for _ in 0..requests {
        world.append("t", 0, &[value]).await;
    }
    begin.elapsed()
}

#[tokio::test(start_paused = true)]
async fn puts_keep_to_their_budget() {
    let world = World::with(|settings| settings.puts_per_second_max = Some(4.0)).await;
    world.topic("t", 1).await;
    one_after_another(&world, 20, "v").await;
    let before = world.store.attempts.load(Ordering::Relaxed);
    let took = one_after_another(&world, 60, "v").await.as_secs_f64();
    let uploads = world.store.attempts.load(Ordering::Relaxed) - before;
    // Each is uploaded and committed; the commit of this sequencer is no PUT, which is found out, up to half of the budget.
    assert!((2.5..=4.0).contains(&(uploads as f64 / took)), "{uploads} uploads in {took} s");
}

#[tokio::test(start_paused = true)]
async fn without_wishes_requests_wait_for_milliseconds() {
    let world = World::new().await;
    world.topic("t", 1).await;
    let took = one_after_another(&world, 20, "v").await;
    assert!(took < Duration::from_millis(20 * 10), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn objects_grow_as_long_as_the_target_allows() {
    let world = World::with(|settings| settings.target_p99 = Some(Duration::from_secs(1))).await;
    world.topic("t", 1).await;
    let value = "v".repeat(512 << 10);
    let first = one_after_another(&world, 20, &value).await / 20;
    one_after_another(&world, 260, &value).await;
    let last = one_after_another(&world, 20, &value).await / 20;
    assert!(first < Duration::from_millis(15), "as usual until something is known: {first:?}");
    assert!((100..=160).contains(&last.as_millis()), "a sixth of what the target leaves: {last:?}");
}
