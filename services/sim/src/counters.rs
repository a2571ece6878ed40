//! What the layer before the bucket counts, as lines of the trace: its hedges and retries cannot be seen otherwise.

use std::sync::Arc;

use eagre_objects::{CREATES_MET_TOTAL, GIVEN_UP_TOTAL, HEDGES_TOTAL, RETRIES_TOTAL, THROTTLED_TOTAL, TIMEOUTS_TOTAL};
use metrics::{Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use crate::trace::Trace;

const NOTED: [&str; 6] =
    [CREATES_MET_TOTAL, GIVEN_UP_TOTAL, HEDGES_TOTAL, RETRIES_TOTAL, THROTTLED_TOTAL, TIMEOUTS_TOTAL];

/// Writes each step of some counters into the trace, and forgets all other metrics.
pub(crate) struct NotedCounters {
    pub(crate) trace: Trace,
}

struct Noted {
    trace: Trace,
    line: String,
}

impl CounterFn for Noted {
    fn increment(&self, _by: u64) {
        self.trace.note("counted", format_args!("{}", self.line));
    }

    fn absolute(&self, _value: u64) {}
}

impl Recorder for NotedCounters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        if !NOTED.contains(&key.name()) {
            return Counter::noop();
        }
        let labels = key.labels().map(|label| format!(" {}={}", label.key(), label.value()));
        let line = std::iter::once(key.name().to_owned()).chain(labels).collect();
        Counter::from_arc(Arc::new(Noted { trace: self.trace.clone(), line }))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
