//! What one needs to do it again and to judge it: the scenario, the machine, versions, and what is not shown.

use crate::{
    format::{bytes, calendar, milliseconds, number, seconds},
    html::{escape, facts, paragraph, section, sentences},
    result::{Machine, Raw, RunResult},
};

/// All that was asked for.
pub fn scenario(result: &RunResult) -> String {
    let scenario = &result.scenario;
    let rows = [
        ("Name", Some(scenario.name.clone())),
        ("Seed", Some(scenario.seed.to_string())),
        ("Schedule", Some(seconds(scenario.seconds))),
        ("of it warm-up", Some(seconds(scenario.warm_up_s))),
    ];
    let inner = format!(
        "{}<div class=\"narrow-facts\">{}</div>\n<details>\n<summary>The whole scenario as TOML</summary>\n<pre>{}</pre>\n\
         </details>\n",
        if scenario.about.is_empty() { String::new() } else { paragraph("lead", &scenario.about) },
        facts(&rows),
        escape(&scenario.toml)
    );
    section("scenario", "Scenario", &inner)
}

/// The machine beside its raw rates, and the versions.
pub fn machine(result: &RunResult) -> String {
    let machine = &result.machine;
    let known = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let rows = [
        ("Processor", known(&machine.processor)),
        ("Cores", (machine.cores > 0).then(|| machine.cores.to_string())),
        ("Memory", (machine.memory_bytes > 0).then(|| bytes(machine.memory_bytes as f64))),
        ("Kernel", known(&machine.kernel)),
    ];
    let raw = machine.raw.as_ref().map_or_else(|| paragraph("quiet", "Not measured."), raw_rates);
    let started = if result.target.started_here { "by the load test, over a temporary folder" } else { "elsewhere" };
    let versions = [
        ("Load test", Some(result.version.clone())),
        ("Target", known(&result.target.name)),
        ("Kind", known(&result.target.kind)),
        ("Address", known(&result.target.address)),
        ("Started", Some(started.to_owned())),
        ("Run began", Some(calendar(result.started_at_unix_ms))),
    ];
    let inner = format!(
        "<div class=\"thirds\">\n<div><h3>Machine</h3>\n{}</div>\n<div><h3>Raw rates just before the run</h3>\n{raw}</div>\n\
         <div><h3>Versions</h3>\n{}</div>\n</div>\n",
        facts(&rows),
        facts(&versions)
    );
    section("machine", "Machine and versions", &inner)
}

fn raw_rates(raw: &Raw) -> String {
    facts(&[
        ("4 KiB and fdatasync, median", Some(milliseconds(raw.fdatasync_p50_ms))),
        ("4 KiB and fdatasync, 99 %", Some(milliseconds(raw.fdatasync_p99_ms))),
        ("8 MiB files, synced", Some(mib_s(raw.synced_write_mib_s))),
        ("Loopback, one connection", Some(mib_s(raw.loopback_mib_s))),
    ])
}

/// What must not be concluded.
pub fn not_shown(result: &RunResult) -> String {
    let inner = if result.not_shown.is_empty() {
        paragraph("quiet", "Nothing was noted.")
    } else {
        sentences("plain wide", &result.not_shown)
    };
    section("not-shown", "What this run does not show", &inner)
}

/// The last line.
pub fn footer(result: &RunResult) -> String {
    let words = format!(
        "eagre-loadtest {}, result format {}. This file loads nothing; all of its figures are in result.json beside it.",
        result.version, result.format
    );
    format!("<footer>{}</footer>\n", paragraph("quiet", &words))
}

/// What the target calls itself, or else where it is.
pub fn target_name(result: &RunResult) -> String {
    let target = &result.target;
    let name = if target.name.is_empty() { &target.kind } else { &target.name };
    if target.started_here { format!("{name}, started here") } else { format!("{name} at {}", target.address) }
}

/// A machine in a few words.
pub fn machine_name(machine: &Machine) -> String {
    let processor = if machine.processor.is_empty() { "unknown processor" } else { &machine.processor };
    format!("{} × {processor}, {}", machine.cores, bytes(machine.memory_bytes as f64))
}

/// Of a raw rate.
pub fn mib_s(value: f64) -> String {
    let text = number(value);
    format!("{text} MiB/s")
}
