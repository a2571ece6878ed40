//! Charts as inline SVG. Every chart is drawn twice, for wide and for narrow windows, so that its text keeps its size;
//! the style sheet shows one of them. Colours come from classes, so that they follow light, dark and print.

mod frame;
mod path;

use crate::{
    chart::frame::{Frame, Size, px},
    format::{Quantity, moment},
    html::escape,
    scale::Scale,
};

/// How a line looks. Lines that meet in one chart differ in more than their colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// What the chart is about.
    Main,
    /// Beside it, lighter.
    Soft,
    /// The tail of a distribution.
    Tail,
    /// Its very end.
    Faint,
    /// What was wanted.
    Asked,
    /// Of something else, dashed.
    Second,
    /// Of a third thing, dotted.
    Third,
    /// Of what ought not to be.
    Bad,
    /// Of one of several runs, from 0.
    Run(usize),
}

impl Look {
    fn class(self) -> String {
        match self {
            Self::Main => "main".to_owned(),
            Self::Soft => "soft".to_owned(),
            Self::Tail => "tail".to_owned(),
            Self::Faint => "faint".to_owned(),
            Self::Asked => "asked".to_owned(),
            Self::Second => "second".to_owned(),
            Self::Third => "third".to_owned(),
            Self::Bad => "bad".to_owned(),
            Self::Run(nth) => format!("run{}", nth % 8),
        }
    }
}

/// A line and its name.
#[derive(Debug, Clone)]
pub struct Line {
    /// Stands at its end.
    pub label: String,
    /// How it looks.
    pub look: Look,
    /// The space below it is tinted.
    pub filled: bool,
    /// In the order of x; the line is broken where there is no value.
    pub points: Vec<(f64, Option<f64>)>,
}

/// A stretch of the x axis with a name.
#[derive(Debug, Clone)]
pub struct Span {
    /// Where it begins.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
    /// Written where there is room.
    pub label: String,
}

/// A numbered moment on the x axis.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    /// Where.
    pub at: f64,
    /// What stands there, and in the list beside the chart.
    pub number: usize,
    /// It breaks something.
    pub grave: bool,
}

/// A point that deserves words.
#[derive(Debug, Clone)]
pub struct Peak {
    /// Where.
    pub x: f64,
    /// See there.
    pub y: f64,
    /// What stands beside it.
    pub words: String,
    /// What stands there when there is little room.
    pub short: String,
}

/// What x means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Across {
    /// Seconds since the first stage began.
    Time,
    /// Fractions of a distribution.
    Percentile,
}

/// How much of the page a chart takes.
#[derive(Debug, Clone, Copy)]
pub enum Room {
    /// The wide column.
    Tall,
    /// The wide column, lower.
    Flat,
    /// One of two columns.
    Half,
}

/// A chart and what stands around it.
#[derive(Debug, Clone)]
pub struct Chart {
    /// Its heading.
    pub title: String,
    /// What is drawn, behind the heading.
    pub about: String,
    /// What x means.
    pub across: Across,
    /// Of x.
    pub x: Scale,
    /// Of y.
    pub y: Scale,
    /// What y is.
    pub quantity: Quantity,
    /// What is drawn; the last one lies on top.
    pub lines: Vec<Line>,
    /// Shaded.
    pub bands: Vec<Span>,
    /// Named above the plot, side by side.
    pub ribbon: Vec<Span>,
    /// In the order of time.
    pub marks: Vec<Mark>,
    /// A point with a few words.
    pub peak: Option<Peak>,
    /// What is read out at an x.
    pub hover: Vec<(f64, String)>,
}

impl Chart {
    /// An empty chart over time.
    pub fn over_time(title: &str, about: &str, end: f64, quantity: Quantity) -> Self {
        let empty = Scale::Linear { low: 0.0, high: 1.0 };
        Self {
            title: title.to_owned(),
            about: about.to_owned(),
            across: Across::Time,
            x: Scale::Linear { low: 0.0, high: if end.is_finite() && end > 0.0 { end } else { 1.0 } },
            y: empty,
            quantity,
            lines: Vec::new(),
            bands: Vec::new(),
            ribbon: Vec::new(),
            marks: Vec::new(),
            peak: None,
            hover: Vec::new(),
        }
    }

    /// Lines that have a value somewhere, and a y axis from zero that holds them.
    pub fn with_lines(mut self, lines: Vec<Line>) -> Self {
        self.lines = lines.into_iter().filter(|line| line.points.iter().any(|(_, y)| y.is_some())).collect();
        let values: Vec<f64> = self.values().collect();
        let highest = values.iter().copied().filter(|value| value.is_finite()).fold(0.0, f64::max);
        self.y = Scale::from_zero(values.into_iter(), self.quantity.unit(highest));
        self
    }

    /// The same with a logarithmic y axis where the spread wants it.
    pub fn with_spread(self, lines: Vec<Line>) -> Self {
        let mut chart = self.with_lines(lines);
        let values: Vec<f64> = chart.values().collect();
        chart.y = Scale::fitting(values.iter().copied(), 1.0);
        if chart.y.is_log() {
            chart.about.push_str(", log scale");
        }
        chart
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        self.lines.iter().flat_map(|line| line.points.iter().filter_map(|(_, y)| *y))
    }

    /// Reads out every line at each of its points; the lines of a chart over time share their moments.
    pub fn with_hover(mut self) -> Self {
        let Some(longest) = self.lines.iter().max_by_key(|line| line.points.len()) else { return self };
        let at = |nth: usize, x: f64| {
            let values = self.lines.iter().filter_map(|line| {
                let (_, y) = line.points.get(nth)?;
                Some(format!("{} {}", line.label, self.quantity.show((*y)?)).trim_start().to_owned())
            });
            (x, format!("{}: {}", moment(x), values.collect::<Vec<_>>().join(", ")))
        };
        self.hover = longest.points.iter().enumerate().map(|(nth, (x, _))| at(nth, *x)).collect();
        self
    }

    /// As a figure.
    pub fn figure(&self, room: Room) -> String {
        let (wide, narrow) = match room {
            Room::Tall => (Size::new(780.0, 320.0), Size::new(372.0, 290.0)),
            Room::Flat => (Size::new(780.0, 230.0), Size::new(372.0, 230.0)),
            Room::Half => (Size::new(536.0, 230.0), Size::new(372.0, 220.0)),
        };
        let hover: Vec<(f64, &str)> = self
            .hover
            .iter()
            .map(|(x, text)| ((self.x.place(*x) * 10_000.0).round() / 10_000.0, text.as_str()))
            .collect();
        // Tuples of finite numbers and texts are always JSON.
        let hover = serde_json::to_string(&hover).unwrap_or_else(|_| "[]".to_owned());
        format!(
            "<figure data-hover=\"{}\">\n<figcaption><strong>{}</strong> <span>{}</span></figcaption>\n\
             <p class=\"read-out\" aria-hidden=\"true\"></p>\n{}{}</figure>\n",
            escape(&hover),
            escape(&self.title),
            escape(&self.about),
            self.svg("wide", wide),
            self.svg("narrow", narrow),
        )
    }

    fn svg(&self, class: &str, size: Size) -> String {
        let frame = Frame::of(self, size);
        let mut out = format!(
            "<svg class=\"{class}\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\" data-left=\"{}\" \
             data-right=\"{}\" data-top=\"{}\" data-bottom=\"{}\">\n",
            px(size.width),
            px(size.height),
            escape(&format!("{}: {}", self.title, self.about)),
            px(frame.left),
            px(frame.right),
            px(frame.top),
            px(frame.bottom),
        );
        out.push_str(&frame.bands(&self.bands));
        out.push_str(&frame.y_axis(self));
        out.push_str(&frame.x_axis(self));
        out.push_str(&frame.ribbon(&self.ribbon));
        let groups = frame.groups(&self.marks);
        out.push_str(&frame.mark_lines(&groups));
        for line in &self.lines {
            out.push_str(&path::draw(&frame, line));
        }
        out.push_str(&frame.line_labels(&self.lines));
        out.push_str(&frame.pills(&groups));
        out.push_str(&frame.peak(self.peak.as_ref()));
        out.push_str("<path class=\"hair\" d=\"\"/>\n</svg>\n");
        out
    }
}

#[cfg(test)]
mod tests;
