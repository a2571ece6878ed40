//! Lines of the table and how they are printed.

use std::fmt::Write as _;

use serde::Serialize;

use crate::raw::Raw;

/// What a figure has to reach.
#[derive(Debug, Clone, Copy, Serialize)]
pub enum Reach {
    /// At most.
    Most(f64),
    /// At least.
    Least(f64),
    /// For information.
    Told,
}

/// One figure over all runs.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// The figure.
    pub what: String,
    /// Of the figure.
    pub unit: &'static str,
    /// The bar.
    pub reach: Reach,
    /// In the order in which they ran.
    pub runs: Vec<f64>,
    /// The machine at that minute.
    pub raw: Option<Raw>,
}

impl Line {
    /// A figure without the raw rates, which the suite adds.
    pub fn new(what: impl Into<String>, unit: &'static str, reach: Reach, runs: Vec<f64>) -> Self {
        Self { what: what.into(), unit, reach, runs, raw: None }
    }

    /// Of an odd number the middle one, of an even number the lower of the two in the middle; NaN without runs.
    pub fn median(&self) -> f64 {
        let mut sorted = self.runs.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
    }

    fn reached(&self) -> Option<bool> {
        match self.reach {
            Reach::Most(bar) => Some(self.median() <= bar),
            Reach::Least(bar) => Some(self.median() >= bar),
            Reach::Told => None,
        }
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let runs = self.runs.iter().map(|run| number(*run)).collect::<Vec<_>>().join(", ");
        write!(f, "{}: {} {} ({runs})", self.what, number(self.median()), self.unit)?;
        match self.reached() {
            Some(false) => f.write_str(" MISSED"),
            _ => Ok(()),
        }
    }
}

/// A Markdown table of all lines.
pub fn markdown(lines: &[Line]) -> String {
    let mut table = String::from(
        "| what | reach | median | all runs | reached | fdatasync 4 KiB p50/p99; synced writes, their CPU; loopback |\n",
    );
    table.push_str("|---|---|---|---|---|---|\n");
    for line in lines {
        let reach = match line.reach {
            Reach::Most(bar) => format!("<= {} {}", number(bar), line.unit),
            Reach::Least(bar) => format!(">= {} {}", number(bar), line.unit),
            Reach::Told => String::new(),
        };
        let reached = line.reached().map_or("", |reached| if reached { "yes" } else { "**no**" });
        let runs = line.runs.iter().map(|run| number(*run)).collect::<Vec<_>>().join(", ");
        let raw = line.raw.map_or_else(String::new, |raw| {
            format!(
                "{:.2}/{:.2} ms; {:.0} MiB/s, {:.2} CPU-s/GiB; {:.0} MiB/s",
                raw.fdatasync_4k_p50_ms,
                raw.fdatasync_4k_p99_ms,
                raw.synced_write_mib_s,
                raw.write_cpu_s_per_gib,
                raw.loopback_mib_s
            )
        });
        // Writing into a String cannot fail.
        writeln!(
            table,
            "| {} | {reach} | {} {} | {runs} | {reached} | {raw} |",
            line.what,
            number(line.median()),
            line.unit
        )
        .ok();
    }
    table
}

/// Three significant digits are plenty.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_decides() {
        let line = Line::new("ack p99", "ms", Reach::Most(25.0), vec![30.0, 20.0, 24.0, 90.0, 21.0]);
        assert_eq!(line.median(), 24.0);
        assert_eq!(line.reached(), Some(true));
        assert_eq!(line.to_string(), "ack p99: 24.0 ms (30.0, 20.0, 24.0, 90.0, 21.0)");
        let missed = Line::new("rate", "MiB/s", Reach::Least(300.0), vec![299.0]);
        assert_eq!(missed.reached(), Some(false));
        assert!(markdown(&[line, missed]).contains("| rate | >= 300 MiB/s | 299 MiB/s | 299 | **no** |  |"));
    }

    #[test]
    fn nothing_measured_is_not_reached() {
        assert_eq!(Line::new("x", "ms", Reach::Most(1.0), vec![]).reached(), Some(false));
    }
}
