//! `eagre.v1.FetchService`.

use std::{pin::Pin, sync::Arc};

use eagre_proto::v1::{
    FetchEncoding, FetchEnd, FetchPartition, FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse,
    PartitionOffset, fetch_service_server::FetchService,
};
use futures::Stream;
use tonic::{Request, Response, Status, async_trait};

use super::refuse;
use crate::{
    Shared,
    fetch::{Resolved, fetch_stream, resolve},
    refusal::Refusal,
};

pub(super) struct Fetch(pub Arc<Shared>);

impl Fetch {
    /// A search by time reads rows and batches, of up to thousands of partitions.
    async fn resolve(&self, partitions: Vec<FetchPartition>) -> Result<Vec<Resolved>, Status> {
        let max = self.0.settings.answer_after_max;
        self.0.answer_within(max, resolve(&self.0, partitions)).await.map_err(refuse)
    }
}

#[async_trait]
impl FetchService for Fetch {
    type FetchStream = Pin<Box<dyn Stream<Item = Result<FetchResponse, Status>> + Send>>;

    async fn fetch(&self, request: Request<FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        self.0.check_open().map_err(refuse)?;
        let request = request.into_inner();
        let invalid = |field, why: &str| refuse(Refusal::invalid(field, why));
        let stops = match request.end() {
            FetchEnd::Follow => false,
            FetchEnd::Stop => true,
            FetchEnd::Unspecified => {
                return Err(invalid("end", "say what to do at the end: FETCH_END_FOLLOW or FETCH_END_STOP"));
            }
        };
        let encoding = match request.encoding() {
            encoding @ (FetchEncoding::Records | FetchEncoding::Batches) => encoding,
            FetchEncoding::Unspecified => {
                return Err(invalid("encoding", "say in which form: FETCH_ENCODING_RECORDS or FETCH_ENCODING_BATCHES"));
            }
        };
        if request.partitions.is_empty() {
            return Err(invalid("partitions", "name at least one partition"));
        }
        let slot = self.0.streams.open().map_err(refuse)?;
        let readers = self.0.readers.open_many(request.partitions.len()).map_err(refuse)?;
        let places = self.resolve(request.partitions).await?;
        Ok(Response::new(Box::pin(fetch_stream(self.0.clone(), places, encoding, stops, [slot, readers]))))
    }

    async fn list_offsets(
        &self,
        request: Request<ListOffsetsRequest>,
    ) -> Result<Response<ListOffsetsResponse>, Status> {
        self.0.check_open().map_err(refuse)?;
        let places = self.resolve(request.into_inner().partitions).await?;
        Ok(Response::new(ListOffsetsResponse { offsets: places.into_iter().map(offset).collect() }))
    }
}

fn offset(place: Resolved) -> PartitionOffset {
    PartitionOffset {
        offset: place.offset,
        timestamp_ms: place.timestamp_ms,
        log_start_offset: place.log_start_offset,
        high_watermark: place.high_watermark,
    }
}
