//! What is typed, and how it becomes a scenario.

mod readers;
mod records;
mod section;
mod stages;
mod units;

use std::{path::Path, sync::Arc, time::Duration};

pub(crate) use section::meant;

use crate::{
    Producers, Records, Scenario, ScenarioError, SharedMaterial, Size, Topics, VALUE_BYTES_MAX,
    source::mean_bytes,
    tree::{self, Value},
};
use readers::{actions, bounds, consumers};
use section::Section;

/// All producers are in one process.
const PRODUCERS_MAX: u32 = 100_000;
/// Of topics, and of partitions of a topic.
const TOPICS_MAX: u32 = 10_000;
const BATCH_BYTES_MAX: usize = 16 << 20;
const IN_FLIGHT_MAX: u32 = 128;
/// Keys are rendered once and kept.
pub(crate) const KEYS_MAX: u32 = 1_000_000;

const DRAIN: Duration = Duration::from_secs(30);
const PARTITIONS: u32 = 8;
const CONNECTIONS: u32 = 4;
const LINGER: Duration = Duration::from_millis(2);
const BATCH_BYTES: usize = 512 << 10;
/// What an idempotent producer may have in Kafka.
const IN_FLIGHT: u32 = 5;

impl Scenario {
    /// Reads a scenario, and the input file that it names.
    ///
    /// `set` holds paths and values such as `("stages.0.rate", "10MiB")`, which are put into the table before it is read;
    /// values are TOML or else texts. `base` is the folder that the input file is relative to.
    ///
    /// # Errors
    /// The first thing that is wrong, with path and line.
    pub fn parse(name: &str, toml: &str, set: &[(String, String)], base: &Path) -> Result<Self, ScenarioError> {
        let mut entries = tree::read(toml)?;
        for (path, value) in set {
            tree::set(&mut entries, path, value)?;
        }
        let toml = if set.is_empty() { toml.to_owned() } else { rewritten(name, &entries, set) };
        let root = Section::root(&entries).only(&[
            "about",
            "seed",
            "warm_up",
            "drain",
            "arrivals",
            "scale_to",
            "topics",
            "producers",
            "stages",
            "records",
            "input",
            "consumers",
            "actions",
            "bounds",
            "dev",
        ])?;
        let input = records::input(&root, base)?.map(Arc::new);
        let records = records::records(&root, input.as_deref())?;
        let mean = mean_bytes(&records.size, input.as_deref());
        let scale = stages::scale(&root, input.as_deref())?;
        let schedule = stages::schedule(&root, input.as_ref(), mean, scale)?;
        let warm_up = scale.of(root.or("warm_up", units::time, Duration::ZERO)?);
        if warm_up >= schedule.duration() {
            let reason = format!("{} leaves nothing of {}", shown(warm_up), shown(schedule.duration()));
            return Err(root.refused("warm_up", reason));
        }
        Ok(Self {
            name: name.to_owned(),
            about: root.or("about", units::text, String::new())?,
            seed: root.or("seed", units::natural, 1)?,
            warm_up,
            drain: root.or("drain", units::time, DRAIN)?,
            topics: topics(&root)?,
            producers: producers(&root, &records)?,
            consumers: consumers(&root, scale, schedule.duration(), mean)?,
            actions: actions(&root, scale, schedule.duration())?,
            bounds: bounds(&root)?,
            dev_options: root.or("dev", units::texts, Vec::new())?,
            schedule,
            records,
            input,
            toml,
            material: SharedMaterial::default(),
        })
    }
}

/// The merged text says where it comes from.
fn rewritten(name: &str, entries: &tree::Entries, set: &[(String, String)]) -> String {
    let set: Vec<String> = set.iter().map(|(path, value)| format!("{path} = {}", value.escape_debug())).collect();
    format!("# {name} with {}\n{}", set.join(", "), tree::write(entries))
}

fn topics(root: &Section<'_>) -> Result<Topics, ScenarioError> {
    let topics = root.section("topics")?.only(&["count", "partitions"])?;
    Ok(Topics {
        count: topics.or("count", units::count(1..=TOPICS_MAX), 1)?,
        partitions: topics.or("partitions", units::count(1..=TOPICS_MAX), PARTITIONS)?,
    })
}

fn producers(root: &Section<'_>, records: &Records) -> Result<Producers, ScenarioError> {
    let producers = root.section("producers")?.only(&["count", "connections", "linger", "batch", "in_flight"])?;
    let count = producers.or("count", units::count(1..=PRODUCERS_MAX), 1)?;
    let largest = match records.size {
        Size::Fixed(bytes) => bytes,
        Size::LogNormal { max, .. } => max,
        Size::Input => 1,
    };
    let batch = producers.optional("batch", units::bytes_within(1..=BATCH_BYTES_MAX))?;
    if let Some(batch) = batch.filter(|batch| *batch < largest) {
        let reason = format!("{batch} bytes do not hold one record, which has up to {largest}");
        return Err(producers.refused("batch", reason));
    }
    Ok(Producers {
        count,
        connections: producers.or("connections", units::count(1..=PRODUCERS_MAX), CONNECTIONS.min(count))?,
        linger: producers.or("linger", units::time, LINGER)?,
        batch_bytes: batch.unwrap_or(BATCH_BYTES.max(largest)),
        in_flight: producers.or("in_flight", units::count(1..=IN_FLIGHT_MAX), IN_FLIGHT)? as usize,
    })
}

/// Times in messages.
fn shown(time: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(time)
}

#[cfg(test)]
mod tests;
