//! Log lines that would come once for each of many requests, and come seldom instead.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Trouble of one kind is told at most so often.
const INTERVAL: Duration = Duration::from_secs(10);

/// Says whose turn it is to be told.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    told: Option<Instant>,
    held_back: u64,
}

impl Seldom {
    /// Nothing was told yet.
    pub const fn new() -> Self {
        Self(Mutex::new(State { told: None, held_back: 0 }))
    }

    /// Another event of the kind. `Some`: tell it, and that so many were held back since the last one that was told.
    pub fn turn(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.told.is_some_and(|told| told.elapsed() < INTERVAL) {
            state.held_back += 1;
            return None;
        }
        state.told = Some(Instant::now());
        Some(std::mem::take(&mut state.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_of_many_is_told_with_their_number() {
        let seldom = Seldom::new();
        assert_eq!(seldom.turn(), Some(0));
        assert_eq!((seldom.turn(), seldom.turn()), (None, None));
        tokio::time::advance(INTERVAL).await;
        assert_eq!((seldom.turn(), seldom.turn()), (Some(2), None));
    }
}
