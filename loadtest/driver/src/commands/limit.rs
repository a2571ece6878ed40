//! `find-limit`: the highest rate at which a bound holds, by doubling and then halving the distance.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use bytesize::ByteSize;
use eagre_report::{Outcome, RunResult};
use eagre_workload::{Flags, from_flags};
use serde::Serialize;
use tokio::sync::watch;

use super::{load, note, run::write, say};
use crate::{
    cli::FindLimit,
    clock::RunClock,
    run::{
        execute::{Plan, Ran, execute},
        files::write_whole,
    },
    system::MIB,
};

/// Rates that are this close to each other are the same.
const CLOSE: f64 = 1.06;

/// One rate.
#[derive(Debug, Clone, Serialize)]
struct Step {
    rate_bytes_s: u64,
    held: bool,
    served: f64,
    ack_p50_ms: Option<f64>,
    ack_p99_ms: Option<f64>,
    end_to_end_p99_ms: Option<f64>,
    acked_bytes_s: f64,
    client_was_the_limit: bool,
    dir: PathBuf,
}

/// Tries rates, prints each, and the limit.
pub async fn run(options: &FindLimit, told: &watch::Sender<bool>) -> Result<ExitCode> {
    let bound = Bound::parse(&options.bound)?;
    let (from, upto) = (bytes("--from", &options.from)?, bytes("--upto", &options.upto)?);
    let out = options
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("loadtest-limit-{}", RunClock::start().now_ns() / 1_000_000_000)));
    let mut search = Search::new(from as f64, upto as f64);
    let mut steps: Vec<Step> = Vec::new();
    let mut raw = None;
    while let Some(rate) = search.next() {
        let dir = out.join(format!("{:03}-{:.1}MiB", steps.len() + 1, rate / MIB));
        let plan = Plan { raw, ..plan(options, rate as u64, &dir)? };
        let Ran { result, .. } = execute(plan, told.subscribe()).await?;
        write(&dir, &result)?;
        raw = result.machine.raw;
        match result.verdict.outcome {
            Outcome::Incorrect => bail!("{} See {}", result.verdict.sentence, dir.display()),
            Outcome::Partial => return Ok(ExitCode::from(130)),
            Outcome::Passed | Outcome::BoundBroken => {}
        }
        let step = step(&bound, rate, &result, dir);
        say(&told_of(&step))?;
        search.tell(step.held);
        steps.push(step);
        steps.sort_by_key(|step| step.rate_bytes_s);
        write_whole(&out.join("limit.json"), &serde_json::to_string_pretty(&steps)?)?;
    }
    say(&format!("{}", out.join("limit.json").display()))?;
    match steps.iter().rev().find(|step| step.held) {
        Some(step) => {
            let most = if search.is_open() { ", the highest rate that was to be tried" } else { "" };
            say(&format!("{} holds up to {:.1} MiB/s{most}", options.bound, step.rate_bytes_s as f64 / MIB))?;
            Ok(ExitCode::SUCCESS)
        }
        None => {
            note(&format!(
                "{} does not even hold at {:.2} MiB/s: give a lower --from",
                options.bound,
                from as f64 / MIB
            ));
            Ok(ExitCode::from(1))
        }
    }
}

fn bytes(option: &str, text: &str) -> Result<u64> {
    let bytes =
        text.parse::<ByteSize>().map_err(|_| anyhow::anyhow!("{option} {text}: it is bytes a second, such as 4MiB"))?;
    if bytes.as_u64() == 0 {
        bail!("{option} begins at one byte a second");
    }
    Ok(bytes.as_u64())
}

fn plan(options: &FindLimit, rate: u64, out: &Path) -> Result<Plan> {
    let warm_up = options.seconds.div_ceil(4);
    let flags = Flags {
        rate: format!("{rate}B"),
        record: options.record.clone(),
        seconds: (options.seconds + warm_up).to_string(),
        producers: options.producers,
        consumers: 1,
        topics: 1,
        partitions: options.partitions,
        connections: Some(options.producers.min(4)),
    };
    let scenario = from_flags(&flags, &[("warm_up".to_owned(), format!("{warm_up}s"))])?;
    load::plan(scenario, &options.target, Some(out))
}

/// What has to hold.
struct Bound {
    what: &'static str,
    most_ms: f64,
}

impl Bound {
    fn parse(text: &str) -> Result<Self> {
        let accepted = || format!("--bound {text}: it is p50=TIME, p99=TIME or end-to-end=TIME, such as p99=100ms");
        let (what, most) = text.split_once('=').with_context(accepted)?;
        let what = ["p50", "p99", "end-to-end"].into_iter().find(|known| *known == what).with_context(accepted)?;
        let most: Duration = most.parse::<humantime::Duration>().with_context(accepted)?.into();
        Ok(Self { what, most_ms: most.as_secs_f64() * 1e3 })
    }

    fn holds(&self, result: &RunResult) -> bool {
        let seen = match self.what {
            "p50" => result.latency.ack.as_ref().map(|ack| ack.p50),
            "p99" => result.latency.ack.as_ref().map(|ack| ack.p99),
            _ => result.latency.end_to_end.as_ref().map(|times| times.p99),
        };
        seen.is_some_and(|ms| ms <= self.most_ms)
    }
}

fn step(bound: &Bound, rate: f64, result: &RunResult, dir: PathBuf) -> Step {
    let totals = &result.totals;
    let served = totals.acked_records as f64 / totals.offered_records.max(1) as f64;
    Step {
        rate_bytes_s: rate as u64,
        // Among the bounds of every run is that nearly everything was served.
        held: bound.holds(result) && result.bounds.iter().all(|bound| bound.held),
        served,
        ack_p50_ms: result.latency.ack.as_ref().map(|ack| ack.p50),
        ack_p99_ms: result.latency.ack.as_ref().map(|ack| ack.p99),
        end_to_end_p99_ms: result.latency.end_to_end.as_ref().map(|times| times.p99),
        acked_bytes_s: totals.acked_bytes as f64 / totals.seconds.max(1.0),
        client_was_the_limit: result.client.limit.is_some(),
        dir,
    }
}

fn told_of(step: &Step) -> String {
    let ms = |ms: Option<f64>| ms.map_or("-".to_owned(), |ms| format!("{ms:.1}"));
    format!(
        "{:>9.1} MiB/s  {:<5} ack p50 {} p99 {} ms, end to end p99 {} ms, served {:.1} %{}",
        step.rate_bytes_s as f64 / MIB,
        if step.held { "holds" } else { "NOT" },
        ms(step.ack_p50_ms),
        ms(step.ack_p99_ms),
        ms(step.end_to_end_p99_ms),
        step.served * 100.0,
        if step.client_was_the_limit { "; the client was the limit" } else { "" },
    )
}

/// Which rate to try next.
struct Search {
    lowest: f64,
    highest: f64,
    good: Option<f64>,
    bad: Option<f64>,
    trying: f64,
    is_begun: bool,
}

impl Search {
    fn new(from: f64, upto: f64) -> Self {
        Self { lowest: from / 64.0, highest: upto.max(from), good: None, bad: None, trying: from, is_begun: false }
    }

    fn next(&mut self) -> Option<f64> {
        if !std::mem::replace(&mut self.is_begun, true) {
            return Some(self.trying);
        }
        self.trying = match (self.good, self.bad) {
            (Some(good), _) if good >= self.highest => return None,
            (Some(good), None) => (good * 2.0).min(self.highest),
            (None, Some(bad)) if bad / 4.0 < self.lowest => return None,
            (None, Some(bad)) => bad / 4.0,
            (Some(good), Some(bad)) if bad / good <= CLOSE => return None,
            (Some(good), Some(bad)) => (good * bad).sqrt(),
            (None, None) => return None,
        };
        Some(self.trying)
    }

    fn tell(&mut self, held: bool) {
        if held {
            self.good = Some(self.good.map_or(self.trying, |good| good.max(self.trying)));
        } else {
            self.bad = Some(self.bad.map_or(self.trying, |bad| bad.min(self.trying)));
        }
    }

    /// No rate was found at which it does not hold.
    fn is_open(&self) -> bool {
        self.bad.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(from: f64, upto: f64, limit: f64) -> (Option<f64>, usize) {
        let mut search = Search::new(from, upto);
        let mut steps = 0;
        while let Some(rate) = search.next() {
            search.tell(rate <= limit);
            steps += 1;
            assert!(steps < 40, "it ends");
        }
        (search.good, steps)
    }

    #[test]
    fn the_limit_is_found_from_below_and_from_above() {
        for (from, limit) in [(4.0, 100.0), (4.0, 4.5), (400.0, 90.0), (1.0, 777.0)] {
            let (good, steps) = search(from, 1e6, limit);
            let good = good.unwrap();
            assert!(good <= limit && good * CLOSE >= limit, "{from} {limit}: {good}");
            assert!(steps <= 16, "{steps}");
        }
    }

    #[test]
    fn no_limit_and_no_rate_that_holds_end_as_well() {
        assert_eq!(search(4.0, 64.0, 1e9).0, Some(64.0));
        assert_eq!(search(4.0, 64.0, 0.0).0, None);
    }

    #[test]
    fn bounds_are_read_and_others_refused() {
        assert_eq!(Bound::parse("p99=100ms").unwrap().most_ms, 100.0);
        for wrong in ["p99", "p98=1ms", "p99=fast", ""] {
            assert!(Bound::parse(wrong).err().unwrap().to_string().contains("such as p99=100ms"), "{wrong}");
        }
    }
}
