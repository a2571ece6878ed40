//! Why a batch is refused.

/// Why a record batch is refused. The variants are what a service tells its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// It is not a record batch that may be appended, whatever its checksum says.
    #[error("not a valid record batch: {0}")]
    Invalid(Flaw),
    /// The checksum in the header does not match the bytes.
    #[error("the record batch is damaged: its header states CRC-32C {stated:#010x}, its bytes give {computed:#010x}")]
    Corrupt {
        /// In the header.
        stated: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// It is over a limit.
    #[error("the {what} of {size_bytes} bytes is over the limit of {limit_bytes} bytes")]
    TooLarge {
        /// What is too large.
        what: Limited,
        /// Its size, or how far it was read before it was given up.
        size_bytes: u64,
        /// See [`Limits`](super::Limits).
        limit_bytes: u64,
    },
}

impl From<Flaw> for BatchError {
    fn from(flaw: Flaw) -> Self {
        Self::Invalid(flaw)
    }
}

/// What has a limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Limited {
    /// The batch as sent.
    #[error("record batch")]
    Batch,
    /// One record, uncompressed.
    #[error("record")]
    Record,
    /// All records of a batch, uncompressed.
    #[error("decompressed batch")]
    Decompressed,
}

/// What is wrong with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Fewer bytes than a header has.
    #[error("{length_bytes} bytes are less than a batch header has")]
    Truncated {
        /// Bytes there are.
        length_bytes: u64,
    },
    /// The stated length is not that of the bytes.
    #[error("its header states {stated_bytes} bytes, there are {actual_bytes}")]
    Length {
        /// Whole length by the header.
        stated_bytes: i64,
        /// Bytes there are.
        actual_bytes: u64,
    },
    /// Not a v2 batch.
    #[error("its magic is {0}, only 2 is taken")]
    Magic(i8),
    /// An unknown codec.
    #[error("its compression codec {0} is not known")]
    Codec(u8),
    /// Only the service writes control batches.
    #[error("it is a control batch, which clients may not write")]
    Control,
    /// Transactions are not supported.
    #[error("it is transactional, which is not supported")]
    Transactional,
    /// The service, not the producer, may set append times.
    #[error("its timestamp type is log append time, which producers may not set")]
    AppendTime,
    /// Bits without a meaning for producers are set.
    #[error("its attributes {0:#06x} have bits that producers may not set")]
    Attributes(i16),
    /// A batch has at least one record.
    #[error("its record count is {0}")]
    RecordCount(i32),
    /// Not the record count less one.
    #[error("its last offset delta is {last_offset_delta}, its record count {record_count}")]
    LastOffsetDelta {
        /// In the header.
        last_offset_delta: i32,
        /// In the header.
        record_count: i32,
    },
    /// Below -1.
    #[error("its producer id is {0}")]
    ProducerId(i64),
    /// Negative though there is a producer id.
    #[error("it has a producer id, but its producer epoch is {0}")]
    ProducerEpoch(i16),
    /// Negative though there is a producer id.
    #[error("it has a producer id, but its base sequence is {0}")]
    BaseSequence(i32),
    /// Fewer records than the header says.
    #[error("it ends within or before record {record}")]
    RecordsEnd {
        /// From 0.
        record: i32,
    },
    /// More bytes than its records have.
    #[error("{extra_bytes} bytes follow its last record")]
    ExtraBytes {
        /// How many.
        extra_bytes: u64,
    },
    /// A field of a record is malformed.
    #[error("the {field} of record {record} is malformed")]
    Record {
        /// From 0.
        record: i32,
        /// Which field.
        field: &'static str,
    },
    /// Not the record's place in the batch.
    #[error("the offset delta of record {record} is {offset_delta}")]
    OffsetDelta {
        /// From 0.
        record: i32,
        /// In the record.
        offset_delta: i32,
    },
    /// Not the highest of the records' timestamps.
    #[error("its max timestamp is {stated_ms}, that of its records {actual_ms}")]
    MaxTimestamp {
        /// In the header.
        stated_ms: i64,
        /// Of the records.
        actual_ms: i64,
    },
    /// The compressed bytes are not what the codec writes.
    #[error("its {0} data does not decompress")]
    Compressed(&'static str),
    /// More than a batch can hold.
    #[error("its {0} does not fit into a batch")]
    Unencodable(&'static str),
}
