//! What a message becomes when it is decoded: told while it passes, and charged before it is whole.

use std::task::{Context, Poll, ready};

use eagre_proto::walk::{Method, Walk};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::PollSemaphore;

use super::{ByteBudget, body::permits};
use crate::refusal::Refusal;

/// The meter of one call's messages.
pub(super) struct ElementMeter {
    method: Option<Method>,
    elements_max: usize,
    pool: PollSemaphore,
    pool_bytes: usize,
    /// Of the present message.
    walk: Option<Walk>,
    /// The present message is read to its end; nothing is given out of it before this is granted.
    owed_bytes: Option<usize>,
}

impl ElementMeter {
    pub fn new(method: Option<Method>, elements_max: usize, budget: &ByteBudget) -> Self {
        Self {
            method,
            elements_max,
            pool: PollSemaphore::new(budget.decoded.clone()),
            pool_bytes: budget.decoded_bytes,
            walk: None,
            owed_bytes: None,
        }
    }

    /// A message of this length begins.
    pub fn begin(&mut self, message_bytes: usize) {
        self.walk = self.method.map(|method| method.walk(message_bytes));
    }

    /// Reads on in the present message.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let Some(walk) = &mut self.walk else { return Ok(()) };
        if walk.feed(bytes).is_err() {
            let why = "the request is not a well-formed message of its type; encode it by the service's .proto files";
            return Err(Refusal::invalid("message", why));
        }
        let (elements, most) = (walk.cost().elements, self.elements_max);
        if elements > most {
            let text = format!("the request has more than {most} elements, such as records and headers, together");
            return Err(Refusal::TooLarge(text));
        }
        Ok(())
    }

    /// The present message has been read to its end.
    pub fn end(&mut self) {
        if let Some(walk) = self.walk.take() {
            self.owed_bytes = Some(walk.cost().decoded_bytes.min(self.pool_bytes));
        }
    }

    /// Whether the present message has been read to its end.
    pub fn has_ended(&self) -> bool {
        self.owed_bytes.is_some()
    }

    /// Ready when what the message becomes is granted; `None`: that is nothing, or there is no message whose end is known.
    pub fn poll_granted(&mut self, cx: &mut Context<'_>) -> Poll<Option<OwnedSemaphorePermit>> {
        let permit = match self.owed_bytes {
            None | Some(0) => None,
            // The pool is never closed.
            Some(owed) => ready!(self.pool.poll_acquire_many(cx, permits(owed))),
        };
        self.owed_bytes = None;
        Poll::Ready(permit)
    }
}
