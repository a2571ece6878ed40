use std::path::Path;

use super::*;
use crate::{ActionKind, From, Keys, Payload, Unpaced};

const PLAIN: &str = "[[stages]]\nshape = \"constant\"\nrate = \"1MiB\"\nfor = \"60s\"\n";

fn parse(text: &str) -> Result<Scenario, String> {
    set(text, &[])
}

fn set(text: &str, set: &[(&str, &str)]) -> Result<Scenario, String> {
    let set: Vec<_> = set.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect();
    Scenario::parse("test", text, &set, Path::new("/nonexistent")).map_err(|error| error.to_string())
}

#[test]
fn a_stage_is_enough() {
    let scenario = parse(PLAIN).unwrap();
    assert_eq!((scenario.seed, scenario.warm_up, scenario.drain), (1, Duration::ZERO, DRAIN));
    assert_eq!((scenario.topics.count, scenario.topics.partitions), (1, 8));
    assert_eq!((scenario.producers.count, scenario.producers.connections, scenario.producers.in_flight), (1, 1, 5));
    assert_eq!(scenario.records.size, Size::Fixed(1024));
    assert_eq!(
        (&scenario.records.keys, &scenario.records.payload),
        (&Keys::None, &Payload::Compressible { ratio: 1.0 })
    );
    assert!(scenario.consumers.is_empty() && scenario.actions.is_empty() && scenario.bounds.ack_p99.is_none());
    assert_eq!(scenario.schedule.offered(Duration::from_secs(10)), 10_240.0);
    assert_eq!(scenario.toml, PLAIN);
}

#[test]
fn every_field_is_read() {
    let scenario = parse(
        r#"
        about = "everything"
        seed = 7
        warm_up = "1s"
        drain = "2s"
        arrivals = "poisson"
        topics = { count = 2, partitions = 3 }
        producers = { count = 4, connections = 5, linger = "6ms", batch = "64KiB", in_flight = 7 }
        records.size = { median = "2KiB", sigma = 0.5, max = "64KiB" }
        records.keys = { kind = "hot", count = 9, share = 0.5 }
        records.payload = { kind = "compressible", ratio = 3 }
        [[stages]]
        name = "calm"
        shape = "constant"
        rate = "100/s"
        for = "10s"
        [[stages]]
        shape = "flash-crowd"
        base = "100/s"
        peak = "1000/s"
        at = "2s"
        rise = "1s"
        decay = 1.5
        for = "20s"
        [[consumers]]
        count = 3
        from = "latest"
        join = "1s"
        leave = "9s"
        restart_every = "2s"
        rate = "10/s"
        [[actions]]
        do = "pause"
        at = "3s"
        every = "4s"
        down = "1s"
        [bounds]
        ack_p50 = "1ms"
        ack_p99 = "2ms"
        end_to_end_p99 = "3ms"
        first_record_p99 = "4ms"
        served = 0.99
        refused = 5
        server_rss = "400MiB"
        peak_ratio = 5
        actions = 6
        "#,
    )
    .unwrap();
    assert_eq!((scenario.about.as_str(), scenario.seed), ("everything", 7));
    assert_eq!((scenario.warm_up.as_secs(), scenario.drain.as_secs()), (1, 2));
    assert_eq!((scenario.topics.count, scenario.topics.partitions), (2, 3));
    let producers = &scenario.producers;
    assert_eq!((producers.count, producers.connections, producers.linger.as_millis()), (4, 5, 6));
    assert_eq!((producers.batch_bytes, producers.in_flight), (64 << 10, 7));
    assert_eq!(scenario.records.size, Size::LogNormal { median: 2048, sigma: 0.5, max: 64 << 10 });
    assert_eq!(scenario.records.keys, Keys::Hot { count: 9, share: 0.5 });
    assert_eq!(scenario.records.payload, Payload::Compressible { ratio: 3.0 });
    let marks: Vec<_> = scenario.schedule.stages().iter().map(|mark| (mark.at.as_secs(), mark.name.as_str())).collect();
    assert_eq!(marks, [(0, "calm"), (10, "100 records/s"), (12, "flash crowd to 1000 records/s")]);
    let readers = &scenario.consumers[0];
    assert_eq!((readers.count, readers.from, readers.join.as_secs()), (3, From::Latest, 1));
    assert_eq!(readers.leave.map(|time| time.as_secs()), Some(9));
    assert_eq!(readers.restart_every.map(|time| time.as_secs()), Some(2));
    let mean = mean_bytes(&scenario.records.size, None);
    assert_eq!(readers.max_bytes_per_s, Some((10.0 * mean).ceil() as u64));
    let action = &scenario.actions[0];
    assert_eq!((action.what, action.at.as_secs(), action.down.as_secs()), (ActionKind::Pause, 3, 1));
    assert_eq!(action.every.map(|time| time.as_secs()), Some(4));
    let bounds = &scenario.bounds;
    let ms = |time: Option<Duration>| time.unwrap().as_millis();
    assert_eq!((ms(bounds.ack_p50), ms(bounds.ack_p99)), (1, 2));
    assert_eq!((ms(bounds.end_to_end_p99), ms(bounds.first_record_p99)), (3, 4));
    assert_eq!((bounds.served_min, bounds.refused_max), (Some(0.99), Some(5)));
    assert_eq!((bounds.server_rss_max_bytes, bounds.peak_ratio_min), (Some(400 << 20), Some(5.0)));
    assert_eq!(bounds.actions_min, Some(6));
}

#[test]
fn what_cannot_be_is_refused_in_one_sentence() {
    let with = |more: &str| parse(&format!("{more}\n{PLAIN}")).unwrap_err();
    for (text, refusal) in [
        ("sed = 1", "sed (line 1): unknown field; did you mean `seed`?"),
        ("seed = -1", "seed (line 1): -1 is negative; it begins at 0"),
        ("warm_up = \"60s\"", "warm_up (line 1): 1m leaves nothing of 1m"),
        ("warm_up = 5", "warm_up (line 1): it is 5 and has to be a time with its unit, such as \"20s\""),
        ("[topics]\npartitons = 8", "topics.partitons (line 2): unknown field; did you mean `partitions`?"),
        ("[topics]\nxyzzy = 8", "topics.xyzzy (line 2): unknown field; known are count, partitions"),
        ("[topics]\ncount = 0", "topics.count (line 2): 0 is not between 1 and 10000"),
        ("topics = 3", "topics (line 1): it is a number and has to be a table"),
        ("[producers]\ncount = 100001", "producers.count (line 2): 100001 is not between 1 and 100000"),
        (
            "[producers]\nbatch = 100",
            "producers.batch (line 2): 100 bytes do not hold one record, which has up to 1024",
        ),
        (
            "[records]\nsize = 31",
            "records.size (line 2): 31 bytes are not between 32 and 1048576 (every value begins with a stamp of 32 bytes)",
        ),
        (
            "[records]\nsize = \"1.1MiB\"",
            "records.size (line 2): 1153433 bytes are not between 32 and 1048576 (every value begins with a stamp of 32 bytes)",
        ),
        ("[records]\nsize = \"input\"", "records.size (line 2): it takes from the input, and there is no [input]"),
        (
            "[records]\nsize = { median = 64, sigma = 1, max = 32 }",
            "records.size.max (line 2): 32 bytes are fewer than the median, 64",
        ),
        (
            "[records]\nkeys = { kind = \"zif\", count = 5 }",
            "records.keys.kind (line 2): `zif` is not known here; did you mean `zipf`?",
        ),
        ("[records]\nkeys = { kind = \"zipf\" }", "records.keys.count (line 2): it is missing"),
        (
            "[records]\nkeys = { kind = \"none\", count = 5 }",
            "records.keys.count (line 2): unknown field; known are kind",
        ),
        (
            "[records]\nkeys = { kind = \"hot\", count = 5, share = 1.5 }",
            "records.keys.share (line 2): 1.5 is not between 0 and 1",
        ),
        (
            "[records]\npayload = { kind = \"compressible\", ratio = 0.5 }",
            "records.payload.ratio (line 2): 0.5 is not between 1 and 1000",
        ),
        ("[[consumers]]\nleave = \"0s\"", "consumers.0.leave (line 2): it leaves before it has joined"),
        ("[[consumers]]\njoin = \"60s\"", "consumers.0.join (line 2): the stages are over after 1m"),
        ("consumers = 1", "consumers (line 1): it is a number and has to be a list: [[consumers]]"),
        ("[[actions]]\nat = \"1s\"", "actions.0.do (line 1): it is missing"),
        (
            "[[actions]]\nat = \"1s\"\ndo = \"kill\"\nevery = \"500ms\"",
            "actions.0.every (line 4): it is down for 500ms, so the next one would come first",
        ),
        ("[bounds]\nserved = 2", "bounds.served (line 2): 2 is not between 0 and 1"),
        ("[input]\nfile = \"x.csv\"", "/nonexistent/x.csv: cannot be read: No such file or directory (os error 2)"),
        (
            "[input]\nfile = \"x.txt\"",
            "input.format (line 1): it is missing, and the file ends in neither .csv nor .ndjson",
        ),
        (
            "[input]\nshipped = \"trains\"",
            "input.shipped (line 2): `trains` does not come with the load test; `flights` does",
        ),
        ("[input]\nshipped = \"flights\"\ntime = \"tim\"", "flights:1: there is no column `tim`; did you mean `time`?"),
    ] {
        assert_eq!(with(text), refusal);
    }
    assert!(with("seed = ").starts_with("line 1: "));
}

#[test]
fn stages_that_cannot_be_are_refused() {
    let stage = |text: &str| parse(&format!("[[stages]]\n{}", text.replace("; ", "\n"))).unwrap_err();
    for (text, refusal) in [
        ("rate = \"1MiB\"", "stages.0.shape (line 1): it is missing"),
        ("shape = \"constant\"; for = \"1s\"", "stages.0.rate (line 1): it is missing"),
        (
            "shape = \"constant\"; rate = \"-1MiB\"; for = \"1s\"",
            "stages.0.rate (line 3): `-1MiB` is negative; a rate is above 0",
        ),
        (
            "shape = \"constant\"; rate = \"0/s\"; for = \"1s\"",
            "stages.0.rate (line 3): a rate of 0: nothing would ever be sent",
        ),
        ("shape = \"constant\"; rate = \"1/s\"; for = \"0s\"", "stages.0.for (line 4): it has to be longer than 0"),
        (
            "shape = \"constant\"; rate = \"0.1/s\"; for = \"1s\"",
            "stages (line 1): not even one record is due in all of them",
        ),
        (
            "shape = \"saw\"; for = \"1s\"",
            "stages.0.shape (line 2): `saw` is not known here; known are constant, ramp, step, square, sine, flash-crowd, max, replay",
        ),
        (
            "shape = \"step\"; from = \"1MiB\"; to = \"2MiB\"; at = \"9s\"; for = \"9s\"",
            "stages.0.at (line 5): it is not within the stage, which is as long as `for` says",
        ),
        (
            "shape = \"sine\"; low = \"2MiB\"; high = \"1MiB\"; period = \"1s\"; for = \"9s\"",
            "stages.0.high (line 4): 1 MiB/s is not above `low`, 2 MiB/s",
        ),
        (
            "shape = \"ramp\"; from = \"1MiB\"; to = \"1024/s\"; for = \"9s\"",
            "stages.0.to (line 4): it is the same as `from`: take the shape `constant`",
        ),
        (
            "shape = \"max\"; for = \"9s\"; [[stages]]; shape = \"constant\"; rate = \"1/s\"; for = \"9s\"",
            "stages.0.shape (line 2): it can only be the only stage",
        ),
        (
            "shape = \"max\"; for = \"9s\"; rate = \"1/s\"",
            "stages.0.rate (line 4): unknown field; known are shape, name, for, bytes, records",
        ),
        ("shape = \"replay\"; speed = 2", "stages.0.shape (line 2): there is no [input] to replay"),
        (
            "shape = \"replay\"; [input]; shipped = \"flights\"",
            "stages.0.shape (line 2): [input] names no time column, so there is nothing to go by",
        ),
    ] {
        assert_eq!(stage(text), refusal);
    }
    assert_eq!(parse("seed = 1").unwrap_err(), "stages: there is none: when is anything to be sent?");
    let poisson = "arrivals = \"poisson\"\n[[stages]]\nshape = \"max\"\nfor = \"1s\"\n";
    assert_eq!(parse(poisson).unwrap_err(), "arrivals (line 1): the stage has no rate that they could follow");
}

#[test]
fn without_pace_there_may_be_a_limit() {
    let max = |more: &str| parse(&format!("[[stages]]\nshape = \"max\"\nfor = \"9s\"\n{more}")).unwrap();
    assert_eq!(max("").schedule.unpaced(), Some(Unpaced { max_records: None }));
    assert_eq!(max("bytes = \"10KiB\"").schedule.unpaced(), Some(Unpaced { max_records: Some(10) }));
    assert_eq!(max("records = 3").schedule.unpaced(), Some(Unpaced { max_records: Some(3) }));
}

#[test]
fn values_can_be_set_from_outside() {
    let scenario =
        set(PLAIN, &[("stages.0.rate", "10MiB"), ("producers.count", "4"), ("bounds.ack_p99", "20ms")]).unwrap();
    assert_eq!(scenario.schedule.offered(Duration::from_secs(1)), 10_240.0);
    assert_eq!(scenario.producers.count, 4);
    assert!(scenario.toml.starts_with("# test with stages.0.rate = 10MiB, "), "{}", scenario.toml);
    let again = parse(&scenario.toml).unwrap();
    assert_eq!((again.producers.count, again.bounds.ack_p99), (4, Some(Duration::from_millis(20))));
    assert_eq!(
        set(PLAIN, &[("producers.cont", "4")]).unwrap_err(),
        "producers.cont: unknown field; did you mean `count`?"
    );
    assert_eq!(
        set(PLAIN, &[("stages.0.rate", "-1")]).unwrap_err(),
        "stages.0.rate: it is -1 and has to be a rate: \"10MiB\" (bytes of values a second) or \"1000/s\" (records a second)"
    );
    assert!(set(PLAIN, &[("stages.3.rate", "1MiB")]).unwrap_err().contains("there is no entry 3"));
}

#[test]
fn a_scenario_is_stretched_as_a_whole() {
    let text = "warm_up = \"6s\"\n[[stages]]\nshape = \"step\"\nfrom = \"1MiB\"\nto = \"2MiB\"\nat = \"20s\"\nfor = \"40s\"\n\
                [[stages]]\nshape = \"square\"\nlow = \"1MiB\"\nhigh = \"2MiB\"\nperiod = \"4s\"\nfor = \"20s\"\n\
                [[consumers]]\njoin = \"30s\"\nleave = \"60s\"\nrestart_every = \"5s\"\n\
                [[actions]]\ndo = \"kill\"\nat = \"15s\"\nevery = \"7s\"\n";
    let cut = set(text, &[("scale_to", "20s")]).unwrap();
    assert_eq!((cut.schedule.duration(), cut.warm_up), (Duration::from_secs(20), Duration::from_secs(2)));
    let marks: Vec<_> = cut.schedule.stages().iter().map(|mark| mark.at.as_secs_f64()).collect();
    assert!((marks[1] - 20.0 / 3.0).abs() < 1e-6 && (marks[2] - 40.0 / 3.0).abs() < 1e-6, "{marks:?}");
    let (readers, action) = (&cut.consumers[0], &cut.actions[0]);
    assert_eq!((readers.join, readers.leave), (Duration::from_secs(10), Some(Duration::from_secs(20))));
    assert_eq!(readers.restart_every, Some(Duration::from_secs(5)));
    assert_eq!((action.at, action.every), (Duration::from_secs(5), Some(Duration::from_secs(7))));
    let whole = parse(text).unwrap();
    let (all, cut_all) =
        (whole.schedule.offered(Duration::from_secs(60)), cut.schedule.offered(Duration::from_secs(20)));
    assert!((all / cut_all - 3.0).abs() < 1e-6, "the rates stay: {all} {cut_all}");
}
