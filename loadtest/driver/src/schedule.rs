//! When each record ought to be sent. The schedule never waits for the service (open loop): a record that goes out late
//! still counts from its place in the schedule, so a stall shows in every record it delayed.

/// A steady rate, dealt out to lanes in turn: record `g` of the whole run belongs to lane `g mod lanes`.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Of the first record, in nanoseconds since the Unix epoch.
    pub start_ns: u64,
    /// Records after this moment are not sent.
    pub stop_ns: u64,
    /// `records` in `per_ns` nanoseconds, over all lanes.
    pub records: u64,
    /// See `records`.
    pub per_ns: u64,
    /// Over how many lanes the records are dealt.
    pub lanes: u64,
}

impl Schedule {
    /// When the `index`-th record of a lane ought to be sent.
    pub fn intended_ns(&self, lane: u64, index: u64) -> u64 {
        let overall = u128::from(index) * u128::from(self.lanes) + u128::from(lane);
        let after = overall * u128::from(self.per_ns) / u128::from(self.records);
        self.start_ns + u64::try_from(after).unwrap_or(u64::MAX - self.start_ns)
    }

    /// How many records of a lane ought to have been sent by `now_ns`.
    pub fn due(&self, lane: u64, now_ns: u64) -> u64 {
        let now_ns = now_ns.min(self.stop_ns);
        let Some(elapsed) = now_ns.checked_sub(self.start_ns) else { return 0 };
        // intended(overall) <= now  <=>  floor(overall * per / records) <= elapsed  <=>  overall * per < (elapsed + 1) * records
        let limit = (u128::from(elapsed) + 1) * u128::from(self.records);
        let overall = limit.div_ceil(u128::from(self.per_ns));
        let lane = u128::from(lane);
        let count = if overall > lane { (overall - lane).div_ceil(u128::from(self.lanes)) } else { 0 };
        u64::try_from(count).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_and_intended_agree() {
        for (records, per_ns, lanes) in
            [(1_024, 1_000_000_000, 8), (51_200, 1_000_000_000, 3), (7, 3, 2), (1, 1_000, 1)]
        {
            let schedule = Schedule { start_ns: 5_000, stop_ns: u64::MAX, records, per_ns, lanes };
            for lane in 0..lanes {
                for index in 0..200 {
                    let at = schedule.intended_ns(lane, index);
                    let due = schedule.due(lane, at);
                    assert!(due > index, "record {index} of lane {lane} is due at its time");
                    assert!(schedule.intended_ns(lane, due - 1) <= at && schedule.intended_ns(lane, due) > at);
                }
            }
        }
    }

    #[test]
    fn the_rate_is_kept_over_all_lanes() {
        let schedule = Schedule { start_ns: 0, stop_ns: u64::MAX, records: 51_200, per_ns: 1_000_000_000, lanes: 8 };
        let sent: u64 = (0..8).map(|lane| schedule.due(lane, 10_000_000_000 - 1)).sum();
        assert_eq!(sent, 512_000);
    }

    #[test]
    fn nothing_is_due_before_the_start_or_after_the_stop() {
        let schedule = Schedule { start_ns: 1_000, stop_ns: 2_000, records: 1, per_ns: 10, lanes: 1 };
        assert_eq!(schedule.due(0, 999), 0);
        assert_eq!(schedule.due(0, 1_000), 1);
        assert_eq!(schedule.due(0, 9_000), schedule.due(0, 2_000));
    }
}
