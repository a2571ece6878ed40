//! `eagre.v1.ProduceService`.

use std::{pin::Pin, sync::Arc};

use eagre_proto::v1::{
    InitProducerRequest, InitProducerResponse, ProduceRequest, ProduceResponse, ProduceStreamRequest,
    ProduceStreamResponse, produce_service_server::ProduceService,
};
use futures::Stream;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::refuse;
use crate::{
    Shared,
    admission::Grants,
    produce::{
        ProduceAnswers,
        answer::Reply,
        edge,
        origin::{self, Origin},
        submit,
    },
    refusal::Refusal,
};

/// Batches of one partition that a producer may have unanswered: as many as the sequencer remembers.
const IN_FLIGHT_PER_PARTITION_MAX: u32 = 16;

pub(super) struct Produce(pub Arc<Shared>);

#[async_trait]
impl ProduceService for Produce {
    async fn init_producer(
        &self,
        _request: Request<InitProducerRequest>,
    ) -> Result<Response<InitProducerResponse>, Status> {
        self.0.check_open().map_err(refuse)?;
        // An id that is handed out and lost costs nothing: nobody uses it.
        let init = async { self.0.sequencer.init_producer().await.map_err(Refusal::of_read) };
        let id = self.0.answer(init).await.map_err(refuse)?;
        Ok(Response::new(InitProducerResponse {
            producer_id: id.0,
            producer_epoch: 0,
            max_in_flight_per_partition: IN_FLIGHT_PER_PARTITION_MAX,
        }))
    }

    async fn produce(&self, request: Request<ProduceRequest>) -> Result<Response<ProduceResponse>, Status> {
        let origin = Origin::new(origin::caller(request.metadata()), &request.get_ref().topic);
        self.0.check_open().map_err(refuse)?;
        let grant = request.extensions().get::<Grants>().and_then(Grants::take);
        let request = request.into_inner();
        let place = |topic: &_| edge::place(topic, &request);
        let (topic, place) = self.0.locate(&request.topic, place).await.map_err(refuse)?;
        let (reply, answer) = Reply::unary(origin);
        submit(&self.0, &topic, place, request, reply, grant);
        let lost = |_| Err(Refusal::OutcomeUnknown("the gateway lost track of the request".into()));
        // Refusals of tickets are counted where they are given.
        answer.await.unwrap_or_else(lost).map(Response::new).map_err(Status::from)
    }

    type ProduceStreamStream = Pin<Box<dyn Stream<Item = Result<ProduceStreamResponse, Status>> + Send>>;

    async fn produce_stream(
        &self,
        request: Request<Streaming<ProduceStreamRequest>>,
    ) -> Result<Response<Self::ProduceStreamStream>, Status> {
        self.0.check_open().map_err(refuse)?;
        let slot = self.0.streams.open().map_err(refuse)?;
        let grants = request.extensions().get::<Grants>().cloned().unwrap_or_default();
        let caller = origin::caller(request.metadata()).map(str::to_owned);
        let answers = ProduceAnswers::new(self.0.clone(), request.into_inner(), caller, grants, slot);
        Ok(Response::new(Box::pin(answers)))
    }
}
