//! What an operator is shown of requests: the spans of a record's way, how a trace crosses from one process to the next, and
//! log lines that do not repeat ([`Seldom`]).
//!
//! A request has a span of its own. What many requests share has spans of its own too, joined to theirs by links in both
//! directions:
//!
//! ```text
//! produce  <-- links -->  object        from its first traced batch until its answers are given
//!                           put         one an attempt under one name
//!                           commit      until the sequencer answers
//!                             sequence  in the sequencer, until the answer is given
//!                               ^-- links --> flush
//! ```
//!
//! What exports them is [`install`]ed by the binary; this crate knows only `tracing`. Without it, and for requests that are
//! not sampled, every span here is [`Span::none`], which costs next to nothing.

mod seldom;

use std::sync::OnceLock;

use tracing::{Span, field::Empty, info_span};

pub use seldom::Seldom;

/// The target of all these spans: logs leave it out.
pub const TARGET: &str = "eagre_trace";
/// The name of the W3C's header and metadata key (<https://www.w3.org/TR/trace-context/>).
pub const TRACEPARENT: &str = "traceparent";
/// A longer one is of a version that nobody has defined.
const TRACEPARENT_LENGTH_MAX: usize = 128;

/// What an exporter does with spans beyond what `tracing` knows. Its second implementation is none at all.
pub trait Propagation: Send + Sync + 'static {
    /// Makes a fresh span the child of one in another process. A text that makes no sense is ignored.
    fn set_parent(&self, span: &Span, traceparent: &str);

    /// Whether the span will be exported.
    fn is_sampled(&self, span: &Span) -> bool;

    /// What to send to another process so that its spans become children of this one.
    fn traceparent(&self, span: &Span) -> Option<String>;
}

static PROPAGATION: OnceLock<Box<dyn Propagation>> = OnceLock::new();

/// From now on spans are made. The first call counts.
pub fn install(propagation: Box<dyn Propagation>) {
    PROPAGATION.get_or_init(|| propagation);
}

/// A produce request, from when it was read until it is answered; a part of the caller's trace if it gave one.
pub fn produce(caller: Option<&str>, topic: &str) -> Span {
    root(caller, || {
        info_span!(
            target: TARGET,
            parent: None,
            "produce",
            otel.kind = "server",
            topic,
            result = Empty,
            otel.status_code = Empty
        )
    })
}

/// Notes how a request ended: the name of its refusal, if it was refused.
pub fn answered(produce: &Span, refusal: Option<&str>) {
    if produce.is_none() {
        return;
    }
    produce.record("result", refusal.unwrap_or("acknowledged"));
    produce.record("otel.status_code", if refusal.is_some() { "ERROR" } else { "OK" });
}

/// An object: begins with its first traced request, which [`join`]s it.
fn object() -> Span {
    info_span!(target: TARGET, parent: None, "object", object = Empty, bytes = Empty, cut = Empty)
}

/// A request's batch comes into an object.
pub fn join(object_span: &mut Span, produce: &Span) {
    if produce.is_none() {
        return;
    }
    if object_span.is_none() {
        *object_span = object();
    }
    object_span.follows_from(produce);
}

/// The object is cut: whoever joined it is told of it.
pub fn cut(object: &Span, bytes: usize, reason: &str, joined: impl IntoIterator<Item = Span>) {
    if object.is_none() {
        return;
    }
    object.record("bytes", bytes);
    object.record("cut", reason);
    for produce in joined {
        produce.follows_from(object);
    }
}

/// The object's upload under a name.
pub fn put(object: &Span, name: &dyn std::fmt::Display) -> Span {
    if object.is_none() {
        return Span::none();
    }
    info_span!(target: TARGET, parent: object, "put", otel.kind = "client", object = %name)
}

/// The object's commit, from its submission to its answer.
pub fn commit(object: &Span) -> Span {
    if object.is_none() {
        return Span::none();
    }
    info_span!(target: TARGET, parent: object, "commit", otel.kind = "client")
}

/// What a sequencer is told of a commit's span.
pub fn traceparent(span: &Span) -> Option<String> {
    if span.is_none() {
        return None;
    }
    PROPAGATION.get()?.traceparent(span)
}

/// A commit in the sequencer, until its answer is given; a child of the gateway's.
pub fn sequence(commit: &str) -> Span {
    root(Some(commit), || info_span!(target: TARGET, parent: None, "sequence", otel.kind = "server"))
}

/// The flush that makes these commits durable.
pub fn flush(commits: &[Span]) -> Span {
    if commits.iter().all(Span::is_none) {
        return Span::none();
    }
    let flush = info_span!(target: TARGET, parent: None, "flush", commits = commits.len());
    // Whether a span is exported is decided by those that it is linked to, so these come first.
    for commit in commits {
        flush.follows_from(commit);
    }
    for commit in commits {
        commit.follows_from(&flush);
    }
    flush
}

fn root(parent: Option<&str>, span: impl FnOnce() -> Span) -> Span {
    let Some(propagation) = PROPAGATION.get() else { return Span::none() };
    let span = span();
    if let Some(parent) = parent.filter(|parent| parent.len() <= TRACEPARENT_LENGTH_MAX) {
        propagation.set_parent(&span, parent);
    }
    if propagation.is_sampled(&span) { span } else { Span::none() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_exporter_there_are_no_spans() {
        let produce = produce(None, "t");
        assert!(produce.is_none());
        let mut object = Span::none();
        join(&mut object, &produce);
        cut(&object, 1, "age", [produce.clone()]);
        answered(&produce, None);
        assert!(object.is_none() && put(&object, &"o").is_none() && commit(&object).is_none());
        assert!(traceparent(&object).is_none() && sequence("00").is_none() && flush(&[object]).is_none());
    }
}
