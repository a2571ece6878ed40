//! One partition of a fetch stream: from an offset on, message by message.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use eagre_log::ReadError;
use eagre_model::{Run, TopicPartition};
use eagre_proto::v1::{FetchEncoding, FetchResponse};
use tokio::{sync::watch, time::sleep};

use super::{
    ahead::AheadRun,
    message::{RunCursor, take_batches, take_records},
    position::Resolved,
    tails::TailView,
};
use crate::{Shared, jittered, metrics, refusal::Refusal};

/// Index rows of one question.
const ROWS_PER_PAGE: usize = 1_000;
/// A bucket or a sequencer that gives no answer is asked so often before the stream ends.
const ATTEMPTS_MAX: u32 = 6;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(50);

/// What all partitions of a stream share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub encoding: FetchEncoding,
    /// Stop at the high watermark of the moment the stream began.
    pub stops: bool,
    /// Bytes to read ahead of one partition; one run may be read in any case.
    pub ahead_bytes: usize,
}

/// Reads one partition in order.
pub(super) struct PartitionReader {
    shared: Arc<Shared>,
    manner: Manner,
    index: u32,
    topic: String,
    partition: TopicPartition,
    tail: watch::Receiver<TailView>,
    /// The next offset to give out.
    next_offset: i64,
    /// With `stops`: where.
    stop_at: i64,
    ended: bool,
    /// Runs that are being read, in order. The cursor is in the first one.
    ahead: VecDeque<AheadRun>,
    cursor: Option<RunCursor>,
    /// Rows that are known and not being read.
    rows: VecDeque<Run>,
    /// The offset after all that is known.
    planned: i64,
    /// The row whose object was missing.
    missing: Option<Run>,
    attempts: u32,
}

impl PartitionReader {
    pub fn new(shared: Arc<Shared>, manner: Manner, index: u32, place: Resolved) -> Self {
        let tail = shared.tails.watch(place.partition);
        Self {
            shared,
            manner,
            index,
            topic: place.topic,
            partition: place.partition,
            tail,
            next_offset: place.offset,
            stop_at: place.high_watermark,
            ended: false,
            ahead: VecDeque::new(),
            cursor: None,
            rows: VecDeque::new(),
            planned: place.offset,
            missing: None,
            attempts: 0,
        }
    }

    /// The next message; `None` when the partition is read to where it was to stop.
    pub async fn next(&mut self) -> Result<Option<FetchResponse>, Refusal> {
        loop {
            if self.ended {
                return Ok(None);
            }
            let view = *self.tail.borrow_and_update();
            if view.doubtful {
                self.verify().await?;
                continue;
            }
            let end = if self.manner.stops { self.stop_at } else { view.high_watermark };
            if self.next_offset >= end {
                if self.manner.stops {
                    self.ended = true;
                    return Ok(Some(self.response(view)));
                }
                self.wait().await?;
                continue;
            }
            self.plan(end).await?;
            if let Some(response) = self.take(view).await? {
                return Ok(Some(response));
            }
        }
    }

    /// Sleeps until the partition's end moves.
    async fn wait(&mut self) -> Result<(), Refusal> {
        // The sender is dropped with the entry only when the gateway goes.
        self.tail.changed().await.map_err(|_| Refusal::Unavailable("this gateway is going away".into()))
    }

    /// Asks the sequencer whether the partition is still there.
    async fn verify(&mut self) -> Result<(), Refusal> {
        match self.shared.bounds.ask(&[self.partition]).await {
            Ok(bounds) => match bounds.first().copied().flatten() {
                Some(_) => {
                    // The answer cleared the doubt, unless nobody keeps this tail any more.
                    self.tail = self.shared.tails.watch(self.partition);
                    Ok(())
                }
                None => Err(Refusal::UnknownTopic { topic: self.topic.clone() }),
            },
            Err(error) => self.pause(error.to_string()).await,
        }
    }

    /// Begins to read as many runs as may be read ahead.
    async fn plan(&mut self, end: i64) -> Result<(), Refusal> {
        if self.rows.is_empty() && self.ahead.is_empty() && self.planned < end {
            self.find_rows().await?;
        }
        let mut bytes: usize = self.ahead.iter().map(|ahead| length(&ahead.run)).sum();
        loop {
            if self.rows.is_empty() && self.planned < end {
                // Only what is in memory: the index is asked when there is nothing else to do.
                let recent = self.shared.tails.recent(self.partition, self.planned, ROWS_PER_PAGE);
                self.know(recent)?;
            }
            let Some(row) = self.rows.front() else { return Ok(()) };
            if row.base_offset >= end || (!self.ahead.is_empty() && bytes + length(row) > self.manner.ahead_bytes) {
                return Ok(());
            }
            bytes += length(row);
            self.ahead.extend(self.rows.pop_front().map(|row| self.shared.ahead.start(row)));
        }
    }

    /// The rows that follow, from memory or from the sequencer.
    async fn find_rows(&mut self) -> Result<(), Refusal> {
        let recent = self.shared.tails.recent(self.partition, self.planned, ROWS_PER_PAGE);
        if !recent.is_empty() {
            return self.know(recent);
        }
        let rows = self.shared.sequencer.read_index(self.partition, self.planned, ROWS_PER_PAGE).await;
        match rows {
            Ok(rows) if rows.is_empty() => {
                // Below the high watermark there is a row, unless the partition is gone.
                self.verify().await?;
                self.pause(format!("the index has no row for offset {}", self.planned)).await
            }
            Ok(rows) => {
                self.attempts = 0;
                self.know(rows)
            }
            Err(error) => self.pause(error.to_string()).await,
        }
    }

    fn know(&mut self, rows: Vec<Run>) -> Result<(), Refusal> {
        for row in rows {
            if row.last_offset < self.planned {
                continue;
            }
            if row.base_offset > self.planned {
                return Err(self.corrupt(format!("the index has no row for offset {}", self.planned)));
            }
            self.planned = row.next_offset();
            self.rows.push_back(row);
        }
        Ok(())
    }

    /// The next message out of the first run; `None`: that run is done, or the index has to be asked again.
    async fn take(&mut self, view: TailView) -> Result<Option<FetchResponse>, Refusal> {
        let Some(first) = self.ahead.front() else { return Ok(None) };
        let run = first.run;
        let bytes = match first.bytes().await {
            Ok(bytes) => bytes,
            Err(error) => return self.unread(run, error).await.map(|()| None),
        };
        self.attempts = 0;
        self.missing = None;
        let mut cursor = self.cursor.unwrap_or(RunCursor { position_bytes: 0, base_offset: run.base_offset });
        let mut response = self.response(view);
        let bytes_max = self.shared.fetch_message_bytes();
        let limits = &self.shared.settings.batch_limits;
        let taken = match self.manner.encoding {
            FetchEncoding::Batches => take_batches(&bytes, &mut cursor, self.next_offset, bytes_max).map(|taken| {
                taken.map(|(batches, next)| {
                    response.batches = batches;
                    next
                })
            }),
            FetchEncoding::Records | FetchEncoding::Unspecified => {
                take_records(&bytes, &mut cursor, self.next_offset, bytes_max, limits).map(|taken| {
                    taken.map(|(records, next)| {
                        response.records = records;
                        next
                    })
                })
            }
        };
        let taken = taken.map_err(|error| self.corrupt(format!("object {}: {error}", run.object)))?;
        self.cursor = Some(cursor);
        if let Some(next) = taken {
            self.next_offset = next;
        }
        let done = self.next_offset >= run.next_offset();
        if done || taken.is_none() {
            if self.next_offset != run.next_offset() {
                return Err(self.corrupt(format!("object {} ends before offset {}", run.object, run.last_offset)));
            }
            self.ahead.pop_front();
            self.cursor = None;
        }
        if taken.is_none() {
            return Ok(None);
        }
        response.next_offset = self.next_offset;
        // A tail that is already known shows more than the one this turn began with.
        response.high_watermark = response.high_watermark.max(self.tail.borrow().high_watermark).max(self.next_offset);
        metrics::fetched(response.batches.len(), response.records.len());
        if self.manner.stops && self.next_offset >= self.stop_at {
            self.ended = true;
            response.end_reached = true;
        }
        Ok(Some(response))
    }

    /// A run could not be read: asks the index again, tries again, or gives up.
    async fn unread(&mut self, run: Run, error: ReadError) -> Result<(), Refusal> {
        match error {
            ReadError::Missing { .. } if self.missing == Some(run) => {
                Err(self.corrupt(format!("object {} is missing, and the index still names it", run.object)))
            }
            ReadError::Missing { .. } => {
                tracing::warn!(partition = %self.partition, object = %run.object, "an object is missing, asking the index again");
                let rows = self.shared.sequencer.read_index(self.partition, self.next_offset, ROWS_PER_PAGE).await;
                self.forget_plans();
                match rows {
                    Ok(rows) => {
                        self.missing = rows.first().copied();
                        self.know(rows)
                    }
                    Err(error) => self.pause(error.to_string()).await,
                }
            }
            ReadError::Corrupt { .. } => Err(self.corrupt(error.to_string())),
            ReadError::Unavailable { .. } => {
                self.forget_plans();
                self.pause(error.to_string()).await
            }
        }
    }

    fn forget_plans(&mut self) {
        self.ahead.clear();
        self.rows.clear();
        self.cursor = None;
        self.planned = self.next_offset;
    }

    /// Waits before another attempt; gives up when there were too many.
    async fn pause(&mut self, why: String) -> Result<(), Refusal> {
        self.attempts += 1;
        if self.attempts >= ATTEMPTS_MAX {
            return Err(Refusal::Unavailable(why));
        }
        tracing::warn!(partition = %self.partition, why, attempt = self.attempts, "a read has to be tried again");
        sleep(jittered(&self.shared.env, ATTEMPT_PAUSE * self.attempts)).await;
        Ok(())
    }

    fn corrupt(&self, what: String) -> Refusal {
        tracing::error!(topic = self.topic, partition = %self.partition, offset = self.next_offset, what, "STORED DATA IS CORRUPT");
        Refusal::StoredDataCorrupt(format!("topic {:?} partition {}: {what}", self.topic, self.partition.partition))
    }

    fn response(&self, view: TailView) -> FetchResponse {
        FetchResponse {
            index: self.index,
            next_offset: self.next_offset,
            high_watermark: view.high_watermark,
            log_start_offset: view.log_start_offset,
            end_reached: self.ended,
            ..FetchResponse::default()
        }
    }
}

fn length(run: &Run) -> usize {
    usize::try_from(run.length_bytes).unwrap_or(usize::MAX)
}
