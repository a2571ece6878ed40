//! The body of a GET: its place among the requests under way is held until it has come.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use object_store::{GetResult, GetResultPayload, Result};
use tokio::time::timeout;

use super::{
    lanes::Permit,
    verdict::{TimedOut, failure},
};

/// A body of which nothing comes for so long is given up.
const STALL_MAX: Duration = Duration::from_secs(5);

/// The same answer with a body that ends with an error when it stalls, and gives the permit back at its end.
pub(crate) fn guard(mut answer: GetResult, permit: Permit) -> GetResult {
    if let GetResultPayload::Stream(body) = answer.payload {
        answer.payload = GetResultPayload::Stream(guarded(body, permit));
    }
    answer
}

fn guarded(body: BoxStream<'static, Result<Bytes>>, permit: Permit) -> BoxStream<'static, Result<Bytes>> {
    let next = |state: Option<(BoxStream<'static, Result<Bytes>>, Permit)>| async move {
        let (mut body, permit) = state?;
        match timeout(STALL_MAX, body.next()).await {
            Ok(Some(Ok(chunk))) => Some((Ok(chunk), Some((body, permit)))),
            Ok(Some(Err(error))) => Some((Err(error), None)),
            Ok(None) => None,
            Err(_) => Some((Err(failure(TimedOut { after: STALL_MAX })), None)),
        }
    };
    futures::stream::unfold(Some((body, permit)), next).boxed()
}
