//! The footer of a WAL object: it tells what the object holds without any index.
//!
//! The layout stands in `docs/formats.md`. Its numbers are never given another meaning; the trailer keeps its place and
//! its shape in every later format.

use bytes::{Buf, BufMut};
use eagre_model::{ObjectId, TopicNumber, TopicPartition, UploadEpoch, batch::crc32c};

/// The format that this version writes, and the only one that it reads.
pub const FOOTER_FORMAT: u16 = 1;

/// The last bytes of every object, of whatever format.
pub const TRAILER_BYTES: usize = 20;

const MAGIC: &[u8; 8] = b"EAGREWAL";
/// The part of the trailer that the CRC covers.
const TRAILER_HEAD_BYTES: usize = 8;
const HEAD_BYTES: usize = 36;
const RUN_BYTES: usize = 48;

/// What an object holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    /// The object's name: tells an object that was stored under another key.
    pub object: ObjectId,
    /// In ascending order of partition and of position: they cover the data from its first byte to the footer.
    pub runs: Vec<FooterRun>,
}

/// The batches of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FooterRun {
    /// Whose they are.
    pub partition: TopicPartition,
    /// First byte in the object.
    pub position_bytes: u64,
    /// Bytes of all batches, at least 1.
    pub length_bytes: u32,
    /// At least 1.
    pub batches: u32,
    /// At least as many as batches.
    pub records: u64,
    /// Of all records, milliseconds since the Unix epoch.
    pub max_timestamp_ms: i64,
    /// CRC-32C of the bytes.
    pub crc32c: u32,
}

/// Why bytes give no footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FooterError {
    /// The end that was given does not reach back to the footer's first byte.
    #[error("the last {needed_bytes} bytes of the object are needed")]
    NeedsMore {
        /// How much of the object's end is needed; never more than the object has.
        needed_bytes: usize,
    },
    /// It does not end as an object does, or not where it should.
    #[error("not a WAL object: {0}")]
    NotAnObject(&'static str),
    /// A later version wrote it.
    #[error("the footer has format {found}, this version reads format {FOOTER_FORMAT}")]
    NewerFormat {
        /// The object's format.
        found: u16,
    },
    /// The CRC is wrong, or right over nonsense.
    #[error("corrupt footer: {0}")]
    Corrupt(&'static str),
}

/// Why an object is not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Its footer is wrong.
    #[error(transparent)]
    Footer(#[from] FooterError),
    /// The footer is right but a run's bytes are not what it says.
    #[error("corrupt run of partition {partition}: CRC-32C {found:#010x} instead of {expected:#010x}")]
    Run {
        /// Whose run.
        partition: TopicPartition,
        /// As the footer says.
        expected: u32,
        /// Of the bytes.
        found: u32,
    },
}

/// Reads the footer from the end of an object: `tail` is its last bytes, `object_length_bytes` its whole length.
///
/// Nothing is allocated that the bytes given do not fill.
pub fn parse_footer(tail: &[u8], object_length_bytes: u64) -> Result<Footer, FooterError> {
    if (tail.len() as u64) > object_length_bytes {
        return Err(FooterError::NotAnObject("its end is longer than itself"));
    }
    if object_length_bytes < (TRAILER_BYTES + HEAD_BYTES) as u64 {
        return Err(FooterError::NotAnObject("too short"));
    }
    let Some((rest, trailer)) = tail.split_last_chunk::<TRAILER_BYTES>() else {
        return Err(FooterError::NeedsMore { needed_bytes: TRAILER_BYTES });
    };
    if !trailer.ends_with(MAGIC) {
        return Err(FooterError::NotAnObject("the magic is missing"));
    }
    let mut fields = &trailer[..];
    let footer_bytes = fields.get_u32();
    let (format, zero, expected) = (fields.get_u16(), fields.get_u16(), fields.get_u32());
    if format > FOOTER_FORMAT {
        return Err(FooterError::NewerFormat { found: format });
    }
    let needed = u64::from(footer_bytes) + TRAILER_BYTES as u64;
    if needed > object_length_bytes {
        return Err(FooterError::Corrupt("it is longer than the object"));
    }
    let footer_bytes = usize::try_from(footer_bytes).map_err(|_| FooterError::Corrupt("it is too long"))?;
    let Some(start) = rest.len().checked_sub(footer_bytes) else {
        return Err(FooterError::NeedsMore { needed_bytes: footer_bytes + TRAILER_BYTES });
    };
    let covered = &tail[start..tail.len() - (TRAILER_BYTES - TRAILER_HEAD_BYTES)];
    if crc32c(covered) != expected {
        return Err(FooterError::Corrupt("its CRC is wrong"));
    }
    if format != FOOTER_FORMAT || zero != 0 {
        return Err(FooterError::Corrupt("its format is none"));
    }
    parse_runs(&rest[start..], object_length_bytes - needed)
}

/// `data_bytes`: what stands before the footer.
fn parse_runs(mut bytes: &[u8], data_bytes: u64) -> Result<Footer, FooterError> {
    let runs_bytes = bytes.len().checked_sub(HEAD_BYTES).ok_or(FooterError::Corrupt("it is too short"))?;
    let object =
        ObjectId { epoch: UploadEpoch(bytes.get_u64()), incarnation: bytes.get_u64(), number: bytes.get_u64() };
    if bytes.get_u64() != data_bytes {
        return Err(FooterError::Corrupt("the object has another length than it says"));
    }
    if u64::from(bytes.get_u32()) * RUN_BYTES as u64 != runs_bytes as u64 {
        return Err(FooterError::Corrupt("the number of runs is not that of its bytes"));
    }
    let mut runs: Vec<FooterRun> = Vec::with_capacity(runs_bytes / RUN_BYTES);
    let mut position_bytes = 0;
    while !bytes.is_empty() {
        let run = FooterRun::decode(&mut bytes);
        if run.position_bytes != position_bytes {
            return Err(FooterError::Corrupt("the runs leave a gap or overlap"));
        }
        if run.length_bytes == 0 || run.batches == 0 || run.records < u64::from(run.batches) {
            return Err(FooterError::Corrupt("a run is empty"));
        }
        if runs.last().is_some_and(|last| last.partition >= run.partition) {
            return Err(FooterError::Corrupt("the partitions are not in ascending order"));
        }
        // Bounded by 32 bits for each of fewer than 2^32 runs.
        position_bytes += u64::from(run.length_bytes);
        runs.push(run);
    }
    if position_bytes != data_bytes {
        return Err(FooterError::Corrupt("the runs do not cover the data"));
    }
    Ok(Footer { object, runs })
}

/// Checks every byte of a whole object and returns its footer.
pub fn verify_object(object: &[u8]) -> Result<Footer, VerifyError> {
    let footer = parse_footer(object, object.len() as u64)?;
    for run in &footer.runs {
        let found = crc32c(run.of(object)?);
        if found != run.crc32c {
            return Err(VerifyError::Run { partition: run.partition, expected: run.crc32c, found });
        }
    }
    Ok(footer)
}

impl Footer {
    /// Footer and trailer of an object with so many runs.
    pub(crate) fn length_bytes(runs: usize) -> usize {
        HEAD_BYTES + runs * RUN_BYTES + TRAILER_BYTES
    }

    /// Writes footer and trailer behind the data, which is all that `bytes` holds.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        bytes.put_u64(self.object.epoch.0);
        bytes.put_u64(self.object.incarnation);
        bytes.put_u64(self.object.number);
        bytes.put_u64(start as u64);
        bytes.put_u32(u32::try_from(self.runs.len()).expect("a run has bytes, of which there are less than 4 GiB"));
        for run in &self.runs {
            run.encode(bytes);
        }
        let footer_bytes = bytes.len() - start;
        bytes.put_u32(u32::try_from(footer_bytes).expect("a footer is far smaller than 4 GiB"));
        bytes.put_u16(FOOTER_FORMAT);
        bytes.put_u16(0);
        let crc = crc32c(&bytes[start..]);
        bytes.put_u32(crc);
        bytes.put_slice(MAGIC);
    }
}

impl FooterRun {
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.put_u64(self.partition.topic.0);
        bytes.put_u32(self.partition.partition);
        bytes.put_u64(self.position_bytes);
        bytes.put_u32(self.length_bytes);
        bytes.put_u32(self.batches);
        bytes.put_u64(self.records);
        bytes.put_i64(self.max_timestamp_ms);
        bytes.put_u32(self.crc32c);
    }

    /// Takes [`RUN_BYTES`], which the caller has counted.
    fn decode(bytes: &mut &[u8]) -> Self {
        Self {
            partition: TopicPartition { topic: TopicNumber(bytes.get_u64()), partition: bytes.get_u32() },
            position_bytes: bytes.get_u64(),
            length_bytes: bytes.get_u32(),
            batches: bytes.get_u32(),
            records: bytes.get_u64(),
            max_timestamp_ms: bytes.get_i64(),
            crc32c: bytes.get_u32(),
        }
    }

    /// The run's bytes in the whole object.
    fn of<'a>(&self, object: &'a [u8]) -> Result<&'a [u8], FooterError> {
        let start = usize::try_from(self.position_bytes).ok();
        let end = start.and_then(|start| start.checked_add(usize::try_from(self.length_bytes).ok()?));
        let range = start.zip(end).and_then(|(start, end)| object.get(start..end));
        range.ok_or(FooterError::Corrupt("a run lies outside the object"))
    }
}
