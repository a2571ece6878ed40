//! A load without a file.

use std::{fmt::Write, path::Path};

use crate::{Scenario, ScenarioError, tree::quoted};

/// What was typed. Everything is checked as in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flags {
    /// `50MiB` (bytes of values a second), `1000/s` (records a second) or `max`.
    pub rate: String,
    /// Bytes of a value: `1KiB`.
    pub record: String,
    /// How long: `60` (seconds) or a time such as `5m`.
    pub seconds: String,
    /// How many write.
    pub producers: u32,
    /// How many read, from the first record on; may be 0.
    pub consumers: u32,
    /// How many topics.
    pub topics: u32,
    /// Of each topic.
    pub partitions: u32,
    /// Of all producers; `None`: at most 4.
    pub connections: Option<u32>,
}

/// The scenario that flags describe. They become a file and that is parsed, so that there is one way in.
///
/// # Errors
/// As [`Scenario::parse`]; what came from a flag is named by it, such as `--rate`.
pub fn from_flags(flags: &Flags, set: &[(String, String)]) -> Result<Scenario, ScenarioError> {
    let toml = toml(flags).expect("a String takes everything");
    Scenario::parse("flags", &toml, set, Path::new("")).map_err(|error| by_flag(error, set))
}

fn toml(flags: &Flags) -> Result<String, std::fmt::Error> {
    let Flags { rate, record, seconds, producers, consumers, topics, partitions, connections } = flags;
    let plain = seconds.chars().all(|digit| digit.is_ascii_digit() || digit == '.') && !seconds.is_empty();
    let time = if plain { format!("{seconds}s") } else { seconds.clone() };
    let mut out = String::new();
    let about = format!("{rate} for {time}, records of {record}, {producers} producers, {consumers} consumers");
    writeln!(out, "about = {}\n", quoted(&about))?;
    writeln!(out, "[topics]\ncount = {topics}\npartitions = {partitions}\n")?;
    writeln!(out, "[producers]\ncount = {producers}")?;
    if let Some(connections) = connections {
        writeln!(out, "connections = {connections}")?;
    }
    writeln!(out, "\n[[stages]]\nfor = {}", quoted(&time))?;
    match rate.as_str() {
        "max" => writeln!(out, "shape = \"max\"")?,
        rate => writeln!(out, "shape = \"constant\"\nrate = {}", quoted(rate))?,
    }
    writeln!(out, "\n[records]\nsize = {}", quoted(record))?;
    if *consumers > 0 {
        writeln!(out, "\n[[consumers]]\ncount = {consumers}")?;
    }
    Ok(out)
}

/// Nobody has seen the file.
fn by_flag(error: ScenarioError, set: &[(String, String)]) -> ScenarioError {
    const FLAGS: [(&str, &str); 8] = [
        ("stages.0.rate", "--rate"),
        ("stages.0.for", "--seconds"),
        ("records.size", "--record"),
        ("producers.count", "--producers"),
        ("producers.connections", "--connections"),
        ("consumers.0.count", "--consumers"),
        ("topics.count", "--topics"),
        ("topics.partitions", "--partitions"),
    ];
    match error {
        ScenarioError::Field { path, reason, .. } => {
            let is_set = set.iter().any(|(set, _)| *set == path);
            let flag = FLAGS.iter().find(|(field, _)| *field == path && !is_set).map(|(_, flag)| (*flag).to_owned());
            ScenarioError::Field { path: flag.unwrap_or(path), line: None, reason }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Size;

    fn flags() -> Flags {
        Flags {
            rate: "50MiB".to_owned(),
            record: "1KiB".to_owned(),
            seconds: "60".to_owned(),
            producers: 4,
            consumers: 0,
            topics: 2,
            partitions: 8,
            connections: None,
        }
    }

    #[test]
    fn flags_are_a_scenario() {
        let scenario = from_flags(&flags(), &[]).unwrap();
        assert_eq!(scenario.schedule.duration().as_secs(), 60);
        assert!((scenario.schedule.offered(scenario.schedule.duration()) - 60.0 * 51_200.0).abs() < 1e-6);
        assert_eq!((scenario.producers.count, scenario.topics.count, scenario.consumers.len()), (4, 2, 0));
        assert_eq!(scenario.records.size, Size::Fixed(1024));
        let again = Scenario::parse("again", &scenario.toml, &[], Path::new("")).unwrap();
        assert_eq!(again.about, scenario.about);
    }

    #[test]
    fn max_has_no_pace() {
        let scenario = from_flags(&Flags { rate: "max".to_owned(), consumers: 2, ..flags() }, &[]).unwrap();
        assert!(scenario.schedule.unpaced().is_some());
        assert_eq!(scenario.consumers[0].count, 2);
    }

    #[test]
    fn complaints_name_the_flag() {
        let refusal = |flags: Flags| from_flags(&flags, &[]).unwrap_err().to_string();
        assert_eq!(
            refusal(Flags { rate: "-1MiB".to_owned(), ..flags() }),
            "--rate: `-1MiB` is negative; a rate is above 0"
        );
        assert_eq!(refusal(Flags { producers: 0, ..flags() }), "--producers: 0 is not between 1 and 100000");
        assert!(refusal(Flags { record: "a\"\nb".to_owned(), ..flags() }).starts_with("--record: "));
        assert!(refusal(Flags { seconds: String::new(), ..flags() }).starts_with("--seconds: "));
        let set = [("topics.count".to_owned(), "0".to_owned())];
        assert!(from_flags(&flags(), &set).unwrap_err().to_string().starts_with("topics.count: "));
    }
}
