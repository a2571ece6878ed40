//! CPU time and memory of a process, from `/proc`.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use tokio::task::JoinHandle;

use crate::report::{MIB, ServerUse};

/// What a process has used so far.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// User and system time of all its threads.
    pub cpu_s: f64,
    /// Outside of the kernel.
    pub user_cpu_s: f64,
    /// Its resident set now.
    pub rss_mib: f64,
}

/// Reads `/proc/<pid>`; `"self"` works too.
pub fn usage(pid: &str) -> Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("no process {pid}"))?;
    let Stat { user_ticks, system_ticks, rss_pages } =
        parse_stat(&stat).context("unexpected form of /proc/<pid>/stat")?;
    let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
    Ok(Usage {
        cpu_s: (user_ticks + system_ticks) as f64 / ticks_per_second,
        user_cpu_s: user_ticks as f64 / ticks_per_second,
        rss_mib: (rss_pages * rustix::param::page_size() as u64) as f64 / MIB,
    })
}

#[derive(Debug, PartialEq)]
struct Stat {
    user_ticks: u64,
    system_ticks: u64,
    rss_pages: u64,
}

/// Fields 14 and 15 (ticks in user and system mode) and 24 (resident pages).
fn parse_stat(stat: &str) -> Option<Stat> {
    // The second field is the command in parentheses and may hold spaces; field 3 follows.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Stat { user_ticks: number(14)?, system_ticks: number(15)?, rss_pages: number(24)? })
}

/// Watches a process while a load runs.
pub struct Watch {
    pid: String,
    samples: JoinHandle<()>,
    seen: std::sync::Arc<std::sync::Mutex<Vec<f64>>>,
    at_mark: Option<(Usage, tokio::time::Instant)>,
}

const SAMPLE_EVERY: Duration = Duration::from_millis(250);

impl Watch {
    /// Begins to sample the resident set.
    pub fn start(pid: String) -> Result<Self> {
        usage(&pid)?;
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let samples = tokio::spawn({
            let (pid, seen) = (pid.clone(), seen.clone());
            async move {
                let mut ticks = tokio::time::interval(SAMPLE_EVERY);
                while let Ok(usage) = usage(&pid) {
                    seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(usage.rss_mib);
                    ticks.tick().await;
                }
            }
        });
        Ok(Self { pid, samples, seen, at_mark: None })
    }

    /// CPU time is counted from here on.
    pub fn mark(&mut self) -> Result<()> {
        self.at_mark = Some((usage(&self.pid)?, tokio::time::Instant::now()));
        Ok(())
    }

    /// CPU time since the mark and the resident sets since the start, a sample of them so often.
    pub fn finish(self, series_every: Option<Duration>) -> Result<ServerUse> {
        self.samples.abort();
        let (before, since) = self.at_mark.context("the measured time never began")?;
        let after = usage(&self.pid)?;
        let cpu_s = after.cpu_s - before.cpu_s;
        let seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(ServerUse {
            cpu_s,
            user_cpu_s: after.user_cpu_s - before.user_cpu_s,
            cpu_percent: 100.0 * cpu_s / since.elapsed().as_secs_f64(),
            rss_max_mib: seen.iter().copied().fold(after.rss_mib, f64::max),
            rss_series_mib: match series_every {
                Some(every) => {
                    let step = usize::try_from(every.as_millis() / SAMPLE_EVERY.as_millis())?.max(1);
                    seen.iter().copied().step_by(step).map(f64::round).collect()
                }
                None => Vec::new(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_may_hold_spaces_and_parentheses() {
        let mut stat = String::from("12 (a b) c) S");
        for field in 4..=52 {
            stat.push_str(&format!(" {field}"));
        }
        assert_eq!(parse_stat(&stat), Some(Stat { user_ticks: 14, system_ticks: 15, rss_pages: 24 }));
    }

    #[test]
    fn this_process_uses_memory() {
        assert!(usage("self").unwrap().rss_mib > 1.0);
        assert!(usage("0").is_err());
    }
}
