//! What a seed stands for: which nodes and clients there are, which faults strike, what is broken when.

use std::time::Duration;

use eagre_env::{PlantedBug, Randomness, SeededRandomness};
use eagre_sequencer::{ExpirySettings, InlineLimits, SpillSettings};

use crate::{
    bucket::{BucketKind, Faults},
    points::AtPoint,
};

/// Which nodes there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One node with all roles, as `eagre dev`.
    Single,
    /// Two nodes, each a gateway and a candidate for the sequencer: the one that holds the shard serves both gateways, the
    /// other one takes over when it can.
    Pair,
}

impl Shape {
    /// Names of the hosts.
    pub fn nodes(self) -> &'static [&'static str] {
        match self {
            Self::Single => &["node-a"],
            Self::Pair => &["node-a", "node-b"],
        }
    }
}

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disturbance {
    /// The node's process dies and starts again after a while.
    Crash {
        /// Index of the node.
        node: usize,
        /// Until it starts again.
        down: Duration,
        /// The whole machine loses power: of a folder, what was not synced is at chance's mercy.
        power: bool,
    },
    /// The node dies, or is held up, when it passes a point in its code.
    AtPoint {
        /// Index of the node.
        node: usize,
        /// The point.
        point: &'static str,
        /// After so many passes.
        passes: u64,
        /// What happens there.
        what: AtPoint,
    },
    /// The node is asked to stop, stops well, and starts again.
    Stop {
        /// Index of the node.
        node: usize,
    },
    /// Connections between two hosts are reset, and new ones refused for a while.
    Cut {
        /// One host.
        one: Host,
        /// The other one.
        other: Host,
        /// For so long.
        lasting: Duration,
    },
    /// What is sent between two hosts arrives when this is over.
    Hold {
        /// One host.
        one: Host,
        /// The other one.
        other: Host,
        /// For so long.
        lasting: Duration,
    },
    /// What is sent between two hosts is lost without a word: connections over it are dead from then on.
    Swallow {
        /// One host.
        one: Host,
        /// The other one.
        other: Host,
        /// For so long.
        lasting: Duration,
    },
    /// A node cannot reach the bucket.
    BucketGone {
        /// Index of the node.
        node: usize,
        /// Requests hang until it is back; else they fail.
        hanging: bool,
        /// For so long.
        lasting: Duration,
    },
    /// Nine of ten requests to the bucket are refused.
    Refusals {
        /// For so long.
        lasting: Duration,
    },
    /// PUTs of record data do not end for a while.
    DataWritesHeld {
        /// For so long.
        lasting: Duration,
    },
    /// A node's wall clock jumps.
    WallClock {
        /// Index of the node.
        node: usize,
        /// To so far from the true time.
        skew_ms: i64,
    },
}

/// A host in a disturbance of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// By index.
    Node(usize),
    /// By index.
    Client(usize),
}

/// What travels inside of commits, and when it becomes an object.
#[derive(Debug, Clone, Copy)]
pub struct Inline {
    /// Objects up to this size go inside.
    pub object_bytes_max: usize,
    /// Of the sequencer.
    pub spill: SpillSettings,
}

impl Inline {
    /// Every object is uploaded.
    pub fn none() -> Self {
        Self { object_bytes_max: 0, spill: SpillSettings::default() }
    }

    /// Nearly every object goes inside, and some runs of them become an object.
    pub fn small() -> Self {
        let held = InlineLimits { bytes: 64 << 10, runs: 200 };
        let spill = SpillSettings { bytes: 16 << 10, runs: 8, rest_bytes: 500, age: Duration::from_secs(2), held };
        Self { object_bytes_max: 64 << 10, spill }
    }

    /// Tiny objects go inside and all others do not, so that a partition has runs of both kinds.
    pub fn mixed() -> Self {
        Self { object_bytes_max: 400, ..Self::small() }
    }

    /// Drawn by itself, so that all else that a seed stands for does not depend on it.
    fn drawn(seed: u64) -> Self {
        let random = SeededRandomness::new(seed ^ 0x1a11_ae5e);
        let pick = |below| pick(&random, below);
        let held = InlineLimits { bytes: 1 << [12, 14, 16][pick(3)], runs: [12, 60, 400][pick(3)] };
        let spill = SpillSettings {
            bytes: 1 << [10, 12, 14][pick(3)],
            runs: [3, 12, 60][pick(3)],
            rest_bytes: [0, 300, 3_000][pick(3)],
            age: Duration::from_millis([300, 2_000, 60_000][pick(3)]),
            held,
        };
        match pick(8) {
            0 => Self::none(),
            1 => Self { spill: SpillSettings::default(), ..Self::small() },
            2 | 3 => Self { spill, ..Self::mixed() },
            4 => Self { object_bytes_max: 1_500, spill },
            _ => Self { spill, ..Self::small() },
        }
    }
}

/// Everything that a simulation does, decided before it begins.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// All chance follows from it.
    pub seed: u64,
    /// The nodes.
    pub shape: Shape,
    /// The bucket.
    pub bucket: BucketKind,
    /// Faults of single bucket requests while things break.
    pub faults: Faults,
    /// Clients that write with the client crate.
    pub producers: usize,
    /// Clients that send what no client would send.
    pub probers: usize,
    /// Clients that write without a producer id.
    pub streamers: usize,
    /// Clients that number their requests per topic and leave the partition to the service.
    pub scatterers: usize,
    /// Readers by plain gRPC.
    pub tailers: usize,
    /// Messages take up to so long.
    pub network_latency_max: Duration,
    /// Records of the client crate's producers are given up after so long.
    pub delivery_timeout: Duration,
    /// How long things break.
    pub chaos: Duration,
    /// What breaks, and when after the begin of it.
    pub disturbances: Vec<(Duration, Disturbance)>,
    /// Whatever takes longer after everything is whole again is stuck.
    pub patience: Duration,
    /// A known bug that is switched on.
    pub planted: Option<PlantedBug>,
    /// What travels inside of commits.
    pub inline: Inline,
    /// When producers are forgotten.
    pub expiry: ExpirySettings,
}

/// The points at which a node may die.
pub const POINTS: [&str; 14] = [
    "claim.before",
    "claim.after",
    "put.before",
    "put.after",
    "commit.before",
    "commit.judged",
    "flush.before",
    "flush.after",
    "answer.before",
    "commit.after",
    "ack.before",
    "ack.after",
    "spill.before",
    "spill.stored",
];

impl Scenario {
    /// The scenario of a seed.
    pub fn of_seed(seed: u64) -> Self {
        let random = SeededRandomness::new(seed);
        let shape = if random.below(3) == 0 { Shape::Pair } else { Shape::Single };
        // Several machines cannot share a folder; one can.
        let remote = shape == Shape::Pair || random.below(2) == 0;
        let bucket = if remote { BucketKind::Remote } else { BucketKind::Folder { fsync: true } };
        let mut faults = Faults::drawn(&random);
        if !remote {
            // A disk neither answers late nor conflicts with itself; an error after the write is what EIO of an fsync is.
            faults = Faults { late: 0, own_conflict: 0, ..faults };
        }
        let mut scenario = Self {
            seed,
            shape,
            bucket,
            faults,
            producers: 2,
            probers: 1 + usize::try_from(random.below(2)).unwrap_or(0),
            streamers: 1,
            scatterers: 1,
            tailers: 2,
            network_latency_max: Duration::from_millis(1 + random.below(12)),
            delivery_timeout: Duration::from_millis([1_500, 5_000, 20_000, 20_000][pick(&random, 4)]),
            chaos: Duration::from_secs(6 + random.below(6)),
            disturbances: Vec::new(),
            patience: Duration::from_secs(90),
            planted: None,
            inline: Inline::drawn(seed),
            expiry: drawn_expiry(seed),
        };
        let count = if random.below(6) == 0 { 8 + random.below(12) } else { 2 + random.below(6) };
        for _ in 0..count {
            let at = Duration::from_millis(random.below(u64::try_from(scenario.chaos.as_millis()).unwrap_or(1)));
            let what = scenario.draw_disturbance(&random);
            scenario.disturbances.push((at, what));
        }
        if remote {
            scenario.add_what_object_stores_do();
        }
        scenario.disturbances.extend(scenario.death_beside_a_spill());
        scenario.disturbances.sort_by_key(|(at, _)| *at);
        scenario
    }

    /// 500s, and now and then a bucket that is away for a whole minute. From chance of its own, so that everything else of a
    /// seed stays as it was.
    fn add_what_object_stores_do(&mut self) {
        let random = SeededRandomness::new(self.seed ^ 0x0500_0503);
        self.faults = self.faults.with_failures_drawn(&random);
        if random.below(16) == 0 {
            let lasting = Duration::from_secs(60);
            let at = Duration::from_millis(1_000 + random.below(3_000));
            let node = pick(&random, self.shape.nodes().len());
            self.disturbances.push((at, Disturbance::BucketGone { node, hanging: random.below(2) == 0, lasting }));
            self.chaos = at + lasting + Duration::from_secs(4);
        }
    }

    /// Objects of inline runs are few, so deaths before and after the PUT of one are not left to chance alone.
    fn death_beside_a_spill(&self) -> Option<(Duration, Disturbance)> {
        let point = match self.seed % 16 {
            3 => "spill.before",
            11 => "spill.stored",
            _ => return None,
        };
        let what = AtPoint::Crash { power: self.seed.is_multiple_of(3) };
        Some((self.chaos / 4, Disturbance::AtPoint { node: 0, point, passes: 0, what }))
    }

    /// The scenario of a seed with a known bug, arranged so that what the bug takes comes about.
    pub fn provoking(bug: PlantedBug, seed: u64) -> Self {
        let mut scenario = Self::of_seed(seed);
        scenario.planted = Some(bug);
        scenario.patience = Duration::from_secs(20);
        scenario.expiry = match bug {
            PlantedBug::ExpiredStateAccepted | PlantedBug::UnissuedIdAccepted => short_expiry(),
            _ => ExpirySettings::default(),
        };
        scenario.inline = match bug {
            PlantedBug::InlineServedTentative | PlantedBug::SwapBeforePut => Inline::small(),
            PlantedBug::SwapWithoutCheck => Inline::mixed(),
            // What they break is said of objects as of inline runs, and of some of them only of objects.
            _ => Inline::none(),
        };
        match bug {
            PlantedBug::FloorBeforeRecord | PlantedBug::ResentTakenForNew => {
                scenario.two_terms_pass_an_unanswered_commit()
            }
            PlantedBug::AuthoritySkipped => scenario.the_holder_is_cut_off(),
            PlantedBug::DuplicateFromTentative => scenario.deaths_follow_slow_flushes(),
            PlantedBug::AckBeforeFlush | PlantedBug::WatermarkBeforeFlush => scenario.dies_often("flush.before"),
            PlantedBug::ProducerStateLost => scenario.dies_often("ack.after"),
            PlantedBug::AckBeforePut => scenario.dies_often("put.before"),
            PlantedBug::FencedIsFailure | PlantedBug::OffsetReused => scenario.deposed_with_flushes_under_way(),
            PlantedBug::ResendOutOfOrder => scenario.commit_streams_break(),
            PlantedBug::TruncatedRead => scenario.faults.short_read = 150,
            PlantedBug::RivalTakenForOwn => scenario.both_claim_at_once(),
            PlantedBug::TimeoutIsSuccess => scenario.data_is_applied_late(),
            PlantedBug::InlineServedTentative => scenario.dies_often("flush.before"),
            PlantedBug::SwapBeforePut => scenario.dies_often("spill.before"),
            PlantedBug::SwapWithoutCheck => {}
            PlantedBug::ExpiredStateAccepted => scenario.probers = 3,
            PlantedBug::WholeRunDuplicateCheck
            | PlantedBug::OldEpochAccepted
            | PlantedBug::StaleCachePage
            | PlantedBug::UnissuedIdAccepted
            | PlantedBug::WindowForgotten => {}
            PlantedBug::FlushOutOfOrder | PlantedBug::FenceTooShort => scenario.dies_with_flushes_under_way(),
        }
        scenario
    }

    /// The holder dies with a commit of the other node's gateway durable and not answered. That gateway can reach neither
    /// a sequencer nor the bucket while the holder comes back twice, with uploads between; then it asks again.
    fn two_terms_pass_an_unanswered_commit(&mut self) {
        let (ms, second) = (Duration::from_millis, Duration::from_secs);
        let between = (Host::Node(0), Host::Node(1));
        self.quiet_pair(second(16));
        self.disturbances = vec![
            (
                ms(2_000),
                Disturbance::AtPoint {
                    node: 0,
                    point: "answer.before",
                    passes: self.seed % 5,
                    what: AtPoint::Crash { power: false },
                },
            ),
            (ms(2_150), Disturbance::Cut { one: between.0, other: between.1, lasting: ms(9_000) }),
            (ms(2_150), Disturbance::BucketGone { node: 1, hanging: true, lasting: ms(9_000) }),
            (ms(6_500), Disturbance::Crash { node: 0, down: ms(100), power: false }),
        ];
    }

    /// The nodes do not see each other any more and all writers see the second one only, which takes over; whoever only
    /// reads still asks the first one.
    fn the_holder_is_cut_off(&mut self) {
        let (ms, second) = (Duration::from_millis, Duration::from_secs);
        self.quiet_pair(second(12));
        let holder = Host::Node(0);
        let cut_from = |at, other| (at, Disturbance::Cut { one: holder, other, lasting: second(9) });
        self.disturbances = vec![cut_from(ms(1_500), Host::Node(1))];
        self.disturbances.extend((0..self.writers()).map(|writer| cut_from(ms(1_600), Host::Client(writer))));
    }

    /// The node dies while a flush takes long; it is durable and shows nothing yet. Without traffic that never repeats itself, what comes meanwhile is often
    /// the same again, and in a folder it is not put together with much else.
    fn deaths_follow_slow_flushes(&mut self) {
        (self.shape, self.bucket, self.faults) = (Shape::Single, BucketKind::Folder { fsync: true }, Faults::NONE);
        (self.producers, self.streamers, self.scatterers, self.probers) = (0, 0, 0, 6);
        self.chaos = Duration::from_secs(16);
        let slow = Disturbance::AtPoint {
            node: 0,
            point: "flush.after",
            passes: 0,
            what: AtPoint::Delay(Duration::from_millis(900)),
        };
        let dies = Disturbance::Crash { node: 0, down: Duration::from_millis(100), power: false };
        let rounds = (1..6).map(|round| Duration::from_millis(2_700 * round));
        self.disturbances = rounds.flat_map(|at| [(at, slow), (at + Duration::from_millis(600), dies)]).collect();
    }

    /// Both nodes die and start again together, several times: both find the same claim to be the last one and try to
    /// make the next.
    fn both_claim_at_once(&mut self) {
        self.quiet_pair(Duration::from_secs(14));
        let dies = |node| Disturbance::Crash { node, down: Duration::from_millis(300), power: false };
        let rounds = (0..3).map(|round| Duration::from_millis(1_500 + 4_000 * round));
        self.disturbances = rounds.flat_map(|at| [(at, dies(0)), (at, dies(1))]).collect();
    }

    /// PUTs are applied seconds after their callers gave up.
    fn data_is_applied_late(&mut self) {
        (self.shape, self.bucket) = (Shape::Single, BucketKind::Remote);
        self.faults = Faults { late: 200, ..Faults::NONE };
        self.disturbances.clear();
    }

    fn dies_often(&mut self, point: &'static str) {
        self.shape = Shape::Single;
        let dies = Disturbance::AtPoint { node: 0, point, passes: self.seed % 7, what: AtPoint::Crash { power: true } };
        self.chaos = Duration::from_secs(12);
        self.disturbances = (0..4).map(|round| (Duration::from_millis(1_000 + 2_500 * round), dies)).collect();
    }

    /// The holder's flushes take long after they are durable, and meanwhile the other node, which does not see it any more,
    /// takes over; then that one dies, and the first one comes back.
    fn deposed_with_flushes_under_way(&mut self) {
        let (ms, second) = (Duration::from_millis, Duration::from_secs);
        self.quiet_pair(second(16));
        let between = (Host::Node(0), Host::Node(1));
        let slow = |node| Disturbance::AtPoint {
            node,
            point: "flush.after",
            passes: self.seed % 3,
            what: AtPoint::Delay(second(5)),
        };
        self.disturbances = vec![
            (ms(2_000), slow(0)),
            (ms(2_100), Disturbance::Cut { one: between.0, other: between.1, lasting: second(5) }),
            (ms(8_500), slow(1)),
            (ms(8_600), Disturbance::Cut { one: between.0, other: between.1, lasting: second(5) }),
        ];
    }

    /// What one gateway sends to the sequencer is held up until several commits are under way, and then lost with the
    /// connection.
    fn commit_streams_break(&mut self) {
        self.quiet_pair(Duration::from_secs(12));
        let (one, other) = (Host::Node(0), Host::Node(1));
        let hold = Disturbance::Hold { one, other, lasting: Duration::from_millis(700) };
        let cut = Disturbance::Cut { one, other, lasting: Duration::from_millis(50) };
        let rounds = (1..9).map(|round| Duration::from_millis(1_300 * round));
        self.disturbances = rounds.flat_map(|at| [(at, hold), (at + Duration::from_millis(600), cut)]).collect();
    }

    /// The node dies again and again while some PUTs take seconds, so that objects of its log are there behind one that is
    /// not.
    fn dies_with_flushes_under_way(&mut self) {
        (self.shape, self.bucket) = (Shape::Single, BucketKind::Remote);
        self.faults = Faults { slow: 120, late: 60, ..Faults::NONE };
        self.chaos = Duration::from_secs(14);
        let dies = Disturbance::Crash { node: 0, down: Duration::from_millis(100), power: false };
        let rounds = (0..6).map(|round| Duration::from_millis(1_000 + 2_000 * round + 37 * (self.seed % 17)));
        self.disturbances = rounds.map(|at| (at, dies)).collect();
    }

    /// Two nodes without faults of the bucket.
    fn quiet_pair(&mut self, chaos: Duration) {
        (self.shape, self.bucket, self.faults, self.chaos) = (Shape::Pair, BucketKind::Remote, Faults::NONE, chaos);
    }

    /// How many clients write; they come first.
    fn writers(&self) -> usize {
        self.producers + self.probers + self.streamers + self.scatterers
    }

    /// How many clients there are whose links may be disturbed.
    pub fn clients(&self) -> usize {
        // One makes and deletes topics, one asks for ends of logs, one audits the index, and one reads with the client crate.
        self.writers() + 3 + self.tailers + 1
    }

    fn draw_disturbance(&self, random: &dyn Randomness) -> Disturbance {
        let pick = |below| pick(random, below);
        let up_to = |ms: u64| Duration::from_millis(50 + random.below(ms));
        let node = pick(self.shape.nodes().len());
        let one = Host::Node(node);
        let other = match self.shape {
            Shape::Pair if random.below(2) == 0 => Host::Node(1 - node),
            Shape::Pair | Shape::Single => Host::Client(pick(self.clients())),
        };
        match random.below(16) {
            0 | 1 => Disturbance::Crash { node, down: up_to(1_500), power: random.below(2) == 0 },
            2..=5 => {
                let point = POINTS[pick(POINTS.len())];
                let crashes = random.below(3) > 0;
                let power = random.below(2) == 0;
                let what = if crashes { AtPoint::Crash { power } } else { AtPoint::Delay(up_to(6_000)) };
                // A claim is rare, and an object of inline runs.
                let passes = random.below(20);
                let passes = match point.split('.').next() {
                    Some("claim") => 0,
                    Some("spill") => passes / 6,
                    _ => passes,
                };
                Disturbance::AtPoint { node, point, passes, what }
            }
            6 => Disturbance::Cut { one, other, lasting: up_to(2_500) },
            7 => Disturbance::Hold { one, other, lasting: up_to(3_000) },
            8 => Disturbance::Swallow { one, other, lasting: up_to(1_500) },
            9 | 10 => Disturbance::BucketGone { node, hanging: random.below(2) == 0, lasting: up_to(3_000) },
            11 => Disturbance::Refusals { lasting: up_to(1_500) },
            12 => Disturbance::DataWritesHeld { lasting: up_to(1_500) },
            13 | 14 => Disturbance::Stop { node },
            _ => {
                let skew_ms = i64::try_from(random.below(120_000)).unwrap_or(0) - 60_000;
                Disturbance::WallClock { node, skew_ms }
            }
        }
    }
}

fn short_expiry() -> ExpirySettings {
    ExpirySettings { after: Duration::from_millis(1_500), ..ExpirySettings::default() }
}

/// In a quarter of all seeds producers are forgotten within seconds, or because there are too many. Drawn by itself.
fn drawn_expiry(seed: u64) -> ExpirySettings {
    let random = SeededRandomness::new(seed ^ 0x0e0f_0000_7da1);
    if random.below(4) > 0 {
        return ExpirySettings::default();
    }
    let after = Duration::from_millis([1_000, 2_500, 6_000][pick(&random, 3)]);
    ExpirySettings { after, rows_max: [8, 40, 1_000_000][pick(&random, 3)] }
}

fn pick(random: &dyn Randomness, below: usize) -> usize {
    usize::try_from(random.below(below as u64)).unwrap_or(0)
}
