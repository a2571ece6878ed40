//! What all charts over time share: how long the axis is, what is shaded, the stages, and the numbered events.

use crate::{
    chart::{Chart, Line, Look, Mark, Span},
    format::{count, moment},
    html::escape,
    result::{Event, Point, RunResult},
    standing::{Standing, words_of},
};

/// Events that stand beside the chart; the rest is folded away.
const LISTED: usize = 9;
/// Events that are listed at all.
const LISTED_AT_MOST: usize = 200;

/// Of a run.
#[derive(Debug)]
pub struct Timeline {
    /// In seconds.
    pub end: f64,
    bands: Vec<Span>,
    stages: Vec<Span>,
    marks: Vec<Mark>,
    events: Vec<Event>,
}

impl Timeline {
    /// Stages come from the scenario; every other event is numbered in the order of time.
    pub fn of(result: &RunResult) -> Self {
        let scenario = &result.scenario;
        let standing = Standing::of(result);
        let ran_to = ran_to(result);
        let end = ran_to.max(scenario.seconds);
        let mut events: Vec<Event> = result
            .events
            .iter()
            .filter(|event| event.at.is_finite() && event.kind != "stage" && event.kind != "warm_up")
            .cloned()
            .collect();
        events.sort_by(|left, right| left.at.total_cmp(&right.at));
        let marks = events.iter().enumerate().map(|(nth, event)| Mark {
            at: event.at,
            number: nth + 1,
            grave: is_grave(&event.kind),
        });
        let mut bands = Vec::new();
        if scenario.warm_up_s > 0.0 {
            bands.push(Span { from: 0.0, to: scenario.warm_up_s, label: "warm-up".to_owned() });
        }
        if standing.partial && ran_to < end {
            bands.push(Span { from: ran_to, to: end, label: "not run".to_owned() });
        } else if scenario.seconds > 0.0 && scenario.seconds < end {
            bands.push(Span { from: scenario.seconds, to: end, label: "drain".to_owned() });
        }
        let ends = scenario.stages.iter().skip(1).map(|(at, _)| *at).chain([scenario.seconds.max(0.0)]);
        let stages = scenario.stages.iter().zip(ends);
        let stages = stages.map(|((from, name), to)| Span { from: *from, to, label: name.clone() });
        Self { end, bands, stages: stages.collect(), marks: marks.collect(), events }
    }

    /// A chart with all of it; the names of the stages only where they help.
    pub fn dress(&self, mut chart: Chart, with_stages: bool) -> Chart {
        chart.bands.clone_from(&self.bands);
        chart.marks.clone_from(&self.marks);
        if with_stages {
            chart.ribbon.clone_from(&self.stages);
        }
        chart
    }

    /// The numbered events in words.
    pub fn list(&self) -> String {
        if self.events.is_empty() {
            return "<h3>Events</h3>\n<p class=\"quiet\">None but the stages.</p>\n".to_owned();
        }
        let item = |(nth, event): (usize, &Event)| {
            format!(
                "<li><span class=\"{}\">{}</span> <span><b>{}</b> <i>{}</i><br>{}</span></li>\n",
                if is_grave(&event.kind) { "badge grave" } else { "badge" },
                nth + 1,
                escape(&moment(event.at)),
                escape(&words_of(&event.kind)),
                escape(&event.text)
            )
        };
        let mut items = self.events.iter().take(LISTED_AT_MOST).enumerate().map(item);
        let first: String = items.by_ref().take(LISTED).collect();
        let rest: String = items.collect();
        let mut out = format!("<h3>Events</h3>\n<ol class=\"events\">\n{first}</ol>\n");
        if !rest.is_empty() {
            let more = count((self.events.len() - LISTED) as u64);
            let beyond = self.events.len().saturating_sub(LISTED_AT_MOST);
            let beyond = if beyond == 0 {
                String::new()
            } else {
                format!("<p class=\"quiet\">{} more are in result.json.</p>\n", count(beyond as u64))
            };
            out.push_str(&format!(
                "<details><summary>{more} more</summary>\n<ol class=\"events\">\n{rest}</ol>\n{beyond}</details>\n"
            ));
        }
        out
    }
}

/// Until when there are figures, in seconds.
pub fn ran_to(result: &RunResult) -> f64 {
    let end = |point: &Point| point.at + point.seconds;
    result.series.iter().map(end).filter(|end| end.is_finite()).fold(0.0, f64::max)
}

/// A figure of every point, at the middle of its time.
pub fn line(result: &RunResult, label: &str, look: Look, figure: impl Fn(&Point) -> Option<f64>) -> Line {
    let points = result.series.iter().map(|point| (point.at + point.seconds / 2.0, figure(point)));
    Line { label: label.to_owned(), look, filled: false, points: points.collect() }
}

/// Whether a figure is above zero anywhere.
pub fn any(result: &RunResult, figure: impl Fn(&Point) -> f64) -> bool {
    result.series.iter().any(|point| figure(point) > 0.0)
}

fn is_grave(kind: &str) -> bool {
    matches!(kind, "kill" | "stop" | "pause" | "lost_connection" | "interrupt" | "finding")
}
