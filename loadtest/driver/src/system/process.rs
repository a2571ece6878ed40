//! CPU time and memory of a process, from `/proc`.

use std::fs;

use anyhow::{Context, Result};

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// User and system time of all its threads.
    pub cpu_s: f64,
    /// Its resident set now.
    pub rss_bytes: u64,
}

/// What it calls itself.
pub fn name(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned())
}

/// Reads `/proc/<pid>`; `"self"` works too.
pub fn usage(pid: &str) -> Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("no process {pid}"))?;
    let Stat { ticks, rss_pages } = parse_stat(&stat).context("unexpected form of /proc/<pid>/stat")?;
    Ok(Usage {
        cpu_s: ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
        rss_bytes: rss_pages * rustix::param::page_size() as u64,
    })
}

#[derive(Debug, PartialEq)]
struct Stat {
    ticks: u64,
    rss_pages: u64,
}

/// Fields 14 and 15 (ticks in user and system mode) and 24 (resident pages).
fn parse_stat(stat: &str) -> Option<Stat> {
    // The second field is the command in parentheses and may hold spaces; field 3 follows.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Stat { ticks: number(14)? + number(15)?, rss_pages: number(24)? })
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
        assert_eq!(parse_stat(&stat), Some(Stat { ticks: 29, rss_pages: 24 }));
    }

    #[test]
    fn this_process_uses_memory() {
        assert!(usage("self").unwrap().rss_bytes > 1 << 20);
        assert!(usage("0").is_err());
    }
}
