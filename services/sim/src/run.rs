//! Runs a scenario from its first step to the judge's verdict.

use std::{sync::Arc, time::Duration};

use eagre_proto::v1::FetchEncoding;
use eagre_verify::{
    Op, Outcome, Process, Violation, ViolationKind, judge,
    stream::{self, replay},
};
use turmoil::Sim;

use crate::{
    bucket::SimBucket,
    counters::NotedCounters,
    nemesis::Nemesis,
    nodes,
    scenario::Scenario,
    time::{SimClock, VirtualTime},
    trace::{Fingerprint, Trace, show_logs},
    workload::{
        Role, asker, auditor, churner, drainer, follower, prober, producer, scatterer, setup, streamer, tailer,
    },
    world::{Phase, World},
};

/// What a simulation came to.
#[derive(Debug)]
pub struct Verdict {
    /// The scenario's seed.
    pub seed: u64,
    /// The same for every run of the scenario.
    pub fingerprint: Fingerprint,
    /// What the judge found.
    pub violations: Vec<Violation>,
    /// What the judge of load tests found in the same history.
    pub streamed: stream::Verdict,
    /// Answers that no correct service gives, and clients that never came to an end.
    pub complaints: Vec<String>,
    /// How much happened.
    pub tally: Tally,
    trace: Trace,
}

/// How much happened in a simulation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Sends that were acked.
    pub acked: u64,
    /// Sends of unknown outcome.
    pub unknown: u64,
    /// Sends that failed for certain.
    pub failed: u64,
    /// Records that readers got.
    pub read: u64,
    /// Deaths of nodes.
    pub crashes: u64,
    /// Virtual time.
    pub lasted: Duration,
}

impl Verdict {
    /// Nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty() && self.streamed.is_clean() && self.complaints.is_empty()
    }

    /// Whether a violation of this kind was found.
    pub fn shows(&self, kind: ViolationKind) -> bool {
        self.violations.iter().any(|violation| violation.kind == kind)
    }

    /// What is wrong, and the trace around the first violation.
    pub fn story(&self, lines: usize) -> String {
        let mut story = format!("seed {}: {} ({:?})\n", self.seed, self.fingerprint, self.tally);
        let moment = self.violations.first().map_or(self.tally.lasted, |first| Duration::from_nanos(first.at.0));
        for line in self.trace.around(moment, lines) {
            story.push_str(&line);
            story.push('\n');
        }
        for complaint in self.complaints.iter().take(10) {
            story.push_str(&format!("COMPLAINT {complaint}\n"));
        }
        for violation in self.violations.iter().take(20) {
            story.push_str(&format!("VIOLATION {violation}\n"));
        }
        for (kind, found) in &self.streamed.findings {
            for example in found.examples.iter().take(3) {
                story.push_str(&format!("STREAMED {kind} {example}\n"));
            }
        }
        story.push_str(&format!("rerun: EAGRE_SEED={} cargo test -p eagre-sim\n", self.seed));
        story
    }

    /// Where the trace of another run of the same scenario parts from this one's.
    pub fn parting(&self, other: &Verdict) -> String {
        self.trace.parting(&other.trace).join("\n")
    }

    /// The lines of the trace that contain one of the needles.
    pub fn lines_with(&self, needles: &[&str]) -> Vec<String> {
        self.trace.lines_with(needles)
    }
}

/// Runs a scenario.
pub fn run(scenario: &Scenario) -> Verdict {
    let time = Arc::new(VirtualTime::default());
    let trace = Trace::new(Arc::clone(&time));
    let _logs = show_logs(&time);
    let bucket = SimBucket::new(scenario.bucket, Arc::clone(&time), trace.clone(), scenario.seed ^ 0x00b0_c4e7);
    let world =
        Arc::new(World::new(scenario.seed, bucket, time, trace, scenario.planted, (scenario.inline, scenario.expiry)));
    let mut builder = turmoil::Builder::new();
    builder
        .rng_seed(scenario.seed)
        .simulation_duration(Duration::from_secs(3_600))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(1) + scenario.network_latency_max)
        .tcp_capacity(4_096)
        .enable_random_order();
    let mut stage =
        Stage { sim: builder.build(), world, nemesis: None, complaints: Vec::new(), patience: scenario.patience };
    let counters = NotedCounters { trace: stage.world.trace.clone() };
    metrics::with_local_recorder(&counters, || stage.play(scenario));
    stage.verdict(scenario)
}

struct Stage<'a> {
    sim: Sim<'a>,
    world: Arc<World>,
    nemesis: Option<Nemesis>,
    complaints: Vec<String>,
    patience: Duration,
}

impl Stage<'_> {
    fn play(&mut self, scenario: &Scenario) {
        let clocks: Vec<_> =
            scenario.shape.nodes().iter().map(|_| SimClock::new(Arc::clone(&self.world.time))).collect();
        for (node, clock) in clocks.iter().enumerate() {
            nodes::register(&mut self.sim, &self.world, scenario.shape, node, clock.clone());
        }
        let roles = self.client(scenario, "setup", 0, setup::run);
        if !self.until_finished(&[roles]) {
            return;
        }
        self.world.enter(Phase::Chaos);
        let (workers, tailers) = self.start_clients(scenario);
        let clients = workers.iter().chain(&tailers).cloned().collect();
        self.nemesis = Some(Nemesis::new(Arc::clone(&self.world), scenario, clients, clocks));
        let end = self.sim.elapsed() + scenario.chaos;
        while self.sim.elapsed() < end {
            if !self.step() {
                return;
            }
        }
        if let Some(nemesis) = &mut self.nemesis {
            nemesis.heal(&mut self.sim);
        }
        self.world.enter(Phase::Quiet);
        if !self.until_finished(&workers) {
            return;
        }
        let drainer = self.client(scenario, "drainer", 90, drainer::run);
        if self.until_finished(&[drainer]) {
            self.world.enter(Phase::Done);
            self.until_finished(&tailers);
        }
    }

    /// Clients that end in the quiet phase, and readers, which go on.
    fn start_clients(&mut self, scenario: &Scenario) -> (Vec<String>, Vec<String>) {
        let mut workers = Vec::new();
        for n in 0..scenario.producers {
            let (name, timeout) = (format!("producer-{n}"), scenario.delivery_timeout);
            workers.push(self.client(scenario, &name, 1 + n, move |role| producer::run(role, timeout)));
        }
        for n in 0..scenario.probers {
            let name = format!("prober-{n}");
            workers.push(self.client(scenario, &name, 20 + n, prober::run));
        }
        for n in 0..scenario.streamers {
            let name = format!("streamer-{n}");
            workers.push(self.client(scenario, &name, 30 + n, streamer::run));
        }
        for n in 0..scenario.scatterers {
            let name = format!("scatterer-{n}");
            workers.push(self.client(scenario, &name, 33 + n, scatterer::run));
        }
        workers.push(self.client(scenario, "churner", 35, churner::run));
        workers.push(self.client(scenario, "asker", 40, asker::run));
        workers.push(self.client(scenario, "auditor", 41, auditor::run));
        let mut tailers = Vec::new();
        for n in 0..scenario.tailers {
            let encoding = if n % 2 == 0 { FetchEncoding::Batches } else { FetchEncoding::Records };
            let name = format!("tailer-{n}");
            tailers.push(self.client(scenario, &name, 60 + n, move |role| tailer::run(role, encoding)));
        }
        tailers.push(self.client(scenario, "follower", 70, follower::run));
        (workers, tailers)
    }

    fn client<F, R>(&mut self, scenario: &Scenario, host: &str, process: usize, run: F) -> String
    where
        F: FnOnce(Role) -> R + 'static,
        R: Future<Output = ()> + 'static,
    {
        let role = Role {
            world: Arc::clone(&self.world),
            process: Process(u32::try_from(process).unwrap_or(0)),
            host: host.to_owned(),
            gateways: scenario.shape.nodes().iter().map(ToString::to_string).collect(),
        };
        self.sim.client(host, async move {
            run(role).await;
            Ok(())
        });
        host.to_owned()
    }

    /// One step of all hosts. False when one of them failed, which is a complaint.
    fn step(&mut self) -> bool {
        let world = Arc::clone(&self.world);
        if let Err(error) = world.time.during_step(|| self.sim.step()) {
            self.complaints.push(format!("a host failed: {error}"));
            return false;
        }
        world.time.settle(self.sim.elapsed());
        world.bucket.settle(self.sim.elapsed());
        if let Some(nemesis) = &mut self.nemesis {
            nemesis.act(&mut self.sim);
        }
        true
    }

    /// Steps until these hosts have come to their end. False, with a complaint, when one does not.
    fn until_finished(&mut self, hosts: &[String]) -> bool {
        let limit = self.sim.elapsed() + self.patience;
        loop {
            let busy: Vec<_> = hosts.iter().filter(|host| self.sim.is_host_running(host.as_str())).collect();
            if busy.is_empty() {
                return true;
            }
            if self.sim.elapsed() > limit {
                let within = self.patience;
                self.complaints.push(format!("{busy:?} did not come to an end within {within:?} of healing"));
                return false;
            }
            if !self.step() {
                return false;
            }
        }
    }

    fn verdict(self, scenario: &Scenario) -> Verdict {
        let history = self.world.history().clone();
        let mut tally = Tally {
            crashes: self.nemesis.as_ref().map_or(0, |nemesis| nemesis.crashes),
            lasted: self.sim.elapsed(),
            ..Tally::default()
        };
        for event in history.events() {
            match &event.op {
                Op::Send(sent) => match sent.outcome {
                    Outcome::Ok(_) => tally.acked += 1,
                    Outcome::Failed => tally.failed += 1,
                    Outcome::Unknown => tally.unknown += 1,
                },
                Op::Poll(polled) => tally.read += polled.records.len() as u64,
                Op::Damage(_) | Op::End(_) | Op::Drain(_) | Op::Index(_) => {}
            }
        }
        let mut complaints = self.complaints;
        complaints.extend(self.world.complaints());
        let trace = self.world.trace.clone();
        let (violations, streamed) = (judge(&history), replay(&history));
        let fingerprint = trace.fingerprint();
        Verdict { seed: scenario.seed, fingerprint, violations, streamed, complaints, tally, trace }
    }
}
