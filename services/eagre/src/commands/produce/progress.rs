//! How far it has come, on a terminal.

use std::time::Duration;

use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::acks::Tally;
use crate::console::{StatusLine, counted};

const INTERVAL: Duration = Duration::from_millis(250);

/// What the producer took so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct HandedOver {
    /// Lines, those that were left out among them.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Shows what is acknowledged, and at which rate.
pub struct Progress {
    /// To be kept up to date.
    pub handed_over: watch::Sender<HandedOver>,
    task: JoinHandle<()>,
    end: oneshot::Sender<()>,
}

impl Progress {
    /// From now on.
    pub fn start(outcomes: watch::Receiver<Tally>) -> Self {
        let handed_over = watch::Sender::default();
        let (end, ended) = oneshot::channel();
        let task = tokio::spawn(show(handed_over.subscribe(), outcomes, ended));
        Self { handed_over, task, end }
    }

    /// Shows how it ended.
    pub async fn finish(self) {
        // Both fail only when the task is gone, and there is nothing to show any more.
        let _ = self.end.send(());
        let _ = self.task.await;
    }
}

async fn show(
    handed_over: watch::Receiver<HandedOver>,
    outcomes: watch::Receiver<Tally>,
    mut ended: oneshot::Receiver<()>,
) {
    let started = Instant::now();
    let mut line = StatusLine::on_stderr();
    let mut ticks = interval_at(started + INTERVAL, INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = (started, 0);
    loop {
        tokio::select! {
            biased;
            _ = &mut ended => break,
            now = ticks.tick() => {
                let acked = outcomes.borrow().acked;
                line.show(&text(acked, acked - before.1, now - before.0, *handed_over.borrow()));
                before = (now, acked);
            }
        }
    }
    let acked = outcomes.borrow().acked;
    line.finish(&text(acked, acked, started.elapsed(), *handed_over.borrow()));
}

/// `recent` records were acknowledged within `time`. Their bytes are told by the average line.
fn text(acked: u64, recent: u64, time: Duration, handed_over: HandedOver) -> String {
    let records_a_second = recent as f64 / time.as_secs_f64().max(0.001);
    let line_bytes = handed_over.bytes as f64 / handed_over.lines.max(1) as f64;
    let mib_a_second = records_a_second * line_bytes / f64::from(1 << 20);
    let records = counted(acked, "record", "records");
    format!("{records} acknowledged, {records_a_second:.0} records/s, {mib_a_second:.1} MiB/s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_what_was_acknowledged() {
        let handed_over = HandedOver { lines: 4_096, bytes: 4 << 20 };
        let shown = text(3_000, 2_048, Duration::from_millis(500), handed_over);
        assert_eq!(shown, "3000 records acknowledged, 4096 records/s, 4.0 MiB/s");
        assert_eq!(text(0, 0, Duration::ZERO, HandedOver::default()), "0 records acknowledged, 0 records/s, 0.0 MiB/s");
    }
}
