//! One producer in one partition: which of its batches were lied about, and how its sequences are renumbered for that.
//!
//! A batch that is not forwarded leaves a hole in the producer's sequences, which the service would refuse to step over; a
//! batch that is appended and called refused takes a sequence that the producer may use again. Either way the sequences
//! that are forwarded have to move.

/// Sequences run from 0 to this and begin anew.
const SEQUENCES: i64 = 1 << 31;

/// A batch that was lied about: sent again it gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lie {
    /// Place of its first record in the lane.
    pub position: i64,
    /// Of what it holds, to tell a repetition from another batch under the same sequence.
    pub fingerprint: u32,
    /// What was said, where it was an offset.
    pub offset: Option<i64>,
}

/// What a batch is to its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is sent for the first time.
    New,
    /// It may have been sent before.
    Repeated,
    /// It is sent again after a lie.
    Lied,
}

/// Sequences of one producer epoch in one partition, unrolled into positions that do not begin anew.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// The position after the newest batch.
    end: i64,
    lies: Vec<Lie>,
    /// From a position on, sequences move by so much. Rising positions; as many as there are lies at most.
    shifts: Vec<(i64, i64)>,
}

impl Lane {
    /// A batch arrives: its position and what it is.
    pub fn arrive(&mut self, first_sequence: i32, count: i64, fingerprint: u32) -> (i64, Standing) {
        let position = self.unroll(first_sequence);
        if let Some(index) = self.lies.iter().position(|lie| lie.position == position) {
            if self.lies[index].fingerprint == fingerprint {
                return (position, Standing::Lied);
            }
            // The producer believes what it was told, that this sequence is free.
            self.lies.remove(index);
            self.begin_again(position);
        }
        if position < self.end {
            return (position, Standing::Repeated);
        }
        self.end = position + count;
        (position, Standing::New)
    }

    /// The position of a sequence: of those that it may be, the one closest to the newest.
    fn unroll(&self, sequence: i32) -> i64 {
        let ahead = (i64::from(sequence) - self.end).rem_euclid(SEQUENCES);
        let position = self.end + if ahead < SEQUENCES / 2 { ahead } else { ahead - SEQUENCES };
        // Nothing lies before the beginning: a lane that is new here begins wherever it is.
        if position < 0 { position + SEQUENCES } else { position }
    }

    /// What comes at `position` follows, for the service, all that was sent until now.
    fn begin_again(&mut self, position: i64) {
        let service_end = self.end + self.shift(self.end);
        self.shifts.retain(|(from, _)| *from <= position);
        self.shifts.push((position, service_end - position - self.shift(position)));
        self.lies.retain(|lie| lie.position < position);
        self.end = position;
    }

    fn shift(&self, position: i64) -> i64 {
        self.shifts.iter().take_while(|(from, _)| *from <= position).map(|(_, by)| by).sum()
    }

    /// The sequence that the service expects for a position.
    pub fn forwarded(&self, position: i64) -> i32 {
        // Below 2^31, so it fits.
        i32::try_from((position + self.shift(position)).rem_euclid(SEQUENCES)).unwrap_or_default()
    }

    /// The batch at this position is lied about.
    pub fn lie(&mut self, position: i64, fingerprint: u32) {
        self.lies.push(Lie { position, fingerprint, offset: None });
    }

    /// A batch of `count` records, the newest one, will not be forwarded: those after it close up.
    pub fn withhold(&mut self, count: i64) {
        self.shifts.push((self.end, -count));
    }

    /// The lie about the batch at this position.
    pub fn lie_at(&mut self, position: i64) -> Option<&mut Lie> {
        self.lies.iter_mut().find(|lie| lie.position == position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_close_up_over_what_is_withheld() {
        let mut lane = Lane::default();
        assert_eq!(lane.arrive(0, 10, 1), (0, Standing::New));
        assert_eq!(lane.arrive(10, 5, 2), (10, Standing::New));
        lane.lie(10, 2);
        lane.withhold(5);
        assert_eq!(lane.arrive(15, 3, 3), (15, Standing::New));
        assert_eq!((lane.forwarded(0), lane.forwarded(15), lane.forwarded(18)), (0, 10, 13));
        // Repetitions get the same numbers.
        assert_eq!((lane.arrive(0, 10, 1), lane.forwarded(0)), ((0, Standing::Repeated), 0));
        assert_eq!(lane.arrive(10, 5, 2), (10, Standing::Lied));
        assert_eq!((lane.arrive(15, 3, 3), lane.forwarded(15)), ((15, Standing::Repeated), 10));
    }

    #[test]
    fn a_producer_may_use_a_sequence_again_that_was_called_free() {
        let mut lane = Lane::default();
        lane.arrive(0, 10, 1);
        lane.arrive(10, 5, 2);
        lane.lie(10, 2);
        assert_eq!(lane.arrive(10, 4, 3), (10, Standing::New));
        assert_eq!((lane.forwarded(0), lane.forwarded(10), lane.forwarded(14)), (0, 15, 19));
        lane.arrive(14, 6, 4);
        lane.lie(14, 4);
        assert_eq!(lane.arrive(14, 1, 5), (14, Standing::New));
        assert_eq!((lane.forwarded(10), lane.forwarded(14)), (15, 25));
    }

    #[test]
    fn a_producer_may_go_back_over_what_it_sent_after_the_lie() {
        let mut lane = Lane::default();
        lane.arrive(0, 10, 1);
        lane.lie(0, 1);
        lane.arrive(10, 10, 2);
        assert_eq!(lane.arrive(0, 3, 3), (0, Standing::New));
        assert_eq!(lane.forwarded(0), 20);
    }

    #[test]
    fn a_producer_may_also_go_on() {
        let mut lane = Lane::default();
        lane.arrive(0, 10, 1);
        lane.lie(0, 1);
        assert_eq!((lane.arrive(10, 5, 2), lane.forwarded(10)), ((10, Standing::New), 10));
    }

    #[test]
    fn sequences_begin_anew_after_the_highest() {
        let mut lane = Lane::default();
        let last = i32::MAX - 1;
        let (position, standing) = lane.arrive(last, 4, 1);
        assert_eq!((position, standing, lane.forwarded(position)), (i64::from(last), Standing::New, last));
        lane.lie(position, 1);
        lane.withhold(4);
        let (position, standing) = lane.arrive(2, 1, 2);
        assert_eq!((standing, lane.forwarded(position)), (Standing::New, last));
        assert_eq!(lane.arrive(last, 4, 1).1, Standing::Lied);
    }
}
