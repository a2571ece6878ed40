//! Produce streams. What is not forwarded is answered when everything before it in its partition has been, because answers
//! of one partition come in the order of their requests.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use eagre_loadtest_stubs::v1::{ProduceStreamRequest, ProduceStreamResponse, produce_stream_response::Outcome};
use futures::{Stream, StreamExt, stream};
use tokio::sync::Notify;
use tonic::{Response, Status, Streaming};

use crate::{
    ledger::{Passing, Place},
    produce::{Liar, client},
    service::{Answers, Onward},
};

/// No client makes so many requests.
const ASTRAY: u64 = 1 << 63;

/// Everything passes as it is.
pub(crate) async fn plain(
    onward: Onward<Streaming<ProduceStreamRequest>>,
) -> Result<Response<Answers<ProduceStreamResponse>>, Status> {
    let (upstream, call) = onward.split();
    // A client that breaks off ends its stream for the service.
    let call = call.map(|requests| requests.filter_map(|request| std::future::ready(request.ok())));
    let answers = client(upstream).produce_stream(call).await?;
    Ok(answers.map(|answers| answers.boxed()))
}

/// Some batches are lied about.
pub(crate) async fn lying(
    liar: Liar,
    onward: Onward<Streaming<ProduceStreamRequest>>,
) -> Result<Response<Answers<ProduceStreamResponse>>, Status> {
    let (upstream, call) = onward.split();
    let waiting = Waiting::default();
    let call = call.map(|requests| forwarded(liar.clone(), requests, waiting.clone()));
    let answers = client(upstream).produce_stream(call).await?;
    Ok(answers.map(|answers| told(liar, answers, waiting)))
}

/// The requests of one stream that have no answer yet; as many as the client leaves unanswered.
#[derive(Clone, Default)]
struct Waiting {
    requests: Arc<Mutex<Requests>>,
    /// A request was withheld and may be the next one to answer in its partition.
    withheld: Arc<Notify>,
}

#[derive(Default)]
struct Requests {
    /// In the order in which they came.
    of_partition: BTreeMap<Place, VecDeque<Sent>>,
    forwarded: BTreeMap<u64, Place>,
    /// Partitions whose next answer may be due.
    to_look_at: VecDeque<Place>,
}

struct Sent {
    request_id: u64,
    passing: Passing,
    is_withheld: bool,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Requests> {
        // Nothing is left half-done between two calls.
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Requests {
    fn add(&mut self, sent: Sent) {
        let place = sent.passing.place.clone();
        if sent.is_withheld {
            self.to_look_at.push_back(place.clone());
        } else {
            self.forwarded.insert(sent.request_id, place.clone());
        }
        self.of_partition.entry(place).or_default().push_back(sent);
    }

    /// The service has answered a request.
    fn answered(&mut self, request_id: u64) -> Option<Passing> {
        let place = self.forwarded.remove(&request_id)?;
        let sent = self.of_partition.get_mut(&place)?;
        let index = sent.iter().position(|sent| sent.request_id == request_id && !sent.is_withheld)?;
        let passing = sent.remove(index)?.passing;
        self.to_look_at.push_back(place);
        Some(passing)
    }

    /// A withheld request before which nothing is unanswered.
    fn next_withheld(&mut self) -> Option<(u64, Passing)> {
        while let Some(place) = self.to_look_at.front() {
            if let Some(sent) = self.of_partition.get_mut(place) {
                if let Some(first) = sent.pop_front_if(|first| first.is_withheld) {
                    return Some((first.request_id, first.passing));
                }
                if sent.is_empty() {
                    self.of_partition.remove(place);
                }
            }
            self.to_look_at.pop_front();
        }
        None
    }
}

/// What the service gets.
fn forwarded(
    liar: Liar,
    requests: Streaming<ProduceStreamRequest>,
    waiting: Waiting,
) -> impl Stream<Item = ProduceStreamRequest> + Send + 'static {
    let whole = requests.filter_map(|request| std::future::ready(request.ok()));
    whole.filter_map(move |mut message| {
        let arrived = message.request.as_mut().and_then(|request| liar.books.open().arrive(request));
        let forwards = arrived.is_none_or(|passing| {
            let is_withheld = liar.withholds(&passing);
            waiting.lock().add(Sent { request_id: message.request_id, passing, is_withheld });
            if is_withheld {
                waiting.withheld.notify_one();
            }
            !is_withheld
        });
        std::future::ready(forwards.then_some(message))
    })
}

/// What the client gets.
fn told(liar: Liar, answers: Streaming<ProduceStreamResponse>, waiting: Waiting) -> Answers<ProduceStreamResponse> {
    let start = (liar, Some(answers), waiting);
    stream::unfold(start, |(liar, mut answers, waiting)| async move {
        loop {
            let withheld = waiting.lock().next_withheld();
            if let Some((request_id, passing)) = withheld {
                let outcome = Some(Outcome::Response(liar.false_ack(&passing)));
                return Some((Ok(ProduceStreamResponse { request_id, outcome }), (liar, answers, waiting)));
            }
            let answer = tokio::select! {
                answer = answers.as_mut()?.message() => answer,
                () = waiting.withheld.notified() => continue,
            };
            match answer {
                Ok(Some(answer)) => return Some((Ok(tell(&liar, &waiting, answer)), (liar, answers, waiting))),
                Err(status) => return Some((Err(status), (liar, None, waiting))),
                // What was withheld last may be without an answer still.
                Ok(None) => answers = None,
            }
        }
    })
    .boxed()
}

fn tell(liar: &Liar, waiting: &Waiting, mut answer: ProduceStreamResponse) -> ProduceStreamResponse {
    let passing = waiting.lock().answered(answer.request_id);
    if let Some(passing) = passing {
        answer.outcome = answer.outcome.map(|outcome| liar.told(&passing, outcome));
        if liar.leads_astray(&passing) {
            answer.request_id ^= ASTRAY;
        }
    }
    answer
}
