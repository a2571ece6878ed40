//! Which batches of a log a fault befalls, decided purely from the log itself: all readers see the same.

use crate::{batch::Header, renumber::Span, schedule::Schedule};

/// What readers find otherwise than it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alteration {
    /// A batch is left out.
    Drop,
    /// A batch comes twice.
    Double,
    /// The first and the last batch of a span change places.
    Swap,
    /// A bit of a value is flipped.
    Flip {
        /// The CRC is made to match again.
        mend: bool,
    },
    /// Behind a batch an offset stays empty.
    Gap,
    /// A value is replaced by zeros.
    Foreign,
}

/// How far apart two batches that change places may be. A reader holds back so many.
pub(crate) const SWAP_BATCHES_MAX: usize = 16;

/// Goes through a log in its order.
#[derive(Debug)]
pub(crate) struct Picker {
    alteration: Alteration,
    schedule: Schedule,
    /// Up to where batches were seen.
    seen_to: i64,
    /// For a swap: a batch that is due, and those after it, until one of the same producer comes.
    waiting: Vec<Header>,
}

impl Picker {
    /// For a log that begins at an offset.
    pub fn new(alteration: Alteration, log_start_offset: i64) -> Self {
        Self { alteration, schedule: Schedule::new(), seen_to: log_start_offset, waiting: Vec::new() }
    }

    /// The next batch; returns a span that is decided on.
    pub fn see(&mut self, batch: Header) -> Option<Span> {
        self.seen_to = batch.end();
        let due = self.schedule.count();
        let span = match self.alteration {
            _ if !due => None,
            Alteration::Drop => Some(Span { lo: batch.base_offset, hi: batch.end(), shown: 0 }),
            Alteration::Double => Some(Span { lo: batch.base_offset, hi: batch.end(), shown: 2 * batch.offsets }),
            Alteration::Gap => Some(Span { lo: batch.base_offset, hi: batch.end(), shown: batch.offsets + 1 }),
            Alteration::Flip { .. } | Alteration::Foreign => {
                Some(Span { lo: batch.base_offset, hi: batch.end(), shown: batch.offsets })
            }
            Alteration::Swap => self.pair(batch),
        };
        if span.is_some() {
            self.schedule.commit();
        }
        span
    }

    fn pair(&mut self, batch: Header) -> Option<Span> {
        let writer = |batch: &Header| (batch.producer_id, batch.producer_epoch);
        self.waiting.push(batch);
        while let Some((first, rest)) = self.waiting.split_first() {
            if let Some(last) = rest.iter().find(|other| first.producer_id >= 0 && writer(other) == writer(first)) {
                let span = Span { lo: first.base_offset, hi: last.end(), shown: last.end() - first.base_offset };
                self.waiting.clear();
                return Some(span);
            }
            if self.waiting.len() < SWAP_BATCHES_MAX && first.producer_id >= 0 {
                return None;
            }
            self.waiting.remove(0);
        }
        None
    }

    /// Up to where everything is decided.
    pub fn decided_to(&self) -> i64 {
        self.waiting.first().map_or(self.seen_to, |first| first.base_offset)
    }

    /// Whether a decision waits for what comes next.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What waits for a batch of its producer stays as it is.
    pub fn give_up(&mut self) {
        self.waiting.clear();
    }

    /// Goes back to where everything is decided: batches from there on will be seen again.
    pub fn go_back(&mut self) {
        self.seen_to = self.decided_to();
        self.schedule.uncount(self.waiting.len() as u64);
        self.waiting.clear();
    }

    /// Nothing more will befall this log.
    pub fn is_over(&self) -> bool {
        self.schedule.is_over()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Batches of two offsets each by these producers, one after the other.
    fn log(producers: impl IntoIterator<Item = i64>) -> Vec<Header> {
        let batch = |(place, producer_id): (usize, i64)| Header {
            length_bytes: 100,
            base_offset: place as i64 * 2,
            offsets: 2,
            crc: 0,
            producer_id,
            producer_epoch: 0,
            base_sequence: 0,
        };
        producers.into_iter().enumerate().map(batch).collect()
    }

    fn spans(picker: &mut Picker, log: &[Header]) -> Vec<(i64, i64, i64)> {
        let spans = log.iter().filter_map(|batch| picker.see(*batch));
        spans.map(|span| (span.lo, span.hi, span.shown)).collect()
    }

    #[test]
    fn single_batches_are_picked_by_their_place() {
        let log = log([1; 50]);
        let cases = [(Alteration::Drop, 0), (Alteration::Double, 4), (Alteration::Flip { mend: true }, 2)];
        for (alteration, shown) in cases {
            let mut picker = Picker::new(alteration, 0);
            assert_eq!(spans(&mut picker, &log), [(8, 10, shown), (88, 90, shown)]);
            assert_eq!((picker.decided_to(), picker.is_over()), (100, false));
        }
    }

    #[test]
    fn two_of_one_producer_are_picked_and_those_between_them_kept() {
        let mut picker = Picker::new(Alteration::Swap, 0);
        let log = log([1, 1, 1, 1, 1, 2, 3, 1, 1]);
        assert_eq!(spans(&mut picker, &log[..7]), []);
        assert_eq!((picker.is_waiting(), picker.decided_to()), (true, 8));
        assert_eq!(spans(&mut picker, &log[7..]), [(8, 16, 8)]);
        assert_eq!((picker.is_waiting(), picker.decided_to()), (false, 18));
    }

    #[test]
    fn the_next_is_tried_when_the_producer_does_not_come_again() {
        let mut picker = Picker::new(Alteration::Swap, 0);
        let alone = log((0..4).chain([100]).chain(200..214).chain([213]));
        assert_eq!(spans(&mut picker, &alone), []);
        assert_eq!(picker.waiting.len(), SWAP_BATCHES_MAX - 1);
        let mut picker = Picker::new(Alteration::Swap, 0);
        let nobody = log([-1; 30]);
        assert_eq!(spans(&mut picker, &nobody), []);
        assert_eq!(picker.decided_to(), 60);
    }

    #[test]
    fn giving_up_decides_and_going_back_does_not() {
        let log = log([1, 1, 1, 1, 1, 2, 1]);
        let mut picker = Picker::new(Alteration::Swap, 0);
        spans(&mut picker, &log[..6]);
        picker.go_back();
        assert_eq!(picker.decided_to(), 8);
        assert_eq!(spans(&mut picker, &log[4..]), [(8, 14, 6)]);

        let mut picker = Picker::new(Alteration::Swap, 0);
        spans(&mut picker, &log[..6]);
        picker.give_up();
        assert_eq!((picker.decided_to(), picker.is_waiting()), (12, false));
        assert_eq!(spans(&mut picker, &log[6..]), []);
    }
}
