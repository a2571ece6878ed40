//! Answers of a call whose client takes them compressed.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame};
use tonic::{
    Status,
    body::Body,
    codegen::http::{HeaderValue, Response},
};

use super::{PREFIX_BYTES, codec::Codec, message_bytes};

const ENCODING: &str = "grpc-encoding";
/// Shorter messages go as they are: a codec's own framing would outweigh what it saves.
const WORTH_IT_BYTES: usize = 256;

/// Compresses the messages of an answer. One that is a status only is left as it is.
pub(super) fn compressed(answer: Response<Body>, codec: Codec) -> Response<Body> {
    if answer.headers().contains_key("grpc-status") {
        return answer;
    }
    let mut answer = answer.map(|inner| Body::new(CompressedBody { inner, codec, held: BytesMut::new() }));
    answer.headers_mut().insert(ENCODING, HeaderValue::from_static(codec.name()));
    answer
}

struct CompressedBody {
    inner: Body,
    codec: Codec,
    /// What came of a message that is not whole.
    held: BytesMut,
}

impl CompressedBody {
    /// All whole messages that are held.
    fn whole_messages(&mut self) -> Result<Vec<u8>, Status> {
        let mut out = Vec::new();
        while let Some(length) = message_bytes(&self.held).filter(|length| self.held.len() >= PREFIX_BYTES + length) {
            let mut message = self.held.split_to(PREFIX_BYTES + length);
            if length < WORTH_IT_BYTES {
                out.extend_from_slice(&message);
                continue;
            }
            message.advance(PREFIX_BYTES);
            let prefix_at = out.len();
            out.extend_from_slice(&[1, 0, 0, 0, 0]);
            self.codec.compress(&message, &mut out)?;
            let compressed = u32::try_from(out.len() - prefix_at - PREFIX_BYTES);
            let compressed = compressed.map_err(|_| Status::internal("the answer is over 4 GiB"))?;
            out[prefix_at + 1..prefix_at + PREFIX_BYTES].copy_from_slice(&compressed.to_be_bytes());
        }
        Ok(out)
    }
}

impl HttpBody for CompressedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            let Some(frame) = ready!(Pin::new(&mut this.inner).poll_frame(cx)) else { return Poll::Ready(None) };
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => {
                    this.held.extend_from_slice(&data);
                    match this.whole_messages() {
                        Ok(messages) if messages.is_empty() => {}
                        Ok(messages) => return Poll::Ready(Some(Ok(Frame::data(messages.into())))),
                        Err(status) => return Poll::Ready(Some(Err(status))),
                    }
                }
                Ok(Err(trailers)) => return Poll::Ready(Some(Ok(trailers))),
                Err(status) => return Poll::Ready(Some(Err(status))),
            }
        }
    }
}
