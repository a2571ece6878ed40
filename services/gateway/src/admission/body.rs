//! A request body that gives out a message only when its length is granted.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep, sleep_until},
};
use tokio_util::sync::PollSemaphore;
use tonic::{Status, body::Body};

use super::{Admission, Grants, MessageBounds, PREFIX_BYTES, codec::Codec, elements::ElementMeter, message_bytes};
use crate::{metrics, refusal::Refusal};

/// The flag of a message that is compressed.
const COMPRESSED: u8 = 1;
/// What a request costs beside its bytes: so that empty ones are not free.
const OVERHEAD_BYTES: usize = 768;
/// So much of a message must be here, or all of it, before the whole of it is charged.
const BEGUN_BYTES: usize = 32 << 10;
/// A message may be awaited so long in any case, and longer by what has come of it at the slowest rate.
const ARRIVAL_GRACE: Duration = Duration::from_secs(2);
const ARRIVAL_BYTES_PER_SECOND_MIN: usize = 64 << 10;

/// See the module above.
pub(super) struct AdmittedBody {
    inner: Body,
    budget: PollSemaphore,
    begun: PollSemaphore,
    begun_bytes_max: usize,
    arriving: PollSemaphore,
    grants: Grants,
    bounds: MessageBounds,
    codec: Option<Codec>,
    /// What the whole budget is: nothing is ever charged for more.
    total_bytes: usize,
    /// Bytes that came and are not given out; the first one begins a message, unless one is being given out.
    held: BytesMut,
    /// Bytes of the present message that are granted and not given out.
    granted_bytes: usize,
    /// What an incomplete message holds beside its grant, in the order in which it takes them.
    begun_permit: Option<OwnedSemaphorePermit>,
    arriving_permit: Option<OwnedSemaphorePermit>,
    arrival: Option<Arrival>,
    /// The present message is compressed: its grant, for what it may become. It stays in what is held until it is whole.
    compressed: Option<OwnedSemaphorePermit>,
    /// A message that was decompressed: prefix and contents, each until it is given out.
    decompressed: [Option<Bytes>; 2],
    elements: ElementMeter,
    /// Nothing of the present message was given out, so that its prefix comes first.
    at_prefix: bool,
    /// The client may be quiet between messages.
    streams: bool,
    /// Runs while it is quiet and may not be.
    quiet: Option<Pin<Box<Sleep>>>,
    /// Grants go back when the next message is asked for.
    returns: bool,
    /// How it ends, when what came before it is given out.
    failure: Option<Refusal>,
    /// Runs while a grant is awaited.
    grant_wait: Option<Pin<Box<Sleep>>>,
}

/// The wait for the rest of a message.
struct Arrival {
    since: Instant,
    /// What has come since then.
    bytes: usize,
    timer: Pin<Box<Sleep>>,
}

/// A call of one message in which nothing comes for so long is given up: before its message, and before its end.
const QUIET_MAX: Duration = Duration::from_secs(10);

/// What becomes of the message at a place in what is held.
enum Place {
    /// Its bytes, prefix included, may be given out.
    Granted(usize),
    /// More of it has to come first.
    Incomplete,
}

impl AdmittedBody {
    pub fn new(inner: Body, codec: Option<Codec>, admission: Admission) -> Self {
        let Admission { budget, bounds, grants, method, streams, returns } = admission;
        Self {
            elements: ElementMeter::new(method, bounds.elements_max, &budget),
            inner,
            begun_bytes_max: budget.begun_bytes(),
            total_bytes: budget.total_bytes,
            codec,
            budget: PollSemaphore::new(budget.semaphore),
            begun: PollSemaphore::new(budget.begun),
            arriving: PollSemaphore::new(budget.arriving),
            grants,
            bounds,
            held: BytesMut::new(),
            granted_bytes: 0,
            begun_permit: None,
            arriving_permit: None,
            arrival: None,
            compressed: None,
            decompressed: [None, None],
            at_prefix: false,
            streams,
            quiet: None,
            returns,
            failure: None,
            grant_wait: None,
        }
    }

    /// A message is granted and has not been given out to its end.
    fn is_within_message(&self) -> bool {
        self.granted_bytes > 0 || self.decompressed.iter().any(Option::is_some)
    }

    /// Gives out as much of what is held as is granted. `Ready(None)`: more bytes are needed first.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Status>> {
        if let Some(refusal) = self.failure.take() {
            return Poll::Ready(Err(refused(&refusal)));
        }
        if self.decompressed.iter().any(Option::is_some) {
            ready!(self.poll_decoded(cx));
            return Poll::Ready(Ok(self.decompressed.iter_mut().find_map(Option::take)));
        }
        let mut end = 0;
        while end < self.held.len() {
            if self.granted_bytes == 0 {
                match self.poll_admission(cx, end) {
                    Poll::Ready(Ok(Place::Granted(bytes))) => self.granted_bytes = bytes,
                    Poll::Ready(Ok(Place::Incomplete)) => break,
                    // Those before it go first; this comes up again.
                    Poll::Ready(Err(_)) | Poll::Pending if end > 0 => break,
                    Poll::Ready(Err(status)) => return Poll::Ready(Err(status)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            if let Some(permit) = self.compressed.take() {
                if end > 0 || self.held.len() < self.granted_bytes {
                    self.compressed = Some(permit);
                    break;
                }
                self.decompress(permit)?;
                return self.poll_held(cx);
            }
            let part = self.granted_bytes.min(self.held.len() - end);
            match self.read(end, part) {
                Ok(()) => {}
                Err(refusal) if end > 0 => {
                    self.failure = Some(refusal);
                    break;
                }
                Err(refusal) => return Poll::Ready(Err(refused(&refusal))),
            }
            match self.poll_decoded(cx) {
                Poll::Ready(()) => {}
                Poll::Pending if end > 0 => break,
                Poll::Pending => return Poll::Pending,
            }
            end += part;
            self.given(part);
        }
        let given = (end > 0).then(|| self.held.split_to(end).freeze());
        Poll::Ready(Ok(given))
    }

    /// Reads a part of the present message, unless all of it was read and its charge is waited for.
    fn read(&mut self, at: usize, part: usize) -> Result<(), Refusal> {
        if self.elements.has_ended() {
            return Ok(());
        }
        let prefix = if self.at_prefix { PREFIX_BYTES } else { 0 };
        self.at_prefix = false;
        self.elements.read(&self.held[at + prefix..at + part])?;
        if part == self.granted_bytes {
            self.elements.end();
        }
        Ok(())
    }

    /// Ready when what the present message becomes is charged, or the end of it is not here.
    fn poll_decoded(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(permit) = ready!(self.elements.poll_granted(cx)) {
            self.grants.put_decoded(permit);
            self.grant_wait = None;
        }
        Poll::Ready(())
    }

    /// Takes the whole compressed message out of what is held. What the grant was for and is not needed goes back.
    fn decompress(&mut self, mut permit: OwnedSemaphorePermit) -> Result<(), Status> {
        let message = self.held.split_to(self.granted_bytes);
        self.given(message.len());
        let Some(codec) = self.codec else { return Err(no_codec()) };
        let plain = codec.decompress(&message[PREFIX_BYTES..], self.bounds.bytes_max)?;
        drop(message);
        let needed = plain.len() + OVERHEAD_BYTES;
        drop(permit.split(permit.num_permits().saturating_sub(needed)));
        self.grants.put(permit);
        let length = u32::try_from(plain.len()).map_err(|_| stopped())?;
        self.elements.begin(plain.len());
        self.elements.read(&plain).map_err(|refusal| refused(&refusal))?;
        self.elements.end();
        let mut prefix = BytesMut::from(&[0][..]);
        prefix.extend_from_slice(&length.to_be_bytes());
        self.decompressed = [Some(prefix.freeze()), (!plain.is_empty()).then(|| plain.into())];
        Ok(())
    }

    fn given(&mut self, bytes: usize) {
        self.granted_bytes -= bytes;
        if self.granted_bytes == 0 {
            self.arriving_permit = None;
            self.arrival = None;
        }
    }

    /// A message that is here is charged at once. Another one holds a little of its own until there is more than a
    /// beginning of it, and then a part of what all incomplete ones may have: so those who announce much and send little
    /// stand in each other's way only.
    fn poll_admission(&mut self, cx: &mut Context<'_>, at: usize) -> Poll<Result<Place, Status>> {
        let rest = &self.held[at..];
        let Some(message) = message_bytes(rest) else { return Poll::Ready(Ok(Place::Incomplete)) };
        let is_compressed = rest[0] == COMPRESSED;
        let here = rest.len() - PREFIX_BYTES;
        if message > self.bounds.bytes_max {
            let limit = self.bounds.bytes_max;
            let text = format!("the request of {message} bytes is over the limit of {limit} bytes");
            return Poll::Ready(Err(refused(&Refusal::TooLarge(text))));
        }
        let becomes = match self.codec {
            Some(codec) if is_compressed => codec.bound_bytes(message, self.bounds.bytes_max),
            None if is_compressed => return Poll::Ready(Err(no_codec())),
            _ => 0,
        };
        let charge = (message + becomes + OVERHEAD_BYTES).min(self.total_bytes);
        if here < message {
            if self.begun_permit.is_none() {
                let charge = (message.min(BEGUN_BYTES) + OVERHEAD_BYTES).min(self.begun_bytes_max);
                let permit = ready!(self.begun.poll_acquire_many(cx, permits(charge)));
                self.begun_permit = Some(permit.ok_or_else(stopped)?);
                self.granted();
            }
            if here < BEGUN_BYTES {
                return Poll::Ready(Ok(Place::Incomplete));
            }
            if self.arriving_permit.is_none() {
                let permit = ready!(self.arriving.poll_acquire_many(cx, permits(message)));
                self.arriving_permit = Some(permit.ok_or_else(stopped)?);
            }
        }
        let permit = ready!(self.budget.poll_acquire_many(cx, permits(charge))).ok_or_else(stopped)?;
        if is_compressed {
            self.compressed = Some(permit);
        } else {
            self.grants.put(permit);
            self.elements.begin(message);
            self.at_prefix = true;
        }
        self.begun_permit = None;
        self.granted();
        Poll::Ready(Ok(Place::Granted(PREFIX_BYTES + message)))
    }

    /// What was waited for came from this gateway, so the client's time begins anew.
    fn granted(&mut self) {
        self.grant_wait = None;
        self.arrival = None;
    }

    /// Fails when a grant has been awaited for too long.
    fn poll_grant_wait(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        let grant_max = self.bounds.grant_max;
        let wait = self.grant_wait.get_or_insert_with(|| Box::pin(sleep(grant_max)));
        ready!(wait.as_mut().poll(cx));
        // Nothing of it was given out, so this is definite.
        let text = format!("this gateway has had no room for the request for {grant_max:?}");
        Poll::Ready(refused(&Refusal::Unavailable(text)))
    }

    /// Fails when the rest of a message has been awaited for too long, or comes too slowly.
    fn poll_arrival(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        if self.granted_bytes == 0 && self.held.is_empty() {
            self.arrival = None;
            return if self.streams { Poll::Pending } else { self.poll_quiet(cx) };
        }
        let arrival_max = self.bounds.arrival_max;
        let arrival = self.arrival.get_or_insert_with(|| {
            let since = Instant::now();
            Arrival { since, bytes: 0, timer: Box::pin(sleep_until(since)) }
        });
        let earned_ms = (arrival.bytes * 1_000 / ARRIVAL_BYTES_PER_SECOND_MIN) as u64;
        let patience = (ARRIVAL_GRACE + Duration::from_millis(earned_ms)).min(arrival_max);
        let until = arrival.since + patience;
        if arrival.timer.deadline() != until {
            arrival.timer.as_mut().reset(until);
        }
        ready!(arrival.timer.as_mut().poll(cx));
        let text = format!("the request came too slowly: after {patience:?} it was not whole");
        Poll::Ready(refused(&Refusal::Unavailable(text)))
    }

    /// Fails when nothing has come for too long.
    fn poll_quiet(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        let quiet = self.quiet.get_or_insert_with(|| Box::pin(sleep(QUIET_MAX)));
        ready!(quiet.as_mut().poll(cx));
        let text = format!("nothing has come of the call for {QUIET_MAX:?}, neither its message nor its end");
        Poll::Ready(refused(&Refusal::Unavailable(text)))
    }

    /// Takes bytes of the client; returns what can be given out as it is: not the last byte of a message, which waits until
    /// what the message becomes is charged.
    fn received(&mut self, mut data: Bytes) -> Result<Option<Bytes>, Status> {
        self.quiet = None;
        if let Some(arrival) = &mut self.arrival {
            arrival.bytes += data.len();
        }
        let passes = if self.held.is_empty() && self.compressed.is_none() {
            self.granted_bytes.saturating_sub(1).min(data.len())
        } else {
            0
        };
        let passing = data.split_to(passes);
        self.held.extend_from_slice(&data);
        if passes == 0 {
            return Ok(None);
        }
        self.elements.read(&passing).map_err(|refusal| refused(&refusal))?;
        self.given(passes);
        Ok(Some(passing))
    }
}

pub(super) fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// A request that no service will see, counted here.
fn refused(refusal: &Refusal) -> Status {
    metrics::refused(refusal);
    refusal.clone().into()
}

fn no_codec() -> Status {
    let why = "the request is marked as compressed, but the header grpc-encoding does not say how; set it";
    refused(&Refusal::invalid("message", why))
}

fn stopped() -> Status {
    refused(&Refusal::Unavailable("this gateway has stopped".into()))
}

impl HttpBody for AdmittedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.returns {
            // Whoever asks for more has taken all messages but the one that is on its way.
            this.grants.keep(usize::from(this.is_within_message()));
        }
        loop {
            match this.poll_held(cx) {
                Poll::Ready(Ok(Some(given))) => return Poll::Ready(Some(Ok(Frame::data(given)))),
                Poll::Ready(Ok(None)) => {}
                Poll::Ready(Err(status)) => return Poll::Ready(Some(Err(status))),
                Poll::Pending => return this.poll_grant_wait(cx).map(|status| Some(Err(status))),
            }
            match Pin::new(&mut this.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => match this.received(data) {
                        Ok(Some(passing)) => return Poll::Ready(Some(Ok(Frame::data(passing)))),
                        Ok(None) => {}
                        Err(status) => return Poll::Ready(Some(Err(status))),
                    },
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                Poll::Ready(Some(Err(status))) => return Poll::Ready(Some(Err(status))),
                Poll::Ready(None) if this.held.is_empty() => return Poll::Ready(None),
                Poll::Ready(None) => {
                    this.held.clear();
                    let refusal = Refusal::invalid("message", "the request ends within a message; send it whole");
                    return Poll::Ready(Some(Err(refused(&refusal))));
                }
                Poll::Pending => return this.poll_arrival(cx).map(|status| Some(Err(status))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.decompressed.iter().all(Option::is_none) && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests;
