//! The partitions of one request joined into one stream.

use std::{pin::Pin, sync::Arc, time::Duration};

use eagre_proto::v1::{FetchEncoding, FetchResponse};
use futures::{
    Stream, StreamExt,
    stream::{self, SelectAll},
};
use prost::Message as _;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::Status;

use super::{
    partition::{Manner, PartitionReader},
    position::Resolved,
};
use crate::{Shared, limits::StreamSlot, refusal::Refusal};

/// The encoding of small records takes about this part more than was reckoned with.
const FRAMING_SHARE: usize = 4;
/// So long a large message waits for others to be taken.
const LARGE_MESSAGE_WAIT: Duration = Duration::from_secs(10);

/// The messages of all partitions, each partition's in order. Nothing is read further ahead than the budget while the
/// client does not take them. What is wrong with one partition ends that one; what is wrong with the service ends the
/// stream, and so does a drain.
pub(crate) fn fetch_stream(
    shared: Arc<Shared>,
    places: Vec<Resolved>,
    encoding: FetchEncoding,
    stops: bool,
    slot: StreamSlot,
) -> impl Stream<Item = Result<FetchResponse, Status>> + Send {
    let ahead_bytes = shared.settings.read_ahead_per_stream_bytes_max / places.len().max(1);
    let manner = Manner { encoding, stops, ahead_bytes };
    let mut partitions = SelectAll::new();
    for (index, place) in places.into_iter().enumerate() {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        partitions.push(partition_stream(PartitionReader::new(shared.clone(), manner, index, place)).boxed());
    }
    let draining = Box::pin(shared.draining.clone().cancelled_owned());
    let joined = Joined { shared, partitions, draining, taken: None, _slot: slot };
    stream::unfold(Some(joined), |joined| async move {
        let mut joined = joined?;
        let item = joined.next().await?.map_err(Status::from);
        let next = item.is_ok().then_some(joined);
        Some((item, next))
    })
}

struct Joined<P> {
    shared: Arc<Shared>,
    partitions: P,
    draining: Pin<Box<WaitForCancellationFutureOwned>>,
    /// For a large message that was given out, until the next one is asked for: then it is on its way to the client.
    taken: Option<OwnedSemaphorePermit>,
    _slot: StreamSlot,
}

impl<P: Stream<Item = Result<FetchResponse, Refusal>> + Unpin> Joined<P> {
    async fn next(&mut self) -> Option<Result<FetchResponse, Refusal>> {
        self.taken = None;
        let item = tokio::select! {
            biased;
            () = &mut self.draining => {
                Err(Refusal::Unavailable("this gateway is going away; go on at another one".into()))
            }
            item = self.partitions.next() => item?,
        };
        Some(match item {
            Ok(response) => self.admit(&response).await.map(|()| response),
            Err(refusal) => Err(refusal),
        })
    }

    /// Messages of the usual size are bounded by the number of streams. A larger one, of a single large batch, needs a
    /// place of its own: clients that take nothing pin what was made for them.
    async fn admit(&mut self, response: &FetchResponse) -> Result<(), Refusal> {
        let bytes = response.encoded_len();
        let sizes = self.shared.fetch_message_sizes();
        let usual = if response.records.is_empty() { sizes.bytes } else { sizes.decompressed_bytes };
        if bytes <= usual + usual / FRAMING_SHARE {
            return Ok(());
        }
        let bytes = u32::try_from(bytes.min(self.shared.settings.large_messages_bytes_max)).unwrap_or(u32::MAX);
        let place = timeout(LARGE_MESSAGE_WAIT, self.shared.large_messages.clone().acquire_many_owned(bytes)).await;
        // The semaphore is never closed.
        self.taken = place.ok().and_then(Result::ok);
        if self.taken.is_some() {
            return Ok(());
        }
        let why = "large batches wait for other clients that do not take theirs";
        Err(Refusal::Unavailable(why.into()))
    }
}

fn partition_stream(reader: PartitionReader) -> impl Stream<Item = Result<FetchResponse, Refusal>> + Send {
    stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        match reader.next().await {
            Ok(Some(response)) => Some((Ok(response), Some(reader))),
            Ok(None) => None,
            Err(refusal) if refusal.is_of_one_partition() => Some((Ok(reader.failed(&refusal)), None)),
            Err(refusal) => Some((Err(refusal), None)),
        }
    })
}
