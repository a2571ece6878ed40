//! The partitions of one request joined into one stream.

use std::{pin::Pin, sync::Arc};

use eagre_proto::v1::{FetchEncoding, FetchResponse};
use futures::{
    Stream, StreamExt,
    stream::{self, SelectAll},
};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::Status;

use super::{
    partition::{Held, Made, Manner, PartitionReader},
    position::Resolved,
};
use crate::{Shared, limits::StreamSlot, refusal::Refusal};

/// The messages of all partitions, each partition's in order. Nothing is read further ahead than the budget while the
/// client does not take them. What is wrong with one partition ends that one; what is wrong with the service ends the
/// stream, and so does a drain.
pub(crate) fn fetch_stream(
    shared: Arc<Shared>,
    places: Vec<Resolved>,
    encoding: FetchEncoding,
    stops: bool,
    slots: [StreamSlot; 2],
) -> impl Stream<Item = Result<FetchResponse, Status>> + Send {
    let ahead_bytes = shared.settings.read_ahead_per_stream_bytes_max / places.len().max(1);
    let manner = Manner { encoding, stops, ahead_bytes };
    let mut partitions = SelectAll::new();
    for (index, place) in places.into_iter().enumerate() {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        partitions.push(partition_stream(PartitionReader::new(shared.clone(), manner, index, place)).boxed());
    }
    let draining = Box::pin(shared.draining.clone().cancelled_owned());
    let joined = Joined { partitions, draining, taken: None, _slots: slots };
    stream::unfold(Some(joined), |joined| async move {
        let mut joined = joined?;
        let item = joined.next().await?.map_err(Status::from);
        let next = item.is_ok().then_some(joined);
        Some((item, next))
    })
}

struct Joined<P> {
    partitions: P,
    draining: Pin<Box<WaitForCancellationFutureOwned>>,
    /// For the message that was given out, until the next one is asked for: then it is on its way to the client.
    taken: Option<Held>,
    /// For the call, and for its partitions.
    _slots: [StreamSlot; 2],
}

impl<P: Stream<Item = Result<Made, Refusal>> + Unpin> Joined<P> {
    async fn next(&mut self) -> Option<Result<FetchResponse, Refusal>> {
        self.taken = None;
        let item = tokio::select! {
            biased;
            () = &mut self.draining => {
                Err(Refusal::Unavailable("this gateway is going away; go on at another one".into()))
            }
            item = self.partitions.next() => item?,
        };
        Some(item.map(|Made { response, held }| {
            self.taken = held;
            response
        }))
    }
}

fn partition_stream(reader: PartitionReader) -> impl Stream<Item = Result<Made, Refusal>> + Send {
    stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        match reader.next().await {
            Ok(Some(made)) => Some((Ok(made), Some(reader))),
            Ok(None) => None,
            Err(refusal) if refusal.is_of_one_partition() => Some((Ok(Made::small(reader.failed(&refusal))), None)),
            Err(refusal) => Some((Err(refusal), None)),
        }
    })
}
