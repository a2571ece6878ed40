//! A store that nobody writes to costs nothing.

use std::time::Duration;

use eagre_metadata::StoreSettings;

use crate::{
    bucket::TestBucket,
    world::{commit, env, next_offset, open_with},
};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn an_idle_hour() {
    for settings in [StoreSettings::for_folder(), StoreSettings::for_object_store()] {
        let bucket = TestBucket::new();
        let store = open_with(&env(1), &bucket, settings).await.unwrap();
        for n in 1..=300 {
            commit(&store, 1, n).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // The hour that begins with the last commit, and the one after it.
        for hour in ["first", "second"] {
            bucket.forget_requests();
            tokio::time::sleep(HOUR).await;
            let (puts, lists) = (bucket.count("PUT", ""), bucket.count("LIST", ""));
            let gets = bucket.count("GET", "") + bucket.count("HEAD", "");
            println!("{hour} idle hour: {puts} PUT, {lists} LIST, {gets} GET");
            assert!(puts == 0 && lists <= 40 && gets <= 360, "{hour}: {puts} PUT, {lists} LIST, {gets} GET");
        }
        assert_eq!(bucket.requests(), [], "once everything has settled, nothing is asked at all");
        commit(&store, 1, 1_000).await;
        assert_eq!(next_offset(&store, 1).await, Some(1_000));
    }
}
