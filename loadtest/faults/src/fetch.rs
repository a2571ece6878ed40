//! Reading: which positions are asked for, and what is made of the answers.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use eagre_loadtest_stubs::v1::{
    FetchEncoding, FetchPartition, FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse, Position,
    fetch_service_client::FetchServiceClient, fetch_service_server::FetchService, position,
};
use futures::{StreamExt, TryStreamExt, stream};
use tonic::{Request, Response, Status, Streaming, transport::Channel};

use crate::{
    alter::{Mischief, OddPartition, Reading},
    batch::NotABatch,
    fault::Means,
    offsets,
    service::{Answers, MESSAGE_BYTES_MAX, Onward, Service},
    survey::{Survey, Surveys},
};

/// The reader that gets something else than the others, in the order in which streams are opened.
const ODD_READER: u64 = 2;

pub(crate) fn client(upstream: Channel) -> FetchServiceClient<Channel> {
    FetchServiceClient::new(upstream).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

#[tonic::async_trait]
impl FetchService for Service {
    type FetchStream = Answers<FetchResponse>;

    async fn fetch(&self, call: Request<FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        let onward = Onward::take(call)?;
        if let Some(surveys) = &self.surveys {
            return self.altered(surveys.clone(), onward).await;
        }
        let encoding = onward.message.encoding();
        let (upstream, request) = onward.split();
        let partitions = request.get_ref().partitions.len();
        let opened = self.fetches.fetch_add(1, Ordering::Relaxed) + 1;
        let answers = client(upstream).fetch(request).await?;
        match self.means {
            Means::OneReader(mischief) if opened == ODD_READER => {
                require_batches(encoding)?;
                let done = self.done.clone();
                Ok(answers.map(|answers| odd(mischief, answers, partitions, done)))
            }
            _ => Ok(answers.map(|answers| answers.boxed())),
        }
    }

    async fn list_offsets(&self, call: Request<ListOffsetsRequest>) -> Result<Response<ListOffsetsResponse>, Status> {
        let onward = Onward::take(call)?;
        match &self.surveys {
            Some(surveys) => offsets::list(surveys, onward).await,
            None => {
                let (upstream, request) = onward.split();
                let asked = request.get_ref().partitions.clone();
                let mut answer = client(upstream).list_offsets(request).await?;
                if self.means == Means::Ends {
                    let lowered = offsets::understate(&asked, answer.get_mut());
                    self.done.fetch_add(lowered, Ordering::Relaxed);
                }
                Ok(answer)
            }
        }
    }
}

/// Faults befall batches, so readers have to take them as batches.
fn require_batches(encoding: FetchEncoding) -> Result<(), Status> {
    match encoding {
        FetchEncoding::Batches => Ok(()),
        FetchEncoding::Records | FetchEncoding::Unspecified => {
            Err(Status::unimplemented("the fault proxy breaks whole batches: ask for FETCH_ENCODING_BATCHES"))
        }
    }
}

impl From<NotABatch> for Status {
    fn from(error: NotABatch) -> Self {
        Status::data_loss(format!("the fault proxy cannot read an answer of the service: {error}"))
    }
}

fn odd(
    mischief: Mischief,
    answers: Streaming<FetchResponse>,
    partitions: usize,
    done: Arc<AtomicU64>,
) -> Answers<FetchResponse> {
    let mut partitions = vec![OddPartition::new(mischief); partitions];
    let changed = answers.map(move |answer| {
        let mut message = answer?;
        let index = usize::try_from(message.index).unwrap_or(usize::MAX);
        let Some(partition) = partitions.get_mut(index) else { return Ok(Some(message)) };
        let had_batches = !message.batches.is_empty();
        let altered = partition.alter(std::mem::take(&mut message.batches))?;
        done.fetch_add(altered.committed, Ordering::Relaxed);
        message.batches = altered.batches.freeze();
        Ok((!is_emptied(had_batches, &message)).then_some(message))
    });
    changed.try_filter_map(|message| std::future::ready(Ok(message))).boxed()
}

/// Nothing is left in a message that had batches, and it says nothing else.
fn is_emptied(had_batches: bool, message: &FetchResponse) -> bool {
    had_batches && message.batches.is_empty() && !message.end_reached && message.error.is_none()
}

/// A reader of partitions that are altered.
struct Reader {
    surveys: Surveys,
    /// By the index in the request.
    partitions: Vec<(Survey, Reading)>,
    answers: Streaming<FetchResponse>,
    done: Arc<AtomicU64>,
}

impl Service {
    async fn altered(
        &self,
        surveys: Surveys,
        onward: Onward<FetchRequest>,
    ) -> Result<Response<Answers<FetchResponse>>, Status> {
        require_batches(onward.message.encoding())?;
        let resolved = offsets::resolve(&surveys, &onward, &onward.message.partitions).await?;
        let mut request = onward.message.clone();
        let mut partitions = Vec::with_capacity(resolved.len());
        for (partition, resolved) in request.partitions.iter_mut().zip(resolved) {
            set_offset(partition, resolved.stored);
            partitions.push((resolved.survey, Reading::new(surveys.alteration, self.seed, resolved.shown)));
        }
        let answers = client(onward.upstream.clone()).fetch(onward.with(request)).await?;
        let done = self.done.clone();
        Ok(answers.map(|answers| Reader { surveys, partitions, answers, done }.into_stream()))
    }
}

fn set_offset(partition: &mut FetchPartition, offset: i64) {
    partition.position = Some(Position { position: Some(position::Position::Offset(offset)) });
}

impl Reader {
    fn into_stream(self) -> Answers<FetchResponse> {
        let messages = stream::try_unfold(self, |mut reader| async move {
            while let Some(message) = reader.answers.message().await? {
                if let Some(message) = reader.alter(message).await? {
                    return Ok(Some((message, reader)));
                }
            }
            Ok(None)
        });
        messages.boxed()
    }

    /// The message as it is shown, if anything is left of it.
    async fn alter(&mut self, mut message: FetchResponse) -> Result<Option<FetchResponse>, Status> {
        let index = usize::try_from(message.index).unwrap_or(usize::MAX);
        let Some((survey, reading)) = self.partitions.get_mut(index) else { return Ok(Some(message)) };
        let renumbering = match &message.error {
            // It has no records, and its partition can perhaps not be surveyed either.
            Some(_) => survey.so_far(),
            None => self.surveys.until(survey, message.high_watermark.max(message.next_offset)).await?,
        };
        let had_batches = !message.batches.is_empty();
        let altered = reading.alter(std::mem::take(&mut message.batches), &renumbering)?;
        self.done.fetch_add(altered.committed, Ordering::Relaxed);
        message.batches = altered.batches.freeze();
        message.next_offset = reading.shown_end(message.next_offset, &renumbering);
        message.high_watermark = renumbering.to_shown_end(message.high_watermark);
        message.log_start_offset = renumbering.to_shown(message.log_start_offset);
        Ok((!is_emptied(had_batches, &message)).then_some(message))
    }
}
