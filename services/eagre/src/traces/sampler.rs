//! Which spans are exported.

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceContextExt as _, TraceId},
};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

/// A span with a parent goes the way of its parent, one that begins with links is exported with what it is linked to, and of the
/// others a share is drawn.
#[derive(Debug, Clone)]
pub(super) struct ByLinks {
    drawn: Sampler,
}

impl ByLinks {
    /// `ratio` of the requests whose caller says nothing, from 0 to 1.
    pub fn new(ratio: f64) -> Self {
        Self { drawn: Sampler::TraceIdRatioBased(ratio) }
    }
}

impl ShouldSample for ByLinks {
    fn should_sample(
        &self,
        parent_context: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        span_kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let parent = parent_context.map(|context| context.span().span_context().clone());
        let is_sampled = match parent.filter(opentelemetry::trace::SpanContext::is_valid) {
            Some(parent) => parent.is_sampled(),
            None if !links.is_empty() => links.iter().any(|link| link.span_context.is_sampled()),
            None => return self.drawn.should_sample(None, trace_id, name, span_kind, attributes, links),
        };
        let decision = if is_sampled { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop };
        SamplingResult { decision, attributes: Vec::new(), trace_state: Default::default() }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceState};

    use super::*;

    fn context(is_sampled: bool) -> SpanContext {
        let flags = TraceFlags::default().with_sampled(is_sampled);
        SpanContext::new(TraceId::from(1), SpanId::from(1), flags, true, TraceState::default())
    }

    fn decide(ratio: f64, parent: Option<bool>, links: &[bool]) -> bool {
        let parent = parent.map(|sampled| Context::new().with_remote_span_context(context(sampled)));
        let links: Vec<_> = links.iter().map(|sampled| Link::with_context(context(*sampled))).collect();
        let trace = TraceId::from(u128::MAX / 2);
        let result = ByLinks::new(ratio).should_sample(parent.as_ref(), trace, "n", &SpanKind::Internal, &[], &links);
        result.decision == SamplingDecision::RecordAndSample
    }

    #[test]
    fn the_caller_decides_then_the_links_then_the_draw() {
        assert!(decide(0.0, Some(true), &[]) && !decide(1.0, Some(false), &[true]));
        assert!(decide(0.0, None, &[false, true]) && !decide(1.0, None, &[false]));
        assert!(decide(1.0, None, &[]) && !decide(0.0, None, &[]));
    }
}
