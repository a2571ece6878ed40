//! `verify`: reads back what a run has written, and judges it against the run's record.

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use eagre_verify::stream::{Kind, PartitionJudge, PartitionRecord, Settings, Verdict};
use eagre_workload::Scenario;
use tokio::{sync::watch, time::Instant};

use super::{note, say};
use crate::{
    cli::Verify,
    client::{Address, Client},
    clock::{RunClock, nanos},
    consume::{Consumer, stats::ConsumerStats},
    run::{
        execute::whole,
        metronome::Metronome,
        record::{self, Header},
        recorder::Recorder,
        shared::{Finish, Judges, Phase, Shared},
    },
};

/// A reading that gets nothing for so long is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// A topic that is missing for so long is gone.
const GONE: Duration = Duration::from_secs(3);

/// Reads everything, prints what is wrong.
pub async fn run(options: &Verify) -> Result<ExitCode> {
    let (header, records) = record::read(&options.dir)?;
    ensure!(
        header.topics_kept,
        "the topics of this run were deleted at its end: run with --keep-topics to read them back later"
    );
    let client = Client::connect(&Address::parse(Some(&options.target))?).await?;
    let shared = shared(&options.dir, header, &records)?;
    let ends = ends(&client, &shared).await.context("cannot ask for the topics of the run")?;
    let gone = ends.iter().filter(|end| end.is_none()).count();
    if gone > 0 {
        note(&format!("{gone} of {} partitions of the run are not there: what was in them counts as lost", ends.len()));
    }
    let ends: Vec<i64> = ends.into_iter().map(Option::unwrap_or_default).collect();
    note(&format!("reading {} records back", ends.iter().sum::<i64>()));
    let judges = &shared.judges;
    shared.phase.send_modify(|phase| {
        phase.finish = Some(Arc::new(Finish { ends, since_ns: shared.now_ns(), patience_ns: nanos(PATIENCE) }))
    });
    let stats = Arc::new(ConsumerStats::new(None, judges.logs().count()));
    let consumer = Consumer { number: 0, name: "the reading".into(), kind: whole(), stats };
    let is_complete = client.consume(&shared, consumer).await??;
    let mut verdict = Verdict::default();
    for log in judges.logs() {
        verdict.merge(judges.of(log).finish());
    }
    if !is_complete {
        note("not everything came in time: what is missing counts as lost");
    }
    tell(&verdict)
}

/// Where the logs end; `None` for those that are not there. Who has just started may not know of all yet, so that is believed only
/// when it stays so.
async fn ends(client: &Client, shared: &Shared) -> Result<Vec<Option<i64>>> {
    let deadline = Instant::now() + GONE;
    loop {
        let ends = client.ends(&shared.topics, shared.scenario.topics.partitions).await?;
        if ends.iter().all(Option::is_some) || Instant::now() >= deadline {
            return Ok(ends);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn shared(folder: &Path, header: Header, records: &[PartitionRecord]) -> Result<Arc<Shared>> {
    let toml = std::fs::read_to_string(folder.join("scenario.toml")).context("the run's scenario is missing")?;
    let mut scenario = Scenario::parse("run", &toml, &[], folder)?;
    scenario.topics.partitions = header.partitions;
    let judges = records.iter().map(|record| PartitionJudge::from_record(record, Settings::default()));
    let judges = judges.collect::<Result<Vec<_>, _>>()?;
    let clock = RunClock::start();
    let start_ns = clock.now_ns();
    let give_up_ns = start_ns + nanos(PATIENCE);
    Ok(Arc::new(Shared {
        run: header.run,
        start_ns,
        judges: Judges::of_records(judges, header.partitions),
        topics: header.topics,
        recorder: Recorder::new(start_ns, (0, 0)),
        metronome: Metronome::start(clock),
        phase: watch::Sender::new(Phase { stop_ns: start_ns, give_up_ns, finish: None, hurried_ns: None }),
        events: Default::default(),
        left_behind: false.into(),
        scenario,
    }))
}

fn tell(verdict: &Verdict) -> Result<ExitCode> {
    for kind in Kind::ALL {
        if let Some(found) = verdict.findings.get(&kind) {
            say(&format!("{}: {} ({})", kind.name(), found.count, kind.meaning()))?;
            for example in &found.examples {
                say(&format!("  {example}"))?;
            }
        }
    }
    for sentence in &verdict.unchecked {
        say(&format!("not checked: {sentence}"))?;
    }
    let counts = &verdict.counts;
    if verdict.is_clean() {
        let unknown = counts.unknown_visible + counts.unknown_absent;
        let unknown = if unknown == 0 {
            String::new()
        } else {
            format!("; {unknown} of unknown outcome, {} of them there", counts.unknown_visible)
        };
        say(&format!("right: {} records acknowledged then, all there now, once, in order{unknown}", counts.acked))?;
        return Ok(ExitCode::SUCCESS);
    }
    let kinds: Vec<_> =
        verdict.findings.iter().map(|(kind, found)| format!("{} {}", found.count, kind.name())).collect();
    say(&format!("wrong: {} of {} records acknowledged then", kinds.join(", "), counts.acked))?;
    Ok(ExitCode::from(1))
}
