//! Rows that records are made of, with their own times and keys.

mod csv;
mod moment;
mod ndjson;

use std::{borrow::Cow, fs, ops::Range, path::Path};

use crate::{STAMP_BYTES, ScenarioError, VALUE_BYTES_MAX};

/// It is held in memory.
const FILE_BYTES_MAX: u64 = 512 << 20;

/// Lines of a file. With a time column they are in the order of their times, and lines of the same time in that of the file.
#[derive(Debug)]
pub struct Input {
    name: String,
    text: Cow<'static, [u8]>,
    /// Where the first line that is a row begins; from there to the end is what payloads are filled with.
    body: Range<usize>,
    rows: Vec<Row>,
    keys: Vec<u8>,
    timed: bool,
    keyed: bool,
}

/// How lines are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// RFC 4180 with a header, but no line breaks within quotes.
    Csv,
    /// A JSON object on each line.
    Ndjson,
}

/// Which of the columns mean something.
#[derive(Debug, Clone, Default)]
pub(crate) struct Columns {
    pub time: Option<String>,
    pub key: Option<String>,
}

/// Of 32 bit each: a trace has millions of them, and the file is smaller than 4 GiB.
#[derive(Debug, Clone, Copy)]
struct Row {
    start: u32,
    end: u32,
    /// Within `keys`; empty: no key.
    key_start: u32,
    key_end: u32,
    /// Since the first row.
    at_ns: u64,
}

/// What a line says.
#[derive(Debug, Default)]
struct Fields {
    /// Nanoseconds since the Unix epoch.
    at_ns: Option<i128>,
    key: Option<String>,
}

impl Input {
    /// As it was opened.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// At least 1.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// A line without its line break. Rows count over and over.
    pub fn line(&self, row: u64) -> &[u8] {
        let row = self.row(row);
        &self.text[row.start as usize..row.end as usize]
    }

    /// What the key column says; `None`: it is empty there, or there is no such column.
    pub fn key(&self, row: u64) -> Option<&[u8]> {
        let row = self.row(row);
        (row.key_end > row.key_start).then(|| &self.keys[row.key_start as usize..row.key_end as usize])
    }

    /// Nanoseconds since the first row.
    pub(crate) fn at_ns(&self, row: usize) -> u64 {
        self.rows[row].at_ns
    }

    /// Rows for whose times `due` holds; it holds for the earlier ones.
    pub(crate) fn count_until(&self, due: impl Fn(u64) -> bool) -> usize {
        self.rows.partition_point(|row| due(row.at_ns))
    }

    /// There is a time column.
    pub(crate) fn is_timed(&self) -> bool {
        self.timed
    }

    /// There is a key column.
    pub(crate) fn is_keyed(&self) -> bool {
        self.keyed
    }

    /// Text of the rows from a row on, over and over, line breaks included.
    pub(crate) fn fill(&self, row: u64, out: &mut [u8]) {
        let mut at = self.row(row).start as usize;
        let mut filled = 0;
        while filled < out.len() {
            let taken = (self.body.end - at).min(out.len() - filled);
            out[filled..filled + taken].copy_from_slice(&self.text[at..at + taken]);
            filled += taken;
            at = self.body.start;
        }
    }

    fn row(&self, row: u64) -> &Row {
        &self.rows[(row % self.rows.len() as u64) as usize]
    }

    /// Reads a file.
    pub(crate) fn open(path: &Path, format: Format, columns: &Columns) -> Result<Self, ScenarioError> {
        let name = path.display().to_string();
        let whole = |reason: String| ScenarioError::Input { file: name.clone(), line: None, reason };
        let size = fs::metadata(path).map_err(|error| whole(format!("cannot be read: {error}")))?.len();
        if size > FILE_BYTES_MAX {
            return Err(whole(format!("has {size} bytes; it is held in memory, so no more than {FILE_BYTES_MAX}")));
        }
        let text = fs::read(path).map_err(|error| whole(format!("cannot be read: {error}")))?;
        Self::read(name, Cow::Owned(text), format, columns)
    }

    /// Reads what is in memory.
    pub(crate) fn read(
        name: String,
        text: Cow<'static, [u8]>,
        format: Format,
        columns: &Columns,
    ) -> Result<Self, ScenarioError> {
        let mut lines = Lines { text: &text, at: 0, number: 0 };
        let (rows, keys) = rows(&mut lines, format, columns).map_err(|(line, reason)| ScenarioError::Input {
            file: name.clone(),
            line,
            reason,
        })?;
        // Rows are not in the order of the file, so the first line is looked for.
        let start = rows.iter().map(|row| row.start as usize).min().unwrap_or_default();
        let body = start..text.len();
        Ok(Self { name, text, body, rows, keys, timed: columns.time.is_some(), keyed: columns.key.is_some() })
    }
}

/// Why a file is refused, and in which line.
type Refusal = (Option<usize>, String);

fn rows(lines: &mut Lines<'_>, format: Format, columns: &Columns) -> Result<(Vec<Row>, Vec<u8>), Refusal> {
    let header = match format {
        Format::Ndjson => None,
        Format::Csv => {
            let (number, line) = lines.next().ok_or((None, "is empty".to_owned()))?;
            let header = checked(&lines.text[line]).and_then(|text| csv::Header::read(text, columns));
            Some(header.map_err(|reason| (Some(number), reason))?)
        }
    };
    let mut keys = Vec::new();
    let mut rows: Vec<(i128, Row)> = Vec::new();
    while let Some((number, line)) = lines.next() {
        let refused = |reason: String| (Some(number), reason);
        let text = checked(&lines.text[line.clone()]).map_err(refused)?;
        let fields = match &header {
            Some(header) => header.fields(text),
            None => ndjson::fields(text, columns),
        };
        let fields = fields.map_err(refused)?;
        let key_start = short(keys.len());
        keys.extend_from_slice(fields.key.unwrap_or_default().as_bytes());
        let key_end = short(keys.len());
        let row = Row { start: short(line.start), end: short(line.end), key_start, key_end, at_ns: 0 };
        rows.push((fields.at_ns.unwrap_or_default(), row));
    }
    rows.sort_by_key(|(at, _)| *at);
    let Some(first) = rows.first().map(|(at, _)| *at) else {
        let reason = if header.is_some() { "has a header and no rows" } else { "is empty" };
        return Err((None, reason.to_owned()));
    };
    let timed = |(at, row): (i128, Row)| {
        let at_ns = u64::try_from(at - first).map_err(|_| (None, "spans more than 500 years".to_owned()))?;
        Ok(Row { at_ns, ..row })
    };
    Ok((rows.into_iter().map(timed).collect::<Result<_, Refusal>>()?, keys))
}

/// Lines with their numbers from 1 on. What follows the last line break is a line only if it is something.
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    number: usize,
}

impl Iterator for Lines<'_> {
    type Item = (usize, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let shown = if rest[..length].ends_with(b"\r") { length - 1 } else { length };
        let line = self.at..self.at + shown;
        self.at += length + 1;
        self.number += 1;
        Some((self.number, line))
    }
}

/// A line that can be a value.
fn checked(line: &[u8]) -> Result<&str, String> {
    let room = VALUE_BYTES_MAX - STAMP_BYTES;
    if line.is_empty() {
        return Err("the line is empty".to_owned());
    }
    if line.len() > room {
        return Err(format!("the line has {} bytes; beside the stamp there is room for {room}", line.len()));
    }
    std::str::from_utf8(line).map_err(|error| format!("the line is not UTF-8 from byte {} on", error.valid_up_to() + 1))
}

fn short(position: usize) -> u32 {
    u32::try_from(position).expect("files are smaller than 4 GiB, and keys are parts of them")
}

#[cfg(test)]
mod tests;
