//! Traces for an OpenTelemetry collector. The only place that knows OpenTelemetry.
//!
//! Spans that have ended wait in a queue of 2,048 for a thread of their own, which sends them every few seconds; what finds the
//! queue full is dropped. A collector that is away costs one line of log.

mod exporter;
mod sampler;

use std::{fmt, str::FromStr, time::Duration};

use opentelemetry::{
    Context, KeyValue,
    propagation::{Extractor, Injector, TextMapPropagator as _},
    trace::{TraceContextExt as _, TracerProvider as _},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

use crate::{
    commands::version::{COMMIT, VERSION},
    failure::Failure,
};
use exporter::Told;
use sampler::ByLinks;

const EXPORT_LIMIT: Duration = Duration::from_secs(5);
/// How long the end of the process waits for the last spans.
const END_LIMIT: Duration = Duration::from_secs(2);
/// As many requests as one object may reasonably hold at full load; OpenTelemetry's own bound is 128.
const LINKS_MAX: u32 = 1_024;

/// Where a collector takes traces: `http://host:port` of its OTLP over gRPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector(String);

impl FromStr for Collector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(authority) = text.strip_prefix("http://") else {
            return Err(if text.starts_with("https://") {
                "TLS to a collector is not built in; run one on this machine and write http://127.0.0.1:4317".into()
            } else {
                "write the address of its OTLP over gRPC as http://127.0.0.1:4317".into()
            });
        };
        if authority.is_empty() || authority.contains(['/', ' ', '?', '#', '@']) {
            return Err("write http://HOST:PORT and nothing after it".into());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The traces of this process.
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Of so many of all requests, and of each whose caller is traced. Inside of a runtime, over which they are sent.
    pub fn start(collector: &Collector, ratio: f64) -> Result<Self, Failure> {
        let exporter =
            SpanExporter::builder().with_tonic().with_endpoint(&collector.0).with_timeout(EXPORT_LIMIT).build();
        let exporter =
            exporter.map_err(|error| Failure::usage(format!("--otlp-endpoint {collector} cannot be used: {error}")))?;
        let process = Resource::builder_empty()
            .with_service_name("eagre")
            .with_attributes([KeyValue::new("service.version", VERSION), KeyValue::new("service.commit", COMMIT)])
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(Told::new(exporter, collector.clone()))
            .with_sampler(ByLinks::new(ratio))
            .with_max_links_per_span(LINKS_MAX)
            .with_resource(process)
            .build();
        eagre_trace::install(Box::new(W3c));
        Ok(Self { provider })
    }

    /// What takes the spans to the collector.
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync>(&self) -> impl Layer<S> + use<S> {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("eagre"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|metadata| metadata.target() == eagre_trace::TARGET))
    }

    /// Sends what is left, bounded.
    pub fn end(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(END_LIMIT) {
            tracing::debug!(%error, "the last traces were not delivered");
        }
    }
}

/// Trace contexts as the W3C's header has them.
struct W3c;

impl eagre_trace::Propagation for W3c {
    fn set_parent(&self, span: &Span, traceparent: &str) {
        if let Some(parent) = context(traceparent) {
            // It fails for a span that was filtered out, which needs no parent.
            span.set_parent(parent).ok();
        }
    }

    fn is_sampled(&self, span: &Span) -> bool {
        span.context().span().span_context().is_sampled()
    }

    fn traceparent(&self, span: &Span) -> Option<String> {
        let mut written = Written(None);
        TraceContextPropagator::new().inject_context(&span.context(), &mut written);
        written.0
    }
}

/// `None`: it makes no sense. The propagator takes ids of any length, the standard only whole ones.
fn context(traceparent: &str) -> Option<Context> {
    let mut lengths = traceparent.split('-').map(str::len);
    if [2, 32, 16, 2].iter().any(|length| lengths.next() != Some(*length)) {
        return None;
    }
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &Header(traceparent));
    context.span().span_context().is_valid().then_some(context)
}

struct Header<'a>(&'a str);

impl Extractor for Header<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == eagre_trace::TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![eagre_trace::TRACEPARENT]
    }
}

struct Written(Option<String>);

impl Injector for Written {
    fn set(&mut self, key: &str, value: String) {
        if key == eagre_trace::TRACEPARENT {
            self.0 = Some(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_an_address() {
        assert_eq!("http://127.0.0.1:4317".parse(), Ok(Collector("http://127.0.0.1:4317".into())));
        for (text, said) in [
            ("127.0.0.1:4317", "http://127.0.0.1:4317"),
            ("https://collector:4317", "TLS"),
            ("http://", "HOST:PORT"),
            ("http://127.0.0.1:4318/v1/traces", "nothing after it"),
        ] {
            let error = text.parse::<Collector>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn only_a_well_formed_context_is_a_parent() {
        assert!(context("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").is_some());
        for text in ["", "00", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-0af7-b7ad-01", "é"] {
            assert!(context(text).is_none(), "{text}");
        }
    }
}
