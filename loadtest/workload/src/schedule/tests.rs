use std::{borrow::Cow, time::Instant};

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

use super::*;
use crate::input::{Columns, Format};

/// Every shape, joined, with a part in which nothing is due.
fn all_shapes() -> Vec<(Shape, Duration)> {
    vec![
        (Shape::Constant { rate: 1_000.0 }, Duration::from_millis(1_500)),
        (Shape::Constant { rate: 0.0 }, Duration::from_secs(1)),
        (Shape::Ramp { from: 0.0, to: 3_000.0 }, Duration::from_secs(2)),
        (Shape::Ramp { from: 3_000.0, to: 10.0 }, Duration::from_secs(2)),
        (Shape::Square { low: 0.0, high: 5_000.0, period: 0.7, duty: 0.3 }, Duration::from_secs(3)),
        (Shape::Sine { low: 0.0, high: 4_000.0, period: 1.3 }, Duration::from_secs(4)),
        (Shape::Decay { base: 100.0, peak: 9_000.0, scale: 0.2, exponent: 1.2 }, Duration::from_secs(5)),
    ]
}

fn even() -> Schedule {
    Schedule::paced(all_shapes(), false, Vec::new())
}

fn merged(schedule: &Schedule, producers: u32, seed: u64) -> Vec<Arrival> {
    let mut all: Vec<Arrival> =
        (0..producers).flat_map(|producer| schedule.arrivals(producer, producers, seed)).collect();
    all.sort_by_key(|arrival| (arrival.at_ns, arrival.row));
    all
}

#[test]
fn even_arrivals_are_what_is_offered() {
    let schedule = even();
    let end = schedule.duration();
    let mut draws = Xoshiro256PlusPlus::seed_from_u64(3);
    for producers in [1, 3, 7, 1_000] {
        let all = merged(&schedule, producers, 1);
        assert!((all.len() as f64 - schedule.offered(end)).abs() <= 1.0);
        assert!(all.windows(2).all(|pair| pair[0].row < pair[1].row), "rows come in their order");
        for _ in 0..500 {
            let at = Duration::from_nanos(draws.random_range(0..=end.as_nanos() as u64));
            let due = all.partition_point(|arrival| u128::from(arrival.at_ns) <= at.as_nanos());
            let offered = schedule.offered(at);
            assert!((due as f64 - offered).abs() <= 1.0, "{producers}: {due} and {offered} at {at:?}");
        }
    }
}

#[test]
fn a_record_is_due_when_so_many_were_offered() {
    let schedule = even();
    for arrival in schedule.arrivals(0, 1, 1) {
        let offered = schedule.offered(Duration::from_nanos(arrival.at_ns));
        // Half a nanosecond of rounding, at no more than 9,000 records a second.
        assert!((offered - arrival.row as f64).abs() < 1e-5, "{arrival:?}: {offered}");
    }
}

#[test]
fn poisson_arrivals_are_what_is_offered_on_average() {
    let schedule = Schedule::paced(all_shapes(), true, Vec::new());
    let end = schedule.duration();
    let mut draws = Xoshiro256PlusPlus::seed_from_u64(4);
    for producers in [1, 5, 1_000] {
        let all = merged(&schedule, producers, 42);
        for _ in 0..200 {
            let at = Duration::from_nanos(draws.random_range(0..=end.as_nanos() as u64));
            let due = all.partition_point(|arrival| u128::from(arrival.at_ns) <= at.as_nanos()) as f64;
            let offered = schedule.offered(at);
            assert!(
                (due - offered).abs() <= 5.0 * offered.sqrt().max(1.0),
                "{producers}: {due} and {offered} at {at:?}"
            );
        }
    }
}

#[test]
fn distances_of_many_poisson_producers_are_exponential() {
    let pieces = vec![(Shape::Constant { rate: 10_000.0 }, Duration::from_secs(10))];
    let schedule = Schedule::paced(pieces, true, Vec::new());
    let all = merged(&schedule, 50, 7);
    let distances: Vec<f64> = all.windows(2).map(|pair| (pair[1].at_ns - pair[0].at_ns) as f64 / 1e5).collect();
    let mean = distances.iter().sum::<f64>() / distances.len() as f64;
    let variance = distances.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / distances.len() as f64;
    assert!((mean - 1.0).abs() < 0.02 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    let above = |limit: f64| distances.iter().filter(|x| **x > limit).count() as f64 / distances.len() as f64;
    assert!((above(1.0) - (-1f64).exp()).abs() < 0.01 && (above(3.0) - (-3f64).exp()).abs() < 0.005);
}

#[test]
fn the_seed_decides() {
    let schedule = Schedule::paced(all_shapes(), true, Vec::new());
    assert_eq!(merged(&schedule, 4, 1), merged(&schedule, 4, 1));
    assert_ne!(merged(&schedule, 4, 1), merged(&schedule, 4, 2));
    let first = |producer| schedule.arrivals(producer, 4, 1).next().unwrap().at_ns;
    assert_ne!(first(0), first(1));
}

#[test]
fn a_week_is_exact() {
    let week = Duration::from_secs(7 * 86_400);
    let schedule = Schedule::paced(vec![(Shape::Constant { rate: 51_200.0 }, week)], false, Vec::new());
    let producers = 1 << 20;
    let mut last = 0;
    for (n, arrival) in schedule.arrivals(5, producers, 1).enumerate() {
        let row = n as u64 * u64::from(producers) + 5;
        let exact = (u128::from(row) * 1_000_000_000 / 51_200) as u64;
        assert!(arrival.row == row && arrival.at_ns.abs_diff(exact) <= 1, "{arrival:?} {exact}");
        last = row;
    }
    assert!(last + 2 * u64::from(producers) > 7 * 86_400 * 51_200);
}

#[test]
fn a_replay_has_the_times_of_its_rows() {
    let text = Cow::Borrowed(&b"t\n100\n130.5\n130.5\n160\n"[..]);
    let columns = Columns { time: Some("t".to_owned()), key: None };
    let input = Input::read("trace".to_owned(), text, Format::Csv, &columns).unwrap();
    let schedule = Schedule::replay(Arc::new(input), 60.0, Vec::new());
    assert_eq!(schedule.duration(), Duration::from_secs(1));
    let all = merged(&schedule, 3, 1);
    let times: Vec<_> = all.iter().map(|arrival| (arrival.row, arrival.at_ns)).collect();
    assert_eq!(times, [(0, 0), (1, 508_333_333), (2, 508_333_333), (3, 1_000_000_000)]);
    let offered = |ms| schedule.offered(Duration::from_millis(ms));
    assert_eq!([offered(0), offered(508), offered(509), offered(1_000), offered(5_000)], [1.0, 1.0, 3.0, 4.0, 4.0]);
}

#[test]
fn without_pace_records_have_no_times_and_perhaps_a_limit() {
    let unpaced = |max_records| Schedule::without_pace(Duration::from_secs(1), Unpaced { max_records }, Vec::new());
    let all = merged(&unpaced(Some(10)), 3, 1);
    assert_eq!(
        all.iter().map(|arrival| (arrival.row, arrival.at_ns)).collect::<Vec<_>>(),
        (0..10).map(|n| (n, 0)).collect::<Vec<_>>()
    );
    assert_eq!(unpaced(None).arrivals(1, 2, 1).nth(1_000_000).unwrap().row, 2_000_001);
    assert_eq!(unpaced(None).unpaced(), Some(Unpaced { max_records: None }));
    assert!(even().unpaced().is_none());
}

/// `cargo test --release -p eagre-workload -- --ignored --nocapture speed`
#[test]
#[ignore = "prints numbers that mean something only in release mode and on an idle machine"]
#[expect(clippy::disallowed_methods, reason = "it is the machine that is measured")]
fn speed_of_arrivals() {
    for (name, shape, poisson) in [
        ("constant", Shape::Constant { rate: 1e6 }, false),
        ("constant, Poisson", Shape::Constant { rate: 1e6 }, true),
        ("ramp", Shape::Ramp { from: 0.0, to: 2e6 }, false),
        ("square", Shape::Square { low: 5e5, high: 1.5e6, period: 0.1, duty: 0.5 }, false),
        ("sine", Shape::Sine { low: 5e5, high: 1.5e6, period: 1.0 }, false),
        ("decay", Shape::Decay { base: 9e5, peak: 1e7, scale: 0.1, exponent: 1.2 }, false),
    ] {
        let schedule = Schedule::paced(vec![(shape, Duration::from_secs(10))], poisson, Vec::new());
        let begin = Instant::now();
        let (mut count, mut sum) = (0u64, 0u64);
        for arrival in schedule.arrivals(0, 1, 1) {
            count += 1;
            sum = sum.wrapping_add(arrival.at_ns);
        }
        let each = begin.elapsed().as_nanos() as f64 / count as f64;
        println!("{name}: {count} arrivals, {each:.1} ns each ({sum:x})");
    }
}
