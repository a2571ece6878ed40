//! Inline runs become objects, and nothing is lost, doubled or brought back by it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use eagre_env::{Env, PlantedBug};
use eagre_log::verify_object;
use eagre_metadata::{
    Changes, MetadataStore, StoreSettings,
    rows::{
        INLINE_RECORDS, InlineBytes, InlineHead, InlineObject, InlineRecord, Meta, MetaName, MetaValue, ObjectStream,
        ROWS_FORMAT, RunRow,
    },
};
use eagre_model::{Run, RunKind, ShardId, TopicPartition, TopicRecord, batch::crc32c};
use eagre_sequencer::{InlineLimits, SequencerNode, SpillSettings};
use eagre_sequencer_api::{CommitFailure, CommitRequest, Sequencer};

use crate::{
    failures::fence,
    faults::Fault,
    world::{Gateway, World, appended, batch, end_of, env, eventually, of, outcomes, record_batch},
};

/// As soon as there are four runs.
fn by_fours() -> SpillSettings {
    SpillSettings { runs: 4, ..SpillSettings::default() }
}

struct Play {
    world: Arc<World>,
    node: Arc<SequencerNode>,
    topic: TopicRecord,
    gateway: Gateway,
}

impl Play {
    async fn begin(env: Env, spill: SpillSettings) -> Self {
        let world = World::new();
        let node = world.node_with(env, "one", spill).await;
        node.start().await.unwrap();
        let topic = node.create_topic("flights", Some(2)).await.unwrap();
        let gateway = Gateway::join(node.as_ref()).await;
        Self { world, node, topic, gateway }
    }

    fn partition(&self, number: u32) -> TopicPartition {
        of(&self.topic, number)
    }

    /// Commits these values inline, a batch each, to the first partition.
    async fn append(&mut self, values: &[&str]) -> bool {
        let values = values.iter().map(ToString::to_string).collect();
        let request = self.gateway.inline([(self.partition(0), values)]);
        let reply = self.gateway.send(request).await.unwrap();
        reply.result.unwrap();
        reply.takes_inline
    }

    async fn index(&self, number: u32) -> Vec<Run> {
        self.node.read_index(self.partition(number), 0, 100).await.unwrap()
    }

    async fn kinds(&self) -> Vec<(i64, RunKind)> {
        self.index(0).await.iter().map(|run| (run.last_offset, run.kind)).collect()
    }

    async fn spilled(&self, number: u32) {
        let all = async || self.index(number).await.iter().all(|run| run.kind == RunKind::Wal);
        eventually("no run is inline", all).await;
    }

    /// The bytes of a run, as a reader finds them.
    async fn bytes(&self, partition: TopicPartition, run: &Run) -> Bytes {
        let bytes = match run.kind {
            RunKind::Inline => self.node.read_inline(partition, &[run.last_offset]).await.unwrap().remove(0).unwrap(),
            RunKind::Wal => {
                let object = self.world.bucket().await.get(&run.object.key(), 1 << 20).await.unwrap();
                verify_object(&object).unwrap();
                let start = usize::try_from(run.position_bytes).unwrap();
                object.slice(start..start + run.length_bytes as usize)
            }
        };
        assert_eq!(crc32c(&bytes), run.crc32c);
        bytes
    }

    /// The whole log of a partition.
    async fn log(&self, number: u32) -> Vec<u8> {
        let mut log = Vec::new();
        for run in self.index(number).await {
            log.extend_from_slice(&self.bytes(self.partition(number), &run).await);
        }
        log
    }

    async fn reopened(&mut self) {
        self.world.store.heal();
        eventually("a new term", async || self.node.is_ready()).await;
        self.gateway.reopen(self.node.as_ref()).await;
    }

    fn objects(&self) -> usize {
        self.world.store.count("PUT", "-0000000000")
    }
}

fn written(values: &[&str]) -> Vec<u8> {
    values.iter().flat_map(|value| record_batch(value)).collect()
}

#[tokio::test(start_paused = true)]
async fn many_small_commits_become_one_object() {
    let mut play = Play::begin(env("one"), by_fours()).await;
    let both = [(play.partition(0), vec!["a".to_owned(), "b".to_owned()]), (play.partition(1), vec!["c".to_owned()])];
    let request = play.gateway.inline(both);
    assert_eq!(outcomes(play.gateway.send(request).await), [appended(0), appended(1), appended(0)]);
    play.append(&["d"]).await;
    assert_eq!(play.objects(), 0, "nothing is stored before it is worth it");
    assert_eq!(play.kinds().await, [(1, RunKind::Inline), (2, RunKind::Inline)]);
    play.append(&["e"]).await;
    play.spilled(0).await;
    play.spilled(1).await;
    assert_eq!(play.objects(), 1);
    assert_eq!(play.kinds().await, [(3, RunKind::Wal)], "runs that follow each other are one row");
    assert_eq!(play.log(0).await, written(&["a", "b", "d", "e"]));
    assert_eq!(play.log(1).await, written(&["c"]));
    let gone = play.node.read_inline(play.partition(0), &[1, 2, 3]).await.unwrap();
    assert_eq!(gone, [None, None, None]);
}

#[tokio::test(start_paused = true)]
async fn an_object_between_inline_runs_stays_where_it_is() {
    let mut play = Play::begin(env("one"), by_fours()).await;
    play.append(&["a"]).await;
    assert_eq!(play.gateway.commit(play.partition(0), vec![batch(2)]).await, [appended(1)]);
    for value in ["b", "c", "d"] {
        play.append(&[value]).await;
    }
    play.spilled(0).await;
    let spans: Vec<_> = play.index(0).await.iter().map(|run| (run.base_offset, run.last_offset)).collect();
    assert_eq!(spans, [(0, 0), (1, 2), (3, 5)]);
    let (first, last) = (play.index(0).await[0], play.index(0).await[2]);
    assert_eq!(play.bytes(play.partition(0), &first).await, written(&["a"]));
    assert_eq!(play.bytes(play.partition(0), &last).await, written(&["b", "c", "d"]));
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_takes_no_objects_only_delays() {
    let held = InlineLimits { bytes: 1 << 20, runs: 6 };
    let mut play = Play::begin(env("one"), SpillSettings { held, ..by_fours() }).await;
    play.world.store.break_puts("-0000000000", Fault::Fail);
    let mut taken = Vec::new();
    for value in ["a", "b", "c", "d", "e", "f", "g"] {
        taken.push(play.append(&[value]).await);
    }
    assert_eq!(taken, [true, true, true, true, true, false, false], "gateways are told to make objects");
    assert!(play.kinds().await.iter().all(|(_, kind)| *kind == RunKind::Inline));
    assert_eq!(play.log(0).await, written(&["a", "b", "c", "d", "e", "f", "g"]));
    play.world.store.heal();
    let moved = async || play.kinds().await.first() == Some(&(3, RunKind::Wal));
    eventually("what was due first is in an object", moved).await;
    assert!(play.append(&["h"]).await, "there is room again");
    play.spilled(0).await;
    assert_eq!(play.log(0).await, written(&["a", "b", "c", "d", "e", "f", "g", "h"]));
}

#[tokio::test(start_paused = true)]
async fn an_earlier_term_s_runs_are_taken_over() {
    let mut play = Play::begin(env("one"), by_fours()).await;
    for value in ["a", "b", "c"] {
        play.append(&[value]).await;
    }
    // The flush meets another writer: the term ends.
    fence(&play.world).await;
    let values = vec!["d".to_owned()];
    let request = play.gateway.inline([(play.partition(0), values)]);
    assert_eq!(play.gateway.send(request.clone()).await, None);
    play.reopened().await;
    assert_eq!(outcomes(play.gateway.send(request).await), [appended(3)]);
    play.spilled(0).await;
    assert_eq!(play.log(0).await, written(&["a", "b", "c", "d"]));
    assert_eq!(play.objects(), 1);

    // A rest that no term finds worth an object is still there.
    play.append(&["e"]).await;
    play.node.stop().await;
    play.node = play.world.node_with(env("two"), "two", by_fours()).await;
    play.node.start().await.unwrap();
    assert_eq!(play.log(0).await, written(&["a", "b", "c", "d", "e"]));
    play.gateway = Gateway::join(play.node.as_ref()).await;
    for value in ["f", "g", "h"] {
        play.append(&[value]).await;
    }
    play.spilled(0).await;
    assert_eq!(play.log(0).await, written(&["a", "b", "c", "d", "e", "f", "g", "h"]));
}

#[tokio::test(start_paused = true)]
async fn what_a_term_before_has_committed_is_answered_from_its_record() {
    let mut play = Play::begin(env("one"), SpillSettings::default()).await;
    let inline = play.gateway.inline([(play.partition(0), vec!["a".to_owned()])]);
    let object = play.gateway.request([(play.partition(0), vec![batch(2)])]);
    // With so many not answered, the ring has no place for the records of the last ones.
    let mut many = Vec::new();
    for _ in 0..=INLINE_RECORDS {
        many.push(play.gateway.inline([(play.partition(0), vec!["b".to_owned()])]));
    }
    let requests: Vec<CommitRequest> = [inline, object].into_iter().chain(many).collect();
    let mut said = Vec::new();
    for request in &requests {
        said.push(outcomes(play.gateway.send(request.clone()).await));
    }
    fence(&play.world).await;
    let values = vec!["never".to_owned()];
    let lost = play.gateway.inline([(play.partition(0), values)]);
    assert_eq!(play.gateway.send(lost.clone()).await, None);
    play.reopened().await;
    for (request, said) in requests.iter().zip(&said) {
        assert_eq!(outcomes(play.gateway.send(request.clone()).await), *said, "{}", request.object);
    }
    let end = 3 + i64::try_from(INLINE_RECORDS).unwrap() + 1;
    assert_eq!(outcomes(play.gateway.send(lost.clone()).await), [appended(end)]);
    assert_eq!(outcomes(play.gateway.send(lost).await), [appended(end)]);
    assert_eq!(end_of(play.node.as_ref(), play.partition(0)).await, Some(end + 1));
}

#[tokio::test(start_paused = true)]
async fn records_go_many_terms_later_and_what_comes_after_that_is_unknown() {
    let mut play = Play::begin(env("one"), by_fours()).await;
    let first = play.gateway.inline([(play.partition(0), vec!["a".to_owned()])]);
    assert_eq!(outcomes(play.gateway.send(first.clone()).await), [appended(0)]);
    let (mut answers, next) = (Vec::new(), Gateway::join(play.node.as_ref()).await);
    let mut late = std::mem::replace(&mut play.gateway, next);
    for term in 0..20 {
        play.node.stop().await;
        play.node = play.world.node_with(env(&format!("process {term}")), "one", by_fours()).await;
        play.node.start().await.unwrap();
        late.reopen(play.node.as_ref()).await;
        answers.push(late.send(first.clone()).await.unwrap().result);
        play.gateway = Gateway::join(play.node.as_ref()).await;
        for value in ["b", "c", "d", "e"] {
            play.append(&[value]).await;
        }
        let inline = async || play.kinds().await.iter().filter(|(_, kind)| *kind == RunKind::Inline).count();
        eventually("four are in an object, one is left", async || inline().await == 1).await;
    }
    let known = answers.iter().take_while(|answer| answer.is_ok()).count();
    assert_eq!(known, 18, "{answers:?}");
    assert!(answers[known..].iter().all(|answer| *answer == Err(CommitFailure::Mismatch)), "{answers:?}");
    assert_eq!(end_of(play.node.as_ref(), play.partition(0)).await, Some(81));
    play.node.stop().await;
    let store = store(&play).await;
    let epochs = |records: Vec<u64>| (records.iter().min().copied(), records.iter().max().copied());
    let records = store.scan::<InlineRecord>(.., 1_000).await.unwrap();
    assert_eq!(epochs(records.iter().map(|(place, _)| place.stream.epoch.0).collect()), (Some(4), Some(21)));
    let heads = store.scan::<InlineHead>(.., 1_000).await.unwrap();
    assert_eq!(epochs(heads.iter().map(|(stream, _)| stream.epoch.0).collect()), (Some(20), Some(21)));
    assert_eq!(store.scan::<InlineObject>(.., 10).await.unwrap().len(), 1);
    store.close(Duration::from_secs(1)).await.unwrap();
}

/// What stands in the store, whatever a term makes of it.
async fn store(play: &Play) -> MetadataStore {
    let (bucket, settings) = (play.world.bucket().await, StoreSettings::for_folder());
    MetadataStore::open(&env("looker"), bucket.store(), ShardId::FIRST, settings).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_what_was_spilled_but_where_the_next_begins() {
    let mut play = Play::begin(env("one"), by_fours()).await;
    for value in ["a", "b", "c", "d", "e"] {
        play.append(&[value]).await;
    }
    eventually("four are in an object", async || play.kinds().await.len() == 2).await;
    play.node.stop().await;
    let store = store(&play).await;
    let left = store.scan::<InlineObject>(.., 10).await.unwrap();
    let keys: Vec<_> = left.iter().flat_map(|(_, row)| &row.runs).map(|key| key.last_offset).collect();
    assert_eq!((left.len(), keys), (1, vec![4]));
    let heads = store.scan::<InlineHead>(.., 10).await.unwrap();
    assert_eq!(heads, [(ObjectStream::of(left[0].0), left[0].0.number)]);
    store.close(Duration::from_secs(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn inline_bytes_of_format_3_are_taken_over() {
    let mut play = Play::begin(env("one"), SpillSettings::default()).await;
    let both = [(play.partition(0), vec!["a".to_owned(), "b".to_owned()]), (play.partition(1), vec!["c".to_owned()])];
    let request = play.gateway.inline(both);
    assert_eq!(outcomes(play.gateway.send(request).await).len(), 3);
    play.append(&["d"]).await;
    play.node.stop().await;

    // As the version before left it: a row of bytes for each run.
    let store = store(&play).await;
    let mut changes = Changes::new();
    for (object, row) in store.scan::<InlineObject>(.., 10).await.unwrap() {
        for key in row.runs {
            let run = store.get::<RunRow>(&key).await.unwrap().unwrap();
            let start = usize::try_from(run.position_bytes).unwrap();
            let bytes = row.bytes.slice(start..start + run.length_bytes as usize);
            changes.put::<InlineBytes>(&key, &bytes);
        }
        changes.delete::<InlineObject>(&object);
    }
    for (stream, _) in store.scan::<InlineHead>(.., 10).await.unwrap() {
        changes.delete::<InlineHead>(&stream);
    }
    changes.put::<Meta>(&MetaName::Format, &MetaValue::Number(3));
    store.write(changes).await.unwrap();
    store.flush().await.unwrap();
    store.close(Duration::from_secs(1)).await.unwrap();

    play.node = play.world.node_with(env("two"), "two", by_fours()).await;
    play.node.start().await.unwrap();
    assert_eq!(play.log(0).await, written(&["a", "b", "d"]));
    assert_eq!(play.log(1).await, written(&["c"]));
    play.gateway = Gateway::join(play.node.as_ref()).await;
    play.append(&["e"]).await;
    play.spilled(0).await;
    play.spilled(1).await;
    assert_eq!(play.log(0).await, written(&["a", "b", "d", "e"]));
    assert_eq!(play.log(1).await, written(&["c"]));
    play.node.stop().await;
    let store = self::store(&play).await;
    assert_eq!(store.scan::<InlineBytes>(.., 10).await, Ok(vec![]));
    assert_eq!(store.get::<Meta>(&MetaName::Format).await, Ok(Some(MetaValue::Number(ROWS_FORMAT))));
    store.close(Duration::from_secs(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_term_that_ends_between_put_and_swap_leaves_the_runs_inline() {
    let mut play = Play::begin(env("one"), by_fours()).await;
    for value in ["a", "b", "c"] {
        play.append(&[value]).await;
    }
    play.world.store.break_puts("-0000000000", Fault::Hang);
    play.append(&["d"]).await;
    let objects = async || play.objects() == 1;
    eventually("the object is on its way", objects).await;
    fence(&play.world).await;
    let lost = play.gateway.inline([(play.partition(0), vec!["e".to_owned()])]);
    assert_eq!(play.gateway.send(lost).await, None);
    play.reopened().await;
    play.spilled(0).await;
    assert_eq!(play.log(0).await, written(&["a", "b", "c", "d"]));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_topic_is_not_brought_back() {
    let mut play = Play::begin(env("one"), by_fours()).await;
    let kept = play.node.create_topic("kept", Some(1)).await.unwrap();
    play.append(&["a", "b"]).await;
    play.world.store.break_puts("-0000000000", Fault::Hang);
    for value in ["c", "d", "e"] {
        play.append(&[value]).await;
    }
    eventually("the object is on its way", async || play.objects() == 1).await;
    play.node.delete_topic("flights").await.unwrap();
    let request = play.gateway.inline([(of(&kept, 0), vec!["k".to_owned()])]);
    assert_eq!(outcomes(play.gateway.send(request).await), [appended(0)]);
    play.world.store.heal();
    // Its rows go with the swap, and more of other topics is spilled as if nothing had been.
    for number in 1..4 {
        let request = play.gateway.inline([(of(&kept, 0), vec![format!("k{number}")])]);
        assert_eq!(outcomes(play.gateway.send(request).await), [appended(number)]);
    }
    let swapped = async || {
        let runs = play.node.read_index(of(&kept, 0), 0, 10).await.unwrap();
        runs.iter().all(|run| run.kind == RunKind::Wal)
    };
    eventually("the other topic's runs are in an object", swapped).await;
    assert_eq!(play.node.read_inline(play.partition(0), &[0, 1, 2, 3, 4]).await.unwrap(), vec![None; 5]);
    let again = play.node.create_topic("flights", Some(2)).await.unwrap();
    assert_eq!(end_of(play.node.as_ref(), of(&again, 0)).await, Some(0));
    assert_eq!(play.node.read_index(of(&again, 0), 0, 10).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn by_age_when_it_is_worth_it() {
    let spill = SpillSettings { rest_bytes: 200, age: Duration::from_secs(60), ..SpillSettings::default() };
    let mut play = Play::begin(env("one"), spill).await;
    play.append(&["a"]).await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!((play.objects(), play.kinds().await), (0, vec![(0, RunKind::Inline)]), "a small rest stays");
    play.append(&["b", "c"]).await;
    play.spilled(0).await;
    assert_eq!(play.log(0).await, written(&["a", "b", "c"]));
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_its_gateway_has_the_answer_to_is_never_judged_again() {
    let mut play = Play::begin(env("one"), SpillSettings::default()).await;
    let first = play.gateway.inline([(play.partition(0), vec!["a".to_owned()])]);
    assert_eq!(outcomes(play.gateway.send(first.clone()).await), [appended(0)]);
    assert_eq!(outcomes(play.gateway.send(first.clone()).await), [appended(0)], "from its record");
    let second = play.gateway.inline([(play.partition(0), vec!["b".to_owned()])]);
    let second = CommitRequest { settled_below: second.object.number, ..second };
    assert_eq!(outcomes(play.gateway.send(second.clone()).await), [appended(1)]);
    assert_eq!(outcomes(play.gateway.send(first.clone()).await), [appended(0)], "while its record is there");
    // As many others take the places of both in the ring of records.
    for number in 2..2 + i64::try_from(INLINE_RECORDS).unwrap() {
        let next = play.gateway.inline([(play.partition(0), vec!["c".to_owned()])]);
        let next = CommitRequest { settled_below: second.object.number, ..next };
        assert_eq!(outcomes(play.gateway.send(next).await), [appended(number)]);
    }
    let stale = play.gateway.send(first).await.unwrap();
    assert_eq!(stale.result, Err(CommitFailure::Mismatch));
    assert_eq!(outcomes(play.gateway.send(second).await), [appended(1)], "the later one is not settled");
    let end = 2 + i64::try_from(INLINE_RECORDS).unwrap();
    assert_eq!(end_of(play.node.as_ref(), play.partition(0)).await, Some(end));
}

#[tokio::test(start_paused = true)]
async fn planted_swap_without_check() {
    let env = env("one").with_planted_bug(Some(PlantedBug::SwapWithoutCheck));
    let mut play = Play::begin(env, by_fours()).await;
    play.append(&["a"]).await;
    play.gateway.commit(play.partition(0), vec![batch(2)]).await;
    for value in ["b", "c", "d"] {
        play.append(&[value]).await;
    }
    play.spilled(0).await;
    assert_eq!(play.index(0).await[0].base_offset, 1, "the beginning of the log is lost");
}

#[tokio::test(start_paused = true)]
async fn planted_inline_served_tentative() {
    let env = env("one").with_planted_bug(Some(PlantedBug::InlineServedTentative));
    let mut play = Play::begin(env, SpillSettings::default()).await;
    play.world.store.break_puts("meta/0/wal", Fault::Hang);
    let request = play.gateway.inline([(play.partition(0), vec!["a".to_owned()])]);
    play.gateway.stream.requests.send(request).await.unwrap();
    let partition = play.partition(0);
    eventually("it shows too early", async || end_of(play.node.as_ref(), partition).await == Some(1)).await;
}

#[tokio::test(start_paused = true)]
async fn planted_swap_before_put() {
    let env = env("one").with_planted_bug(Some(PlantedBug::SwapBeforePut));
    let mut play = Play::begin(env, by_fours()).await;
    play.world.store.break_puts("-0000000000", Fault::Hang);
    play.append(&["a"]).await;
    for value in ["b", "c", "d"] {
        play.append(&[value]).await;
    }
    play.spilled(0).await;
    let run = play.index(0).await[0];
    assert!(play.world.bucket().await.get(&run.object.key(), 1 << 20).await.is_err(), "the object is not there");
}
