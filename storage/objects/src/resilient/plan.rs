//! What may be done for one request.

use object_store::{Error, PutMode, path::Path};

use super::traffic::{Traffic, has_one_content};

/// Larger ones are not sent twice at a time.
const HEDGED_BYTES_MAX: u64 = 32 << 20;

/// The kinds of requests that this layer looks after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Put,
    Create,
    /// A conditional overwrite.
    Update,
    Get,
    List,
}

impl Op {
    /// Its label in metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Create => "create",
            Self::Update => "update",
            Self::Get => "get",
            Self::List => "list",
        }
    }
}

/// One request, as far as retries and hedges need to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) op: Op,
    pub(crate) traffic: Traffic,
    /// Sent, or asked for as far as that is known.
    pub(crate) bytes: u64,
    /// A second try may be under way beside the first.
    pub(crate) may_hedge: bool,
    /// Another try may follow one that failed.
    pub(crate) may_retry: bool,
}

impl Plan {
    /// Of a write.
    ///
    /// A PUT may be under way twice only where both do the same: record data has one content for its key, and a create
    /// happens once, whose is told by content. A conditional overwrite whose answer was lost cannot be told from a rival's once
    /// another has followed, so its caller judges every single try.
    pub(crate) fn of_put(key: &Path, mode: &PutMode, bytes: u64) -> Self {
        let traffic = Traffic::of_write(key);
        let is_hedgeable = bytes <= HEDGED_BYTES_MAX && traffic != Traffic::Background;
        let (op, may_hedge) = match mode {
            PutMode::Create => (Op::Create, is_hedgeable),
            PutMode::Overwrite => (Op::Put, is_hedgeable && has_one_content(key)),
            PutMode::Update(_) => (Op::Update, false),
        };
        Self { op, traffic, bytes, may_hedge, may_retry: op != Op::Update }
    }

    /// Of a read. `bytes`: what is asked for, where that is known.
    pub(crate) fn of_get(key: &Path, bytes: Option<u64>) -> Self {
        let traffic = Traffic::of_read(key, bytes);
        let may_hedge = traffic != Traffic::Background;
        Self { op: Op::Get, traffic, bytes: bytes.unwrap_or(0), may_hedge, may_retry: true }
    }

    /// Of a listing of one page.
    pub(crate) fn of_list() -> Self {
        Self { op: Op::List, traffic: Traffic::Background, bytes: 0, may_hedge: false, may_retry: true }
    }

    /// Whether this error is an answer by itself, although another try is still under way. Other refusals wait for it: it
    /// may have been done by then.
    pub(crate) fn is_settled_by(&self, error: &Error) -> bool {
        match self.op {
            Op::Get | Op::List => {
                matches!(error, Error::NotFound { .. } | Error::Precondition { .. } | Error::NotModified { .. })
            }
            Op::Create => matches!(error, Error::AlreadyExists { .. }),
            Op::Put | Op::Update => false,
        }
    }

    /// Which latencies this one is like: index into [`KINDS`].
    pub(crate) fn kind(&self) -> usize {
        let size = match self.bytes {
            0..=65_536 => 0,
            65_537..=1_048_576 => 1,
            1_048_577..=4_194_304 => 2,
            _ => 3,
        };
        self.op as usize * SIZES + size
    }
}

const SIZES: usize = 4;
/// How many kinds of latencies there are.
pub(crate) const KINDS: usize = 5 * SIZES;

#[cfg(test)]
mod tests {
    use object_store::UpdateVersion;

    use super::*;

    #[test]
    fn hedged_is_what_does_the_same_twice() {
        let hedged = |key: &str, mode, bytes| Plan::of_put(&Path::from(key), &mode, bytes).may_hedge;
        assert!(hedged("wal/1/1-2", PutMode::Overwrite, 8 << 20));
        assert!(hedged("meta/0/wal/1.sst", PutMode::Create, 1_000));
        assert!(hedged("lease/0/1", PutMode::Create, 100));
        assert!(!hedged("wal/1/1-2", PutMode::Overwrite, 33 << 20), "too large");
        assert!(!hedged("eagre.json", PutMode::Overwrite, 100), "its content may change");
        assert!(!hedged("meta/0/compacted/x.sst", PutMode::Create, 100), "nobody waits for it");
        let update = PutMode::Update(UpdateVersion { e_tag: None, version: None });
        assert!(!hedged("meta/0/gc/wal.boundary", update.clone(), 100));
        assert!(!Plan::of_put(&Path::from("meta/0/gc/wal.boundary"), &update, 100).may_retry);
        assert!(Plan::of_get(&Path::from("wal/1/1-2"), Some(1 << 20)).may_hedge);
        assert!(!Plan::of_get(&Path::from("wal/1/1-2"), Some(8 << 20)).may_hedge);
    }

    #[test]
    fn kinds_are_apart_and_in_range() {
        let mut kinds = std::collections::BTreeSet::new();
        for op in [Op::Put, Op::Create, Op::Update, Op::Get, Op::List] {
            for bytes in [0, 100_000, 2 << 20, 8 << 20] {
                let plan = Plan { op, traffic: Traffic::Data, bytes, may_hedge: false, may_retry: true };
                assert!(plan.kind() < KINDS);
                kinds.insert(plan.kind());
            }
        }
        assert_eq!(kinds.len(), KINDS);
    }
}
