//! How it goes, on a terminal: one line that is written over every second. Anywhere else nothing is said until the end.

use std::io::{self, IsTerminal as _, Write as _};

use super::shared::Shared;
use crate::system::MIB;

/// The line.
pub struct Live {
    is_on: bool,
    seconds: u64,
}

impl Live {
    /// For a run of so many seconds.
    pub fn new(is_wanted: bool, seconds: u64) -> Self {
        Self { is_on: is_wanted && io::stderr().is_terminal(), seconds }
    }

    /// A second is over.
    pub fn show(&self, shared: &Shared, second: u32) {
        if !self.is_on {
            return;
        }
        let (counts, ack) = shared.recorder.look_at(second, second.saturating_sub(1));
        let latency = ack.map_or(String::new(), |times| {
            let ms = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
            format!(" · ack p50 {:.1} p99 {:.1} ms", ms(0.5), ms(0.99))
        });
        let phase = if shared.phase.borrow().finish.is_some() { "reading to the end" } else { "" };
        let line = format!(
            "{:>4} of {} s · acked {:.1} MiB/s, {} records/s · read {:.1} MiB/s{latency} · refused {} · retried {} {phase}",
            second + 1,
            self.seconds,
            counts.acked_bytes as f64 / MIB,
            counts.acked_records,
            counts.read_bytes as f64 / MIB,
            counts.refused,
            counts.retried,
        );
        write!(io::stderr(), "\r\x1b[K{line}").ok();
    }

    /// The line goes.
    pub fn end(&self) {
        if self.is_on {
            write!(io::stderr(), "\r\x1b[K").ok();
        }
    }
}
