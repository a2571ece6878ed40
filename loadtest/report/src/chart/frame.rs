//! Where things lie in a chart: the plot, its axes, and the labels around it. All lengths are pixels of the view box.

use crate::{
    chart::{Across, Chart, Line, Mark, Peak, Span},
    format::{moment, seconds},
    html::escape,
    scale::Scale,
};

/// Of a letter of a label, on the wide side of what fonts have.
const LETTER: f64 = 6.9;
/// Of a bold one.
const BOLD_LETTER: f64 = 7.7;
/// Between the baselines of labels that would otherwise touch.
const LINE_HEIGHT: f64 = 14.0;
const RIBBON_HEIGHT: f64 = 22.0;
const PILL_HEIGHT: f64 = 16.0;

/// Of a drawing.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Of the view box.
    pub width: f64,
    /// See there.
    pub height: f64,
}

impl Size {
    /// In pixels.
    pub fn new(width: f64, height: f64) -> Self {
        Self { width, height }
    }
}

/// Marks too close to be told apart, as one.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    at: f64,
    first: usize,
    last: usize,
    grave: bool,
}

impl Group {
    fn text(&self) -> String {
        if self.first == self.last { self.first.to_string() } else { format!("{}–{}", self.first, self.last) }
    }

    fn touches(&self, next: &Self) -> bool {
        next.at - self.at < self.half_width() + next.half_width() + 2.0
    }

    fn half_width(&self) -> f64 {
        (self.text().chars().count() as f64 * LETTER / 2.0 + 4.5).max(PILL_HEIGHT / 2.0)
    }
}

/// The plot's rectangle and its scales.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// Of the plot.
    pub left: f64,
    /// See there.
    pub right: f64,
    /// See there.
    pub top: f64,
    /// See there.
    pub bottom: f64,
    x: Scale,
    y: Scale,
}

impl Frame {
    /// Leaves room for the labels of a chart.
    pub fn of(chart: &Chart, size: Size) -> Self {
        let longest = |texts: &mut dyn Iterator<Item = String>| {
            texts.map(|text| text.chars().count()).max().unwrap_or(0) as f64 * LETTER
        };
        let foot = if chart.marks.is_empty() { 24.0 } else { 24.0 + PILL_HEIGHT + 4.0 };
        let (top, bottom) = (if chart.ribbon.is_empty() { 10.0 } else { RIBBON_HEIGHT + 8.0 }, size.height - foot);
        let ticks = y_ticks(chart, bottom - top);
        let names = longest(&mut chart.lines.iter().map(|line| line.label.clone())) / LETTER * BOLD_LETTER;
        Self {
            left: longest(&mut ticks.iter().map(|tick| chart.quantity.tick(*tick))) + 10.0,
            right: size.width - names.max(12.0) - 10.0,
            top,
            bottom,
            x: chart.x,
            y: chart.y,
        }
    }

    /// Of a value.
    pub fn x(&self, value: f64) -> f64 {
        self.left + self.x.place(value) * (self.right - self.left)
    }

    /// Of a value.
    pub fn y(&self, value: f64) -> f64 {
        self.bottom - self.y.place(value) * (self.bottom - self.top)
    }

    /// Shaded stretches with their names at the top.
    pub fn bands(&self, bands: &[Span]) -> String {
        let mut out = String::new();
        for band in bands {
            let (from, to) = (self.x(band.from), self.x(band.to));
            if to - from < 0.5 {
                continue;
            }
            out.push_str(&format!(
                "<rect class=\"band\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>\n",
                px(from),
                px(self.top),
                px(to - from),
                px(self.bottom - self.top)
            ));
            // A name may reach beyond its stretch, but not beyond the plot.
            let width = band.label.chars().count() as f64 * LETTER + 8.0;
            if from + width < self.right {
                out.push_str(&text("note", from + 4.0, self.top + 13.0, "start", &band.label));
            }
        }
        out
    }

    /// Rules with their values.
    pub fn y_axis(&self, chart: &Chart) -> String {
        let ticks = y_ticks(chart, self.bottom - self.top);
        let mut out = String::new();
        for tick in ticks {
            let y = self.y(tick);
            out.push_str(&format!("<path class=\"rule\" d=\"M{} {}H{}\"/>\n", px(self.left), px(y), px(self.right)));
            out.push_str(&text("tick", self.left - 8.0, y + 4.0, "end", &chart.quantity.tick(tick)));
        }
        out
    }

    /// The base line and what stands under it.
    pub fn x_axis(&self, chart: &Chart) -> String {
        let room = self.right - self.left;
        let below = if chart.marks.is_empty() { 18.0 } else { 18.0 + PILL_HEIGHT + 4.0 };
        let (ticks, label): (Vec<f64>, fn(f64) -> String) = match chart.across {
            Across::Time => (self.x.time_ticks((room / 64.0) as usize), time_label),
            Across::Percentile => (self.x.ticks(9, 1.0), percent_label),
        };
        let mut out =
            format!("<path class=\"base\" d=\"M{} {}H{}\"/>\n", px(self.left), px(self.bottom), px(self.right));
        let mut free_from = f64::NEG_INFINITY;
        for tick in ticks {
            let (x, label) = (self.x(tick), label(tick));
            out.push_str(&format!("<path class=\"base\" d=\"M{} {}v4\"/>\n", px(x), px(self.bottom)));
            let half = label.chars().count() as f64 * LETTER / 2.0;
            if x - half > free_from {
                out.push_str(&text("tick", x, self.bottom + below, "middle", &label));
                free_from = x + half + 6.0;
            }
        }
        out
    }

    /// Names of stages above the plot, and where each begins.
    pub fn ribbon(&self, spans: &[Span]) -> String {
        let mut out = String::new();
        for (nth, span) in spans.iter().enumerate() {
            let (from, to) = (self.x(span.from), self.x(span.to));
            out.push_str(&format!(
                "<rect class=\"stage{}\" x=\"{}\" y=\"0\" width=\"{}\" height=\"{}\"/>\n",
                nth % 2,
                px(from),
                px((to - from).max(0.0)),
                px(RIBBON_HEIGHT - 2.0)
            ));
            if nth > 0 {
                out.push_str(&format!("<path class=\"turn\" d=\"M{} 0V{}\"/>\n", px(from), px(self.bottom)));
            }
            if let Some(label) = fitted(&span.label, to - from - 10.0) {
                out.push_str(&text("stage", from + 6.0, 14.0, "start", &label));
            }
        }
        out
    }

    /// Marks in groups that do not touch. A group that took another in is wider, so it is compared with its neighbours again.
    pub fn groups(&self, marks: &[Mark]) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for mark in marks {
            let mut next = Group { at: self.x(mark.at), first: mark.number, last: mark.number, grave: mark.grave };
            while let Some(group) = groups.pop_if(|group| group.touches(&next)) {
                next = Group { at: group.at, first: group.first, last: next.last, grave: group.grave || next.grave };
            }
            groups.push(next);
        }
        groups
    }

    /// From the plot's top down to each group.
    pub fn mark_lines(&self, groups: &[Group]) -> String {
        let line = |group: &Group| {
            let class = if group.grave { "mark grave" } else { "mark" };
            format!("<path class=\"{class}\" d=\"M{} {}V{}\"/>\n", px(group.at), px(self.top), px(self.bottom + 5.0))
        };
        groups.iter().map(line).collect()
    }

    /// The numbers of groups under the base line.
    pub fn pills(&self, groups: &[Group]) -> String {
        let middle = self.bottom + 6.0 + PILL_HEIGHT / 2.0;
        let pill = |group: &Group| {
            let half = group.half_width();
            format!(
                "<g class=\"pill{}\"><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"8\"/>{}</g>\n",
                if group.grave { " grave" } else { "" },
                px(group.at - half),
                px(middle - PILL_HEIGHT / 2.0),
                px(half * 2.0),
                px(PILL_HEIGHT),
                text("number", group.at, middle + 4.0, "middle", &group.text()).trim_end()
            )
        };
        groups.iter().map(pill).collect()
    }

    /// Names at the ends of lines, apart from each other; of a line that ends early, where it ends.
    pub fn line_labels(&self, lines: &[Line]) -> String {
        let mut ends: Vec<(f64, f64, &Line)> = lines
            .iter()
            .filter_map(|line| {
                let last = |(x, y): &(f64, Option<f64>)| Some((self.x(*x), self.y(y.filter(|y| y.is_finite())?)));
                let (x, y) = line.points.iter().rev().find_map(last)?;
                Some((x, y, line))
            })
            .collect();
        // A line to the end of the axis ends half a point before it.
        let room = |(x, _, line): &(f64, f64, &Line)| {
            *x > self.right - 30.0 || x + line.label.chars().count() as f64 * BOLD_LETTER + 14.0 < self.right
        };
        let all_fit = ends.iter().all(room);
        for end in &mut ends {
            end.0 = if all_fit && end.0 <= self.right - 30.0 { end.0 } else { self.right };
        }
        ends.sort_by(|left, right| left.1.total_cmp(&right.1));
        // When all end early, as in a run that was cut short, they stand below each other all the same.
        let places = spread(&ends.iter().map(|(_, y, _)| *y).collect::<Vec<_>>(), self.top + 4.0, self.bottom);
        let label = |(y, (x, _, line)): (f64, &(f64, f64, &Line))| {
            text(&format!("name {}", line.look.class()), x + 7.0, y + 4.0, "start", &line.label)
        };
        places.into_iter().zip(&ends).map(label).collect()
    }

    /// A dot with a few words, on the side where there is room, or with fewer. They stay below the names of bands.
    pub fn peak(&self, peak: Option<&Peak>) -> String {
        let Some(peak) = peak else { return String::new() };
        let (x, y) = (self.x(peak.x), self.y(peak.y));
        let width = |words: &str| words.chars().count() as f64 * LETTER + 10.0;
        let words = if width(&peak.words) < (self.right - x).max(x - self.left) { &peak.words } else { &peak.short };
        let (shift, anchor) = if x + width(words) < self.right { (8.0, "start") } else { (-8.0, "end") };
        let dot = format!("<circle class=\"peak\" cx=\"{}\" cy=\"{}\" r=\"3.5\"/>\n", px(x), px(y));
        format!("{dot}{}", text("peak", x + shift, (y - 2.0).max(self.top + 28.0), anchor, words))
    }
}

/// A length with one digit after the point. Never more, never "NaN".
pub fn px(value: f64) -> String {
    if !value.is_finite() {
        return "0".to_owned();
    }
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn y_ticks(chart: &Chart, height: f64) -> Vec<f64> {
    let most = (height / 36.0) as usize;
    let Scale::Linear { high, .. } = chart.y else { return chart.y.ticks(most, 1.0) };
    chart.y.ticks(most, chart.quantity.unit(high))
}

fn time_label(value: f64) -> String {
    if value == 0.0 {
        "0".to_owned()
    } else if value < 1.0 {
        moment(value)
    } else {
        seconds(value)
    }
}

fn percent_label(value: f64) -> String {
    let text = format!("{:.4}", value * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// As much of a label as there is room for, and nothing rather than two letters.
fn fitted(label: &str, room: f64) -> Option<String> {
    let letters = (room / LETTER).max(0.0) as usize;
    let length = label.chars().count();
    if length <= letters {
        return (length > 0).then(|| label.to_owned());
    }
    (letters >= 4).then(|| label.chars().take(letters - 1).collect::<String>().trim_end().to_owned() + "…")
}

/// Moves sorted places apart, within the ends where that is possible.
fn spread(wanted: &[f64], top: f64, bottom: f64) -> Vec<f64> {
    let mut places: Vec<f64> = Vec::with_capacity(wanted.len());
    for place in wanted {
        let free_from = places.last().map_or(top, |last| last + LINE_HEIGHT);
        places.push(place.max(free_from));
    }
    let mut limit = bottom;
    for place in places.iter_mut().rev() {
        *place = place.min(limit);
        limit = *place - LINE_HEIGHT;
    }
    places
}

fn text(class: &str, x: f64, y: f64, anchor: &str, words: &str) -> String {
    format!(
        "<text class=\"{class}\" x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>\n",
        px(x),
        px(y),
        escape(words)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_do_not_touch() {
        assert_eq!(spread(&[50.0, 52.0, 53.0], 0.0, 200.0), [50.0, 64.0, 78.0]);
        assert_eq!(spread(&[198.0, 199.0], 0.0, 200.0), [186.0, 200.0]);
        assert!(spread(&[], 0.0, 1.0).is_empty());
    }

    #[test]
    fn a_label_is_shortened_or_left_out() {
        assert_eq!(fitted("warm-up", 100.0).as_deref(), Some("warm-up"));
        assert_eq!(fitted("a very long stage", 60.0).as_deref(), Some("a very…"));
        assert_eq!((fitted("warm-up", 20.0), fitted("", 100.0)), (None, None));
    }

    #[test]
    fn lengths_are_short_and_finite() {
        assert_eq!([px(1.0), px(2.25), px(f64::NAN), px(f64::INFINITY)].join(" "), "1 2.2 0 0");
    }
}
