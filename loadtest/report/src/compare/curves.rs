//! The curves of all runs over each other, each named by its letter.

use crate::{
    chart::{Chart, Line, Look, Room},
    compare::letter,
    format::Quantity,
    html::{paragraph, section},
    page::percentile_chart,
    result::{Distribution, Latencies, Point, RunResult},
};

/// Distributions, then latency and rate over time.
pub fn curves(results: &[(String, RunResult)]) -> String {
    let p99 = |point: &Point| Some(point.ack.filter(|ack| ack.count > 0)?.p99);
    let about = "99 % of the records due in a second were acknowledged within";
    let late = over_time(results, "99 % over time", about, Quantity::Milliseconds, p99);
    let about = "values acknowledged a second";
    let rate = over_time(results, "Rate over time", about, Quantity::BytesPerSecond, |point| Some(point.acked_bytes_s));
    let distributions = [
        distribution(results, "Acknowledged, by percentile", |latency| latency.ack.as_ref()),
        distribution(results, "Read end to end, by percentile", |latency| latency.end_to_end.as_ref()),
    ];
    let inner = format!(
        "<div class=\"pair\">\n{}{late}{rate}</div>\n{}",
        distributions.concat(),
        paragraph("quiet", "Every further nine has the same width. Curves end where the figures of their run end.")
    );
    section("curves", "Curves", &inner)
}

fn distribution(
    results: &[(String, RunResult)],
    title: &str,
    of: impl Fn(&Latencies) -> Option<&Distribution>,
) -> String {
    let curves: Vec<(String, Look, &Distribution)> = results
        .iter()
        .enumerate()
        .filter_map(|(nth, (_, result))| {
            Some((letter(nth), Look::Run(nth), of(&result.latency).filter(|some| some.count > 0)?))
        })
        .collect();
    percentile_chart(title, &curves).map_or_else(String::new, |chart| chart.figure(Room::Half))
}

fn over_time(
    results: &[(String, RunResult)],
    title: &str,
    about: &str,
    quantity: Quantity,
    of: impl Fn(&Point) -> Option<f64>,
) -> String {
    let lines: Vec<Line> = results
        .iter()
        .enumerate()
        .map(|(nth, (_, result))| Line {
            label: letter(nth),
            look: Look::Run(nth),
            filled: false,
            points: result.series.iter().map(|point| (point.at + point.seconds / 2.0, of(point))).collect(),
        })
        .collect();
    let end = lines.iter().flat_map(|line| line.points.iter().map(|(at, _)| *at)).fold(0.0, f64::max);
    let chart = Chart::over_time(title, about, end, quantity);
    let chart = if quantity == Quantity::Milliseconds { chart.with_spread(lines) } else { chart.with_lines(lines) };
    if chart.lines.is_empty() { String::new() } else { chart.with_hover().figure(Room::Half) }
}
