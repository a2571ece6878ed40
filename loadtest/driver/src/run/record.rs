//! What a run leaves for a later reading: `record.ndjson`, a line for the run and a line a log.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use eagre_verify::stream::PartitionRecord;
use serde::{Deserialize, Serialize};

use super::{files::Folder, shared::Shared};

const FILE: &str = "record.ndjson";
const FORMAT: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The only one so far is 1.
    pub format: u32,
    /// Stands in every record.
    pub run: u32,
    /// Names of the topics.
    pub topics: Vec<String>,
    /// Of each.
    pub partitions: u32,
    /// The topics were left in place.
    pub topics_kept: bool,
}

/// Writes it.
pub fn write(folder: &Folder, shared: &Shared, topics_kept: bool) -> Result<()> {
    let header = Header {
        format: FORMAT,
        run: shared.run,
        topics: shared.topics.clone(),
        partitions: shared.scenario.topics.partitions,
        topics_kept,
    };
    let mut file = folder.begin(FILE)?;
    file.write(format!("{}\n", serde_json::to_string(&header)?).as_bytes())?;
    for log in shared.judges.logs() {
        let record = shared.judges.of(log).record();
        file.write(format!("{}\n", serde_json::to_string(&record)?).as_bytes())?;
    }
    file.finish()
}

/// Reads it.
pub fn read(folder: &Path) -> Result<(Header, Vec<PartitionRecord>)> {
    let path = folder.join(FILE);
    let text =
        fs::read_to_string(&path).with_context(|| format!("{} is no folder of a run: no {FILE}", folder.display()))?;
    let mut lines = text.lines();
    let header: Header = serde_json::from_str(lines.next().unwrap_or_default())
        .with_context(|| format!("{}: its first line is no record of a run", path.display()))?;
    if header.format != FORMAT {
        bail!("{}: format {}, and this version reads {FORMAT}", path.display(), header.format);
    }
    let records = lines.enumerate().map(|(number, line)| {
        serde_json::from_str(line).with_context(|| format!("{}: line {} is damaged", path.display(), number + 2))
    });
    let records = records.collect::<Result<Vec<_>>>()?;
    let logs = header.topics.len() * header.partitions as usize;
    if records.len() != logs {
        bail!("{}: {} logs, and the run had {logs}: it is cut off", path.display(), records.len());
    }
    Ok((header, records))
}
