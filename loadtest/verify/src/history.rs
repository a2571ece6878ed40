//! What clients did and saw.

use std::{collections::BTreeSet, fmt};

/// Nanoseconds since the history began, on one clock for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

/// A client that does one thing after the other. Calls may overlap; they are in the order in which they were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process(pub u32);

/// The server that a reader is connected to. A restarted one keeps its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gateway(pub u32);

/// One log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partition {
    /// Numbered by whoever writes the history.
    pub topic: u32,
    /// From 0.
    pub partition: u32,
}

/// What a record says. No two records that are meant to be different have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value(pub u64);

/// How an operation ended for its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It was done.
    Ok(T),
    /// It was certainly not done and never will be.
    Failed,
    /// It may have been done, or may yet be. Every operation begins so.
    Unknown,
}

/// Everything that happened.
#[derive(Debug, Clone, Default)]
pub struct History {
    events: Vec<Event>,
    made_up: BTreeSet<i64>,
}

/// Names an event of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventId(usize);

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Who.
    pub process: Process,
    /// When it was asked for.
    pub invoked: Moment,
    /// When the answer came; `None` when none came.
    pub returned: Option<Moment>,
    /// What.
    pub op: Op,
}

/// The operations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Appends one batch. The same values again are another attempt of the same batch.
    Send(Sent),
    /// One message of a reader's stream. Its `invoked` is when the stream was opened.
    Poll(Polled),
    /// A reader was told that the stored bytes are damaged. Where nothing damages them, no reader is.
    Damage(Damaged),
    /// Asks for the end of a log.
    End(Ended),
    /// Reads a whole log after everything has come to rest.
    Drain(Drained),
    /// Looks at the index and at the objects that it refers to.
    Index(Indexed),
}

/// An attempt to append a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Where to.
    pub partition: Partition,
    /// One a record. Never empty.
    pub values: Vec<Value>,
    /// The batch's place in its producer's order, where the client knows it.
    pub identity: Option<Identity>,
    /// The offset of the first record.
    pub outcome: Outcome<i64>,
}

/// A batch's place in its producer's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// The producer's id.
    pub producer: i64,
    /// Its epoch.
    pub epoch: i32,
    /// Sequence of the first record.
    pub first_sequence: i32,
}

/// What one message of a reader's stream brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polled {
    /// Which log.
    pub partition: Partition,
    /// Who served it.
    pub gateway: Gateway,
    /// Differs between any two streams of the history.
    pub stream: u64,
    /// The reader had asked for the records from this offset on: the next one after what it got last, or a new place.
    pub from: i64,
    /// In the order in which they came.
    pub records: Vec<Seen>,
    /// As it came with the records.
    pub high_watermark: i64,
}

/// A record as a reader got it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Where it stands.
    pub offset: i64,
    /// `None`: bytes that nobody sent.
    pub value: Option<Value>,
}

/// An answer to a reader that stored bytes are damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// Which log.
    pub partition: Partition,
    /// The reader had asked for the records from this offset on.
    pub from: i64,
    /// In the service's words.
    pub message: String,
}

/// A question for the end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Which log.
    pub partition: Partition,
    /// One above the last offset.
    pub outcome: Outcome<i64>,
}

/// A whole log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drained {
    /// Which log.
    pub partition: Partition,
    /// Its first offset.
    pub log_start: i64,
    /// One above its last offset.
    pub high_watermark: i64,
    /// All of it.
    pub records: Vec<Seen>,
    /// The batches of which it consists, where the reader sees them; else empty.
    pub batches: Vec<StoredBatch>,
}

/// A batch as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredBatch {
    /// Offset of its first record.
    pub base_offset: i64,
    /// Records.
    pub records: u32,
    /// `None`: not idempotent.
    pub identity: Option<Identity>,
}

/// The index of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexed {
    /// Which log.
    pub partition: Partition,
    /// The first offset that it has to cover.
    pub from: i64,
    /// One above the last offset that it has to cover.
    pub to: i64,
    /// In offset order.
    pub rows: Vec<IndexRow>,
}

/// A row of the index, with what was found where it points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexRow {
    /// The first offset.
    pub base_offset: i64,
    /// The last offset.
    pub last_offset: i64,
    /// Names the object.
    pub object: String,
    /// What is there.
    pub stored: Stored,
}

/// What is found where a row of the index points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// The bytes, whole and with the right checksum.
    Sound,
    /// There is no such object.
    NoObject,
    /// The object ends before the bytes do.
    Short {
        /// Bytes of the object.
        object_bytes: u64,
        /// Where the row's bytes end.
        wanted_bytes: u64,
    },
    /// The bytes have another checksum.
    Corrupt {
        /// By the row.
        expected: u32,
        /// By the bytes.
        found: u32,
    },
}

impl History {
    /// Writes down a call that has just been made; its outcome is unknown until [`History::complete_send`].
    pub fn invoke(&mut self, process: Process, invoked: Moment, op: Op) -> EventId {
        self.events.push(Event { process, invoked, returned: None, op });
        EventId(self.events.len() - 1)
    }

    /// Writes down a producer id that its client was not given by anybody.
    pub fn made_up(&mut self, producer: i64) {
        self.made_up.insert(producer);
    }

    /// Producer ids that clients made up.
    pub fn made_up_ids(&self) -> &BTreeSet<i64> {
        &self.made_up
    }

    /// Writes down how an append ended.
    pub fn complete_send(&mut self, id: EventId, returned: Moment, outcome: Outcome<i64>) {
        if let Some(Event { op: Op::Send(sent), returned: at, .. }) = self.events.get_mut(id.0) {
            sent.outcome = outcome;
            *at = Some(returned);
        }
    }

    /// Writes down an operation that is over.
    pub fn record(&mut self, process: Process, invoked: Moment, returned: Moment, op: Op) {
        self.events.push(Event { process, invoked, returned: Some(returned), op });
    }

    /// All events, each process's own in the order of its calls.
    pub fn events(&self) -> &[Event] {
        &self.events
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000_000, self.0 % 1_000_000_000 / 1_000)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.0)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "value {}", self.0)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "producer {} epoch {} sequence {}", self.producer, self.epoch, self.first_sequence)
    }
}
