//! Gateways that commit without pause while flushes fail, lie and hang, and while the shard changes hands. In the end
//! every batch is in the log once, at the offset that it was answered with.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use eagre_env::{Randomness, SeededRandomness};
use eagre_model::{ObjectId, TopicPartition};
use eagre_sequencer::SequencerNode;
use eagre_sequencer_api::{BatchOutcome, CommitFailure, CommitRequest, CommitStream, Sequencer};
use tokio::time::{sleep, timeout};

use crate::{
    faults::Fault,
    world::{Gateway, World, batch, end_of, of, reserve, sequenced},
};

const SEEDS: u64 = 8;
const BATCHES_PER_GATEWAY: i32 = 300;
const IN_FLIGHT_MAX: usize = 5;
const ADDRESSES: [&str; 3] = ["one", "two", "three"];

/// What all tasks of a run share.
struct Run {
    world: Arc<World>,
    nodes: Vec<Arc<SequencerNode>>,
    random: SeededRandomness,
    partition: TopicPartition,
    /// One above the highest offset that was answered.
    answered: AtomicI64,
    over: AtomicBool,
}

impl Run {
    fn any_node(&self) -> &Arc<SequencerNode> {
        &self.nodes[usize::try_from(self.random.below(self.nodes.len() as u64)).unwrap()]
    }

    fn ms(&self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.random.below(most - least))
    }
}

/// A batch: its producer and sequence.
type Name = (i64, i32);

/// What is not answered: the batch's sequence, the request, and all ids that it had so far.
type Waiting = (i32, CommitRequest, Vec<ObjectId>);

#[test]
fn every_batch_is_in_the_log_once() {
    for seed in 0..SEEDS {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            timeout(Duration::from_secs(3_600), run(seed)).await.unwrap_or_else(|_| panic!("seed {seed} never ends"));
        });
    }
}

async fn run(seed: u64) {
    let world = World::new();
    let mut nodes = Vec::new();
    for address in ADDRESSES {
        nodes.push(world.node(address).await);
    }
    nodes[0].start().await.unwrap();
    let topic = nodes[0].create_topic("flights", Some(1)).await.unwrap();
    reserve(nodes[0].as_ref(), 16).await;
    world.store.take_time(seed);
    let (answered, over, partition) = (AtomicI64::new(0), AtomicBool::new(false), of(&topic, 0));
    let random = SeededRandomness::new(seed);
    let run = Arc::new(Run { world, nodes, random, partition, answered, over });
    let standbys: Vec<_> = run.nodes[1..].iter().map(|node| tokio::spawn(stand_by(node.clone()))).collect();
    let nemesis = tokio::spawn(nemesis(run.clone()));
    let reader = tokio::spawn(read(run.clone()));
    let gateways: Vec<_> = (1..=WITHOUT_SEQUENCES).map(|id| tokio::spawn(produce(run.clone(), id))).collect();
    let mut acked = BTreeMap::new();
    for gateway in gateways {
        acked.extend(gateway.await.unwrap());
    }
    run.over.store(true, Ordering::Relaxed);
    nemesis.await.unwrap();
    reader.await.unwrap();
    check(&run, &acked, seed).await;
    for (node, standby) in run.nodes.iter().zip([None, standbys.first(), standbys.last()]) {
        standby.inspect(|standby| standby.abort());
        node.stop().await;
    }
}

/// A node that takes over when it can.
async fn stand_by(node: Arc<SequencerNode>) {
    while node.start().await.is_err() {
        sleep(Duration::from_millis(500)).await;
    }
}

async fn nemesis(run: Arc<Run>) {
    let world = &run.world;
    while !run.over.load(Ordering::Relaxed) {
        sleep(run.ms(50, 1_000)).await;
        match run.random.below(6) {
            0 => world.store.break_puts("meta/0/wal", Fault::LoseAnswer),
            1 => world.store.break_puts("meta/0/wal", Fault::Fail),
            2 => world.store.break_puts("lease/", Fault::LoseAnswer),
            3 => world.store.break_gets("lease/"),
            4 => world.store.break_puts("meta/0/wal", Fault::Hang),
            _ => {
                let address = ADDRESSES[usize::try_from(run.random.below(3)).unwrap()];
                world.cut_off(address);
                sleep(run.ms(100, 5_000)).await;
                let number = ADDRESSES.iter().position(|known| *known == address).unwrap();
                world.connect(address, run.nodes[number].clone());
            }
        }
        sleep(run.ms(1, if run.random.below(4) == 0 { 9_000 } else { 200 })).await;
        world.store.heal();
    }
    world.store.heal();
}

/// Ends never go back, and lie above everything that was answered before they were asked for.
async fn read(run: Arc<Run>) {
    let mut seen = 0;
    let mut reads = 0;
    while !run.over.load(Ordering::Relaxed) {
        sleep(run.ms(1, 100)).await;
        let answered = run.answered.load(Ordering::Relaxed);
        if let Some(end) = end_of(run.any_node().as_ref(), run.partition).await {
            assert!(end >= seen, "the end went back from {seen} to {end}");
            assert!(end >= answered, "the end is {end} after {answered} was answered");
            (seen, reads) = (end, reads + 1);
        }
    }
    assert!(reads > 0);
}

/// This one numbers nothing: only the commit records keep its batches from being appended twice.
const WITHOUT_SEQUENCES: i64 = 4;

/// Commits all batches of one producer, each in an object of its own, and returns the offsets answered.
async fn produce(run: Arc<Run>, id: i64) -> BTreeMap<Name, (i64, Vec<ObjectId>)> {
    let mut gateway = loop {
        let node = run.any_node();
        if let Some(gateway) = Gateway::try_join(node.as_ref()).await {
            break gateway;
        }
        sleep(run.ms(10, 200)).await;
    };
    let mut acked = BTreeMap::new();
    let mut waiting = VecDeque::<Waiting>::new();
    let mut next_sequence = 0;
    while acked.len() < BATCHES_PER_GATEWAY as usize {
        // Now and then it is away for so long that its objects lie below the floor when it comes back.
        sleep(if run.random.below(10) == 0 { run.ms(2_000, 15_000) } else { run.ms(1, 300) }).await;
        if id != WITHOUT_SEQUENCES && run.random.below(3) == 0 {
            // Its client has tried again through another gateway.
            renew(&mut gateway, &mut waiting);
        }
        let Ok(mut stream) = run.any_node().open_commits(gateway.joined.incarnation).await else { continue };
        let mut sent = 0;
        loop {
            while waiting.len() < IN_FLIGHT_MAX && next_sequence < BATCHES_PER_GATEWAY {
                let sequenced = sequenced(1, id, 0, next_sequence);
                let batch = if id == WITHOUT_SEQUENCES { batch(1) } else { sequenced };
                let request = gateway.request([(run.partition, vec![batch])]);
                let ids = vec![request.object];
                waiting.push_back((next_sequence, request, ids));
                next_sequence += 1;
            }
            if waiting.is_empty() || !send(&stream, &waiting, &mut sent).await {
                break;
            }
            sleep(run.ms(1, 100)).await;
            let Some(reply) = stream.replies.recv().await else { break };
            let (sequence, request, ids) = waiting.pop_front().unwrap();
            sent -= 1;
            assert_eq!(reply.object, request.object);
            match reply.result {
                Ok(answer) => {
                    let [BatchOutcome::Appended { base_offset } | BatchOutcome::Duplicate { base_offset }] =
                        answer.outcomes[..]
                    else {
                        panic!("{sequence}: {answer:?}");
                    };
                    run.answered.fetch_max(base_offset + 1, Ordering::Relaxed);
                    acked.insert((id, sequence), (base_offset, ids));
                }
                Err(CommitFailure::EpochBelowFloor { upload_epoch }) => {
                    gateway.joined.upload_epoch = upload_epoch;
                    waiting.push_front((sequence, request, ids));
                    renew(&mut gateway, &mut waiting);
                    break;
                }
                Err(CommitFailure::Mismatch) => panic!("the request was sent before as it is"),
            }
        }
        stream.replies.close();
    }
    acked
}

/// Uploads all that wait again, in order.
fn renew(gateway: &mut Gateway, waiting: &mut VecDeque<Waiting>) {
    for (_, request, ids) in waiting {
        request.object = gateway.request([]).object;
        ids.push(request.object);
    }
}

async fn send(stream: &CommitStream, waiting: &VecDeque<Waiting>, sent: &mut usize) -> bool {
    while let Some((_, request, _)) = waiting.get(*sent) {
        if stream.requests.send(request.clone()).await.is_err() {
            return false;
        }
        *sent += 1;
    }
    true
}

/// What the last holder says, against what was answered.
async fn check(run: &Run, acked: &BTreeMap<Name, (i64, Vec<ObjectId>)>, seed: u64) {
    let runs = loop {
        if let Ok(runs) = run.any_node().read_index(run.partition, 0, 4_096).await
            && !runs.is_empty()
        {
            break runs;
        }
        sleep(Duration::from_millis(100)).await;
    };
    let mut next = 0;
    let mut written = BTreeMap::new();
    for run in &runs {
        assert_eq!(run.base_offset, next, "seed {seed}: the runs tile the log");
        assert_eq!(run.base_offset, run.last_offset, "seed {seed}: every object holds one record");
        next = run.next_offset();
        written.insert(run.base_offset, run.object);
    }
    assert_eq!(acked.len(), written.len(), "seed {seed}: every batch once");
    for (name, (offset, ids)) in acked {
        let object = written.remove(offset).unwrap_or_else(|| panic!("seed {seed}: two batches at {offset}"));
        assert!(ids.contains(&object), "seed {seed}: {name:?} is not at {offset}");
    }
}
