//! Producing: what is forwarded, and what is said about it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use eagre_loadtest_stubs::v1::{
    ErrorReason, InitProducerRequest, InitProducerResponse, ProduceError, ProduceRequest, ProduceResponse,
    ProduceStreamRequest, ProduceStreamResponse, produce_service_client::ProduceServiceClient,
    produce_service_server::ProduceService, produce_stream_response::Outcome,
};
use tonic::{Code, Request, Response, Status, Streaming, transport::Channel};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{
    ledger::{FalseAnswer, Passing},
    produce_stream,
    service::{Answers, Books, MESSAGE_BYTES_MAX, Onward, Service},
};

pub(crate) fn client(upstream: Channel) -> ProduceServiceClient<Channel> {
    ProduceServiceClient::new(upstream).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

#[tonic::async_trait]
impl ProduceService for Service {
    type ProduceStreamStream = Answers<ProduceStreamResponse>;

    async fn init_producer(
        &self,
        call: Request<InitProducerRequest>,
    ) -> Result<Response<InitProducerResponse>, Status> {
        let (upstream, request) = Onward::take(call)?.split();
        client(upstream).init_producer(request).await
    }

    async fn produce(&self, call: Request<ProduceRequest>) -> Result<Response<ProduceResponse>, Status> {
        let mut onward = Onward::take(call)?;
        let arrived = self.ledger.clone().and_then(|books| {
            let passing = books.open().arrive(&mut onward.message);
            passing.map(|passing| (Liar { books, done: self.done.clone() }, passing))
        });
        let (upstream, request) = onward.split();
        let Some((liar, passing)) = arrived else {
            return client(upstream).produce(request).await;
        };
        if liar.withholds(&passing) {
            return Ok(Response::new(liar.false_ack(&passing)));
        }
        let answer = client(upstream).produce(request).await?;
        match liar.told(&passing, Outcome::Response(answer.get_ref().clone())) {
            Outcome::Response(response) => Ok(answer.map(|_| response)),
            Outcome::Error(error) => Err(status(&error)),
        }
    }

    async fn produce_stream(
        &self,
        call: Request<Streaming<ProduceStreamRequest>>,
    ) -> Result<Response<Self::ProduceStreamStream>, Status> {
        let onward = Onward::take(call)?;
        match self.ledger.clone() {
            Some(books) => produce_stream::lying(Liar { books, done: self.done.clone() }, onward).await,
            None => produce_stream::plain(onward).await,
        }
    }
}

/// Tells producers what is not true, and keeps books of it.
#[derive(Clone)]
pub(crate) struct Liar {
    /// Of the batches that pass.
    pub books: Books,
    /// How often it lied.
    pub done: Arc<AtomicU64>,
}

impl Liar {
    /// Whether a batch is not forwarded.
    pub fn withholds(&self, passing: &Passing) -> bool {
        self.tells(passing, FalseAnswer::Withheld)
    }

    /// Whether the answer to a batch names another request. A single call has only one, so nothing goes astray there.
    pub fn leads_astray(&self, passing: &Passing) -> bool {
        self.tells(passing, FalseAnswer::Astray)
    }

    fn tells(&self, passing: &Passing, answer: FalseAnswer) -> bool {
        passing.lied_about && self.books.open().false_answer() == answer
    }

    /// The answer to a batch that was not forwarded. Those before it in its partition have been answered.
    pub fn false_ack(&self, passing: &Passing) -> ProduceResponse {
        let base_offset = self.books.open().false_offset(passing);
        self.done.fetch_add(1, Ordering::Relaxed);
        ProduceResponse { base_offset, duplicate: false, positions: Vec::new() }
    }

    /// What the producer is told, where the service said `outcome` to a batch that was forwarded. Refusals are passed on:
    /// no lie is needed there.
    pub fn told(&self, passing: &Passing, outcome: Outcome) -> Outcome {
        let Outcome::Response(mut response) = outcome else { return outcome };
        let mut ledger = self.books.open();
        ledger.acknowledged(passing, response.base_offset);
        if !passing.lied_about {
            return Outcome::Response(response);
        }
        self.done.fetch_add(1, Ordering::Relaxed);
        match ledger.false_answer() {
            FalseAnswer::Refused => Outcome::Error(refusal()),
            FalseAnswer::NeverKnown => Outcome::Error(never_known()),
            FalseAnswer::WrongOffset => {
                response.base_offset += 1;
                Outcome::Response(response)
            }
            // The service knows nothing of the former, so it answers none; of the latter the outcome is right.
            FalseAnswer::Withheld | FalseAnswer::Astray => Outcome::Response(response),
        }
    }
}

/// Says: definitely not appended, and no use to send it again.
fn refusal() -> ProduceError {
    ProduceError {
        reason: ErrorReason::InvalidArgument.into(),
        message: "refused by the fault proxy, and appended all the same".to_owned(),
        ..ProduceError::default()
    }
}

/// Says: whether it was appended cannot be found out any more. `OUTCOME_UNKNOWN` would not do, because it asks for the same
/// again.
fn never_known() -> ProduceError {
    ProduceError {
        reason: ErrorReason::SequenceTooOld.into(),
        message: "appended, and the fault proxy says that it is not known".to_owned(),
        outcome_unknown: true,
        ..ProduceError::default()
    }
}

/// An error of a stream as the status of a call.
fn status(error: &ProduceError) -> Status {
    let code = if error.outcome_unknown { Code::FailedPrecondition } else { Code::InvalidArgument };
    let reason = error.reason().as_str_name();
    let reason = reason.strip_prefix("ERROR_REASON_").unwrap_or(reason);
    let outcome = if error.outcome_unknown { "unknown" } else { "definite" };
    let about = [("outcome", outcome), ("retriable", "false")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let details = ErrorDetails::with_error_info(reason, "eagre", about);
    Status::with_error_details(code, error.message.clone(), details)
}
