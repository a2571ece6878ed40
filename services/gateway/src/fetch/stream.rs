//! The partitions of one request joined into one stream.

use std::sync::Arc;

use eagre_proto::v1::{FetchEncoding, FetchResponse};
use futures::{
    Stream, StreamExt,
    stream::{self, SelectAll},
};
use tonic::Status;

use super::{
    partition::{Manner, PartitionReader},
    position::Resolved,
};
use crate::{Shared, limits::StreamSlot, refusal::Refusal};

/// The messages of all partitions, each partition's in order. Nothing is read further ahead than the budget while the
/// client does not take them. The first failure of any partition ends the stream; so does a drain.
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
    let state = Some((partitions, draining, slot));
    stream::unfold(state, |state| async move {
        let (mut partitions, mut draining, slot) = state?;
        let item = tokio::select! {
            biased;
            () = &mut draining => Err(Refusal::Unavailable("this gateway is going away; go on at another one".into()).into()),
            item = partitions.next() => item?,
        };
        let next = item.is_ok().then_some((partitions, draining, slot));
        Some((item, next))
    })
}

fn partition_stream(reader: PartitionReader) -> impl Stream<Item = Result<FetchResponse, Status>> + Send {
    stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        match reader.next().await {
            Ok(Some(response)) => Some((Ok(response), Some(reader))),
            Ok(None) => None,
            Err(refusal) => Some((Err(refusal.into()), None)),
        }
    })
}
