//! Metrics of connections and calls.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::door::{Full, Port};

const CONNECTIONS: &str = "eagre_connections";
const REFUSED: &str = "eagre_connections_refused_total";
const LATE: &str = "eagre_connections_late_total";
const CALLS_REFUSED: &str = "eagre_calls_refused_total";

/// Says what they are, and lets the counters begin at 0.
pub(crate) fn describe() {
    describe_gauge!(CONNECTIONS, "Open connections");
    describe_counter!(
        REFUSED,
        "Connections closed at once because there were too many, in all, from one source or for the memory"
    );
    describe_counter!(LATE, "Connections closed because they did not begin to speak the protocol in time");
    describe_counter!(CALLS_REFUSED, "Calls refused because there were too many open ones");
    for port in [Port::Grpc, Port::Http] {
        counter!(LATE, "port" => port.name()).increment(0);
        for full in [Full::Total, Full::Source, Full::Memory, Full::Rate, Full::SourceRate] {
            counter!(REFUSED, "port" => port.name(), "bound" => full.name()).increment(0);
        }
    }
    counter!(CALLS_REFUSED).increment(0);
}

#[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^53")]
pub(crate) fn connections(port: Port, open: usize) {
    gauge!(CONNECTIONS, "port" => port.name()).set(open as f64);
}

pub(crate) fn refused(port: Port, full: Full) {
    counter!(REFUSED, "port" => port.name(), "bound" => full.name()).increment(1);
}

pub(crate) fn late(port: Port) {
    counter!(LATE, "port" => port.name()).increment(1);
}

pub(crate) fn call_refused() {
    counter!(CALLS_REFUSED).increment(1);
}
