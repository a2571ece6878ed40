//! The format of `go tool pprof`: `perftools.profiles.Profile` (<https://github.com/google/pprof/blob/main/proto/profile.proto>),
//! as far as it is used here.

use std::time::{Duration, UNIX_EPOCH};

use eagre_env::HashMap;
use pprof::Report;
use prost::Message;

use super::frame_name;

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    /// The innermost first.
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "2")]
    text: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

/// Every text once; the first one is empty.
struct Texts {
    table: Vec<String>,
    places: HashMap<String, i64>,
}

impl Texts {
    fn new() -> Self {
        let mut texts = Self { table: Vec::new(), places: HashMap::default() };
        texts.place("");
        texts
    }

    fn place(&mut self, text: &str) -> i64 {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = i64::try_from(self.table.len()).unwrap_or(i64::MAX);
        self.table.push(text.to_owned());
        self.places.insert(text.to_owned(), place);
        place
    }
}

/// A profile with two values a sample: how many, and nanoseconds of processor time.
pub(super) fn encode(report: &Report) -> Vec<u8> {
    let mut texts = Texts::new();
    let period = 1_000_000_000 / i64::from(report.timing.frequency.max(1));
    let samples = ValueType { kind: texts.place("samples"), unit: texts.place("count") };
    let processor = ValueType { kind: texts.place("cpu"), unit: texts.place("nanoseconds") };
    let thread = texts.place("thread");
    let begun = report.timing.start_time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut profile = Profile {
        sample_type: vec![samples, processor],
        time_nanos: nanos(begun),
        duration_nanos: nanos(report.timing.duration),
        period_type: Some(processor),
        period,
        ..Profile::default()
    };
    let mut ids: HashMap<(String, u32), u64> = HashMap::default();
    for (stack, count) in &report.data {
        let mut location_id = Vec::new();
        for symbol in stack.frames.iter().flatten() {
            let line = symbol.lineno();
            let name = frame_name(&symbol.name(), &symbol.filename());
            let next = ids.len() as u64 + 1;
            let id = *ids.entry((name.clone(), line)).or_insert(next);
            if id == next {
                let function = Function {
                    id,
                    name: texts.place(&name),
                    system_name: texts.place(&symbol.sys_name()),
                    filename: texts.place(&symbol.filename()),
                };
                profile.function.push(function);
                profile.location.push(Location { id, line: vec![Line { function_id: id, line: line.into() }] });
            }
            location_id.push(id);
        }
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        let label = vec![Label { key: thread, text: texts.place(&stack.thread_name_or_id()) }];
        profile.sample.push(Sample { location_id, value: vec![count, count.saturating_mul(period)], label });
    }
    profile.string_table = texts.table;
    profile.encode_to_vec()
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
