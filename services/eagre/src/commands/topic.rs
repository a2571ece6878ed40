//! `eagre topic`.

mod watch;

use std::{fmt::Write as _, process::ExitCode};

use eagre_client::{PartitionBounds, Placement, Topic, TopicDescription, TopicError, TopicSettings};
use serde_json::{Value, json};

use crate::{
    cli::{Format, TopicArgs, TopicCommand},
    console::{counted, print, say},
    failure::Failure,
};

/// Runs the command.
pub async fn run(args: TopicArgs) -> Result<ExitCode, Failure> {
    match args.command {
        TopicCommand::Create { name, partitions, max_message_bytes, if_not_exists, connect } => {
            let topics = connect.client()?.topics();
            let settings = TopicSettings { partitions, max_message_bytes };
            match topics.create_with(&name, settings).await {
                Ok(topic) => say(&format!("created topic {name}: {}", kind(&topic))),
                Err(TopicError::Exists(_)) if if_not_exists => {
                    let found = topics.describe(&name).await?.topic;
                    check_same(&found, settings)?;
                    say(&format!("topic {name} exists: {}", kind(&found)));
                }
                Err(error) => return Err(error.into()),
            }
        }
        TopicCommand::List { format, connect } => {
            let topics = connect.client()?.topics().list().await?;
            let line = |topic: &Topic| match format {
                Format::Text => topic.name.clone() + "\n",
                Format::Json => topic_json(topic).to_string() + "\n",
            };
            print(&topics.iter().map(line).collect::<String>())?;
        }
        TopicCommand::Describe { name, watch: true, format, connect } => {
            return watch::run(&connect.client()?.topics(), &name, format).await;
        }
        TopicCommand::Describe { name, watch: false, format, connect } => {
            let description = connect.client()?.topics().describe(&name).await?;
            print(&match format {
                Format::Text => described(&description),
                Format::Json => description_json(&description).to_string() + "\n",
            })?;
        }
        TopicCommand::Delete { name, connect } => {
            connect.client()?.topics().delete(&name).await.map_err(|error| match error {
                TopicError::UnknownTopic(_) => Failure::new(error.to_string()).help("see `eagre topic list`"),
                error => error.into(),
            })?;
            say(&format!("deleted topic {name}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether a topic that exists is what was asked for.
fn check_same(found: &Topic, settings: TopicSettings) -> Result<(), Failure> {
    let TopicSettings { partitions, max_message_bytes } = settings;
    if found.max_message_bytes != max_message_bytes {
        let limit =
            |bytes: Option<u32>| bytes.map_or_else(|| "no limit of its own".to_owned(), |most| format!("{most} bytes"));
        let (is, asked) = (limit(found.max_message_bytes), limit(max_message_bytes));
        let what = format!("topic {:?} exists and takes other record batches: {is}, not {asked}", found.name);
        return Err(Failure::new(what).help("leave --max-message-bytes as it is, or choose another name"));
    }
    let is_same = match (&found.placement, partitions) {
        (Placement::Fixed { partitions: found }, Some(asked)) => *found == asked,
        (Placement::Elastic { .. }, None) => true,
        (Placement::Fixed { .. }, None) | (Placement::Elastic { .. }, Some(_)) => false,
    };
    if is_same {
        return Ok(());
    }
    let asked = partitions
        .map_or_else(|| "an elastic one".to_owned(), |count| counted(u64::from(count), "partition", "partitions"));
    Err(Failure::new(format!("topic {:?} exists and has other partitions: {}, not {asked}", found.name, kind(found)))
        .help("leave --partitions as it is, or choose another name"))
}

fn topic_json(topic: &Topic) -> Value {
    // As the API names them.
    let placement = match &topic.placement {
        Placement::Fixed { .. } => "kafka",
        Placement::Elastic { .. } => "residue_class",
    };
    json!({
        "name": topic.name,
        "id": topic.id,
        "created_at_ms": topic.created_at_ms,
        "placement": placement,
        "partitions": topic.placement.partitions(),
        "max_message_bytes": topic.max_message_bytes,
    })
}

fn description_json(description: &TopicDescription) -> Value {
    let TopicDescription { topic, bounds } = description;
    let partition = |bounds: &PartitionBounds| {
        let mut partition = json!({
            "partition": bounds.partition,
            "log_start_offset": bounds.log_start_offset,
            "high_watermark": bounds.high_watermark,
            "size_bytes": bounds.size_bytes,
        });
        if let Placement::Elastic { classes } = &topic.placement
            && let Some(class) = classes.get(bounds.partition as usize)
        {
            partition["residue_class"] = json!({ "remainder": class.remainder, "modulus": class.modulus });
        }
        partition
    };
    let mut described = topic_json(topic);
    described["partitions"] = bounds.iter().map(partition).collect();
    described
}

fn kind(topic: &Topic) -> String {
    let count = topic.placement.partitions();
    let partitions = counted(u64::from(count), "partition", "partitions");
    match &topic.placement {
        Placement::Fixed { .. } => format!("{partitions}, keys placed by murmur2 mod {count}"),
        Placement::Elastic { .. } => format!("elastic, {partitions}"),
    }
}

fn described(description: &TopicDescription) -> String {
    let TopicDescription { topic, bounds } = description;
    let mut out = String::new();
    let created = jiff::Timestamp::from_millisecond(topic.created_at_ms);
    let created = created.map_or_else(|_| topic.created_at_ms.to_string(), |time| time.to_string());
    let mut rows = vec![["PARTITION", "LOG-START", "HIGH-WATERMARK", "BYTES", "KEYS"].map(str::to_owned)];
    for partition in bounds {
        let class = match &topic.placement {
            Placement::Fixed { partitions } => format!("hash mod {partitions} = {}", partition.partition),
            Placement::Elastic { classes } => classes
                .get(partition.partition as usize)
                .map_or_else(String::new, |class| format!("hash mod {} = {}", class.modulus, class.remainder)),
        };
        let numbers = [i64::from(partition.partition), partition.log_start_offset, partition.high_watermark];
        let [number, log_start, high_watermark] = numbers.map(|number| number.to_string());
        rows.push([number, log_start, high_watermark, partition.size_bytes.to_string(), class]);
    }
    // Writing to a string does not fail.
    let _ =
        writeln!(out, "topic    {}\nid       {}\ncreated  {created}\nkind     {}", topic.name, topic.id, kind(topic));
    if let Some(bytes) = topic.max_message_bytes {
        let _ = writeln!(out, "batches  up to {bytes} bytes");
    }
    out.push('\n');
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3].map(width);
    for [partition, log_start, high_watermark, bytes, keys] in &rows {
        let _ = writeln!(
            out,
            "{partition:>0$}  {log_start:>1$}  {high_watermark:>2$}  {bytes:>3$}  {keys}",
            widths[0], widths[1], widths[2], widths[3],
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use eagre_client::{PartitionBounds, ResidueClass};

    use super::*;

    #[test]
    fn a_description_is_a_table() {
        let classes = vec![ResidueClass { remainder: 0, modulus: 2 }, ResidueClass { remainder: 1, modulus: 2 }];
        let placement = Placement::Elastic { classes };
        let topic = Topic {
            name: "rides".into(),
            id: "a1".into(),
            placement,
            created_at_ms: 1_000,
            max_message_bytes: Some(4_096),
        };
        let bounds = |partition, high_watermark| PartitionBounds {
            partition,
            log_start_offset: 0,
            high_watermark,
            size_bytes: 4_096,
        };
        let text = described(&TopicDescription { topic, bounds: vec![bounds(0, 12), bounds(1, 1_234_567)] });
        let expected = "\
topic    rides
id       a1
created  1970-01-01T00:00:01Z
kind     elastic, 2 partitions
batches  up to 4096 bytes

PARTITION  LOG-START  HIGH-WATERMARK  BYTES  KEYS
        0          0              12   4096  hash mod 2 = 0
        1          0         1234567   4096  hash mod 2 = 1
";
        assert_eq!(text, expected);
    }
}
