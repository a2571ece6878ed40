//! What the bucket holds, what is still on its way into it, and what a crash of the machine would take back.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use eagre_env::Randomness;
use object_store::{Attributes, path::Path};

/// An object.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub bytes: Bytes,
    pub tag: u64,
    pub modified: Duration,
    pub attributes: Attributes,
}

/// Under which condition a PUT applies.
#[derive(Debug, Clone)]
pub(super) enum Condition {
    Always,
    Absent,
    Tagged(Option<String>),
}

/// A change of one object.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Put { key: Path, bytes: Bytes, attributes: Attributes, condition: Condition },
    Delete { key: Path },
    Copy { from: Path, to: Path, create: bool },
}

impl Change {
    pub(super) fn key(&self) -> &Path {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
            Self::Copy { to, .. } => to,
        }
    }
}

/// Why a change did not apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Exists,
    Precondition,
    Missing,
}

/// The tag of the new version, or why there is none.
pub(super) type Applied = Result<u64, Refusal>;

/// How durable an applied change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Applied is durable: an object store.
    AtOnce,
    /// Visible first, synced a little later, and answered then: a folder written with fsync.
    Synced { after: Duration },
    /// Never synced: a folder written without fsync. What a crash leaves may be torn.
    Never,
}

struct Pending {
    ticket: u64,
    change: Change,
    durability: Durability,
}

enum Step {
    Apply(Pending),
    Sync(Path),
}

/// A change that has just been applied, for the trace.
pub(super) struct Arrival {
    pub at: Duration,
    pub key: Path,
    pub applied: Applied,
    pub late: bool,
}

#[derive(Default)]
pub(super) struct Contents {
    pub(super) objects: BTreeMap<Path, Entry>,
    /// The version that survives a crash of the machine, where it is not the visible one.
    durable: BTreeMap<Path, Option<Entry>>,
    queue: BTreeMap<(Duration, u64), Step>,
    results: BTreeMap<u64, Applied>,
    abandoned: BTreeSet<u64>,
    next_ticket: u64,
    next_tag: u64,
}

impl Contents {
    /// Takes a change that will apply at the given moment.
    pub(super) fn submit(&mut self, at: Duration, change: Change, durability: Durability) -> u64 {
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        self.queue.insert((at, ticket), Step::Apply(Pending { ticket, change, durability }));
        ticket
    }

    /// Applies everything that is due, in the order in which it is due.
    pub(super) fn advance(&mut self, now: Duration) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        while let Some(entry) = self.queue.first_entry() {
            let (at, _) = *entry.key();
            if at > now {
                break;
            }
            match entry.remove() {
                Step::Sync(key) => {
                    self.durable.remove(&key);
                }
                Step::Apply(pending) => {
                    let key = pending.change.key().clone();
                    self.remember_durable(&key, pending.durability);
                    let applied = self.apply(pending.change, at);
                    if let Durability::Synced { after } = pending.durability {
                        self.next_ticket += 1;
                        self.queue.insert((at + after, self.next_ticket), Step::Sync(key.clone()));
                    }
                    let late = self.abandoned.remove(&pending.ticket);
                    if !late {
                        self.results.insert(pending.ticket, applied);
                    }
                    arrivals.push(Arrival { at, key, applied, late });
                }
            }
        }
        arrivals
    }

    /// What became of a change, if it has been applied.
    pub(super) fn take_result(&mut self, ticket: u64) -> Option<Applied> {
        self.results.remove(&ticket)
    }

    /// Nobody waits for this change any more: it still arrives, or is lost on the way.
    pub(super) fn abandon(&mut self, ticket: u64, arrives: bool) {
        if self.results.remove(&ticket).is_some() {
            return;
        }
        let is_it = |step: &Step| matches!(step, Step::Apply(pending) if pending.ticket == ticket);
        if !self.queue.values().any(is_it) {
            return;
        }
        if arrives {
            self.abandoned.insert(ticket);
        } else {
            self.queue.retain(|_, step| !is_it(step));
        }
    }

    /// The machine loses power: whatever is not durable is kept, taken back or torn, as chance has it.
    pub(super) fn lose_unsynced(
        &mut self,
        random: &dyn Randomness,
        may_tear: impl Fn(&Path) -> bool,
    ) -> Vec<(Path, &'static str)> {
        self.queue.retain(|_, step| matches!(step, Step::Apply(_)));
        let mut losses = Vec::new();
        for (key, before) in std::mem::take(&mut self.durable) {
            match random.below(if may_tear(&key) { 3 } else { 2 }) {
                0 => losses.push((key, "kept")),
                1 => {
                    match before {
                        Some(entry) => self.objects.insert(key.clone(), entry),
                        None => self.objects.remove(&key),
                    };
                    losses.push((key, "lost"));
                }
                _ => {
                    if let Some(entry) = self.objects.get_mut(&key) {
                        let length = u64::try_from(entry.bytes.len()).unwrap_or(0);
                        let cut = usize::try_from(random.below(length + 1)).unwrap_or(0);
                        entry.bytes.truncate(cut);
                    }
                    losses.push((key, "torn"));
                }
            }
        }
        losses
    }

    fn remember_durable(&mut self, key: &Path, durability: Durability) {
        if durability != Durability::AtOnce && !self.durable.contains_key(key) {
            self.durable.insert(key.clone(), self.objects.get(key).cloned());
        }
    }

    fn apply(&mut self, change: Change, at: Duration) -> Applied {
        match change {
            Change::Put { key, bytes, attributes, condition } => {
                let present = self.objects.get(&key);
                match condition {
                    Condition::Absent if present.is_some() => return Err(Refusal::Exists),
                    Condition::Tagged(expected) if present.map(|entry| quoted(entry.tag)) != expected => {
                        return Err(Refusal::Precondition);
                    }
                    Condition::Always | Condition::Absent | Condition::Tagged(_) => {}
                }
                Ok(self.insert(key, bytes, attributes, at))
            }
            Change::Delete { key } => {
                self.objects.remove(&key);
                Ok(0)
            }
            Change::Copy { from, to, create } => {
                let Some(source) = self.objects.get(&from).cloned() else { return Err(Refusal::Missing) };
                if create && self.objects.contains_key(&to) {
                    return Err(Refusal::Exists);
                }
                Ok(self.insert(to, source.bytes, source.attributes, at))
            }
        }
    }

    fn insert(&mut self, key: Path, bytes: Bytes, attributes: Attributes, modified: Duration) -> u64 {
        self.next_tag += 1;
        let tag = self.next_tag;
        self.objects.insert(key, Entry { bytes, tag, modified, attributes });
        tag
    }
}

/// An entity tag as it stands in a header.
pub(super) fn quoted(tag: u64) -> String {
    format!("\"{tag}\"")
}
