//! A producer's share of the schedule: which record is due next, and which log it goes to.

use eagre_workload::{Arrivals, Draft, Scenario, Source};

use crate::{clock::nanos, run::shared::LogId, wire::partition};

/// One producer's records, in the order in which they are due.
pub struct Feed {
    arrivals: Arrivals,
    source: Source,
    start_ns: u64,
    /// Without pace: everything is due until then.
    unpaced_until_ns: Option<u64>,
    next: Option<Due>,
    route: Route,
}

/// A record that is due at a time.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    /// By the run's clock; without pace 0, and due at once.
    pub at_ns: u64,
    /// What it is.
    pub draft: Draft,
    /// Where it goes.
    pub log: LogId,
}

/// Which logs a producer writes to.
struct Route {
    /// In turn.
    topics: Vec<u32>,
    partitions: u32,
    /// Partitions of records without a key, in turn.
    shares: Vec<u32>,
    drawn: u64,
}

impl Feed {
    /// Of producer `number`; the first stage begins at `start_ns`.
    pub fn new(scenario: &Scenario, number: u32, start_ns: u64) -> Self {
        let schedule = &scenario.schedule;
        let mut feed = Self {
            arrivals: schedule.arrivals(number, scenario.producers.count, scenario.seed),
            source: Source::new(scenario, number),
            start_ns,
            unpaced_until_ns: schedule.unpaced().map(|_| start_ns + nanos(schedule.duration())),
            next: None,
            route: Route::new(number, scenario.producers.count, scenario.topics.count, scenario.topics.partitions),
        };
        feed.step();
        feed
    }

    /// The next record; `None` when there are no more. Without pace none is left after the schedule's end.
    pub fn next(&self, now_ns: u64) -> Option<Due> {
        match self.unpaced_until_ns {
            None => self.next,
            Some(until_ns) if now_ns < until_ns => self.next.map(|due| Due { at_ns: now_ns.max(self.start_ns), ..due }),
            Some(_) => None,
        }
    }

    /// Its key.
    pub fn key(&self, draft: &Draft) -> Option<&[u8]> {
        self.source.key(draft)
    }

    /// Fills what follows the stamp.
    pub fn payload(&mut self, draft: &Draft, out: &mut [u8]) {
        self.source.payload(draft, out);
    }

    /// The next record was taken up.
    pub fn step(&mut self) {
        self.next = self.arrivals.next().map(|arrival| {
            let draft = self.source.draw(arrival.row);
            let log = self.route.of(self.source.key(&draft));
            Due { at_ns: self.start_ns.saturating_add(arrival.at_ns), draft, log }
        });
    }
}

impl Route {
    fn new(number: u32, producers: u32, topics: u32, partitions: u32) -> Self {
        // Each topic has a producer, and of its producers each has a share of the partitions, or one.
        let step = producers.min(topics).max(1) as usize;
        let mine = (number % topics.max(1)..topics).step_by(step);
        let (place, beside) = (number / topics, (producers - number % topics.max(1)).div_ceil(topics).max(1));
        let mut shares: Vec<u32> = (place..partitions).step_by(beside as usize).collect();
        if shares.is_empty() {
            shares.push(place % partitions);
        }
        let topics = if producers >= topics { vec![number % topics] } else { mine.collect() };
        Self { topics, partitions, shares, drawn: 0 }
    }

    fn of(&mut self, key: Option<&[u8]>) -> LogId {
        let place = usize::try_from(self.drawn).unwrap_or(0);
        self.drawn += 1;
        let topic = self.topics[place % self.topics.len()];
        let partition = match key {
            Some(key) => partition::of_key(key, self.partitions),
            None => self.shares[place / self.topics.len() % self.shares.len()],
        };
        LogId { topic, partition }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_log_has_a_producer_and_every_producer_a_log() {
        for (producers, topics, partitions) in
            [(1, 1, 8), (4, 1, 8), (3, 1, 8), (2_000, 1, 8), (4, 3, 2), (2, 5, 3), (7, 7, 1)]
        {
            let mut seen = BTreeSet::new();
            for number in 0..producers {
                let mut route = Route::new(number, producers, topics, partitions);
                seen.extend((0..topics * partitions * 2).map(|_| route.of(None)));
            }
            let logs = (0..topics).flat_map(|topic| (0..partitions).map(move |partition| LogId { topic, partition }));
            assert!(logs.into_iter().all(|log| seen.contains(&log)), "{producers} {topics} {partitions}: {seen:?}");
        }
    }

    #[test]
    fn without_keys_the_producers_of_a_topic_share_its_partitions() {
        let mut seen = Vec::new();
        for number in 0..4 {
            seen.extend(Route::new(number, 4, 1, 8).shares);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn a_key_goes_to_one_partition() {
        let mut route = Route::new(0, 1, 1, 8);
        let first = route.of(Some(b"v7"));
        assert!((0..10).all(|_| route.of(Some(b"v7")) == first));
    }
}
