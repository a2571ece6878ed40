//! A run from its beginning to its end: the service, the producers, the consumers, what is done to the service, the reading at the
//! end, the judgement.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use eagre_faults::Fault;
use eagre_report::{Event, Raw, RunResult};
use eagre_verify::stream::{Kind, Settings, Verdict};
use eagre_workload::{Consumers, From, Scenario};
use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
};

use super::{
    actions,
    files::Folder,
    live::Live,
    metronome::Metronome,
    outcome::{self, Found},
    record,
    recorder::{Counts, Recorder},
    sampler::Sampler,
    series::Series,
    service::Service,
    shared::{Finish, HURRY, Judges, Phase, Shared},
};
use crate::{
    client::{Address, Client, all_there},
    clock::{RunClock, nanos},
    consume::{Consumer, stats::ConsumerStats},
    system::{machine, raw, server},
};

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The load.
    pub scenario: Scenario,
    /// Whom it goes to.
    pub address: Address,
    /// Where the result goes.
    pub out: PathBuf,
    /// Of the server's process, where it runs on this machine.
    pub server_pid: Option<u32>,
    /// `host:port` where the server shows metrics.
    pub metrics: Option<String>,
    /// What the server is, for the report.
    pub name: Option<String>,
    /// Options of a service of our own.
    pub dev_options: Vec<String>,
    /// The raw rates of the machine, where they are known; `None`: they are measured.
    pub raw: Option<Raw>,
    /// What is broken on purpose between the load and the service.
    pub fault: Option<Fault>,
    /// The topics stay, for `verify`.
    pub keep_topics: bool,
    /// What no consumer has read is read when all is over.
    pub reads_back: bool,
    /// Say how it goes.
    pub is_live: bool,
}

/// Set when the run is to end early.
pub type Interrupt = watch::Receiver<bool>;

/// Between the last preparation and the first record.
const RUN_UP: Duration = Duration::from_millis(500);
/// Topics that were just created can be read after so long.
const READABLE: Duration = Duration::from_secs(5);
/// Each of the raw rates is measured so long.
const RAW: Duration = Duration::from_secs(1);

/// A plan that can be carried out, as far as that can be told without making anything.
pub struct Ready {
    plan: Plan,
    /// The service that was named.
    given: Option<Service>,
}

/// What came of a plan.
pub struct Ran {
    /// What was found.
    pub result: RunResult,
    /// How often the planted fault was committed.
    pub faults: u64,
}

impl Ready {
    /// Fails when the machine does not allow what the plan needs, when the service that was named is not there, or when the folder
    /// holds a run.
    pub async fn of(plan: Plan) -> Result<Self> {
        let scenario = &plan.scenario;
        let readers: u32 = scenario.consumers.iter().map(|kind| kind.count).sum();
        machine::allow_files(u64::from(scenario.producers.connections) + u64::from(readers) + 64)?;
        ensure!(
            scenario.actions.is_empty() || plan.address == Address::Own,
            "the scenario {} kills and restarts the service, which is done only to one that the load test has started: \
             leave --target out",
            scenario.name
        );
        Folder::check(&plan.out)?;
        let given = match plan.address {
            Address::Own => {
                server::find_binary()?;
                None
            }
            _ => Some(Service::given(&plan).await?),
        };
        Ok(Self { plan, given })
    }

    /// Runs it, and writes what is known of it but `result.json` and the page: those follow from the result.
    pub async fn execute(self, interrupt: Interrupt) -> Result<Ran> {
        let folder = Folder::create(&self.plan.out)?;
        let ran = self.within(&folder, interrupt).await;
        if ran.is_err() {
            folder.remove_if_empty();
        }
        ran
    }

    async fn within(self, folder: &Folder, interrupt: Interrupt) -> Result<Ran> {
        let Self { plan, given } = self;
        let mut described = machine::describe();
        described.raw = match plan.raw {
            Some(raw) => Some(raw),
            None => {
                let path = folder.path().to_owned();
                Some(spawn_blocking(move || raw::measure(&path, RAW)).await??)
            }
        };
        let service = match given {
            Some(given) => given,
            None => Service::started(&plan).await?,
        };
        let clock = RunClock::start();
        let mut run = Run::prepare(&plan, &service, clock, folder.clone()).await?;
        let ended = run.go(&service, interrupt).await;
        let disk_bytes = service.disk_bytes().await;
        if !plan.keep_topics && service.own.is_none() {
            // What was measured is worth more than what is left behind.
            if let Err(error) = service.client.delete_topics(&run.shared.topics).await {
                run.shared.event("left_behind", format!("{error:#}"));
            }
        }
        let interrupted_s = ended?;
        let result = run.finish(&plan, &service, described, interrupted_s, disk_bytes, clock).await?;
        let faults = match service.proxy {
            Some(proxy) => {
                let done = proxy.done();
                proxy.stop().await;
                done
            }
            None => 0,
        };
        Ok(Ran { result, faults })
    }
}

/// Whether there is a plan that can be carried out, and carries it out.
pub async fn execute(plan: Plan, interrupt: Interrupt) -> Result<Ran> {
    Ready::of(plan).await?.execute(interrupt).await
}

struct Run {
    shared: Arc<Shared>,
    folder: Folder,
    started_at_unix_ms: u64,
    producers: Vec<JoinHandle<Result<()>>>,
    consumers: Vec<Arc<ConsumerStats>>,
    waiting: Vec<Consumer>,
    reading: Vec<JoinHandle<Result<bool>>>,
    sampler: Option<Sampler>,
    actions: Arc<AtomicU64>,
    reads_back: bool,
    protocol: Vec<String>,
    wrong_ends: Vec<String>,
}

impl Run {
    async fn prepare(plan: &Plan, service: &Service, clock: RunClock, folder: Folder) -> Result<Self> {
        let scenario = plan.scenario.clone();
        let run = (clock.now_ns() / 1_000_000) as u32 ^ (scenario.seed as u32).rotate_left(16);
        let topics: Vec<String> = (0..scenario.topics.count).map(|n| format!("loadtest-{run:08x}-{n}")).collect();
        service.client.create_topics(&topics, scenario.topics.partitions).await?;
        if (plan.reads_back || !scenario.consumers.is_empty())
            && let Err(error) = wait_until_readable(&service.client, &topics, scenario.topics.partitions).await
        {
            // The error is what is to be told.
            service.client.delete_topics(&topics).await.ok();
            return Err(error).context("what is written to this target cannot be read again");
        }
        folder.write("scenario.toml", &scenario.toml)?;
        let prepared = service.client.prepare(&scenario).await?;
        let start_ns = clock.now_ns() + nanos(RUN_UP) + u64::from(scenario.producers.count) * 50_000;
        let stop_ns = start_ns + nanos(scenario.schedule.duration());
        let give_up_ns = stop_ns + nanos(scenario.drain);
        let judges = Judges::new(&topics, scenario.topics.partitions, &Settings::default());
        let shared = Arc::new(Shared {
            run,
            start_ns,
            judges,
            topics,
            recorder: Recorder::new(start_ns, measured(&scenario)),
            metronome: Metronome::start(clock),
            phase: watch::Sender::new(Phase { stop_ns, give_up_ns, finish: None, hurried_ns: None }),
            events: Default::default(),
            left_behind: AtomicBool::new(false),
            scenario,
        });
        mark(&shared);
        let (consumers, waiting) = consumers(&shared);
        let started_at_unix_ms = start_ns / 1_000_000;
        let series = series(&shared.scenario, &folder, started_at_unix_ms)?;
        let live = Live::new(plan.is_live, shared.scenario.schedule.duration().as_secs());
        let sampler = Sampler::start(shared.clone(), service.watched.clone(), consumers.clone(), series, live);
        let producers = prepared.start(&shared);
        Ok(Self {
            shared,
            folder,
            started_at_unix_ms,
            producers,
            consumers,
            waiting,
            reading: Vec::new(),
            sampler: Some(sampler),
            actions: Arc::default(),
            reads_back: plan.reads_back,
            protocol: Vec::new(),
            wrong_ends: Vec::new(),
        })
    }

    /// Until everything is written and read, or nobody waits any longer. Says when it was interrupted.
    async fn go(&mut self, service: &Service, interrupt: Interrupt) -> Result<Option<f64>> {
        let shared = self.shared.clone();
        for consumer in std::mem::take(&mut self.waiting) {
            self.reading.push(join_later(&shared, &service.client, consumer));
        }
        let acting =
            service.own.clone().filter(|_| !shared.scenario.actions.is_empty()).map(|own| {
                tokio::spawn(actions::run(shared.clone(), own, service.watched.clone(), self.actions.clone()))
            });
        let interrupted = tokio::spawn(interruption(shared.clone(), interrupt));
        for producer in std::mem::take(&mut self.producers) {
            self.ended(producer.await.unwrap_or_else(|died| Err(died.into())));
        }
        if let Some(acting) = acting
            && let Err(error) = acting.await.unwrap_or_else(|died| Err(died.into()))
        {
            self.protocol.push(format!("{error:#}"));
        }
        shared.event("drain", "everything is answered; consumers read to the end");
        if !self.reads_back && shared.scenario.consumers.is_empty() {
            interrupted.abort();
            return Ok(interrupted_at(&shared));
        }
        let patience = if shared.phase.borrow().hurried_ns.is_some() { HURRY } else { shared.scenario.drain };
        let finish = self.ends(service, patience).await;
        shared.phase.send_modify(|phase| phase.finish = Some(finish.clone()));
        for reading in std::mem::take(&mut self.reading) {
            let read = reading.await.unwrap_or_else(|died| Err(died.into()));
            self.read(read);
        }
        if self.reads_back && !self.has_whole_reader() {
            let read = self.read_back(service, &finish).await?;
            self.read(read);
        }
        interrupted.abort();
        Ok(interrupted_at(&shared))
    }

    fn ended(&mut self, ended: Result<()>) {
        if let Err(error) = ended {
            self.protocol.push(format!("a producer ended: {error:#}"));
        }
    }

    fn read(&mut self, read: Result<bool>) {
        match read {
            Ok(true) => {}
            Ok(false) => self.shared.event("incomplete", "a consumer did not get everything in time"),
            Err(error) => self.protocol.push(format!("a consumer ended: {error:#}")),
        }
    }

    /// What consumers have to read up to: what was acknowledged, or what the service says if that is more.
    async fn ends(&mut self, service: &Service, patience: Duration) -> Arc<Finish> {
        let judges = &self.shared.judges;
        let acked: Vec<i64> = judges.logs().map(|log| judges.of(log).end().unwrap_or(0)).collect();
        let deadline = tokio::time::Instant::now() + patience;
        let stated = loop {
            let ends = service.client.ends(&self.shared.topics, self.shared.scenario.topics.partitions).await;
            match ends.and_then(all_there) {
                Ok(ends) => break ends,
                Err(error) if tokio::time::Instant::now() >= deadline => {
                    self.protocol.push(format!("the service does not say where its logs end: {error:#}"));
                    break acked.clone();
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
        for (log, (stated, acked)) in judges.logs().zip(stated.iter().zip(&acked)) {
            if stated < acked {
                self.wrong_ends.push(format!(
                    "the service says that {}/{} ends at {stated}, though offset {} was acknowledged before",
                    self.shared.topics[log.topic as usize],
                    log.partition,
                    acked - 1
                ));
            }
        }
        let ends = stated.iter().zip(&acked).map(|(stated, acked)| *stated.max(acked)).collect();
        Arc::new(Finish { ends, since_ns: self.shared.now_ns(), patience_ns: nanos(patience) })
    }

    /// A consumer that was there from the first record to the last.
    fn has_whole_reader(&self) -> bool {
        let kinds = &self.shared.scenario.consumers;
        self.consumers.iter().filter(|consumer| consumer.came.load(Ordering::Relaxed)).any(|consumer| {
            let kind = consumer.kind.and_then(|place| kinds.get(place));
            kind.is_some_and(|kind| kind.from == From::Earliest && kind.leave.is_none())
        })
    }

    async fn read_back(&mut self, service: &Service, finish: &Finish) -> Result<Result<bool>> {
        self.shared.event("read_back", "everything is read from the first record on");
        let (since_ns, patience_ns) = (self.shared.now_ns(), finish.patience_ns);
        let finish = Finish { ends: finish.ends.clone(), since_ns, patience_ns };
        self.shared.phase.send_modify(|phase| phase.finish = Some(Arc::new(finish)));
        let stats = Arc::new(ConsumerStats::new(None, self.shared.judges.logs().count()));
        self.consumers.push(stats.clone());
        let number = u32::try_from(self.consumers.len())?;
        let consumer = Consumer { number, name: "the reading at the end".into(), kind: whole(), stats };
        Ok(service.client.consume(&self.shared, consumer).await?)
    }

    fn judge(&self) -> Verdict {
        let mut verdict = Verdict::default();
        let judges = &self.shared.judges;
        for log in judges.logs() {
            verdict.merge(judges.of(log).finish());
        }
        if !self.consumers.iter().any(|consumer| consumer.came.load(Ordering::Relaxed)) {
            // What nobody looked for is not lost.
            verdict.findings.remove(&Kind::Lost);
            verdict.unchecked.push("Nobody read: acknowledgements alone were judged.".into());
        }
        verdict
    }

    async fn finish(
        mut self,
        plan: &Plan,
        service: &Service,
        machine: eagre_report::Machine,
        interrupted_s: Option<f64>,
        disk_bytes: Option<u64>,
        clock: RunClock,
    ) -> Result<RunResult> {
        let sampler = self.sampler.take().context("a run is finished once")?;
        let measured = spawn_blocking(move || sampler.finish()).await?;
        let verdict = self.judge();
        let written = record::write(&self.folder, &self.shared, plan.keep_topics);
        // What was judged is told even where it cannot be written down.
        let judged = || format!("the run was ended early; until then the judge found: {}", told(&verdict));
        let whole = measured.with_context(judged)?;
        written.with_context(judged)?;
        Ok(outcome::result(Found {
            scenario: self.shared.scenario.clone(),
            target: service.target.clone(),
            started_at_unix_ms: self.started_at_unix_ms,
            machine,
            whole,
            verdict,
            protocol: self.protocol,
            wrong_ends: self.wrong_ends,
            consumers: self.consumers,
            events: self.shared.events.all(),
            actions: self.actions.load(Ordering::Relaxed),
            interrupted_s,
            disk_bytes,
            is_charged: service.watched.is_charged(),
            clock_jump: clock.jump(),
            all_taken: !self.shared.left_behind.load(Ordering::Relaxed),
        }))
    }
}

/// Better now than after an hour. Fails when it cannot be asked for its logs for a while.
async fn wait_until_readable(client: &Client, topics: &[String], partitions: u32) -> Result<()> {
    let deadline = tokio::time::Instant::now() + READABLE;
    loop {
        match client.ends(topics, partitions).await.and_then(all_there) {
            Ok(_) => return Ok(()),
            Err(error) if tokio::time::Instant::now() >= deadline => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// What a judge found, in a line.
fn told(verdict: &Verdict) -> String {
    if verdict.is_clean() {
        return format!("nothing wrong with {} records acknowledged", verdict.counts.acked);
    }
    let kinds = verdict.findings.iter().map(|(kind, found)| format!("{} {}", found.count, kind.name()));
    kinds.collect::<Vec<_>>().join(", ")
}

fn interrupted_at(shared: &Shared) -> Option<f64> {
    let hurried_ns = shared.phase.borrow().hurried_ns?;
    Some(shared.seconds(hurried_ns))
}

/// A consumer that reads everything.
pub fn whole() -> Consumers {
    Consumers {
        count: 1,
        from: From::Earliest,
        join: Duration::ZERO,
        leave: None,
        restart_every: None,
        max_bytes_per_s: None,
    }
}

/// Events of the schedule.
fn mark(shared: &Shared) {
    for stage in shared.scenario.schedule.stages() {
        shared.events.add(Event { at: stage.at.as_secs_f64(), kind: "stage".into(), text: stage.name.clone() });
    }
    if !shared.scenario.warm_up.is_zero() {
        let at = f64::from(measured(&shared.scenario).0);
        shared.events.add(Event { at, kind: "warm_up".into(), text: "measured from here on".into() });
    }
}

fn consumers(shared: &Arc<Shared>) -> (Vec<Arc<ConsumerStats>>, Vec<Consumer>) {
    let (mut all, mut waiting) = (Vec::new(), Vec::new());
    let logs = shared.judges.logs().count();
    for (place, kind) in shared.scenario.consumers.iter().enumerate() {
        for number in 0..kind.count {
            let stats = Arc::new(ConsumerStats::new(Some(place), logs));
            all.push(stats.clone());
            let name = format!("consumer {} of kind {} ({})", number + 1, place + 1, outcome::name(kind));
            waiting.push(Consumer { number: u32::try_from(all.len()).unwrap_or(0), name, kind: kind.clone(), stats });
        }
    }
    (all, waiting)
}

fn join_later(shared: &Arc<Shared>, client: &Client, consumer: Consumer) -> JoinHandle<Result<bool>> {
    let (shared, client) = (shared.clone(), client.clone());
    tokio::spawn(async move {
        let join = consumer.kind.join;
        if !join.is_zero() {
            let mut phase = shared.phase.subscribe();
            tokio::select! {
                () = tokio::time::sleep_until(shared.instant(join)) => {}
                // The run ends before it comes.
                _ = phase.wait_for(|phase| phase.finish.is_some()) => return Ok(true),
            }
            shared.event("join", format!("a consumer comes: {}", outcome::name(&consumer.kind)));
        }
        client.consume(&shared, consumer).await?
    })
}

/// Ends the run early when it is told to.
async fn interruption(shared: Arc<Shared>, mut interrupt: Interrupt) {
    if interrupt.wait_for(|is_set| *is_set).await.is_err() {
        return std::future::pending().await;
    }
    shared.event("interrupt", "the run was interrupted");
    let now_ns = shared.now_ns();
    shared.phase.send_modify(|phase| phase.hurry(now_ns));
}

/// First second that is measured, and the first that is not any more.
fn measured(scenario: &Scenario) -> (u32, u32) {
    let warm_up = scenario.warm_up.as_secs_f64().ceil() as u32;
    (warm_up, scenario.schedule.duration().as_secs_f64().floor().max(1.0) as u32)
}

fn series(scenario: &Scenario, folder: &Folder, started_at_unix_ms: u64) -> Result<Series> {
    let schedule = scenario.schedule.clone();
    let mut mean_bytes = None;
    let mut sums = Counts::default();
    Series::begin(folder, started_at_unix_ms, measured(scenario), move |second, counts| {
        sums.add(counts);
        if sums.taken_records > 0 {
            mean_bytes = Some(sums.taken_bytes as f64 / sums.taken_records as f64);
        }
        let records = match schedule.unpaced() {
            // As fast as it goes: what was taken up is what was offered.
            Some(_) => counts.taken_records as f64,
            None => {
                let upto = |second: u32| schedule.offered(Duration::from_secs(second.into()));
                upto(second + 1) - upto(second)
            }
        };
        (records, records * mean_bytes.unwrap_or(0.0))
    })
}

/// Folder of a run when none was given: the scenario and when it began, below the current folder.
pub fn default_out(scenario: &Scenario, parent: &Path) -> PathBuf {
    let began_s = RunClock::start().now_ns() / 1_000_000_000;
    parent.join(format!("loadtest-{}-{began_s}", scenario.name))
}
