//! How late things were: over time, and as distributions.

use crate::{
    chart::{Across, Chart, Line, Look, Peak, Room},
    format::{Quantity, count, milliseconds, moment},
    html::{escape, paragraph, section},
    page::timeline::{Timeline, line},
    result::{Distribution, Point, Quantiles, RunResult},
    scale::Scale,
};

/// Fractions that are read out under the pointer.
const READ_OUT: [f64; 14] =
    [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 0.999_95, 0.999_99, 0.999_999];

/// A bound is drawn when it is at most so many times the largest value.
const BOUND_FACTOR: f64 = 3.0;

/// A column of the table of distributions.
type Figure = (&'static str, fn(&Distribution) -> f64);

const FIGURES: [Figure; 8] = [
    ("50 %", |some| some.p50),
    ("mean", |some| some.mean),
    ("90 %", |some| some.p90),
    ("95 %", |some| some.p95),
    ("99 %", |some| some.p99),
    ("99.9 %", |some| some.p999),
    ("99.99 %", |some| some.p9999),
    ("longest", |some| some.max),
];

/// The charts over time with the events beside them.
pub fn over_time(result: &RunResult, timeline: &Timeline) -> String {
    let acks = quantiles(result, timeline, "Acknowledgement", "from the moment a record was due", |point| point.ack);
    let acks = acks.map(|chart| bounded(chart, result, "ack_p99"));
    let reads = quantiles(result, timeline, "End to end", "from due to read by a consumer", |point| point.end_to_end);
    let reads = reads.map(|chart| bounded(chart, result, "end_to_end_p99"));
    let charts = match (acks, reads) {
        (None, None) => paragraph("quiet", "No record was acknowledged or read, so there are no latencies."),
        (acks, reads) => {
            let acks = acks.map(|chart| timeline.dress(chart, true).figure(Room::Tall));
            let reads = reads.map(|chart| timeline.dress(chart, false).figure(Room::Flat));
            acks.into_iter().chain(reads).collect()
        }
    };
    let note =
        "Latency counts from the moment the schedule wanted a record sent, not from when it was sent: waiting counts.";
    let inner = format!(
        "<div class=\"beside\">\n<div>\n{charts}</div>\n<aside>\n{}{}</aside>\n</div>\n",
        timeline.list(),
        paragraph("quiet", note)
    );
    section("latency", "Latency over time", &inner)
}

fn quantiles(
    result: &RunResult,
    timeline: &Timeline,
    title: &str,
    about: &str,
    of: impl Fn(&Point) -> Option<Quantiles>,
) -> Option<Chart> {
    result.series.iter().find_map(&of)?;
    let one = |label: &str, look: Look, pick: fn(Quantiles) -> f64| {
        line(result, label, look, |point| of(point).filter(|some| some.count > 0).map(pick))
    };
    let lines = vec![
        one("max", Look::Faint, |some| some.max),
        one("99.9 %", Look::Tail, |some| some.p999),
        one("50 %", Look::Soft, |some| some.p50),
        one("99 %", Look::Main, |some| some.p99),
    ];
    let mut tail: Vec<(f64, f64)> = result
        .series
        .iter()
        .filter_map(|point| Some((point.at + point.seconds / 2.0, of(point).filter(|some| some.count > 0)?.p99)))
        .filter(|(_, p99)| p99.is_finite() && *p99 > 0.0)
        .collect();
    tail.sort_by(|left, right| left.1.total_cmp(&right.1));
    // Named when it stands out; the highest of many equals deserves no words.
    let usual = tail.get(tail.len() / 2).map_or(0.0, |(_, p99)| *p99);
    let worst = tail.last().copied().filter(|(_, p99)| *p99 > usual * 3.0);
    let mut chart =
        Chart::over_time(title, about, timeline.end, Quantity::Milliseconds).with_spread(lines).with_hover();
    chart.peak = worst.map(|(at, p99)| {
        let short = milliseconds(p99);
        Peak { x: at, y: p99, words: format!("99 % peak {short} at {}", moment(at.floor())), short }
    });
    Some(chart)
}

/// With the bound of the 99th percentile as a line, unless it lies so high that it would flatten the others.
fn bounded(mut chart: Chart, result: &RunResult, name: &str) -> Chart {
    let limit_ms = result.bounds.iter().find(|bound| bound.name == name).and_then(|bound| bound.limit_ms);
    let seen = chart.lines.iter().flat_map(|line| &line.points).filter_map(|(_, value)| *value).fold(0.0, f64::max);
    if let Some(limit_ms) = limit_ms.filter(|limit_ms| *limit_ms <= seen * BOUND_FACTOR) {
        let points = result.series.iter().map(|point| (point.at + point.seconds / 2.0, Some(limit_ms)));
        let label = "bound of 99 %".to_owned();
        chart.lines.insert(0, Line { label, look: Look::Asked, filled: false, points: points.collect() });
    }
    chart
}

/// The distributions of the measured time, as curves and as figures.
pub fn distribution(result: &RunResult) -> String {
    let latency = &result.latency;
    let kinds = [
        ("ack", "Acknowledged", Look::Main, &latency.ack),
        ("end to end", "Read, end to end", Look::Second, &latency.end_to_end),
        ("first record", "First record of a new consumer", Look::Third, &latency.first_record),
        ("lateness", "Lateness of the load test itself", Look::Faint, &latency.lateness),
    ];
    let present: Vec<(&str, &str, Look, &Distribution)> = kinds
        .into_iter()
        .filter_map(|(short, long, look, some)| Some((short, long, look, some.as_ref().filter(|some| some.count > 0)?)))
        .collect();
    if present.is_empty() {
        return section("distribution", "Distribution", &paragraph("quiet", "There is nothing to distribute."));
    }
    // The client's own lateness belongs to the table, not between the curves of the service.
    let curves: Vec<(String, Look, &Distribution)> = present
        .iter()
        .take_while(|kind| kind.0 != "lateness")
        .map(|kind| (kind.0.to_owned(), kind.2, kind.3))
        .collect();
    let chart =
        percentile_chart("Latency by percentile", &curves).map_or_else(String::new, |chart| chart.figure(Room::Tall));
    let rows: String = present.iter().map(|(_, name, _, some)| figures(name, some)).collect();
    let heads: String = FIGURES.iter().map(|(name, _)| format!("<th scope=\"col\">{name}</th>")).collect();
    let note = "How much of all records was at most so late. Every further nine has the same width, so that the slowest \
                records are not a pixel at the edge; a curve ends at the share of a single record.";
    let inner = format!(
        "<div class=\"beside\">\n<div>\n{chart}</div>\n<aside>{}</aside>\n</div>\n<table class=\"stacked figures\">\n\
         <thead><tr><th scope=\"col\">In the measured time</th>{heads}<th scope=\"col\">values</th></tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table>\n",
        paragraph("quiet", note)
    );
    section("distribution", "Distribution", &inner)
}

/// Curves of the share of records that were at most so late. Nothing when no curve has a point.
pub fn percentile_chart(title: &str, curves: &[(String, Look, &Distribution)]) -> Option<Chart> {
    let most = curves.iter().map(|(_, _, some)| some.count).max()?;
    let mut chart = Chart::over_time(title, "share of records within a time", 1.0, Quantity::Milliseconds);
    let lines = curves.iter().map(|(label, look, some)| {
        // So many values show so many nines and no more: the largest one stands for the last share of one value.
        let last = 1.0 - 1.0 / some.count.max(1) as f64;
        let mut points: Vec<(f64, Option<f64>)> = Vec::with_capacity(some.cdf.len());
        for (time, share) in &some.cdf {
            points.push((share.min(last), Some(*time)));
        }
        Line { label: label.clone(), look: *look, filled: false, points }
    });
    chart = chart.with_spread(lines.collect());
    if chart.lines.is_empty() {
        return None;
    }
    chart.across = Across::Percentile;
    chart.x = Scale::nines(most);
    let Scale::Nines { nines } = chart.x else { return Some(chart) };
    let within = READ_OUT.into_iter().filter(|share| -(1.0 - share).log10() <= nines + 1e-9);
    chart.hover = within
        .map(|share| {
            let values = curves.iter().filter_map(|(label, _, some)| {
                let shown = some.count as f64 * (1.0 - share) >= 1.0 - 1e-6;
                let (time, _) = some.cdf.iter().find(|(_, at_or_below)| shown && *at_or_below >= share)?;
                Some(format!("{label} {}", milliseconds(*time)))
            });
            let percent = format!("{:.4}", share * 100.0);
            let percent = percent.trim_end_matches('0').trim_end_matches('.');
            (share, format!("{percent} % within: {}", values.collect::<Vec<_>>().join(", ")))
        })
        .collect();
    Some(chart)
}

fn figures(name: &str, some: &Distribution) -> String {
    let cells: String = FIGURES
        .iter()
        .map(|(label, of)| format!("<td data-name=\"{label}\">{}</td>", escape(&milliseconds(of(some)))))
        .collect();
    format!(
        "<tr><th scope=\"row\">{}</th>{cells}<td data-name=\"values\">{}</td></tr>\n",
        escape(name),
        count(some.count)
    )
}
