//! Says once when a collector takes nothing, and once when it does again.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter as Exporter},
};

use super::Collector;

/// An exporter whose failures are told.
pub(super) struct Told {
    inner: SpanExporter,
    collector: Collector,
    is_away: AtomicBool,
}

impl Told {
    pub fn new(inner: SpanExporter, collector: Collector) -> Self {
        Self { inner, collector, is_away: AtomicBool::new(false) }
    }
}

impl Exporter for Told {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.inner.export(batch).await;
        let was_away = self.is_away.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Err(error) if !was_away => {
                tracing::warn!(collector = %self.collector, %error, "traces are dropped until the collector takes them");
            }
            Ok(()) if was_away => tracing::info!(collector = %self.collector, "traces are taken again"),
            _ => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, limit: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(limit)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Told({})", self.collector)
    }
}
