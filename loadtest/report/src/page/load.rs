//! What was wanted and what was done, what was read and what was left to read, and what was refused.

use crate::{
    chart::{Chart, Look, Room},
    format::{Quantity, bytes, count, counted, percent},
    html::{facts, paragraph, section},
    page::timeline::{Timeline, any, line},
    result::RunResult,
};

/// Rates over time.
pub fn offered_and_served(result: &RunResult, timeline: &Timeline) -> String {
    let mut asked = line(result, "offered", Look::Asked, |point| Some(point.offered_bytes_s));
    asked.filled = true;
    let lines = vec![asked, line(result, "served", Look::Main, |point| Some(point.acked_bytes_s))];
    let about = "values a second, wanted by the schedule and acknowledged";
    let chart = Chart::over_time("Rate", about, timeline.end, Quantity::BytesPerSecond).with_lines(lines).with_hover();
    let totals = &result.totals;
    let rows = [
        ("Records offered", Some(count(totals.offered_records))),
        ("Records acknowledged", Some(count(totals.acked_records))),
        ("Share", Some(percent(totals.acked_records, totals.offered_records))),
        ("Values offered", Some(bytes(totals.offered_bytes as f64))),
        ("Values acknowledged", Some(bytes(totals.acked_bytes as f64))),
        ("Given up", Some(counted(totals.failed_records, "record", "records"))),
        ("Unknown outcome", Some(counted(totals.unknown_records, "record", "records"))),
    ];
    let inner = format!(
        "<div class=\"beside\">\n<div>\n{}</div>\n<aside>\n<h3>In the measured time</h3>\n{}</aside>\n</div>\n",
        timeline.dress(chart, true).figure(Room::Tall),
        facts(&rows)
    );
    section("rate", "Offered against served", &inner)
}

/// Reading, lag and refusals over time. What never happened is a sentence and not an empty chart.
pub fn reading_and_refusals(result: &RunResult, timeline: &Timeline) -> String {
    let totals = &result.totals;
    let read = if any(result, |point| point.read_bytes_s) {
        let mut read = line(result, "", Look::Main, |point| Some(point.read_bytes_s));
        read.filled = true;
        let about = "values a second, all consumers together";
        let chart = Chart::over_time("Read", about, timeline.end, Quantity::BytesPerSecond).with_lines(vec![read]);
        timeline.dress(chart.with_hover(), false).figure(Room::Half)
    } else {
        nothing("Read", "Nothing was read while the run went on.")
    };
    let lag = if any(result, |point| point.lag_records) {
        let mut lag = line(result, "", Look::Main, |point| Some(point.lag_records));
        lag.filled = true;
        let about = "records, of the slowest consumer that follows";
        let chart = Chart::over_time("Consumer lag", about, timeline.end, Quantity::Count).with_lines(vec![lag]);
        timeline.dress(chart.with_hover(), false).figure(Room::Half)
    } else {
        nothing("Consumer lag", "No consumer that follows was behind at the end of any second.")
    };
    let happened = any(result, |point| point.refused_s)
        || any(result, |point| point.retried_s)
        || any(result, |point| point.throttled_s);
    let refused = if happened {
        let lines = vec![
            line(result, "throttled", Look::Third, |point| Some(point.throttled_s)),
            line(result, "sent again", Look::Second, |point| Some(point.retried_s)),
            line(result, "refused", Look::Bad, |point| Some(point.refused_s)),
        ];
        let about = "batches, and answers asking for a pause";
        let chart = Chart::over_time("Refused and retried", about, timeline.end, Quantity::PerSecond).with_lines(lines);
        timeline.dress(chart.with_hover(), false).figure(Room::Half)
    } else {
        nothing("Refused and retried", "Nothing was refused, sent again or throttled.")
    };
    let rows = [
        ("Records read", Some(count(totals.read_records))),
        ("Values read", Some(bytes(totals.read_bytes as f64))),
        ("Batches refused", Some(count(totals.refused))),
        ("Batches sent again", Some(count(totals.retried))),
        ("Answers asking for a pause", Some(count(totals.throttled))),
        ("Connections opened again", Some(count(totals.reconnects))),
    ];
    let sums = format!("<div class=\"sums\">\n<h3>In the measured time</h3>\n{}</div>\n", facts(&rows));
    section("reading", "Reading and refusals", &format!("<div class=\"pair\">\n{read}{lag}{refused}{sums}</div>\n"))
}

/// Stands where a chart would be.
pub fn nothing(title: &str, sentence: &str) -> String {
    format!("<div class=\"nothing\">\n<p><strong>{title}</strong></p>\n{}</div>\n", paragraph("quiet", sentence))
}
