//! The object that is being filled.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use eagre_model::{TopicPartition, TopicRecord};
use tokio::{sync::Notify, time::Instant};
use tracing::Span;

use super::{
    answer::Ticket,
    cutter::{CutReason, Cutter, Decision, Filling, LastCut},
    edge::CheckedBatch,
    linger::Linger,
};
use crate::{admission::Grant, refusal::Refusal};

/// A batch on its way into an object.
pub(crate) struct PendingBatch {
    /// For messages to the client.
    pub topic: Arc<TopicRecord>,
    pub partition: TopicPartition,
    pub batch: CheckedBatch,
    pub ticket: Ticket,
    /// Held as long as the bytes are.
    pub grant: Option<Grant>,
}

/// The batches of one object, in their order per partition.
pub(super) struct OpenObject {
    pub runs: BTreeMap<TopicPartition, Vec<PendingBatch>>,
    pub bytes: usize,
    pub opened: Option<Instant>,
    /// How many requests it holds that are numbered per topic.
    numbered: u32,
    /// None while no request in it is traced.
    pub span: Span,
}

impl Default for OpenObject {
    fn default() -> Self {
        Self { runs: BTreeMap::new(), bytes: 0, opened: None, numbered: 0, span: Span::none() }
    }
}

impl OpenObject {
    fn push(&mut self, batches: Vec<PendingBatch>) {
        self.opened.get_or_insert_with(Instant::now);
        self.numbered += u32::from(batches.iter().any(|batch| batch.batch.part.is_some()));
        for mut batch in batches {
            if let Some(part) = &mut batch.batch.part {
                part.part_of.number = self.numbered;
            }
            eagre_trace::join(&mut self.span, &batch.ticket.span());
            self.bytes += batch.batch.bytes.len();
            self.runs.entry(batch.partition).or_default().push(batch);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
}

/// Where requests leave their batches, and whence the cutter takes them.
pub(super) struct OpenObjects {
    cutter: Cutter,
    linger: Arc<Linger>,
    /// Whether small objects go inside of their commits at present.
    takes_inline: Arc<AtomicBool>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// Nothing more may be added to these; they wait for an upload to end.
    full: VecDeque<(OpenObject, CutReason)>,
    open: OpenObject,
    /// When it was, and of how many bytes.
    last_cut: Option<(Instant, usize)>,
    /// Half of the uploads were under way when the last one began.
    is_busy: bool,
    draining: bool,
}

/// What the cutter finds.
pub(super) enum Next {
    Object(OpenObject, CutReason),
    Wait(Duration),
    Empty,
}

impl OpenObjects {
    pub fn new(cutter: Cutter, linger: Arc<Linger>, takes_inline: Arc<AtomicBool>) -> Self {
        Self { cutter, linger, takes_inline, state: Mutex::default(), changed: Notify::new() }
    }

    /// Adds the batches of one request, all to the same object: they are committed together. The order of calls is the
    /// order of batches in their partition. Refused once the gateway drains.
    pub fn push(&self, batches: Vec<PendingBatch>) {
        let mut state = self.state();
        if state.draining {
            drop(state);
            for batch in batches {
                batch.ticket.answer(Err(Refusal::Unavailable("this gateway is going away".into())));
            }
            return;
        }
        let was_empty = state.open.is_empty();
        state.open.push(batches);
        let filled = self.cutter.is_full(state.open.bytes, state.open.runs.len(), state.is_busy);
        if let Some(reason) = filled {
            let object = std::mem::take(&mut state.open);
            state.full.push_back((object, reason));
        }
        drop(state);
        if was_empty || filled.is_some() {
            self.changed.notify_one();
        }
    }

    /// Takes the next object if one is due; `is_busy`: half of the uploads are under way.
    pub fn take(&self, now: Instant, is_busy: bool) -> Next {
        let takes_inline = self.takes_inline.load(Ordering::Relaxed);
        let mut state = self.state();
        state.is_busy = is_busy;
        if let Some((object, reason)) = state.full.pop_front() {
            self.note_cut(&mut state, &object, takes_inline, now);
            return Next::Object(object, reason);
        }
        if state.open.is_empty() {
            return Next::Empty;
        }
        let filling = Filling {
            bytes: state.open.bytes,
            partitions: state.open.runs.len(),
            bounds: self.linger.bounds(),
            is_busy,
            takes_inline,
            last_cut: state.last_cut.map(|(at, bytes)| LastCut { since: now.saturating_duration_since(at), bytes }),
        };
        let reason = match self.cutter.decide(filling) {
            Decision::Cut(reason) => reason,
            Decision::Wait(_) if state.draining => CutReason::Drain,
            Decision::Wait(wait) => return Next::Wait(wait),
        };
        let object = std::mem::take(&mut state.open);
        self.note_cut(&mut state, &object, takes_inline, now);
        Next::Object(object, reason)
    }

    fn note_cut(&self, state: &mut State, object: &OpenObject, takes_inline: bool, now: Instant) {
        state.last_cut = Some((now, object.bytes));
        self.linger.cut(self.cutter.puts(object.bytes, takes_inline), now);
    }

    /// Takes everything that was opened before `limit`: it has waited too long.
    pub fn take_older(&self, limit: Instant) -> Vec<OpenObject> {
        let mut state = self.state();
        let older = |object: &OpenObject| object.opened.is_some_and(|opened| opened <= limit);
        let mut taken = Vec::new();
        while state.full.front().is_some_and(|(object, _)| older(object)) {
            taken.extend(state.full.pop_front().map(|(object, _)| object));
        }
        if state.full.is_empty() && older(&state.open) {
            taken.push(std::mem::take(&mut state.open));
        }
        taken
    }

    /// Takes everything.
    pub fn take_all(&self) -> Vec<OpenObject> {
        let mut state = self.state();
        let mut taken: Vec<_> = state.full.drain(..).map(|(object, _)| object).collect();
        taken.push(std::mem::take(&mut state.open));
        taken
    }

    /// Waits until something was added since the last call.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// From now on nothing waits for an interval.
    pub fn drain(&self) {
        self.state().draining = true;
        self.changed.notify_one();
    }

    /// Nothing is left and nothing more will come.
    pub fn is_drained(&self) -> bool {
        let state = self.state();
        state.draining && state.full.is_empty() && state.open.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
