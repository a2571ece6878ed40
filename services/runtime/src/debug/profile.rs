//! `/debug/pprof/profile`: where the processor's time goes, for `go tool pprof` or a flame graph.

mod wire;

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use pprof::{ProfilerGuardBuilder, Report};
use tokio::{sync::Semaphore, task::spawn_blocking, time::sleep};

use super::refused;

/// Samples a second of processor time; odd, so as not to beat with timers.
const FREQUENCY_HZ: i32 = 99;
const SECONDS_DEFAULT: u64 = 10;
const SECONDS_MAX: u64 = 60;
/// Unwinding these out of a signal handler may lock up.
const NOT_UNWOUND: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];

/// `GET /debug/pprof/profile?seconds=10&format=pprof|folded`, one at a time.
pub(super) fn routes() -> Router {
    let one_at_a_time = Arc::new(Semaphore::new(1));
    Router::new().route("/debug/pprof/profile", get(profile)).with_state(one_at_a_time)
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    seconds: u64,
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// What `go tool pprof` reads.
    Pprof,
    /// A line a stack with its count, for flame graphs.
    Folded,
}

impl Wanted {
    fn parse(query: &str) -> Result<Self, String> {
        let mut wanted = Self { seconds: SECONDS_DEFAULT, format: Format::Pprof };
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=').unwrap_or((parameter, "")) {
                ("seconds", value) => {
                    let seconds = value.parse().ok().filter(|seconds| (1..=SECONDS_MAX).contains(seconds));
                    wanted.seconds =
                        seconds.ok_or_else(|| format!("seconds is a whole number from 1 to {SECONDS_MAX}"))?;
                }
                ("format", "pprof") => wanted.format = Format::Pprof,
                ("format", "folded") => wanted.format = Format::Folded,
                ("format", _) => return Err("format is pprof or folded".into()),
                (name, _) => return Err(format!("there is no parameter {name:?}; there are seconds and format")),
            }
        }
        Ok(wanted)
    }
}

async fn profile(State(one_at_a_time): State<Arc<Semaphore>>, RawQuery(query): RawQuery) -> Response {
    let wanted = match Wanted::parse(&query.unwrap_or_default()) {
        Ok(wanted) => wanted,
        Err(what) => return refused(StatusCode::BAD_REQUEST, &what),
    };
    let Ok(turn) = one_at_a_time.try_acquire_owned() else {
        return refused(StatusCode::CONFLICT, "another profile is being taken; ask again when it is done");
    };
    let sampling = match ProfilerGuardBuilder::default().frequency(FREQUENCY_HZ).blocklist(&NOT_UNWOUND).build() {
        Ok(sampling) => sampling,
        Err(error) => return refused(StatusCode::INTERNAL_SERVER_ERROR, &format!("cannot sample: {error}")),
    };
    // Whoever asked may hang up: then this ends here, and the sampling with it.
    sleep(Duration::from_secs(wanted.seconds)).await;
    let written = spawn_blocking(move || {
        let _turn = turn;
        let report = sampling.report().build();
        drop(sampling);
        report.map(|report| match wanted.format {
            Format::Pprof => wire::encode(&report),
            Format::Folded => folded(&report).into_bytes(),
        })
    });
    match written.await {
        Ok(Ok(body)) => {
            let kind = match wanted.format {
                Format::Pprof => "application/octet-stream",
                Format::Folded => "text/plain; charset=utf-8",
            };
            ([(header::CONTENT_TYPE, kind)], body).into_response()
        }
        Ok(Err(error)) => refused(StatusCode::INTERNAL_SERVER_ERROR, &format!("cannot read the samples: {error}")),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &format!("cannot read the samples: {error}")),
    }
}

/// `thread;outermost;…;innermost count`, a line each.
fn folded(report: &Report) -> String {
    let mut stacks: BTreeMap<String, isize> = BTreeMap::new();
    for (stack, count) in &report.data {
        let mut line = stack.thread_name_or_id();
        for symbol in stack.frames.iter().rev().flat_map(|frame| frame.iter().rev()) {
            line.push(';');
            line.push_str(&frame_name(&symbol.name(), &symbol.filename()));
        }
        *stacks.entry(line).or_default() += count;
    }
    let mut lines = String::new();
    for (stack, count) in stacks {
        // Writing to a string does not fail.
        writeln!(lines, "{stack} {count}").ok();
    }
    lines
}

/// A function that was inlined is known by its last name alone, as `run` or `{closure#0}`; its file says whose it is.
fn frame_name(name: &str, file: &str) -> String {
    let path = name.split('<').next().unwrap_or(name);
    let Some((before, within)) = file.rsplit_once("/src/").filter(|_| !path.contains("::") && !name.starts_with('<'))
    else {
        return name.to_owned();
    };
    let owner = before.rsplit('/').next().unwrap_or(before);
    format!("{name} ({owner}/{within})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inlined_function_is_named_with_its_file() {
        for (name, file, expected) in [
            (
                "run",
                "/a/registry/src/index/tokio-1.54.1/src/runtime/task/core.rs",
                "run (tokio-1.54.1/runtime/task/core.rs)",
            ),
            ("{closure#0}<a::B>", "services/gateway/src/lib.rs", "{closure#0}<a::B> (gateway/lib.rs)"),
            ("eagre_gateway::cut", "services/gateway/src/lib.rs", "eagre_gateway::cut"),
            ("<A as b::C>::d", "services/gateway/src/lib.rs", "<A as b::C>::d"),
            ("clone3", "Unknown", "clone3"),
        ] {
            assert_eq!(frame_name(name, file), expected);
        }
    }

    #[test]
    fn a_query_has_seconds_within_bounds() {
        let parsed = |query| Wanted::parse(query).map(|wanted| (wanted.seconds, wanted.format));
        assert_eq!(parsed(""), Ok((10, Format::Pprof)));
        assert_eq!(parsed("seconds=60&format=folded"), Ok((60, Format::Folded)));
        for bad in ["seconds=0", "seconds=61", "seconds=-1", "seconds=", "seconds", "format=svg", "second=5"] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }
}
