//! The tree as TOML.

use std::fmt::Write;

use super::{Entries, Node, Value};

pub(super) fn write(entries: &Entries) -> String {
    let mut out = String::new();
    table(&mut out, "", entries);
    out
}

/// A TOML basic string.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for symbol in text.chars() {
        match symbol {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            symbol if symbol.is_control() => push(&mut out, format_args!("\\u{:04X}", u32::from(symbol))),
            symbol => out.push(symbol),
        }
    }
    out.push('"');
    out
}

/// Plain values first: what follows a header belongs to it.
fn table(out: &mut String, path: &str, entries: &Entries) {
    for (name, node) in entries.iter().filter(|(_, node)| !is_headed(node)) {
        push(out, format_args!("{} = {}\n", key(name), inline(&node.value)));
    }
    for (name, node) in entries.iter().filter(|(_, node)| is_headed(node)) {
        let path = if path.is_empty() { key(name) } else { format!("{path}.{}", key(name)) };
        match &node.value {
            Value::Table(entries) => {
                push(out, format_args!("\n[{path}]\n"));
                table(out, &path, entries);
            }
            Value::List(items) => {
                for item in items {
                    push(out, format_args!("\n[[{path}]]\n"));
                    if let Value::Table(entries) = &item.value {
                        table(out, &path, entries);
                    }
                }
            }
            _ => {}
        }
    }
}

fn is_headed(node: &Node) -> bool {
    match &node.value {
        Value::Table(_) => true,
        Value::List(items) => !items.is_empty() && items.iter().all(|item| matches!(&item.value, Value::Table(_))),
        _ => false,
    }
}

fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|symbol| symbol.is_ascii_alphanumeric() || "_-".contains(symbol));
    if bare { name.to_owned() } else { quoted(name) }
}

fn inline(value: &Value) -> String {
    match value {
        Value::Text(text) => quoted(text),
        Value::Integer(number) => number.to_string(),
        // With `{:?}` a whole number keeps its point, and infinities are what TOML calls them.
        Value::Float(number) if number.is_nan() => "nan".to_owned(),
        Value::Float(number) => format!("{number:?}"),
        Value::Flag(flag) => flag.to_string(),
        Value::List(items) => {
            let items: Vec<_> = items.iter().map(|item| inline(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(entries) => {
            let entries: Vec<_> =
                entries.iter().map(|(name, node)| format!("{} = {}", key(name), inline(&node.value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

fn push(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("a String takes everything");
}
