//! What the layer makes of a store that misbehaves by a script.

mod creates;
mod hedges;
mod retries;
mod scripted;

use object_store::{ObjectStore, PutMode, PutOptions, PutPayload, PutResult, Result, path::Path};

use super::*;
use scripted::{Scripted, Step, env, resilient};

fn data() -> Path {
    Path::from("wal/1/1-2")
}

fn payload(text: &'static str) -> PutPayload {
    PutPayload::from_static(text.as_bytes())
}

async fn put(store: &dyn ObjectStore, text: &'static str) -> Result<PutResult> {
    store.put_opts(&data(), payload(text), PutOptions::default()).await
}

async fn create(store: &dyn ObjectStore, key: &str, text: &'static str) -> Result<PutResult> {
    store.put_opts(&Path::from(key), payload(text), PutMode::Create.into()).await
}

/// Requests enough to know what is usual.
async fn warm_up(scripted: &Scripted, store: &dyn ObjectStore) {
    for n in 0..40 {
        put(store, "x").await.unwrap();
        create(store, &format!("lease/0/{n}"), "x").await.unwrap();
    }
    scripted.take_sent();
}
