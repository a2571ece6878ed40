//! `eagre topic describe --watch`.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _},
    process::ExitCode,
    time::Duration,
};

use eagre_client::{PartitionBounds, TopicDescription, TopicError, Topics};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{description_json, kind};
use crate::{
    cli::Format,
    failure::Failure,
    output::{Written, write},
    signals::{Signal, Signals},
};

const INTERVAL: Duration = Duration::from_secs(1);
/// Clears a terminal and goes to its first line.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// What a partition took within a time.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rate {
    records_a_second: f64,
    bytes_a_second: f64,
}

/// A look at the topic, and how that differs from the look before it.
struct Look {
    description: TopicDescription,
    /// One a partition; none at the first look.
    rates: Option<Vec<Rate>>,
}

/// Prints the topic every second until Ctrl-C, which is how this command is meant to end.
pub async fn run(topics: &Topics, name: &str, format: Format) -> Result<ExitCode, Failure> {
    let mut signals = Signals::listen()?;
    let is_terminal = io::stdout().is_terminal();
    let watching = async {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before: Option<(Instant, TopicDescription)> = None;
        loop {
            ticks.tick().await;
            let description = topics.describe(name).await.map_err(|error| match (error, &before) {
                (TopicError::UnknownTopic(topic), Some(_)) => gone(&topic),
                (error, _) => error.into(),
            })?;
            let now = Instant::now();
            let rates = match &before {
                Some((_, before)) if before.topic.id != description.topic.id => return Err(gone(name)),
                Some((at, before)) => Some(rates(&before.bounds, &description.bounds, now - *at)),
                None => None,
            };
            let look = Look { description, rates };
            let text = match format {
                Format::Json => json(&look),
                Format::Text if is_terminal => format!("{CLEAR}{}", table(&look)),
                Format::Text => lines(&look),
            };
            if write(text.as_bytes())? == Written::Closed {
                return Ok(());
            }
            before = Some((now, look.description));
        }
    };
    tokio::select! {
        biased;
        signal = signals.next() => Ok(match signal {
            Signal::Interrupt => ExitCode::SUCCESS,
            Signal::Terminate => signal.status(),
        }),
        watched = watching => watched.map(|()| ExitCode::SUCCESS),
    }
}

fn gone(topic: &str) -> Failure {
    Failure::new(format!("topic {topic:?} was deleted while it was watched"))
        .help("`eagre topic list` shows what there is; start again if there is a new one of that name")
}

/// Bytes of a partition can become fewer, when what is old is deleted; what was appended meanwhile is then not known.
fn rates(before: &[PartitionBounds], now: &[PartitionBounds], time: Duration) -> Vec<Rate> {
    let seconds = time.as_secs_f64().max(0.001);
    let rate = |now: &PartitionBounds| {
        let before = before.get(now.partition as usize);
        let records = now.high_watermark - before.map_or(0, |before| before.high_watermark);
        let bytes = now.size_bytes.saturating_sub(before.map_or(0, |before| before.size_bytes));
        Rate { records_a_second: records as f64 / seconds, bytes_a_second: bytes as f64 / seconds }
    };
    now.iter().map(rate).collect()
}

/// The rates as columns; nothing is known at the first look.
fn columns(rate: Option<&Rate>) -> [String; 2] {
    match rate {
        Some(rate) => [rate.records_a_second, rate.bytes_a_second].map(|rate| format!("{rate:.0}")),
        None => ["-", "-"].map(str::to_owned),
    }
}

fn row(bounds: &PartitionBounds, rate: Option<&Rate>) -> [String; 5] {
    let [records, bytes] = columns(rate);
    [bounds.partition.to_string(), bounds.high_watermark.to_string(), bounds.size_bytes.to_string(), records, bytes]
}

fn rows(look: &Look) -> impl Iterator<Item = [String; 5]> + '_ {
    let rate = |partition| look.rates.as_ref().and_then(|rates| rates.get(partition));
    look.description.bounds.iter().enumerate().map(move |(partition, bounds)| row(bounds, rate(partition)))
}

/// For a terminal.
fn table(look: &Look) -> String {
    let TopicDescription { topic, bounds } = &look.description;
    let total = look.rates.as_ref().map(|rates| Rate {
        records_a_second: rates.iter().map(|rate| rate.records_a_second).sum(),
        bytes_a_second: rates.iter().map(|rate| rate.bytes_a_second).sum(),
    });
    let [records, bytes] = columns(total.as_ref());
    let size: u64 = bounds.iter().map(|bounds| bounds.size_bytes).sum();
    let head = ["PARTITION", "HIGH-WATERMARK", "BYTES", "RECORDS/S", "BYTES/S"].map(str::to_owned);
    let total = ["all".to_owned(), String::new(), size.to_string(), records, bytes];
    let rows: Vec<_> = std::iter::once(head).chain(rows(look)).chain([total]).collect();
    let widths: Vec<_> = (0..5).map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0)).collect();
    let mut out = format!("topic    {}\nkind     {}\n\n", topic.name, kind(topic));
    for [partition, high_watermark, bytes, records_a_second, bytes_a_second] in &rows {
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "{partition:>0$}  {high_watermark:>1$}  {bytes:>2$}  {records_a_second:>3$}  {bytes_a_second:>4$}",
            widths[0], widths[1], widths[2], widths[3], widths[4],
        );
    }
    out
}

/// For a pipe: a line for each partition.
fn lines(look: &Look) -> String {
    let line = |[partition, high_watermark, bytes, records_a_second, bytes_a_second]: [String; 5]| {
        format!(
            "partition {partition} high_watermark {high_watermark} bytes {bytes} records/s {records_a_second} bytes/s {bytes_a_second}\n"
        )
    };
    rows(look).map(line).collect()
}

fn json(look: &Look) -> String {
    let mut described = description_json(&look.description);
    let partitions = described["partitions"].as_array_mut();
    for (partition, rate) in partitions.into_iter().flatten().zip(look.rates.iter().flatten()) {
        partition["records_per_second"] = rate.records_a_second.into();
        partition["bytes_per_second"] = rate.bytes_a_second.into();
    }
    described.to_string() + "\n"
}

#[cfg(test)]
mod tests {
    use eagre_client::{Placement, Topic};

    use super::*;

    fn look(rates: Option<Vec<Rate>>) -> Look {
        let placement = Placement::Fixed { partitions: 2 };
        let topic =
            Topic { name: "rides".into(), id: "a1".into(), placement, created_at_ms: 0, max_message_bytes: None };
        Look { description: TopicDescription { topic, bounds: bounds([120, 7], [9_000, 10]) }, rates }
    }

    fn bounds(high_watermarks: [i64; 2], sizes: [u64; 2]) -> Vec<PartitionBounds> {
        let bounds = |((partition, high_watermark), size_bytes)| PartitionBounds {
            partition,
            log_start_offset: 0,
            high_watermark,
            size_bytes,
        };
        (0..).zip(high_watermarks).zip(sizes).map(bounds).collect()
    }

    #[test]
    fn a_rate_is_what_came_within_the_time() {
        let before = bounds([20, 7], [1_000, 50]);
        let now = bounds([120, 7], [9_000, 10]);
        let expected = [(50.0, 4_000.0), (0.0, 0.0)]
            .map(|(records_a_second, bytes_a_second)| Rate { records_a_second, bytes_a_second });
        assert_eq!(rates(&before, &now, Duration::from_secs(2)), expected);
        // A partition that is new counts from nothing.
        assert_eq!(rates(&before[..1], &now, Duration::from_secs(1))[1].records_a_second, 7.0);
    }

    #[test]
    fn a_terminal_sees_a_table_and_a_pipe_lines() {
        let rate = |records_a_second, bytes_a_second| Rate { records_a_second, bytes_a_second };
        let look = look(Some(vec![rate(50.0, 4_000.4), rate(0.0, 0.0)]));
        let expected = "\
topic    rides
kind     2 partitions, keys placed by murmur2 mod 2

PARTITION  HIGH-WATERMARK  BYTES  RECORDS/S  BYTES/S
        0             120   9000         50     4000
        1               7     10          0        0
      all                   9010         50     4000
";
        assert_eq!(table(&look), expected);
        let first = lines(&look).lines().next().unwrap().to_owned();
        assert_eq!(first, "partition 0 high_watermark 120 bytes 9000 records/s 50 bytes/s 4000");
        let json: serde_json::Value = serde_json::from_str(&json(&look)).unwrap();
        assert_eq!(json["partitions"][0]["bytes_per_second"], 4_000.4);
    }

    #[test]
    fn the_first_look_knows_no_rate() {
        assert!(lines(&look(None)).starts_with("partition 0 high_watermark 120 bytes 9000 records/s - bytes/s -\n"));
    }
}
