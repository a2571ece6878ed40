//! Which requests go before which.

use object_store::path::Path;

/// A read of more than this is one of many in a row: a reader far behind, not one at the tail.
const TAIL_READ_BYTES_MAX: u64 = 1 << 20;

/// The classes of requests, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Traffic {
    /// The sequencer's flush and the lease: every ack of a shard waits for them.
    Commit,
    /// PUTs of record data: the acks of one object wait.
    Data,
    /// Small reads, those at the tail of a log among them.
    Tail,
    /// Reads of those who are far behind, tables, listings, deletions.
    Background,
}

impl Traffic {
    /// Every class, the most urgent first.
    pub(crate) const ALL: [Traffic; 4] = [Self::Commit, Self::Data, Self::Tail, Self::Background];

    /// The class of a change of this object. Keys: `docs/formats.md`.
    pub(crate) fn of_write(key: &Path) -> Self {
        match Place::of(key) {
            Place::Lease | Place::Commit => Self::Commit,
            Place::Data | Place::Other => Self::Data,
            Place::Table => Self::Background,
        }
    }

    /// The class of a read of this object. `bytes`: what is asked for, where that is known.
    pub(crate) fn of_read(key: &Path, bytes: Option<u64>) -> Self {
        match Place::of(key) {
            Place::Lease | Place::Commit => Self::Commit,
            Place::Data | Place::Table | Place::Other => match bytes {
                Some(bytes) if bytes > TAIL_READ_BYTES_MAX => Self::Background,
                Some(_) | None => Self::Tail,
            },
        }
    }

    /// Its label in metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Data => "data",
            Self::Tail => "tail",
            Self::Background => "background",
        }
    }
}

/// Whether whoever writes this key writes the same bytes each time, so that a PUT may be under way twice.
pub(crate) fn has_one_content(key: &Path) -> bool {
    Place::of(key) == Place::Data
}

/// What stands under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Lease,
    Commit,
    Data,
    Table,
    Other,
}

impl Place {
    fn of(key: &Path) -> Self {
        let mut parts = key.parts();
        let (first, _, third) = (parts.next(), parts.next(), parts.next());
        let name = |part: &Option<object_store::path::PathPart<'_>>| part.as_ref().map(|part| part.as_ref().to_owned());
        match name(&first).as_deref() {
            Some("lease") => Self::Lease,
            Some("wal") => Self::Data,
            Some("meta") => match name(&third).as_deref() {
                Some("wal" | "manifest") => Self::Commit,
                _ => Self::Table,
            },
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_class() {
        for (key, write, small_read) in [
            ("lease/0000000000/00000000000000000001", Traffic::Commit, Traffic::Commit),
            ("meta/0/wal/00000000000000000007.sst", Traffic::Commit, Traffic::Commit),
            ("meta/0/manifest/00000000000000000001.manifest", Traffic::Commit, Traffic::Commit),
            ("meta/0/compacted/01J79C21YKR31J2BS1EFXJZ7MR.sst", Traffic::Background, Traffic::Tail),
            ("wal/00000000000000000001/1-2", Traffic::Data, Traffic::Tail),
            ("eagre.json", Traffic::Data, Traffic::Tail),
        ] {
            let key = Path::from(key);
            assert_eq!(Traffic::of_write(&key), write, "{key}");
            assert_eq!(Traffic::of_read(&key, Some(4_096)), small_read, "{key}");
        }
        let far_behind = Traffic::of_read(&Path::from("wal/1/1-2"), Some(4 << 20));
        assert_eq!(far_behind, Traffic::Background);
    }

    #[test]
    fn only_record_data_has_one_content() {
        assert!(has_one_content(&Path::from("wal/1/1-2")));
        for key in ["meta/0/wal/1.sst", "lease/0/1", "eagre.json", "meta/0/compacted/x.sst"] {
            assert!(!has_one_content(&Path::from(key)), "{key}");
        }
    }
}
