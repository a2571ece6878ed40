//! TOML as a tree of our own: values know their lines, can be replaced by `--set`, and can be written down again.

mod set;
mod write;

use toml::de::{DeArray, DeTable, DeValue};

pub(crate) use write::quoted;

use crate::ScenarioError;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// From 1 on; `None`: it was set from outside.
    pub line: Option<usize>,
    pub value: Value,
}

/// What a field can hold. A TOML date is a text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Flag(bool),
    List(Vec<Node>),
    Table(Entries),
}

/// Fields in the order in which they are written.
pub(crate) type Entries = Vec<(String, Node)>;

impl Value {
    /// `a text`, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// Reads TOML.
pub(crate) fn read(text: &str) -> Result<Entries, ScenarioError> {
    let lines = Lines::new(text);
    let table = DeTable::parse(text).map_err(|error| ScenarioError::Syntax {
        line: lines.of(error.span().map_or(0, |span| span.start)),
        reason: error.message().replace('\n', ", "),
    })?;
    table_of(table.get_ref(), &lines)
}

/// Puts a value from outside at a path such as `stages.0.rate`.
pub(crate) fn set(entries: &mut Entries, path: &str, text: &str) -> Result<(), ScenarioError> {
    set::set(entries, path, text)
}

/// TOML that [`read`] reads as the same tree.
pub(crate) fn write(entries: &Entries) -> String {
    write::write(entries)
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Self {
        Self(std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    fn of(&self, position: usize) -> usize {
        self.0.partition_point(|start| *start <= position)
    }
}

fn table_of(table: &DeTable<'_>, lines: &Lines) -> Result<Entries, ScenarioError> {
    let mut entries = Vec::with_capacity(table.len());
    for (key, value) in table.iter() {
        let line = lines.of(key.span().start);
        entries.push((key.span().start, (key.get_ref().to_string(), node_of(value.get_ref(), line, lines)?)));
    }
    entries.sort_by_key(|(start, _)| *start);
    Ok(entries.into_iter().map(|(_, entry)| entry).collect())
}

fn list_of(list: &DeArray<'_>, lines: &Lines) -> Result<Vec<Node>, ScenarioError> {
    list.iter().map(|item| node_of(item.get_ref(), lines.of(item.span().start), lines)).collect()
}

fn node_of(value: &DeValue<'_>, line: usize, lines: &Lines) -> Result<Node, ScenarioError> {
    let too_large = || ScenarioError::Syntax { line, reason: "a number that is too large".to_owned() };
    let value = match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(digits) => {
            Value::Integer(i64::from_str_radix(digits.as_str(), digits.radix()).map_err(|_| too_large())?)
        }
        DeValue::Float(digits) => Value::Float(digits.as_str().parse().map_err(|_| too_large())?),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(date) => Value::Text(date.to_string()),
        DeValue::Array(list) => Value::List(list_of(list, lines)?),
        DeValue::Table(table) => Value::Table(table_of(table, lines)?),
    };
    Ok(Node { line: Some(line), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "about = \"a \\\"quoted\\\" text\"\nseed = 0x10\n\n[topics]\ncount = 1_000\n\n[[stages]]\nrate = 1.5\n\
                        list = [1, \"two\"]\n\n[[stages]]\nkeys = { kind = \"none\", deep = { on = true } }\n";

    #[test]
    fn what_is_written_reads_the_same() {
        fn without_lines(entries: &mut Entries) {
            for (_, node) in entries.iter_mut() {
                forget(node);
            }
            entries.sort_by(|a, b| a.0.cmp(&b.0));
        }
        fn forget(node: &mut Node) {
            node.line = None;
            match &mut node.value {
                Value::List(items) => items.iter_mut().for_each(forget),
                Value::Table(entries) => without_lines(entries),
                _ => {}
            }
        }
        let mut first = read(TEXT).unwrap();
        let mut second = read(&write(&first)).unwrap();
        without_lines(&mut first);
        without_lines(&mut second);
        assert_eq!(first, second);
    }

    #[test]
    fn values_know_their_lines() {
        let entries = read(TEXT).unwrap();
        let lines: Vec<_> = entries.iter().map(|(name, node)| (name.as_str(), node.line)).collect();
        assert_eq!(lines, [("about", Some(1)), ("seed", Some(2)), ("topics", Some(4)), ("stages", Some(7))]);
        let Value::List(stages) = &entries[3].1.value else { panic!() };
        assert_eq!(stages.iter().map(|stage| stage.line).collect::<Vec<_>>(), [Some(7), Some(11)]);
        let Value::Table(second) = &stages[1].value else { panic!() };
        assert_eq!(second[0].1.line, Some(12));
    }

    #[test]
    fn what_is_not_toml_is_refused_with_its_line() {
        for (text, line) in [("a = 1\nb = \n", 2), ("a = 1\na = 2\n", 2), ("x = 99999999999999999999\n", 1)] {
            let Err(ScenarioError::Syntax { line: found, reason }) = read(text) else { panic!("{text}") };
            assert_eq!(found, line, "{text}: {reason}");
            assert!(!reason.is_empty() && !reason.contains('\n'));
        }
    }
}
