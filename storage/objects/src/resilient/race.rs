//! A slow try and its hedge: whichever answers first.

use std::{future::Future, pin::Pin};

use object_store::Result;

use super::{engine::Answer, telemetry::Hedge, verdict::Verdict};

/// What two tries came to.
pub(crate) struct Raced<T> {
    pub(crate) answer: Answer<T>,
    pub(crate) hedge: Hedge,
}

/// Waits for an answer of either. Without one, gives the failure that leaves most open: a hedge that was refused does not make a
/// first try that may yet be done a definite failure.
pub(crate) async fn race<T>(
    mut first: Pin<&mut impl Future<Output = Answer<T>>>,
    mut second: Pin<&mut impl Future<Output = Answer<T>>>,
    is_answer: impl Fn(&Result<T>) -> bool,
) -> Raced<T> {
    let (mut one, mut two) = (None, None);
    loop {
        tokio::select! {
            biased;
            answer = &mut first, if one.is_none() => {
                if is_answer(&answer.0) {
                    return Raced { answer, hedge: Hedge::Lost };
                }
                one = Some(answer);
            }
            answer = &mut second, if two.is_none() => {
                if is_answer(&answer.0) {
                    return Raced { answer, hedge: Hedge::Won };
                }
                two = Some(answer);
            }
        }
        (one, two) = match (one, two) {
            (Some(one), Some(two)) => {
                let leaves_open = |answer: &Answer<T>| {
                    answer
                        .0
                        .as_ref()
                        .is_err_and(|error| matches!(Verdict::of(error), Verdict::TimedOut | Verdict::Failed))
                };
                let answer = if !leaves_open(&one) && leaves_open(&two) { two } else { one };
                return Raced { answer, hedge: Hedge::Failed };
            }
            unanswered => unanswered,
        };
    }
}
