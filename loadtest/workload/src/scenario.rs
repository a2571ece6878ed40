//! What a load is made of, after it was checked. How it is typed is in `parse`.

use std::{sync::Arc, time::Duration};

use crate::{Input, Schedule, SharedMaterial};

/// A load, with what has to hold of it.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Of the file, or of the shipped one.
    pub name: String,
    /// One sentence: what it asks.
    pub about: String,
    /// All that is drawn follows from it.
    pub seed: u64,
    /// Left out of the figures, and shown.
    pub warm_up: Duration,
    /// How long answers and readers are waited for after the last record.
    pub drain: Duration,
    /// Where to.
    pub topics: Topics,
    /// Who writes.
    pub producers: Producers,
    /// When records are due, warm-up included: the first stage begins at 0, and the warm-up is its beginning.
    pub schedule: Schedule,
    /// What they are.
    pub records: Records,
    /// Who reads.
    pub consumers: Vec<Consumers>,
    /// What is done to the service meanwhile.
    pub actions: Vec<Action>,
    /// What has to hold beside correctness.
    pub bounds: Bounds,
    /// Options of a service that is started for the scenario, such as `--memory-limit=2GiB`.
    pub dev_options: Vec<String>,
    /// The rows that sizes, keys, payloads or times are taken from, if any are.
    pub input: Option<Arc<Input>>,
    /// As it was typed; with values set from outside, written anew with them. Parses to the same scenario, next to the same
    /// input file.
    pub toml: String,
    /// What its sources share. It follows from the fields above when the first source is made: a scenario with other
    /// records is parsed, not changed.
    pub material: SharedMaterial,
}

/// Where records go.
#[derive(Debug, Clone)]
pub struct Topics {
    /// How many. They are named after the run.
    pub count: u32,
    /// Of each.
    pub partitions: u32,
}

/// Who writes.
#[derive(Debug, Clone)]
pub struct Producers {
    /// Each with an identity of its own and its share of the schedule.
    pub count: u32,
    /// Over which they are spread.
    pub connections: u32,
    /// How long the first record of a batch may wait for others.
    pub linger: Duration,
    /// Bytes of values in a batch, at most.
    pub batch_bytes: usize,
    /// Batches of one producer and partition without an answer.
    pub in_flight: usize,
}

/// What records are.
#[derive(Debug, Clone)]
pub struct Records {
    /// Of their values.
    pub size: Size,
    /// What they are keyed by.
    pub keys: Keys,
    /// What is in them after the stamp.
    pub payload: Payload,
}

/// Bytes of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Size {
    /// All the same.
    Fixed(usize),
    /// Log-normal around a median, cut off at a largest.
    LogNormal {
        /// Half are smaller.
        median: usize,
        /// Standard deviation of the logarithm.
        sigma: f64,
        /// None is larger.
        max: usize,
    },
    /// The stamp and the line of the input.
    Input,
}

/// What a record is keyed by.
#[derive(Debug, Clone, PartialEq)]
pub enum Keys {
    /// No key: partitions in turn.
    None,
    /// Each of so many as often as the others.
    Uniform {
        /// How many.
        count: u32,
    },
    /// The k-th most frequent with a weight of k to the minus `exponent`.
    Zipf {
        /// How many.
        count: u32,
        /// Above 0.
        exponent: f64,
    },
    /// One of them has a share of its own, the others are alike.
    Hot {
        /// How many.
        count: u32,
        /// Between 0 and 1.
        share: f64,
    },
    /// A column of the input.
    Input,
}

/// What is in a value after the stamp.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// Bytes of which about `1 / ratio` are random and the rest repeats: a ratio of 1 does not compress.
    Compressible {
        /// From 1 on.
        ratio: f64,
    },
    /// Lines of the input, over and over.
    Input,
}

/// Readers of the same kind. Each reads everything.
#[derive(Debug, Clone)]
pub struct Consumers {
    /// How many.
    pub count: u32,
    /// Where each begins.
    pub from: From,
    /// When they come.
    pub join: Duration,
    /// When they go; `None`: at the end, with everything read.
    pub leave: Option<Duration>,
    /// Each goes away and comes again so often, at the place where it was.
    pub restart_every: Option<Duration>,
    /// Bytes of values a second that each takes at most, until the drain.
    pub max_bytes_per_s: Option<u64>,
}

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// At the first record.
    Earliest,
    /// At what comes after it came.
    Latest,
}

/// Something that is done to a service which the load test itself has started.
#[derive(Debug, Clone)]
pub struct Action {
    /// When, the first time.
    pub at: Duration,
    /// And then so often, until the schedule ends.
    pub every: Option<Duration>,
    /// What.
    pub what: ActionKind,
    /// How long until it is started or goes on again.
    pub down: Duration,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionKind {
    /// SIGKILL.
    Kill,
    /// SIGTERM, and the end is waited for.
    Stop,
    /// SIGSTOP.
    Pause,
}

/// What has to hold beside correctness. `None`: it is shown and not judged.
#[derive(Debug, Clone, Default)]
pub struct Bounds {
    /// From the intended time to the acknowledgement.
    pub ack_p50: Option<Duration>,
    /// See `ack_p50`.
    pub ack_p99: Option<Duration>,
    /// From the intended time to the arrival at readers that follow.
    pub end_to_end_p99: Option<Duration>,
    /// From opening to the first record of readers who find records.
    pub first_record_p99: Option<Duration>,
    /// Of the records offered so many were acknowledged, 0 to 1.
    pub served_min: Option<f64>,
    /// Definite refusals, tried again or not.
    pub refused_max: Option<u64>,
    /// Resident memory of the server.
    pub server_rss_max_bytes: Option<u64>,
    /// The highest rate of a second over the lowest of the measured stages, as acknowledged.
    pub peak_ratio_min: Option<f64>,
    /// So many actions were done to the service.
    pub actions_min: Option<u64>,
}
