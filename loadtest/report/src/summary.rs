//! One screen of a terminal.

use crate::{
    format::{NONE, bytes, bytes_per_second_as, count, counted, dollars, milliseconds, number, percent, seconds},
    page::target_name,
    result::{Distribution, RunResult},
    standing::Standing,
};

const COLUMNS: usize = 100;
const LINES: usize = 24;
/// Of the names at the left.
const INDENT: usize = 13;

/// At most 24 lines of 100 columns without colour codes, the verdict first. Ends with a line feed.
pub fn summary(result: &RunResult) -> String {
    let standing = Standing::of(result);
    let mut lines = Vec::new();
    wrapped(&mut lines, &standing.words().to_uppercase(), &result.verdict.sentence, 3);
    lines.push(String::new());
    named(&mut lines, "Scenario", &scenario(result));
    named(&mut lines, "Target", &target_name(result));
    rates(&mut lines, result);
    lines.push(String::new());
    latencies(&mut lines, result);
    lines.push(String::new());
    wrapped(&mut lines, "Checked", &standing.checked(result), 2);
    bounds(&mut lines, result);
    named(&mut lines, "Server", &server(result));
    named(&mut lines, "Load test", &client(result));
    wrapped(&mut lines, "Money", &money(result), 2);
    if !result.not_shown.is_empty() {
        let many = counted(result.not_shown.len() as u64, "limit", "limits");
        named(&mut lines, "Not shown", &format!("{many} of what this run shows: see the report"));
    }
    lines.truncate(LINES);
    let mut out = lines.join("\n");
    out.push('\n');
    out
}

fn scenario(result: &RunResult) -> String {
    let scenario = &result.scenario;
    let (all, warm_up) = (seconds(scenario.seconds), seconds(scenario.warm_up_s));
    format!("{}, seed {}, {all} of which {warm_up} warm-up", scenario.name, scenario.seed)
}

fn rates(lines: &mut Vec<String>, result: &RunResult) {
    let totals = &result.totals;
    let rate = |records: u64, bytes: u64| {
        if totals.seconds > 0.0 {
            let (bytes, records) = (bytes as f64 / totals.seconds, records as f64 / totals.seconds);
            // Both in the unit of what was asked, so that they can be compared at a glance.
            let bytes = bytes_per_second_as(bytes, totals.offered_bytes as f64 / totals.seconds);
            format!("{bytes:>12} {:>14}", format!("{} rec/s", number(records)))
        } else {
            NONE.to_owned()
        }
    };
    named(lines, "Asked", &rate(totals.offered_records, totals.offered_bytes));
    let share = percent(totals.acked_records, totals.offered_records);
    named(lines, "Served", &format!("{}  {share} of what was asked", rate(totals.acked_records, totals.acked_bytes)));
    let troubles = [
        ("refused", totals.refused),
        ("sent again", totals.retried),
        ("throttled", totals.throttled),
        ("reconnects", totals.reconnects),
        ("given up", totals.failed_records),
        ("unknown", totals.unknown_records),
    ];
    let troubles: Vec<String> =
        troubles.iter().filter(|(_, many)| *many > 0).map(|(name, many)| format!("{name} {}", count(*many))).collect();
    let troubles =
        if troubles.is_empty() { "nothing refused, sent again or given up".to_owned() } else { troubles.join(", ") };
    named(lines, "", &troubles);
}

fn latencies(lines: &mut Vec<String>, result: &RunResult) {
    let row = |cells: [&str; 5]| cells.iter().map(|cell| format!("{cell:>12}")).collect::<String>();
    named(lines, "Latency", &row(["50 %", "90 %", "99 %", "99.9 %", "max"]));
    let latency = &result.latency;
    let kinds =
        [("  ack", &latency.ack), ("  end to end", &latency.end_to_end), ("  first rec.", &latency.first_record)];
    for (name, some) in kinds {
        let Some(Distribution { p50, p90, p99, p999, max, .. }) = some else { continue };
        let [p50, p90, p99, p999, max] = [p50, p90, p99, p999, max].map(|value| milliseconds(*value));
        named(lines, name, &row([&p50, &p90, &p99, &p999, &max]));
    }
}

fn bounds(lines: &mut Vec<String>, result: &RunResult) {
    let broken: Vec<String> = result
        .bounds
        .iter()
        .filter(|bound| !bound.held)
        .map(|bound| format!("{}: asked {}, seen {}", bound.name, bound.asked, bound.seen))
        .collect();
    let all = result.bounds.len();
    match (all, broken.is_empty()) {
        (0, _) => named(lines, "Bounds", "none asked"),
        (_, true) => named(lines, "Bounds", &format!("all {all} held")),
        (_, false) => {
            wrapped(lines, "Bounds", &format!("{} of {all} broken: {}", broken.len(), broken.join("; ")), 2);
        }
    }
}

fn server(result: &RunResult) -> String {
    let Some(server) = &result.server else { return "not watched".to_owned() };
    let parts = [
        server.cpu_s_per_gib.map(|cpu| format!("{} CPU-s/GiB", number(cpu))),
        server.requests_per_gib.map(|many| format!("{} requests/GiB", number(many))),
        server.rss_max_bytes.map(|memory| format!("{} memory", bytes(memory as f64))),
        server.disk_bytes.map(|disk| format!("{} disk", bytes(disk as f64))),
        (server.restarts > 0).then(|| counted(server.restarts, "restart", "restarts")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "not watched".to_owned() } else { parts.join(", ") }
}

fn client(result: &RunResult) -> String {
    let client = &result.client;
    let used = format!("{} CPU-s/GiB, {} memory", number(client.cpu_s_per_gib), bytes(client.rss_max_bytes as f64));
    match (&client.limit, client.limited_seconds) {
        (Some(limit), _) => format!("{limit} ({used})"),
        (None, 0) => format!("{used}, never the limit"),
        (None, late) => format!("{used}, late in {}", counted(late, "second", "seconds")),
    }
}

fn money(result: &RunResult) -> String {
    let Some(cost) = &result.cost else { return "requests to a bucket were not counted".to_owned() };
    let figures = format!("{} per GiB, {} a month at this rate", dollars(cost.per_gib_usd), dollars(cost.month_usd));
    let sheet = if cost.sheet.is_empty() { String::new() } else { format!(" ({})", cost.sheet) };
    format!("{figures}{sheet}")
}

fn named(lines: &mut Vec<String>, name: &str, text: &str) {
    wrapped(lines, name, text, 1);
}

/// A name and a text of at most so many lines, broken between words.
fn wrapped(lines: &mut Vec<String>, name: &str, text: &str, most: usize) {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.chars().map(visible).collect();
    let name: String = name.chars().map(visible).collect();
    // A long word, such as that of a partial run that is incorrect too, stands on the text's own line.
    let mut line = format!("{name:<INDENT$}");
    if name.chars().count() >= INDENT {
        line.push(' ');
    }
    let mut used = 1;
    // The spaces before the first word and between columns are kept while everything fits on the line.
    if line.chars().count() + text.chars().count() <= COLUMNS {
        lines.push((line + &text).trim_end().to_owned());
        return;
    }
    let mut at_start = true;
    for word in text.split_whitespace() {
        let next = line.chars().count() + usize::from(!at_start) + word.chars().count();
        if next > COLUMNS && used == most {
            lines.push(clipped(&format!("{line} {word}")));
            return;
        }
        if next > COLUMNS && !at_start {
            lines.push(clipped(&line));
            line = " ".repeat(INDENT);
            at_start = true;
            used += 1;
        }
        if !at_start {
            line.push(' ');
        }
        line.push_str(word);
        at_start = false;
    }
    lines.push(clipped(&line));
}

fn clipped(line: &str) -> String {
    if line.chars().count() <= COLUMNS {
        return line.to_owned();
    }
    line.chars().take(COLUMNS - 1).collect::<String>() + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_wrapped_and_then_cut() {
        let mut lines = Vec::new();
        wrapped(&mut lines, "Name", &"word ".repeat(60), 2);
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS), "{lines:?}");
        assert!(lines[1].starts_with("             word") && lines[1].ends_with('…'), "{lines:?}");
    }

    #[test]
    fn one_endless_word_is_cut() {
        let mut lines = Vec::new();
        wrapped(&mut lines, "Name", &"x".repeat(500), 3);
        assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS), "{lines:?}");
    }
}
