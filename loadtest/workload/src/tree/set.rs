//! `--set PATH=VALUE`.

use super::{Entries, Node, Value, read};
use crate::ScenarioError;

/// A table on the way that is missing is made; an entry of a list that is missing is refused. Whether the name at the end is
/// known is for the reader of the tree to say.
pub(super) fn set(entries: &mut Entries, path: &str, text: &str) -> Result<(), ScenarioError> {
    let names: Vec<&str> = path.split('.').collect();
    if names.iter().any(|name| name.is_empty()) {
        return Err(refused(path, "a path is names with dots between them, such as stages.0.rate"));
    }
    into_table(entries, &names, path, value_of(text))
}

fn into_table(entries: &mut Entries, names: &[&str], path: &str, value: Value) -> Result<(), ScenarioError> {
    let Some((name, rest)) = names.split_first() else { return Err(refused(path, "it is a table, not a value")) };
    let found = match entries.iter().position(|(known, _)| known == name) {
        Some(found) => found,
        None => {
            let fresh = if rest.is_empty() { Value::Flag(false) } else { Value::Table(Vec::new()) };
            entries.push(((*name).to_owned(), Node { line: None, value: fresh }));
            entries.len() - 1
        }
    };
    into_node(&mut entries[found].1, rest, path, value)
}

fn into_node(node: &mut Node, names: &[&str], path: &str, value: Value) -> Result<(), ScenarioError> {
    let Some((name, rest)) = names.split_first() else {
        // Stages as a whole cannot be told on a command line; a text there is a slip.
        if matches!(&node.value, Value::List(_)) && !matches!(&value, Value::List(_)) {
            return Err(refused(path, "it is a list: name an entry, such as 0, and a field of it"));
        }
        *node = Node { line: None, value };
        return Ok(());
    };
    match &mut node.value {
        Value::Table(entries) => into_table(entries, names, path, value),
        Value::List(items) => {
            let count = items.len();
            let item = name.parse::<usize>().ok().and_then(|index| items.get_mut(index));
            let Some(item) = item else {
                return Err(refused(path, &format!("there is no entry {name}: there are {count}, counted from 0")));
            };
            into_node(item, rest, path, value)
        }
        other => {
            let reason = format!("{name} cannot be set inside of {}", other.kind());
            Err(refused(path, &reason))
        }
    }
}

/// As TOML if it is, else as a text: `10MiB` and `20s` need no quotes.
fn value_of(text: &str) -> Value {
    match read(&format!("value = {text}")) {
        Ok(mut entries) if entries.len() == 1 => without_line(entries.remove(0).1.value),
        _ => Value::Text(text.to_owned()),
    }
}

fn without_line(value: Value) -> Value {
    match value {
        Value::List(items) => Value::List(items.into_iter().map(forget).collect()),
        Value::Table(entries) => Value::Table(entries.into_iter().map(|(name, node)| (name, forget(node))).collect()),
        plain => plain,
    }
}

fn forget(node: Node) -> Node {
    Node { line: None, value: without_line(node.value) }
}

fn refused(path: &str, reason: &str) -> ScenarioError {
    ScenarioError::Field { path: path.to_owned(), line: None, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::write;

    fn after(path: &str, text: &str) -> Result<String, String> {
        let mut entries = read("seed = 1\n[topics]\ncount = 1\n[[stages]]\nrate = \"1MiB\"\n").unwrap();
        set(&mut entries, path, text).map_err(|error| error.to_string())?;
        Ok(write(&entries))
    }

    #[test]
    fn values_are_toml_or_else_texts() {
        assert!(after("stages.0.rate", "10MiB").unwrap().contains("rate = \"10MiB\""));
        assert!(after("topics.count", "4").unwrap().contains("count = 4"));
        assert!(after("seed", "\"4\"").unwrap().contains("seed = \"4\""));
        assert!(after("bounds.ack_p99", "20ms").unwrap().contains("[bounds]\nack_p99 = \"20ms\""));
        assert!(after("about", "x\ny = 1").unwrap().contains("about = \"x\\ny = 1\""));
        assert!(after("records.keys", "{ kind = \"none\" }").unwrap().contains("[records.keys]\nkind = \"none\""));
    }

    #[test]
    fn paths_that_lead_nowhere_are_refused() {
        assert_eq!(
            after("stages.1.rate", "1").unwrap_err(),
            "stages.1.rate: there is no entry 1: there are 1, counted from 0"
        );
        assert_eq!(after("seed.x", "1").unwrap_err(), "seed.x: x cannot be set inside of a number");
        assert!(after("stages", "1").unwrap_err().contains("name an entry"));
        assert!(after("topics..count", "1").is_err());
    }
}
