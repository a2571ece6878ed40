//! One partition of a fetch stream: from an offset on, message by message.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use eagre_log::ReadError;
use eagre_model::{Run, RunKind, TopicPartition};
use eagre_proto::v1::{FetchEncoding, FetchResponse};
use eagre_sequencer_api::SequencerError;
use eagre_transport::Lease;
use tokio::{sync::watch, time::sleep};
use tokio_util::task::AbortOnDropHandle;

use super::{
    ahead::AheadRun,
    message::{Filled, Message, RunCursor},
    messages::LargePlace,
    position::Resolved,
    tails::TailView,
};
use crate::{Shared, jittered, metrics, refusal::Refusal};

/// Index rows of one question.
const ROWS_PER_PAGE: usize = 1_000;
/// What is left of a page when the next one is asked for: this part.
const ROWS_LOW_SHARE: usize = 4;
/// What a row takes.
const ROW_BYTES: usize = std::mem::size_of::<Run>();
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

/// A message, and what is held until the client has taken it.
pub(super) struct Made {
    pub response: FetchResponse,
    pub held: Option<Held>,
}

/// Of a message that was given out, until the next one is asked for.
pub(super) type Held = (Lease, Option<LargePlace>);

impl Made {
    /// One without records.
    pub fn small(response: FetchResponse) -> Self {
        Self { response, held: None }
    }
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
    /// Rows that are known and not being read: what is left of two pages at most.
    rows: VecDeque<Run>,
    /// With so many rows left the next ones are asked for.
    rows_low: usize,
    /// Of the last page that was asked for, and of the one before.
    rows_leases: [Option<Lease>; 2],
    /// The offset after all that is known.
    planned: i64,
    /// The page of the index from there on, on its way.
    page: Option<AbortOnDropHandle<Result<Vec<Run>, SequencerError>>>,
    /// Room for what comes next, which is large.
    place: Option<LargePlace>,
    /// The row whose bytes were missing, and which the index gave once more.
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
            rows_low: 0,
            rows_leases: [None, None],
            planned: place.offset,
            page: None,
            place: None,
            missing: None,
            attempts: 0,
        }
    }

    /// The next message; `None` when the partition is read to where it was to stop.
    pub async fn next(&mut self) -> Result<Option<Made>, Refusal> {
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
                    return Ok(Some(Made::small(self.response(view))));
                }
                // A pause at the end of the log says nothing of what comes after it.
                self.attempts = 0;
                self.wait().await?;
                continue;
            }
            self.plan(end).await?;
            if let Some(made) = self.take(view).await? {
                return Ok(Some(made));
            }
        }
    }

    /// Sleeps until the partition's end moves.
    async fn wait(&mut self) -> Result<(), Refusal> {
        // Rows may be known before the end has moved beyond them; these stay.
        if self.rows.is_empty() {
            self.rows = VecDeque::new();
            self.rows_leases = [None, None];
        }
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
        self.find_rows(end).await?;
        let mut bytes: usize = self.ahead.iter().map(|ahead| length(&ahead.run)).sum();
        while let Some(row) = self.rows.front() {
            let is_extra = !self.ahead.is_empty();
            let has_room = bytes + length(row) <= self.manner.ahead_bytes && self.shared.ahead.has_room();
            if row.base_offset >= end || (is_extra && !has_room) {
                break;
            }
            bytes += length(row);
            self.ahead.extend(self.rows.pop_front().map(|row| self.shared.ahead.start(self.partition, row)));
        }
        Ok(())
    }

    /// Sees to it that rows are known before they are needed: out of memory, or by the page of the index that is asked for
    /// while the last one is being read. Waits only when there is nothing else to do.
    async fn find_rows(&mut self, end: i64) -> Result<(), Refusal> {
        if self.rows.len() > self.rows_low || self.planned >= end {
            return Ok(());
        }
        if self.page.is_none() {
            let rows_max = self.lease_rows();
            let recent = self.shared.tails.recent(self.partition, self.planned, rows_max);
            if !recent.is_empty() {
                return self.know(recent);
            }
            let (sequencer, partition, offset) = (self.shared.sequencer.clone(), self.partition, self.planned);
            let turns = self.shared.index_turns.clone();
            let page = async move {
                // Each reads blocks of tables and rows in memory; thousands of partitions may begin at once.
                let _turn = turns.acquire().await.expect("the semaphore is never closed");
                sequencer.read_index(partition, offset, rows_max).await
            };
            self.page = Some(AbortOnDropHandle::new(tokio::spawn(page)));
        }
        let idle = self.rows.is_empty() && self.ahead.is_empty();
        let Some(page) = self.page.take_if(|page| idle || page.is_finished()) else { return Ok(()) };
        match page.await {
            Ok(Ok(rows)) if rows.is_empty() => {
                // Below the high watermark there is a row, unless the partition is gone.
                self.verify().await?;
                self.pause(format!("the index has no row for offset {}", self.planned)).await
            }
            Ok(Ok(rows)) => self.know(rows),
            Ok(Err(error)) => self.pause(error.to_string()).await,
            Err(error) => self.pause(error.to_string()).await,
        }
    }

    /// Room for a page of the index, and how many rows it may have. Thousands of partitions that nobody takes anything of would
    /// else hold a page each.
    fn lease_rows(&mut self) -> usize {
        let lease = self.shared.index_rows.lend(ROWS_PER_PAGE * ROW_BYTES);
        let rows_max = (lease.bytes / ROW_BYTES).max(1);
        self.rows_low = rows_max / ROWS_LOW_SHARE;
        self.rows_leases.swap(0, 1);
        self.rows_leases[0] = Some(lease);
        rows_max
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
        if let Some(lease) = &mut self.rows_leases[0] {
            lease.shrink_to(self.rows.len() * ROW_BYTES);
        }
        Ok(())
    }

    /// The next message: out of the first run, and of those behind it that are there. `None`: plan again.
    async fn take(&mut self, view: TailView) -> Result<Option<Made>, Refusal> {
        let Some(first) = self.ahead.front_mut() else { return Ok(None) };
        let run = first.run;
        let bytes = match first.bytes().await {
            Ok(bytes) => bytes,
            Err(error) => return self.unread(run, error).await.map(|()| None),
        };
        self.attempts = 0;
        self.missing = None;
        let (mut lease, sizes) = self.shared.lease_message();
        let place = self.place.take();
        let first_bytes_max = place.as_ref().map_or(0, |place| place.bytes);
        let passed = self.cursor.map_or(0, |cursor| cursor.position_bytes);
        let mut expected = bytes.len() - passed.min(bytes.len());
        let mut ready = vec![(run, bytes)];
        for ahead in self.ahead.iter().skip(1) {
            if expected >= sizes.bytes {
                break;
            }
            let Some(bytes) = ahead.ready_bytes() else { break };
            expected += bytes.len();
            ready.push((ahead.run, bytes));
        }
        let mut message = Message::new(self.manner.encoding, sizes, first_bytes_max, expected, self.next_offset);
        // The bytes of the runs go with the loop.
        for (run, bytes) in ready {
            if self.fill(&mut message, &run, &bytes)? == Filled::Full {
                break;
            }
        }
        if let Some(bytes) = message.too_large() {
            // While it waits it holds nothing but what was read ahead, which others may take.
            drop((message, lease, place));
            self.place = Some(self.shared.messages.place(bytes).await?);
            return Ok(None);
        }
        lease.shrink_to(message.extent().0);
        Ok(Some(Made { response: self.finish(message, view), held: Some((lease, place)) }))
    }

    fn fill(&mut self, message: &mut Message, run: &Run, bytes: &Bytes) -> Result<Filled, Refusal> {
        let mut cursor = self.cursor.unwrap_or(RunCursor { position_bytes: 0, base_offset: run.base_offset });
        let filled = message.fill(bytes, &mut cursor, &self.shared.settings.batch_limits);
        let filled = filled.map_err(|error| self.corrupt(format!("object {}: {error}", run.object)))?;
        self.cursor = Some(cursor);
        if filled == Filled::Exhausted {
            if message.next_offset != run.next_offset() {
                return Err(self.corrupt(format!("object {} ends before offset {}", run.object, run.last_offset)));
            }
            self.ahead.pop_front();
            self.cursor = None;
        }
        Ok(filled)
    }

    fn finish(&mut self, message: Message, view: TailView) -> FetchResponse {
        self.next_offset = message.next_offset;
        self.ended = self.manner.stops && self.next_offset >= self.stop_at;
        let mut response = self.response(view);
        let (bytes, records) = message.extent();
        (response.batches, response.records) = message.into_parts();
        // What lies below the end that is known by now may be more than this turn began with.
        response.high_watermark = self.tail.borrow().high_watermark.max(view.high_watermark).max(self.next_offset);
        metrics::fetched(bytes, records);
        response
    }

    /// A run could not be read: asks the index again, tries again, or gives up.
    async fn unread(&mut self, run: Run, error: ReadError) -> Result<(), Refusal> {
        match error {
            ReadError::Missing { .. } if self.missing == Some(run) => {
                Err(self.corrupt(format!("object {} is missing, and the index still names it", run.object)))
            }
            ReadError::Missing { .. } => {
                match run.kind {
                    // As planned.
                    RunKind::Inline => {
                        tracing::debug!(partition = %self.partition, "an inline run is in an object now")
                    }
                    RunKind::Wal => {
                        tracing::warn!(partition = %self.partition, object = %run.object, "an object is missing, asking the index again");
                    }
                }
                self.forget_plans();
                let rows_max = self.lease_rows();
                let rows = self.shared.sequencer.read_index(self.partition, self.next_offset, rows_max).await;
                match rows {
                    Ok(rows) => {
                        self.missing = rows.first().copied().filter(|again| *again == run);
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
        self.page = None;
        self.ahead.clear();
        self.rows.clear();
        self.rows_leases = [None, None];
        self.cursor = None;
        self.planned = self.next_offset;
    }

    /// Waits before another attempt; gives up when there were too many.
    async fn pause(&mut self, why: String) -> Result<(), Refusal> {
        self.attempts += 1;
        if self.attempts >= ATTEMPTS_MAX {
            return Err(Refusal::Unavailable(why));
        }
        // Trouble of the bucket is that of all readers.
        if let Some(held_back) = self.shared.read_trouble.turn() {
            tracing::warn!(partition = %self.partition, why, held_back, "a read has to be tried again");
        }
        sleep(jittered(&self.shared.env, ATTEMPT_PAUSE * self.attempts)).await;
        Ok(())
    }

    fn corrupt(&self, what: String) -> Refusal {
        tracing::error!(topic = self.topic, partition = %self.partition, offset = self.next_offset, what, "STORED DATA IS CORRUPT");
        Refusal::StoredDataCorrupt(format!("topic {:?} partition {}: {what}", self.topic, self.partition.partition))
    }

    /// The last message of a partition that cannot be read on.
    pub fn failed(&self, refusal: &Refusal) -> FetchResponse {
        metrics::refused(refusal);
        FetchResponse { error: Some(refusal.to_fetch_error()), ..self.response(*self.tail.borrow()) }
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
