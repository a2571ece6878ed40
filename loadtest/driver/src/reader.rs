//! One fetch stream: reads whole batches, checks that nothing is lost, repeated or out of order, and takes the time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use eagre_proto::v1::{
    Earliest, FetchEncoding, FetchEnd, FetchPartition, FetchRequest, FetchResponse, Position,
    fetch_service_client::FetchServiceClient, position,
};
use tokio::sync::watch;
use tonic::transport::Channel;

use crate::{
    batch::walk,
    clock::RunClock,
    connect::MAX_MESSAGE_BYTES,
    report::{Latencies, latencies},
};

/// What to read.
pub struct ReaderSettings {
    /// Where from.
    pub topic: String,
    /// Which partitions, from their first record on.
    pub partitions: Vec<u32>,
    /// The run's clock.
    pub clock: RunClock,
    /// Records intended before are left out of the latencies, and what is read before out of the rate.
    pub measure_from_ns: u64,
    /// What is read after this is left out of the rate.
    pub measure_to_ns: u64,
}

/// When a reader that follows may stop: `None` while it is not known yet.
pub type RecordsToRead = watch::Receiver<Option<u64>>;

/// What a reader found.
pub struct Read {
    /// From the intended send time to the arrival, per record.
    pub latencies: Latencies,
    /// All records.
    pub records: u64,
    /// Bytes of values read in the measured time.
    pub measured_bytes: u64,
    /// Bytes of values.
    pub bytes: u64,
}

impl Read {
    /// Nothing yet.
    pub fn none() -> Self {
        Self { latencies: latencies(), records: 0, measured_bytes: 0, bytes: 0 }
    }

    /// Adds another reader's.
    pub fn add(&mut self, other: &Read) {
        self.latencies += &other.latencies;
        self.records += other.records;
        self.measured_bytes += other.measured_bytes;
        self.bytes += other.bytes;
    }
}

/// After the last record was acknowledged a follower may take so long to get it.
const FOLLOW_DRAIN: Duration = Duration::from_secs(20);

/// Follows the log until it has read as many records as `until` comes to say.
pub async fn follow(settings: Arc<ReaderSettings>, channel: &Channel, mut until: RecordsToRead) -> Result<Read> {
    let mut stream = open(&settings, channel, FetchEnd::Follow).await?;
    let mut state = State::new(&settings);
    let mut deadline = None;
    loop {
        let target = *until.borrow_and_update();
        if target.is_some_and(|target| state.read.records >= target) {
            ensure!(target == Some(state.read.records), "read {} records of {target:?}", state.read.records);
            return Ok(state.read);
        }
        if target.is_some() && deadline.is_none() {
            deadline = Some(tokio::time::Instant::now() + FOLLOW_DRAIN);
        }
        tokio::select! {
            message = stream.message() => match message? {
                Some(message) => state.take(&settings, &message)?,
                None => anyhow::bail!("the service ended a stream that follows"),
            },
            changed = until.changed(), if target.is_none() => changed?,
            () = sleep_until(deadline) => anyhow::bail!("read {} records of {target:?}", state.read.records),
        }
    }
}

/// Reads everything that is there at the start.
pub async fn read_to_end(settings: Arc<ReaderSettings>, channel: &Channel) -> Result<Read> {
    let mut stream = open(&settings, channel, FetchEnd::Stop).await?;
    let mut state = State::new(&settings);
    let mut ended = 0;
    while let Some(message) = stream.message().await? {
        ended += usize::from(message.end_reached);
        state.take(&settings, &message)?;
    }
    ensure!(ended == settings.partitions.len(), "{ended} of {} partitions were read", settings.partitions.len());
    Ok(state.read)
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn open(settings: &ReaderSettings, channel: &Channel, end: FetchEnd) -> Result<tonic::Streaming<FetchResponse>> {
    let partitions = settings.partitions.iter().map(|&partition| FetchPartition {
        topic: settings.topic.clone(),
        partition,
        position: Some(Position { position: Some(position::Position::Earliest(Earliest {})) }),
    });
    let request =
        FetchRequest { partitions: partitions.collect(), end: end.into(), encoding: FetchEncoding::Batches.into() };
    let mut client = FetchServiceClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
    Ok(client.fetch(request).await?.into_inner())
}

struct State {
    read: Read,
    next_offsets: Vec<i64>,
    /// By partition's place and producer.
    next_sequences: BTreeMap<(u32, u32), u64>,
}

impl State {
    fn new(settings: &ReaderSettings) -> Self {
        let next_offsets = vec![0; settings.partitions.len()];
        Self { read: Read::none(), next_offsets, next_sequences: BTreeMap::new() }
    }

    fn take(&mut self, settings: &ReaderSettings, message: &FetchResponse) -> Result<()> {
        let now_ns = settings.clock.now_ns();
        let place = message.index;
        if let Some(error) = &message.error {
            anyhow::bail!("partition {place} cannot be read: {}", error.message);
        }
        let Some(next_offset) = self.next_offsets.get_mut(place as usize) else {
            anyhow::bail!("a message of partition {place}, which was not asked for");
        };
        let (mut misplaced, mut missed) = (None, None);
        let mut known: Option<(u32, u64)> = None;
        let bytes = walk(&message.batches, |offset, stamp| {
            if offset != *next_offset {
                misplaced.get_or_insert((offset, *next_offset));
            }
            *next_offset = offset + 1;
            // Records of one producer come in long stretches: the map is asked where they change.
            let expected = match known {
                Some((producer, expected)) if producer == stamp.producer => expected,
                _ => {
                    if let Some((producer, expected)) = known {
                        self.next_sequences.insert((place, producer), expected);
                    }
                    self.next_sequences.get(&(place, stamp.producer)).copied().unwrap_or(0)
                }
            };
            if stamp.sequence != expected {
                missed.get_or_insert((stamp, expected));
            }
            known = Some((stamp.producer, stamp.sequence + 1));
            self.read.records += 1;
            if stamp.intended_ns >= settings.measure_from_ns {
                self.read.latencies.saturating_record(now_ns.saturating_sub(stamp.intended_ns));
            }
        })?;
        if let Some((producer, expected)) = known {
            self.next_sequences.insert((place, producer), expected);
        }
        if let Some((offset, expected)) = misplaced {
            anyhow::bail!("partition at place {place}: offset {offset} came where {expected} was next");
        }
        if let Some((stamp, expected)) = missed {
            anyhow::bail!("partition at place {place}: {stamp:?} came where sequence {expected} was next");
        }
        ensure!(message.next_offset == *next_offset || bytes == 0, "next offset {}", message.next_offset);
        self.read.bytes += bytes;
        if (settings.measure_from_ns..settings.measure_to_ns).contains(&now_ns) {
            self.read.measured_bytes += bytes;
        }
        Ok(())
    }
}
