//! Scenarios that come with the load test, and the data that one of them replays.

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shipped {
    /// As `eagre-loadtest run` takes it.
    pub name: &'static str,
    /// With comments: the place to start one's own from.
    pub toml: &'static str,
}

/// What `[input] shipped = "…"` takes.
pub(crate) const FLIGHTS: &str = "flights";

/// Departures from New York. Where they come from is in `data/README.md`.
pub(crate) fn flights() -> &'static [u8] {
    include_bytes!("../data/flights.csv")
}

/// All of them, in the order in which they are shown: the plain ones first.
pub fn shipped() -> &'static [Shipped] {
    macro_rules! shipped {
        ($($name:literal),* $(,)?) => {
            &[$(Shipped { name: $name, toml: include_str!(concat!("../scenarios/", $name, ".toml")) }),*]
        };
    }
    shipped![
        "steady",
        "step-10x",
        "flash-crowd",
        "square",
        "day",
        "hot-key",
        "small-producers",
        "catch-up-storm",
        "slow-consumers",
        "restart",
        "flights",
        "soak",
    ]
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use super::*;
    use crate::{Scenario, Source};

    fn parsed(shipped: &Shipped, set: &[(&str, &str)]) -> Scenario {
        let set: Vec<_> = set.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect();
        Scenario::parse(shipped.name, shipped.toml, &set, Path::new("/nonexistent"))
            .unwrap_or_else(|error| panic!("{}: {error}", shipped.name))
    }

    fn named(name: &str) -> &'static Shipped {
        shipped().iter().find(|shipped| shipped.name == name).unwrap()
    }

    #[test]
    fn all_of_them_can_be_run() {
        for shipped in shipped() {
            let scenario = parsed(shipped, &[]);
            assert!(scenario.about.ends_with(['.', '?']), "{}", shipped.name);
            let end_ns = scenario.schedule.duration().as_nanos();
            let producers = scenario.producers.count;
            for producer in [0, producers - 1] {
                let mut source = Source::new(&scenario, producer);
                let mut out = vec![0; crate::VALUE_BYTES_MAX];
                let mut last_ns = 0;
                let mut count = 0u64;
                for arrival in scenario.schedule.arrivals(producer, producers, scenario.seed).take(50_000) {
                    assert!(arrival.at_ns >= last_ns && u128::from(arrival.at_ns) <= end_ns, "{}", shipped.name);
                    last_ns = arrival.at_ns;
                    let draft = source.draw(arrival.row);
                    source.payload(&draft, &mut out[..draft.value_bytes - crate::STAMP_BYTES]);
                    count += 1;
                }
                let share = scenario.schedule.offered(scenario.schedule.duration()) / f64::from(producers);
                // Poisson shares are that only on average.
                let least = share - 5.0 * share.sqrt().max(1.0);
                assert!(count as f64 >= least.min(50_000.0), "{}: {count} of {share}", shipped.name);
            }
        }
    }

    #[test]
    fn all_of_them_can_be_cut_to_a_length() {
        for shipped in shipped() {
            let scenario = parsed(shipped, &[("scale_to", "20s")]);
            let length = scenario.schedule.duration();
            let off = length.abs_diff(Duration::from_secs(20));
            assert!(off < Duration::from_micros(1), "{}: {length:?}", shipped.name);
            assert!(scenario.warm_up < length && scenario.actions.iter().all(|action| action.at < length));
            let whole = parsed(shipped, &[]);
            let ratio = whole.schedule.duration().as_secs_f64() / 20.0;
            for (cut, mark) in scenario.schedule.stages().iter().zip(whole.schedule.stages()) {
                assert!((cut.at.as_secs_f64() * ratio - mark.at.as_secs_f64()).abs() < 1e-5, "{}", shipped.name);
            }
            let again = Scenario::parse(shipped.name, &scenario.toml, &[], Path::new("")).unwrap();
            assert_eq!(again.schedule.duration(), length);
            assert_eq!(again.schedule.stages(), scenario.schedule.stages());
        }
    }

    #[test]
    fn restart_kills_more_than_once_within_20_seconds() {
        let scenario = parsed(named("restart"), &[("scale_to", "20s")]);
        let action = &scenario.actions[0];
        let (every, end) = (action.every.unwrap(), scenario.schedule.duration());
        let times = 1 + ((end - action.at - Duration::from_nanos(1)).as_nanos() / every.as_nanos()) as u64;
        assert!(times >= scenario.bounds.actions_min.unwrap(), "{times} in {end:?}");
    }

    #[test]
    fn the_flights_are_all_there() {
        let scenario = parsed(named("flights"), &[]);
        let input = scenario.input.as_deref().unwrap();
        assert_eq!(input.rows(), 26_428);
        assert_eq!(input.line(0), b"2013-07-01 05:00,N167US,US,1431,EWR,CLT");
        assert_eq!(input.key(0), Some(&b"N167US"[..]));
    }
}
