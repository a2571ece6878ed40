//! Kafka's protocol, by librdkafka: it shares no codec with a service of ours either. librdkafka has threads of its own and waits
//! in calls, so producers and consumers are threads here.

pub mod broker;
pub mod consumer;
mod delivery;
pub mod producer;

use std::thread;

use anyhow::{Context, Result};
use tokio::{sync::oneshot, task::JoinHandle};

/// Runs `work` on a thread of its own. tokio's blocking threads would be used up by many consumers.
fn on_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> JoinHandle<Result<T>> {
    let (done, told) = oneshot::channel();
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Nobody waits any longer where the run has ended early.
        done.send(work()).ok();
    });
    tokio::spawn(async move {
        spawned.context("cannot start a thread")?;
        told.await.context("a thread ended without a result")?
    })
}
