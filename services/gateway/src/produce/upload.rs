//! Uploading an object: build its bytes, PUT them or put them inside, hand out the commit request.

use std::{
    error::Error,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use eagre_env::{Env, PlantedBug};
use eagre_log::{RunReader, WalBatch, WalObject, WalObjectBuilder, WalRun};
use eagre_model::{ObjectId, ProducerEpoch, ProducerId, TopicPartition};
use eagre_objects::{Bucket, PutError};
use eagre_sequencer_api::{CommitBatch, CommitRequest, CommitRun, ProducerSequence};
use eagre_trace::Seldom;
use tokio::time::{Instant, sleep, timeout};

use super::edge::{CheckedBatch, NumberedPart};
use crate::{GatewaySettings, jittered, metrics};

const RETRY_PAUSE_MIN: Duration = Duration::from_millis(20);
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(1_000);

/// The batches of an object, in the order of their runs.
pub(super) type Parts = Vec<(TopicPartition, Vec<CheckedBatch>)>;

/// What is to be uploaded.
pub(super) enum Cargo {
    Batches(Parts),
    /// An object that was refused under its old id.
    Again(Box<Uploaded>),
}

impl Cargo {
    fn data_bytes(&self) -> usize {
        match self {
            Self::Batches(parts) => parts.iter().flat_map(|(_, batches)| batches).map(|batch| batch.bytes.len()).sum(),
            Self::Again(refused) => data_bytes(&refused.object),
        }
    }
}

/// An object that is in the bucket, or whose bytes are in the request.
pub(super) struct Uploaded {
    pub request: CommitRequest,
    /// Kept until the commit is answered, because it may have to be uploaded again under another id.
    pub object: WalObject,
}

impl Uploaded {
    /// The same under another id, as if it had never been sent: neither inside of its request nor in the bucket.
    pub fn renamed(self, id: ObjectId) -> Self {
        let object = self.object.renamed(id);
        let object_length_bytes = object.bytes.len() as u64;
        let request = CommitRequest { object: id, object_length_bytes, inline: None, ..self.request };
        Self { request, object }
    }
}

/// The upload failed for good: the object was not and will not be committed. Says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct UploadFailure(pub String);

/// What uploads share.
#[derive(Clone)]
pub(crate) struct Uploader {
    pub env: Env,
    pub bucket: Bucket,
    pub reader: RunReader,
    pub settings: Arc<GatewaySettings>,
    /// As the sequencer said last.
    pub takes_inline: Arc<AtomicBool>,
    /// All uploads go to one bucket: its trouble is told for all of them.
    pub trouble: Arc<Seldom>,
}

impl Uploader {
    pub fn new(env: Env, bucket: Bucket, reader: RunReader, settings: Arc<GatewaySettings>) -> Self {
        Self { env, bucket, reader, settings, takes_inline: Arc::new(AtomicBool::new(true)), trouble: Arc::default() }
    }

    /// The sequencer said whether bytes may come inside of commits.
    pub(super) fn note_takes_inline(&self, takes_inline: bool) {
        self.takes_inline.store(takes_inline, Ordering::Relaxed);
    }

    /// Puts a small object inside of its commit request, if it is one and they are welcome: nothing to upload.
    pub(super) fn put_inside(&self, id: ObjectId, cargo: Cargo) -> Result<Uploaded, Cargo> {
        let is_small = cargo.data_bytes() <= self.settings.inline_bytes_max;
        if !is_small || !self.takes_inline.load(Ordering::Relaxed) {
            return Err(cargo);
        }
        let Uploaded { request, object } = lay_out(id, cargo);
        let data = object.bytes.slice(..data_bytes(&object));
        let request = CommitRequest { object_length_bytes: data.len() as u64, inline: Some(data), ..request };
        metrics::went_inline();
        // Readers here find it as they find what was uploaded.
        self.reader.insert_written(id, object.bytes.clone());
        Ok(Uploaded { request, object })
    }

    /// Returns when the object is durable.
    pub(super) async fn upload(self, id: ObjectId, cargo: Cargo) -> Result<Uploaded, UploadFailure> {
        let Uploaded { request, object } = lay_out(id, cargo);
        if self.env.has_planted(PlantedBug::AckBeforePut) {
            let (later, bytes) = (self.clone(), object.bytes.clone());
            tokio::spawn(async move { later.put(id, bytes).await });
        } else {
            self.put(id, object.bytes.clone()).await?;
        }
        Ok(Uploaded { request, object })
    }

    async fn put(&self, id: ObjectId, bytes: Bytes) -> Result<(), UploadFailure> {
        let key = id.key();
        let began = Instant::now();
        let mut pause = RETRY_PAUSE_MIN;
        self.env.fail_point("put.before").await;
        loop {
            let attempt = timeout(self.settings.upload_attempt_max, self.bucket.put(&key, bytes.clone())).await;
            let error = match attempt {
                Ok(Ok(())) => break,
                Ok(Err(error)) => error.into(),
                Err(_) => PutTrouble::Passing(format!(
                    "no answer to the upload within {:?}",
                    self.settings.upload_attempt_max
                )),
            };
            let text = match error {
                PutTrouble::Lasting(text) => return Err(UploadFailure(text)),
                PutTrouble::Passing(text) if began.elapsed() + pause > self.settings.upload_retry_max => {
                    tracing::warn!(object = %id, error = text, "an object could not be uploaded; its requests are refused");
                    return Err(UploadFailure(text));
                }
                PutTrouble::Passing(text) => text,
            };
            if let Some(held_back) = self.trouble.turn() {
                tracing::warn!(object = %id, error = text, held_back, "upload failed, trying again");
            }
            sleep(jittered(&self.env, pause)).await;
            pause = (pause * 2).min(RETRY_PAUSE_MAX);
        }
        self.env.fail_point("put.after").await;
        metrics::put_seconds(began.elapsed());
        self.reader.insert_written(id, bytes);
        Ok(())
    }
}

fn lay_out(id: ObjectId, cargo: Cargo) -> Uploaded {
    match cargo {
        Cargo::Batches(parts) => build(id, parts),
        Cargo::Again(refused) => refused.renamed(id),
    }
}

/// The batches of an object, without its footer.
fn data_bytes(object: &WalObject) -> usize {
    object.runs.iter().map(|run| usize::try_from(run.length_bytes).unwrap_or(usize::MAX)).sum()
}

/// What is to be uploaded, and the request to commit it then.
pub(super) fn build(id: ObjectId, parts: Parts) -> Uploaded {
    let mut builder = WalObjectBuilder::new();
    let mut numbered = Vec::new();
    for (partition, batches) in parts {
        for batch in batches {
            numbered.push(batch.part);
            builder.push(partition, batch.bytes, &batch.valid);
        }
    }
    let object = builder.finish(id);
    let mut request = commit_request(&object);
    // The parts came in the order of their partitions, as the runs of an object stand.
    let batches = request.runs.iter_mut().flat_map(|run| &mut run.batches);
    for (batch, part) in batches.zip(numbered) {
        if let Some(NumberedPart { sequence, part_of }) = part {
            (batch.producer, batch.part) = (Some(sequence), Some(part_of));
        }
    }
    Uploaded { request, object }
}

fn commit_request(object: &WalObject) -> CommitRequest {
    let run = |run: &WalRun| CommitRun {
        partition: run.partition,
        position_bytes: run.position_bytes,
        batches: run.batches.iter().map(commit_batch).collect(),
    };
    CommitRequest {
        object: object.id,
        object_length_bytes: object.bytes.len() as u64,
        runs: object.runs.iter().map(run).collect(),
        inline: None,
        // Known when it is submitted.
        settled_below: 0,
        traceparent: None,
    }
}

fn commit_batch(batch: &WalBatch) -> CommitBatch {
    let header = &batch.header;
    let producer = header.is_idempotent().then_some(ProducerSequence {
        id: ProducerId(header.producer_id),
        epoch: ProducerEpoch(header.producer_epoch),
        first_sequence: header.base_sequence,
    });
    CommitBatch {
        length_bytes: batch.length_bytes,
        record_count: header.record_count.unsigned_abs(),
        crc32c: batch.crc32c,
        max_timestamp_ms: header.max_timestamp,
        attributes: header.attributes,
        producer,
        part: None,
    }
}

/// What is wrong with an upload.
enum PutTrouble {
    /// Trying again at once will not help.
    Lasting(String),
    Passing(String),
}

impl From<PutError> for PutTrouble {
    fn from(error: PutError) -> Self {
        let text = error.to_string();
        match io_kind(&error) {
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                Self::Lasting("the bucket is full: free some space".into())
            }
            Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => Self::Lasting(text),
            Some(_) | None => match error.source {
                object_store::Error::PermissionDenied { .. }
                | object_store::Error::Unauthenticated { .. }
                | object_store::Error::NotSupported { .. }
                | object_store::Error::NotImplemented { .. }
                | object_store::Error::InvalidPath { .. } => Self::Lasting(text),
                _ => Self::Passing(text),
            },
        }
    }
}

/// What the operating system said, if it is at the bottom of the error.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        next = error.source();
    }
    None
}
