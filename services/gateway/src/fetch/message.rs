//! What goes into one message of a fetch stream: cut out of the bytes of a run.

use bytes::{Bytes, BytesMut};
use eagre_model::{
    batch::{BatchError, BatchHeader, Compression, Flaw, Limits, with_base_offset},
    records::{DecodedRecord, records},
};
use eagre_proto::v1::{ConsumedRecord, FetchEncoding, Header};

/// How large messages are made. More is added only while it fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MessageSizes {
    pub bytes: usize,
    /// Of records out of compressed batches: a batch is decompressed once a message, so these are larger.
    pub decompressed_bytes: usize,
}

/// A place in a run: at the beginning of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunCursor {
    pub position_bytes: usize,
    /// The offset that the batch there has.
    pub base_offset: i64,
}

/// The batch at a cursor.
struct Found {
    header: BatchHeader,
    bytes: Bytes,
    last_offset: i64,
}

impl RunCursor {
    fn at(&self, run: &Bytes) -> Result<Option<Found>, BatchError> {
        if self.position_bytes >= run.len() {
            return Ok(None);
        }
        let rest = &run[self.position_bytes..];
        let header = BatchHeader::parse(rest)?;
        let length = header.total_length_bytes();
        if length > rest.len() || header.last_offset_delta < 0 {
            return Err(Flaw::Length { stated_bytes: length as i64, actual_bytes: rest.len() as u64 }.into());
        }
        let bytes = run.slice(self.position_bytes..self.position_bytes + length);
        let last_offset = self.base_offset + i64::from(header.last_offset_delta);
        Ok(Some(Found { header, bytes, last_offset }))
    }

    fn pass(&mut self, found: &Found) {
        self.position_bytes += found.bytes.len();
        self.base_offset = found.last_offset + 1;
    }

    /// The first batch that reaches `offset`, passing those before it.
    fn seek(&mut self, run: &Bytes, offset: i64) -> Result<Option<Found>, BatchError> {
        while let Some(found) = self.at(run)? {
            if found.last_offset >= offset {
                return Ok(Some(found));
            }
            self.pass(&found);
        }
        Ok(None)
    }
}

/// A message that is being filled from runs that follow each other.
pub(super) struct Message {
    encoding: FetchEncoding,
    sizes: MessageSizes,
    batches: BytesMut,
    records: Vec<ConsumedRecord>,
    size: usize,
    record_count: usize,
    /// What comes first may be so large.
    first_bytes_max: usize,
    /// How large what comes first is, where that is more.
    too_large: Option<usize>,
    /// The first offset that is wanted, then the one after the last that is in.
    pub next_offset: i64,
}

/// Why filling ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filled {
    /// The run has no more.
    Exhausted,
    /// The next batch or record has to wait for the next message.
    Full,
}

impl Message {
    /// Made for about `expected_bytes`. Of what comes first, so many bytes are taken though they are more than the usual size.
    pub fn new(
        encoding: FetchEncoding,
        sizes: MessageSizes,
        first_bytes_max: usize,
        expected_bytes: usize,
        next_offset: i64,
    ) -> Self {
        let batches = match encoding {
            FetchEncoding::Batches => BytesMut::with_capacity(expected_bytes.min(sizes.bytes)),
            FetchEncoding::Records | FetchEncoding::Unspecified => BytesMut::new(),
        };
        let (records, too_large) = (Vec::new(), None);
        Self { encoding, sizes, batches, records, size: 0, record_count: 0, first_bytes_max, too_large, next_offset }
    }

    /// About how many bytes are in, of how many records. Those of a batch count whole.
    pub fn extent(&self) -> (usize, usize) {
        (self.size, self.record_count)
    }

    /// How large the batch or record is that comes first, and for which there is no room.
    pub fn too_large(&self) -> Option<usize> {
        self.too_large
    }

    /// What is in: batches one after the other, or records.
    pub fn into_parts(self) -> (Bytes, Vec<ConsumedRecord>) {
        (self.batches.freeze(), self.records)
    }

    /// Adds what follows in a run: whole batches with their offsets patched in, or single records.
    pub fn fill(&mut self, run: &Bytes, cursor: &mut RunCursor, limits: &Limits) -> Result<Filled, BatchError> {
        while let Some(found) = cursor.seek(run, self.next_offset)? {
            let fits = match self.encoding {
                FetchEncoding::Batches => self.add_batch(&found, cursor.base_offset),
                FetchEncoding::Records | FetchEncoding::Unspecified => self.add_records(&found, cursor, limits)?,
            };
            if !fits {
                return Ok(Filled::Full);
            }
            cursor.pass(&found);
            self.next_offset = cursor.base_offset;
        }
        Ok(Filled::Exhausted)
    }

    fn has_room(&mut self, bytes: usize, bytes_max: usize) -> bool {
        if self.size > 0 {
            return self.size + bytes <= bytes_max;
        }
        let fits = bytes <= bytes_max.max(self.first_bytes_max);
        self.too_large = (!fits).then_some(bytes);
        fits
    }

    fn add_batch(&mut self, found: &Found, base_offset: i64) -> bool {
        if !self.has_room(found.bytes.len(), self.sizes.bytes) {
            return false;
        }
        self.batches.extend_from_slice(&found.bytes);
        with_base_offset(&mut self.batches[self.size..], base_offset);
        self.size = self.batches.len();
        self.record_count += usize::try_from(found.header.record_count).unwrap_or(0);
        true
    }

    /// Whether all of the batch's records are in.
    fn add_records(&mut self, found: &Found, cursor: &RunCursor, limits: &Limits) -> Result<bool, BatchError> {
        let compressed = found.header.compression()? != Compression::None;
        let bytes_max = if compressed { self.sizes.decompressed_bytes } else { self.sizes.bytes };
        for record in records_of(found, cursor.base_offset, self.next_offset, limits)? {
            let record = record?;
            let length = length_bytes(&record);
            if !self.has_room(length, bytes_max) {
                return Ok(false);
            }
            self.size += length;
            self.record_count += 1;
            self.next_offset = record.offset + 1;
            self.records.push(consumed(record));
        }
        Ok(true)
    }
}

/// The first record of a run whose timestamp is `timestamp_ms` or later.
pub(super) fn find_by_time(
    run: &Bytes,
    base_offset: i64,
    timestamp_ms: i64,
    limits: &Limits,
) -> Result<Option<(i64, i64)>, BatchError> {
    let mut cursor = RunCursor { position_bytes: 0, base_offset };
    while let Some(found) = cursor.at(run)? {
        if found.header.max_timestamp >= timestamp_ms {
            for record in records_of(&found, cursor.base_offset, cursor.base_offset, limits)? {
                let record = record?;
                if record.timestamp_ms >= timestamp_ms {
                    return Ok(Some((record.offset, record.timestamp_ms)));
                }
            }
        }
        cursor.pass(&found);
    }
    Ok(None)
}

/// The records of a stored batch from `offset` on, with the offsets that it has from its place in the log.
fn records_of(
    found: &Found,
    base_offset: i64,
    offset: i64,
    limits: &Limits,
) -> Result<impl Iterator<Item = Result<DecodedRecord, BatchError>>, BatchError> {
    let stated = found.header.base_offset;
    let placed = records(&found.bytes, limits)?.map(move |record| {
        let mut record = record?;
        record.offset = base_offset + record.offset.wrapping_sub(stated);
        Ok(record)
    });
    Ok(placed.skip_while(move |record| record.as_ref().is_ok_and(|record| record.offset < offset)))
}

/// About what the record takes in a message.
fn length_bytes(record: &DecodedRecord) -> usize {
    let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
    let headers: usize = record.headers.iter().map(|(key, value)| key.len() + length(value) + 16).sum();
    length(&record.key) + length(&record.value) + headers + 32
}

fn consumed(record: DecodedRecord) -> ConsumedRecord {
    ConsumedRecord {
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        key: record.key,
        value: record.value,
        headers: record.headers.into_iter().map(|(key, value)| Header { key, value }).collect(),
    }
}

#[cfg(test)]
mod tests {
    use eagre_model::{
        batch::{batches, crc32c},
        records::{BatchBuilder, ProducerFields},
    };

    use super::*;

    /// Batches of 1, 2, 3... records, with whatever base offset their producers wrote.
    fn run(batches: i32, compression: Compression) -> Bytes {
        let mut run = BytesMut::new();
        for count in 1..=batches {
            let mut builder = BatchBuilder::new(ProducerFields::NONE);
            for record in 0..count {
                let value = format!("{count}/{record}");
                builder
                    .push_parts(None, Some(value.as_bytes()), std::iter::empty(), i64::from(count * 10 + record))
                    .unwrap();
            }
            let mut bytes = builder.finish(compression).unwrap().bytes.to_vec();
            with_base_offset(&mut bytes, i64::from(count) * 1_000);
            run.extend_from_slice(&bytes);
        }
        run.freeze()
    }

    /// Reads a run of base offset 100 from an offset on, in messages of a size.
    fn read(run: &Bytes, encoding: FetchEncoding, from: i64, bytes_max: usize) -> Vec<Vec<(i64, String)>> {
        let limits = Limits::default();
        let mut cursor = RunCursor { position_bytes: 0, base_offset: 100 };
        let (mut next_offset, mut out) = (from, Vec::new());
        loop {
            let sizes = MessageSizes { bytes: bytes_max, decompressed_bytes: bytes_max };
            let mut message = Message::new(encoding, sizes, usize::MAX, run.len(), next_offset);
            let filled = message.fill(run, &mut cursor, &limits).unwrap();
            next_offset = message.next_offset;
            if message.size > 0 {
                let (bytes, records) = message.into_parts();
                let text = |value: Option<Bytes>| String::from_utf8(value.unwrap().to_vec()).unwrap();
                let mut read: Vec<_> = records.into_iter().map(|record| (record.offset, text(record.value))).collect();
                for batch in batches(&bytes) {
                    let (header, batch) = batch.unwrap();
                    assert_eq!(crc32c(&batch[21..]), header.crc);
                    let decoded = eagre_model::records::decode(&batch, &limits).unwrap();
                    read.extend(decoded.into_iter().map(|record| (record.offset, text(record.value))));
                }
                out.push(read);
            }
            if filled == Filled::Exhausted {
                return out;
            }
        }
    }

    fn everything() -> Vec<(i64, String)> {
        let all = (1..=4).flat_map(|count| (0..count).map(move |record| format!("{count}/{record}")));
        (100..).zip(all).collect()
    }

    #[test]
    fn a_run_comes_out_the_same_in_messages_of_any_size() {
        for compression in [Compression::None, Compression::Zstd] {
            let run = run(4, compression);
            for encoding in [FetchEncoding::Batches, FetchEncoding::Records] {
                for bytes_max in [1, 70, 150, 1 << 20] {
                    for from in 100..110 {
                        let messages = read(&run, encoding, from, bytes_max);
                        let wanted: Vec<_> = everything().into_iter().filter(|(offset, _)| *offset >= from).collect();
                        let mut got = messages.concat();
                        if encoding == FetchEncoding::Batches {
                            // The first batch may begin below.
                            got.retain(|(offset, _)| *offset >= from);
                        }
                        assert_eq!(got, wanted, "{encoding:?} {bytes_max} {from}");
                    }
                }
            }
        }
    }

    #[test]
    fn messages_keep_to_their_size() {
        let run = run(4, Compression::None);
        assert_eq!(read(&run, FetchEncoding::Records, 100, 1).len(), 10);
        assert_eq!(read(&run, FetchEncoding::Batches, 100, 1).len(), 4);
        assert_eq!(read(&run, FetchEncoding::Batches, 100, 1 << 20).len(), 1);
        assert_eq!(read(&run, FetchEncoding::Batches, 110, 1 << 20).len(), 0, "nothing is left there");
    }

    #[test]
    fn what_is_too_large_is_told_and_not_taken() {
        let run = run(1, Compression::None);
        let sizes = MessageSizes { bytes: 10, decompressed_bytes: 10 };
        for encoding in [FetchEncoding::Batches, FetchEncoding::Records] {
            let fill = |first_bytes_max| {
                let mut cursor = RunCursor { position_bytes: 0, base_offset: 0 };
                let mut message = Message::new(encoding, sizes, first_bytes_max, 0, 0);
                let filled = message.fill(&run, &mut cursor, &Limits::default()).unwrap();
                (filled, message.too_large(), cursor.position_bytes, message.next_offset)
            };
            let (filled, too_large, position, offset) = fill(0);
            assert_eq!((filled, position, offset), (Filled::Full, 0, 0), "{encoding:?}");
            assert_eq!(fill(too_large.unwrap() - 1).1, too_large);
            assert_eq!(fill(too_large.unwrap()), (Filled::Exhausted, None, run.len(), 1), "{encoding:?}");
        }
    }

    #[test]
    fn the_first_record_at_a_time_is_found() {
        let run = run(4, Compression::Lz4);
        let limits = Limits::default();
        for (timestamp_ms, expected) in [
            (0, Some((100, 10))),
            (10, Some((100, 10))),
            (11, Some((101, 20))),
            (21, Some((102, 21))),
            (43, Some((109, 43))),
            (44, None),
        ] {
            assert_eq!(find_by_time(&run, 100, timestamp_ms, &limits).unwrap(), expected, "{timestamp_ms}");
        }
    }

    #[test]
    fn damaged_runs_are_errors() {
        let whole = run(3, Compression::None);
        let limits = Limits::default();
        let sizes = MessageSizes { bytes: 1 << 20, decompressed_bytes: 1 << 20 };
        for cut in 1..whole.len() {
            let run = whole.slice(..cut);
            let mut cursor = RunCursor { position_bytes: 0, base_offset: 0 };
            let mut message = Message::new(FetchEncoding::Batches, sizes, usize::MAX, 0, 0);
            if message.fill(&run, &mut cursor, &limits).is_ok() {
                assert!(message.next_offset < 6, "a run that was cut off is not whole");
            }
        }
    }
}
