//! What one reader gets of one partition, made from what is stored: pure, so that all readers get the same.

use bytes::{Bytes, BytesMut};

use crate::{
    batch::{self, Header, NotABatch},
    picker::Alteration,
    renumber::{Renumbering, Span},
    schedule::Schedule,
};

/// Where a reader of an altered partition is.
#[derive(Debug)]
pub(crate) struct Reading {
    alteration: Alteration,
    /// Says which bit is flipped.
    seed: u64,
    /// What ends at or below this shown offset was not asked for.
    from: i64,
    /// The batches of a span that has begun and not ended.
    held: Vec<(Header, Bytes)>,
}

/// What becomes of one message.
#[derive(Debug, Default)]
pub(crate) struct Altered {
    /// Whole batches.
    pub batches: BytesMut,
    /// So often the fault was committed.
    pub committed: u64,
}

impl Reading {
    /// Of a reader who asked for a shown offset.
    pub fn new(alteration: Alteration, seed: u64, from: i64) -> Self {
        Self { alteration, seed, from, held: Vec::new() }
    }

    /// The shown form of stored batches, which follow the ones before without a gap.
    pub fn alter(&mut self, stored: Bytes, renumbering: &Renumbering) -> Result<Altered, NotABatch> {
        let mut altered = Altered::default();
        for (header, bytes) in batch::split(stored)? {
            let span = renumbering.span_of(header.base_offset);
            // A log whose start was moved into a span begins amid it: what is left of it is shown as it is.
            let whole = span.filter(|span| span.lo == header.base_offset || !self.held.is_empty());
            let Some(span) = whole else {
                self.show(&mut altered, &bytes, renumbering.to_shown(header.base_offset));
                continue;
            };
            self.held.push((header, bytes));
            if header.end() >= span.hi {
                let at = renumbering.to_shown(span.lo);
                self.commit(&mut altered, span, at);
            }
        }
        Ok(altered)
    }

    /// A message's end, in shown offsets: never below what was asked for.
    pub fn shown_end(&self, stored: i64, renumbering: &Renumbering) -> i64 {
        renumbering.to_shown_end(stored).max(self.from)
    }

    /// Shows the span that is held, its first offset at `at`.
    fn commit(&mut self, altered: &mut Altered, span: Span, mut at: i64) {
        let mut batches = std::mem::take(&mut self.held);
        match self.alteration {
            Alteration::Drop => batches.clear(),
            // The offset behind it is nobody's.
            Alteration::Gap => {}
            Alteration::Double => batches = batches.iter().chain(&batches).cloned().collect(),
            Alteration::Swap => {
                let last = batches.len() - 1;
                batches.swap(0, last);
            }
            Alteration::Flip { mend } => {
                self.change(&mut batches, span, mend, batch::flip_bit);
            }
            Alteration::Foreign => {
                self.change(&mut batches, span, true, batch::blank_value);
            }
        }
        let shown_before = altered.batches.len();
        for (header, bytes) in &batches {
            self.show(altered, bytes, at);
            at += header.offsets;
        }
        // What lies below what was asked for was not shown, and nothing was done to it then.
        if altered.batches.len() > shown_before || self.alteration == Alteration::Drop {
            altered.committed += 1;
        }
    }

    /// Changes the bytes of the batches of a span, the same for all readers.
    fn change(&self, batches: &mut [(Header, Bytes)], span: Span, mend: bool, how: fn(&mut [u8], u64)) {
        for (_, bytes) in batches {
            let mut changed = BytesMut::from(&bytes[..]);
            how(&mut changed, pick(self.seed, span.lo));
            if mend {
                batch::mend_crc(&mut changed);
            }
            *bytes = changed.freeze();
        }
    }

    fn show(&self, altered: &mut Altered, bytes: &[u8], base_offset: i64) {
        let offsets = Header::parse(bytes).map_or(0, |header| header.offsets);
        if base_offset + offsets <= self.from {
            return;
        }
        put(&mut altered.batches, bytes, base_offset);
    }
}

/// A number that depends on the seed and the place alone.
fn pick(seed: u64, offset: i64) -> u64 {
    u64::from(crc32c::crc32c(&[seed.to_be_bytes(), offset.to_be_bytes()].concat()))
}

/// What one reader gets otherwise than the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mischief {
    /// A batch is left out; offsets stay, so they jump.
    Skip,
    /// A batch comes twice at the same offsets.
    Repeat,
    /// A batch changes places with the one behind it.
    Swap,
}

/// One partition of the reader that gets something else than the others.
#[derive(Debug, Clone)]
pub(crate) struct OddPartition {
    mischief: Mischief,
    schedule: Schedule,
    /// To be shown behind the next one.
    held: Option<(Header, Bytes)>,
}

impl OddPartition {
    /// Nothing has passed.
    pub fn new(mischief: Mischief) -> Self {
        Self { mischief, schedule: Schedule::new(), held: None }
    }

    /// What becomes of stored batches, which follow those before.
    pub fn alter(&mut self, stored: Bytes) -> Result<Altered, NotABatch> {
        let mut altered = Altered::default();
        for (header, bytes) in batch::split(stored)? {
            let is_due = self.schedule.count();
            if let Some((first, held)) = self.held.take() {
                put(&mut altered.batches, &bytes, first.base_offset);
                put(&mut altered.batches, &held, first.base_offset + header.offsets);
                altered.committed += 1;
                continue;
            }
            if !is_due {
                altered.batches.extend_from_slice(&bytes);
                continue;
            }
            self.schedule.commit();
            match self.mischief {
                Mischief::Skip => altered.committed += 1,
                Mischief::Repeat => {
                    altered.batches.extend_from_slice(&bytes.repeat(2));
                    altered.committed += 1;
                }
                Mischief::Swap => self.held = Some((header, bytes)),
            }
        }
        Ok(altered)
    }
}

/// Appends a whole batch at a base offset.
fn put(batches: &mut BytesMut, bytes: &[u8], base_offset: i64) {
    let begin = batches.len();
    batches.extend_from_slice(bytes);
    batch::set_base_offset(&mut batches[begin..], base_offset);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::build::{Of, batch};

    /// Batches of one to three records from an offset on, alternating between two producers.
    fn log() -> Vec<Bytes> {
        let mut base_offset = 0;
        let mut log = Vec::new();
        for place in 0..9i32 {
            let values: Vec<String> = (0..=place % 3).map(|record| format!("{place}/{record}")).collect();
            let values: Vec<&[u8]> = values.iter().map(String::as_bytes).collect();
            log.push(batch(Of { base_offset, producer_id: i64::from(place % 2), base_sequence: place }, &values));
            base_offset += values.len() as i64;
        }
        log
    }

    fn renumbering(span: Span) -> Renumbering {
        let mut renumbering = Renumbering::default();
        renumbering.push(span);
        renumbering
    }

    /// Reads from a shown offset on in messages of `size` batches: base offset and place in the log of each batch.
    fn read(alteration: Alteration, span: Span, from: i64, size: usize) -> (Vec<(i64, i32)>, u64) {
        let renumbering = renumbering(span);
        let mut reading = Reading::new(alteration, 7, from);
        let stored_from = renumbering.to_stored(from);
        let stored: Vec<Bytes> =
            log().into_iter().filter(|bytes| Header::parse(bytes).unwrap().end() > stored_from).collect();
        let (mut seen, mut committed) = (Vec::new(), 0);
        for message in stored.chunks(size) {
            let altered = reading.alter(message.concat().into(), &renumbering).unwrap();
            committed += altered.committed;
            let batches = batch::split(altered.batches.freeze()).unwrap();
            seen.extend(batches.iter().map(|(header, _)| (header.base_offset, header.base_sequence)));
        }
        (seen, committed)
    }

    // Base offsets are 0, 1, 3, 6, 7, 9, 12, 13, 15.
    const FOURTH: Span = Span { lo: 6, hi: 7, shown: 0 };

    #[test]
    fn every_way_to_read_shows_the_same_log() {
        let cases = [
            (Alteration::Drop, FOURTH),
            (Alteration::Drop, Span { lo: 1, hi: 3, shown: 0 }),
            (Alteration::Double, Span { lo: 7, hi: 9, shown: 4 }),
            (Alteration::Swap, Span { lo: 1, hi: 7, shown: 6 }),
            (Alteration::Flip { mend: true }, Span { lo: 7, hi: 9, shown: 2 }),
            (Alteration::Foreign, Span { lo: 7, hi: 9, shown: 2 }),
        ];
        for (alteration, span) in cases {
            let (whole, committed) = read(alteration, span, 0, 100);
            assert_eq!(committed, 1, "{alteration:?}");
            // Offsets stay dense.
            for pair in whole.windows(2) {
                assert_eq!(pair[0].0 + i64::from(pair[0].1 % 3) + 1, pair[1].0, "{alteration:?} {whole:?}");
            }
            for size in 1..4 {
                for from in 0..18 {
                    let wanted: Vec<_> =
                        whole.iter().copied().filter(|(at, place)| at + i64::from(place % 3) >= from).collect();
                    assert_eq!(read(alteration, span, from, size).0, wanted, "{alteration:?} {from} {size}");
                }
            }
        }
    }

    #[test]
    fn each_alteration_does_what_it_says() {
        let places =
            |alteration, span| read(alteration, span, 0, 2).0.into_iter().map(|(_, place)| place).collect::<Vec<_>>();
        assert_eq!(places(Alteration::Drop, FOURTH), [0, 1, 2, 4, 5, 6, 7, 8]);
        let fifth = Span { lo: 7, hi: 9, shown: 4 };
        assert_eq!(places(Alteration::Double, fifth), [0, 1, 2, 3, 4, 4, 5, 6, 7, 8]);
        assert_eq!(places(Alteration::Swap, Span { lo: 1, hi: 7, shown: 6 }), [0, 3, 2, 1, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn a_flipped_bit_is_the_same_for_all_and_only_mended_where_it_should_be() {
        let span = Span { lo: 7, hi: 9, shown: 2 };
        let read = |mend| {
            let mut reading = Reading::new(Alteration::Flip { mend }, 7, 0);
            reading.alter(log().concat().into(), &renumbering(span)).unwrap().batches
        };
        assert_eq!(read(true), read(true));
        let sound = log().concat();
        let changed = |mend: bool| read(mend).iter().zip(&sound).filter(|(a, b)| a != b).count();
        assert_eq!(changed(false), 1);
        assert!(changed(true) > 1, "the CRC is another one");
    }

    #[test]
    fn an_end_amid_a_span_is_shown_as_its_beginning() {
        let renumbering = renumbering(Span { lo: 1, hi: 7, shown: 6 });
        let mut reading = Reading::new(Alteration::Swap, 7, 0);
        let altered = reading.alter(log()[..3].concat().into(), &renumbering).unwrap();
        assert_eq!(altered.batches, log()[0]);
        assert_eq!((reading.shown_end(6, &renumbering), reading.shown_end(7, &renumbering)), (1, 7));
    }

    #[test]
    fn a_log_that_begins_amid_a_span_is_shown_as_it_is() {
        let renumbering = renumbering(Span { lo: 1, hi: 7, shown: 6 });
        let mut reading = Reading::new(Alteration::Swap, 7, 3);
        let stored: Bytes = log()[2..].concat().into();
        assert_eq!(reading.alter(stored.clone(), &renumbering).unwrap().batches, stored);
    }

    #[test]
    fn one_reader_misses_gets_again_or_swaps_whole_batches() {
        let of = |mischief, log: &[Bytes]| OddPartition::new(mischief).alter(log.concat().into()).unwrap();
        let mut skipped = log();
        skipped.remove(4);
        let mut repeated = log();
        repeated.insert(4, repeated[4].clone());
        for (mischief, expected) in [(Mischief::Skip, skipped), (Mischief::Repeat, repeated)] {
            let seen = of(mischief, &log());
            assert_eq!((seen.batches, seen.committed), (BytesMut::from(&expected.concat()[..]), 1), "{mischief:?}");
        }
        let swapped = of(Mischief::Swap, &log());
        let order: Vec<_> = batch::split(swapped.batches.freeze()).unwrap();
        let order: Vec<_> = order.iter().map(|(header, _)| (header.base_offset, header.base_sequence)).collect();
        assert_eq!(order[3..7], [(6, 3), (7, 5), (10, 4), (12, 6)]);
        assert_eq!(swapped.committed, 1);
        // The other one may come with another message.
        let mut odd = OddPartition::new(Mischief::Swap);
        let (first, then) = (odd.alter(log()[..5].concat().into()), odd.alter(log()[5..].concat().into()));
        let both = [&first.unwrap().batches[..], &then.unwrap().batches[..]].concat();
        assert_eq!(both, of(Mischief::Swap, &log()).batches);
    }

    #[test]
    fn a_gap_moves_what_is_behind_it_and_a_foreign_value_takes_the_place_of_another() {
        let (gap, committed) = read(Alteration::Gap, Span { lo: 7, hi: 9, shown: 3 }, 0, 2);
        assert_eq!(committed, 1);
        assert_eq!(gap, [(0, 0), (1, 1), (3, 2), (6, 3), (7, 4), (10, 5), (13, 6), (14, 7), (16, 8)]);
        let fifth = Span { lo: 7, hi: 9, shown: 2 };
        let mut reading = Reading::new(Alteration::Foreign, 7, 0);
        let seen = reading.alter(log().concat().into(), &renumbering(fifth)).unwrap().batches.freeze();
        let changed: Vec<_> = batch::split(seen).unwrap().into_iter().zip(log()).filter(|(a, b)| a.1 != b).collect();
        assert_eq!(changed.len(), 1);
        let (_, foreign) = &changed[0].0;
        let mut mended = foreign.to_vec();
        batch::mend_crc(&mut mended);
        assert_eq!(mended, foreign[..]);
        assert!(foreign.windows(3).any(|bytes| bytes == [0; 3]), "the value is blank");
    }
}
