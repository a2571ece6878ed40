//! Whether runs may be compared: what differs besides what was served.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    compare::letter,
    format::milliseconds,
    page::{machine_name, mib_s},
    result::{Raw, RunResult},
    standing::Standing,
};

/// Raw rates vary by this much between two minutes of one machine.
const RAW_FACTOR: f64 = 1.3;
/// Lines of a scenario that are quoted.
const QUOTED: usize = 6;

/// A sentence for everything that makes the comparison unfair. None: it is fair as far as the results tell.
pub fn differences(results: &[(String, RunResult)]) -> Vec<String> {
    let mut out = conditions(results);
    for (nth, (_, result)) in results.iter().enumerate() {
        let standing = Standing::of(result);
        if !standing.can_be_ranked() {
            out.push(format!("{} is {}: it is shown but not ranked.", letter(nth), standing.words().to_lowercase()));
        }
    }
    out
}

/// A sentence for everything that differs beside the service. None: values may be called better than others.
pub fn conditions(results: &[(String, RunResult)]) -> Vec<String> {
    let mut out = Vec::new();
    out.extend(scenario(results));
    out.extend(differing(results, "The seeds differ", |result| result.scenario.seed.to_string()));
    out.extend(differing(results, "The machines differ", |result| {
        format!("{}, kernel {}", machine_name(&result.machine), result.machine.kernel)
    }));
    out.extend(raw_rates(results));
    out.extend(differing(results, "The versions of the load test differ", |result| result.version.clone()));
    for (nth, (_, result)) in results.iter().enumerate() {
        if let Some(limit) = &result.client.limit {
            out.push(format!("In {} the load test was the limit: {limit}", letter(nth)));
        }
    }
    out
}

/// The values and who has them, when there is more than one.
fn differing(results: &[(String, RunResult)], what: &str, of: impl Fn(&RunResult) -> String) -> Option<String> {
    let mut who: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (nth, (_, result)) in results.iter().enumerate() {
        who.entry(of(result)).or_default().push(letter(nth));
    }
    if who.len() < 2 {
        return None;
    }
    let mut groups: Vec<String> = who.iter().map(|(value, runs)| format!("{} {value}", runs.join(", "))).collect();
    groups.sort();
    Some(format!("{what}: {}.", groups.join("; ")))
}

fn scenario(results: &[(String, RunResult)]) -> Vec<String> {
    if let Some(names) = differing(results, "The scenarios differ", |result| result.scenario.name.clone()) {
        return vec![names];
    }
    let Some((_, first)) = results.first() else { return Vec::new() };
    let lines = |result: &RunResult| -> BTreeSet<String> {
        let lines = result.scenario.toml.lines().map(str::trim);
        lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
    };
    let ours = lines(first);
    let mut out = Vec::new();
    for (nth, (_, other)) in results.iter().enumerate().skip(1) {
        let theirs = lines(other);
        let (only_ours, only_theirs): (Vec<&String>, Vec<&String>) =
            (ours.difference(&theirs).collect(), theirs.difference(&ours).collect());
        if only_ours.is_empty() && only_theirs.is_empty() {
            continue;
        }
        let quoted = |lines: &[&String]| {
            let some: Vec<&str> = lines.iter().take(QUOTED).map(|line| line.as_str()).collect();
            if some.is_empty() { "nothing".to_owned() } else { some.join(", ") }
        };
        out.push(format!(
            "The scenario was changed: A has {}; {} has {}.",
            quoted(&only_ours),
            letter(nth),
            quoted(&only_theirs)
        ));
    }
    out
}

fn raw_rates(results: &[(String, RunResult)]) -> Vec<String> {
    type Rate = (&'static str, fn(&Raw) -> f64, fn(f64) -> String);
    let rates: [Rate; 3] = [
        ("fdatasync, median", |raw| raw.fdatasync_p50_ms, milliseconds),
        ("synced writes", |raw| raw.synced_write_mib_s, mib_s),
        ("loopback", |raw| raw.loopback_mib_s, mib_s),
    ];
    let mut out = Vec::new();
    let missing: Vec<String> =
        (0..results.len()).filter(|nth| results[*nth].1.machine.raw.is_none()).map(letter).collect();
    if !missing.is_empty() {
        out.push(format!("Nobody knows what the machine gave at that time: no raw rates for {}.", missing.join(", ")));
    }
    for (name, of, show) in rates {
        let values: Vec<(usize, f64)> = results
            .iter()
            .enumerate()
            .filter_map(|(nth, (_, result))| Some((nth, of(result.machine.raw.as_ref()?))))
            .collect();
        let low = values.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min);
        let high = values.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        if high > low * RAW_FACTOR {
            let each: Vec<String> =
                values.iter().map(|(nth, value)| format!("{} {}", letter(*nth), show(*value))).collect();
            out.push(format!("The machine itself was not equally fast, {name}: {}.", each.join(", ")));
        }
    }
    out
}
