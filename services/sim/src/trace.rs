//! What happened, in order, with virtual times, and a running hash by which two runs are compared.

use std::{
    collections::VecDeque,
    fmt::{self, Write as _},
    hash::Hasher,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tracing::{level_filters::LevelFilter, subscriber::DefaultGuard};
use tracing_subscriber::{
    EnvFilter,
    fmt::{format::Writer, time::FormatTime},
};

use crate::time::VirtualTime;

/// Lines kept for the story around a failure; the hash covers all.
const KEPT_LINES: usize = 60_000;

/// Every bucket request, network fault, crash and client-visible event. Cheap to clone.
#[derive(Clone)]
pub struct Trace {
    time: Arc<VirtualTime>,
    story: Arc<Mutex<Story>>,
    /// Print each line at once: for a simulation that does not come to its end.
    live: bool,
}

struct Story {
    lines: VecDeque<(Duration, String)>,
    total: u64,
    hasher: std::hash::DefaultHasher,
}

impl Trace {
    /// An empty trace. With `EAGRE_TRACE` in the environment every line is printed when it is added.
    pub fn new(time: Arc<VirtualTime>) -> Self {
        let story = Story { lines: VecDeque::new(), total: 0, hasher: std::hash::DefaultHasher::new() };
        Self { time, story: Arc::new(Mutex::new(story)), live: std::env::var_os("EAGRE_TRACE").is_some() }
    }

    /// Adds a line of the given host.
    pub fn note(&self, host: &str, what: fmt::Arguments<'_>) {
        let now = self.time.now();
        let mut line = String::with_capacity(96);
        // Writing to a string does not fail.
        let _ = write!(line, "{host:<10} {what}");
        if self.live {
            show(now, &line);
        }
        let mut story = self.story.lock().unwrap_or_else(PoisonError::into_inner);
        story.hasher.write_u128(now.as_nanos());
        story.hasher.write(line.as_bytes());
        story.total += 1;
        if story.lines.len() == KEPT_LINES {
            story.lines.pop_front();
        }
        story.lines.push_back((now, line));
    }

    /// Number of lines and the hash of all of them with their times.
    pub fn fingerprint(&self) -> Fingerprint {
        let story = self.story.lock().unwrap_or_else(PoisonError::into_inner);
        Fingerprint { lines: story.total, hash: story.hasher.clone().finish() }
    }

    /// The last lines before and the first ones after a moment, at most `each` of both.
    pub fn around(&self, moment: Duration, each: usize) -> Vec<String> {
        let story = self.story.lock().unwrap_or_else(PoisonError::into_inner);
        let at = story.lines.partition_point(|(time, _)| *time <= moment);
        let (from, to) = (at.saturating_sub(each), story.lines.len().min(at + each));
        story.lines.range(from..to).map(|(time, line)| format!("{:>12.6} {line}", time.as_secs_f64())).collect()
    }

    /// Where two traces part: the last lines that they share, and the first one of each that differs.
    pub fn parting(&self, other: &Trace) -> Vec<String> {
        let (ours, theirs) = (self.around(Duration::MAX, KEPT_LINES), other.around(Duration::MAX, KEPT_LINES));
        let same = ours.iter().zip(&theirs).take_while(|(our, their)| our == their).count();
        let mut lines = ours[same.saturating_sub(20)..same].to_vec();
        let of = |lines: &[String]| lines.get(same).cloned().unwrap_or_else(|| "the end".to_owned());
        lines.push(format!("one:   {}", of(&ours)));
        lines.push(format!("other: {}", of(&theirs)));
        lines
    }

    /// Every line that is kept and contains one of the needles.
    pub fn lines_with(&self, needles: &[&str]) -> Vec<String> {
        let story = self.story.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = |line: &str| needles.iter().any(|needle| line.contains(needle));
        let lines = story.lines.iter().filter(|(_, line)| wanted(line));
        lines.map(|(time, line)| format!("{:>12.6} {line}", time.as_secs_f64())).collect()
    }
}

/// With `EAGRE_TRACE` in the environment the logs of the service are printed too, with virtual times, as long as the
/// guard lives. `RUST_LOG` chooses them as in the real process; left out: `info`.
pub(crate) fn show_logs(time: &Arc<VirtualTime>) -> Option<DefaultGuard> {
    std::env::var_os("EAGRE_TRACE")?;
    let filter = EnvFilter::builder().with_env_var("RUST_LOG").with_default_directive(LevelFilter::INFO.into());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter.from_env_lossy())
        .with_timer(LogTime(Arc::clone(time)))
        .with_ansi(false)
        .with_writer(std::io::stderr);
    Some(tracing::subscriber::set_default(subscriber.finish()))
}

struct LogTime(Arc<VirtualTime>);

impl FormatTime for LogTime {
    fn format_time(&self, into: &mut Writer<'_>) -> fmt::Result {
        write!(into, "{:>12.6}", self.0.now().as_secs_f64())
    }
}

#[expect(clippy::print_stderr, reason = "asked for by the environment")]
fn show(now: Duration, line: &str) {
    eprintln!("{:>12.6} {line}", now.as_secs_f64());
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.fingerprint(), f)
    }
}

/// What two runs of one seed must have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// Lines of the trace.
    pub lines: u64,
    /// Of every line and its time.
    pub hash: u64,
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x} over {} lines", self.hash, self.lines)
    }
}
