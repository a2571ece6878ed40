//! The first screen: the verdict, what was asked, what was served, how late, for how much money.

use crate::{
    format::{
        NONE, bytes_per_second, bytes_per_second_as, calendar, count, counted, dollars, milliseconds, number, percent,
        seconds,
    },
    html::{escape, facts, paragraph},
    page::{
        facts::target_name,
        timeline::{any, ran_to},
    },
    result::{Outcome, RunResult},
    standing::Standing,
};

/// Stays in sight while the page is scrolled, of a run that nobody may take for a whole or a correct one. In print the
/// margin of every sheet says it.
pub fn strip(result: &RunResult, standing: Standing) -> String {
    let mut words = Vec::new();
    if standing.outcome == Outcome::Incorrect {
        words.push("Incorrect run: none of its figures may be quoted".to_owned());
    }
    if standing.partial {
        let at = result
            .events
            .iter()
            .find(|event| event.kind == "interrupt")
            .map_or_else(|| ran_to(result), |event| event.at);
        let (ran, all) = (seconds(at.round()), seconds(result.scenario.seconds));
        words.push(format!("Partial run: interrupted after {ran} of {all}"));
    }
    if words.is_empty() {
        return String::new();
    }
    let class = if standing.outcome == Outcome::Incorrect { "incorrect" } else { "partial" };
    format!("<div class=\"strip {class}\" role=\"status\">{}</div>\n", escape(&words.join(" · ")))
}

/// All of the first screen.
pub fn masthead(result: &RunResult, standing: Standing) -> String {
    let scenario = &result.scenario;
    let about = if scenario.about.is_empty() { String::new() } else { paragraph("about", &scenario.about) };
    format!(
        "<header>\n<div class=\"kicker\"><p><b>Load test</b> {}</p><p>{}</p></div>\n\
         <div class=\"verdict {}\">\n<p class=\"stamp\">{}{}</p>\n<h1>{}</h1>\n{}</div>\n{about}\
         <div class=\"cells\">\n{}{}{}{}</div>\n</header>\n",
        escape(&scenario.name),
        escape(&format!("{}, {}", target_name(result), calendar(result.started_at_unix_ms))),
        standing.class(),
        sign(standing.outcome),
        escape(&standing.words()),
        escape(&result.verdict.sentence),
        paragraph("checked", &standing.checked(result)),
        asked(result),
        served(result),
        late(result),
        money(result),
    )
}

/// A shape for each outcome, so that none needs its colour.
fn sign(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => {
            "<svg viewBox=\"0 0 20 20\" aria-hidden=\"true\"><circle cx=\"10\" cy=\"10\" r=\"9\"/>\
             <path d=\"M5.5 10.5l3 3 6-7\"/></svg>"
        }
        Outcome::BoundBroken => {
            "<svg viewBox=\"0 0 20 20\" aria-hidden=\"true\"><path class=\"body\" d=\"M10 1.5l9 16.5H1z\"/>\
             <path d=\"M10 7.5v5M10 14.6v.8\"/></svg>"
        }
        Outcome::Incorrect => {
            "<svg viewBox=\"0 0 20 20\" aria-hidden=\"true\"><path class=\"body\" d=\"M6 1h8l5 5v8l-5 5H6l-5-5V6z\"/>\
             <path d=\"M6.5 6.5l7 7M13.5 6.5l-7 7\"/></svg>"
        }
        Outcome::Partial => {
            "<svg viewBox=\"0 0 20 20\" aria-hidden=\"true\"><rect x=\"1\" y=\"1\" width=\"18\" height=\"18\" rx=\"3\"/>\
             <path d=\"M7.5 6v8M12.5 6v8\"/></svg>"
        }
    }
}

fn asked(result: &RunResult) -> String {
    let (totals, scenario) = (&result.totals, &result.scenario);
    let peak = result.series.iter().map(|point| point.offered_bytes_s).fold(0.0, f64::max);
    let rows = [
        ("Records, measured", Some(count(totals.offered_records))),
        ("A second", Some(rate(totals.offered_records as f64, totals.seconds))),
        ("Peak", any(result, |point| point.offered_bytes_s).then(|| bytes_per_second(peak))),
        ("Measured", Some(seconds(totals.seconds))),
        ("Warm-up before", Some(seconds(scenario.warm_up_s))),
        ("Bounds held", bounds_held(result)),
        ("Stages", (scenario.stages.len() > 1).then(|| scenario.stages.len().to_string())),
    ];
    cell("Asked", &mean_rate(totals.offered_bytes, totals.seconds), "on average", &rows)
}

fn bounds_held(result: &RunResult) -> Option<String> {
    let held = result.bounds.iter().filter(|bound| bound.held).count();
    (!result.bounds.is_empty()).then(|| format!("{held} of {}", result.bounds.len()))
}

fn served(result: &RunResult) -> String {
    let totals = &result.totals;
    let some = |value: u64, one: &str, many: &str| (value > 0).then(|| counted(value, one, many));
    let rows = [
        ("Of what was asked", Some(percent(totals.acked_records, totals.offered_records))),
        ("Read", Some(mean_rate(totals.read_bytes, totals.seconds))),
        ("Refused", Some(counted(totals.refused, "batch", "batches"))),
        ("Sent again", some(totals.retried, "batch", "batches")),
        ("Given up", some(totals.failed_records, "record", "records")),
        ("Unknown", some(totals.unknown_records, "record", "records")),
    ];
    let rate = |bytes: u64| bytes as f64 / totals.seconds;
    let served = match totals.seconds {
        0.0 => NONE.to_owned(),
        // In the unit of what was asked.
        _ => bytes_per_second_as(rate(totals.acked_bytes), rate(totals.offered_bytes)),
    };
    cell("Served", &served, "acknowledged", &rows)
}

fn late(result: &RunResult) -> String {
    let ack = result.latency.ack.as_ref();
    let end_to_end = result.latency.end_to_end.as_ref();
    let of = |value: Option<f64>| value.map(milliseconds);
    let rows = [
        ("Read, 99 %", of(end_to_end.map(|read| read.p99))),
        ("Read, median", of(end_to_end.map(|read| read.p50))),
        ("Median", of(ack.map(|ack| ack.p50))),
        ("99.9 %", of(ack.map(|ack| ack.p999))),
        ("Longest", of(ack.map(|ack| ack.max))),
    ];
    cell("Latency", &ack.map_or(NONE.to_owned(), |ack| milliseconds(ack.p99)), "99 % acknowledged within", &rows)
}

fn money(result: &RunResult) -> String {
    let server = result.server.as_ref();
    let work = [
        ("CPU per GiB", server.and_then(|server| server.cpu_s_per_gib).map(|cpu| format!("{} s", number(cpu)))),
        ("Requests per GiB", server.and_then(|server| server.requests_per_gib).map(number)),
    ];
    let Some(cost) = &result.cost else {
        let [cpu, requests] = work;
        return cell("Money", "not counted", "requests to a bucket were not seen", &[cpu, requests]);
    };
    let [cpu, requests] = work;
    let rows = [
        ("A month at this rate", Some(dollars(cost.month_usd))),
        requests,
        cpu,
        ("Prices", Some(cost.sheet.clone()).filter(|sheet| !sheet.is_empty())),
    ];
    cell("Money", &dollars(cost.per_gib_usd), "for the requests of a GiB", &rows)
}

fn cell(heading: &str, figure: &str, of: &str, rows: &[(&str, Option<String>)]) -> String {
    let (digits, unit) =
        figure.split_once(' ').filter(|(digits, _)| digits.starts_with(is_digit)).unwrap_or((figure, ""));
    let unit = if unit.is_empty() { String::new() } else { format!("<small>{}</small>", escape(unit)) };
    let class = if figure.starts_with(is_digit) { "figure" } else { "figure words" };
    let heading = escape(heading);
    format!(
        "<section class=\"cell\"><div class=\"top\"><h2>{heading}</h2>\n<p class=\"{class}\">{} {unit}</p>\n{}</div>\n\
         <div class=\"rest\" data-name=\"{heading}\">{}</div></section>\n",
        escape(digits),
        paragraph("of", of),
        facts(rows)
    )
}

fn is_digit(character: char) -> bool {
    character.is_ascii_digit() || character == '$'
}

/// Bytes over a time as a rate.
fn mean_rate(bytes: u64, over_s: f64) -> String {
    if over_s > 0.0 { bytes_per_second(bytes as f64 / over_s) } else { NONE.to_owned() }
}

fn rate(things: f64, over_s: f64) -> String {
    if over_s > 0.0 { number(things / over_s) } else { NONE.to_owned() }
}
