//! Where something is wrong.

use std::{ops::Range, path::Path};

/// A place that an error points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What it is in: a file with line and column, a flag, a variable.
    pub name: String,
    /// The line of a file itself.
    pub line: Option<PlaceLine>,
}

/// The line of a file, and what of it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceLine {
    /// From 1.
    pub number: usize,
    /// Without its newline.
    pub text: String,
    /// In characters, from 0.
    pub marked: Range<usize>,
}

impl Place {
    /// Somewhere without lines, as a flag.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), line: None }
    }

    /// A line of an input, counted from 1.
    pub fn line_of(input: &str, line: u64) -> Self {
        Self::named(format!("{input}:{line}"))
    }

    /// A span of bytes of a file's text; what follows its first line is not marked.
    pub fn in_file(path: &Path, text: &str, span: Range<usize>) -> Self {
        let start = floor_char(text, span.start);
        let begin = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let end = text[start..].find('\n').map_or(text.len(), |length| start + length);
        let number = text[..begin].matches('\n').count() + 1;
        let from = text[begin..start].chars().count();
        let to = from + text[start..floor_char(text, span.end).clamp(start, end)].chars().count();
        let line = text[begin..end].trim_end_matches('\r').to_owned();
        let name = format!("{}:{number}:{}", path.display(), from + 1);
        Self { name, line: Some(PlaceLine { number, text: line, marked: from..to.max(from + 1) }) }
    }
}

fn floor_char(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_line_and_its_columns() {
        let text = "a = 1\r\n\u{e9}b = \"x\ny\"\n";
        let at = |span| {
            let place = Place::in_file(Path::new("f"), text, span);
            let line = place.line.unwrap();
            (place.name, line.number, line.text, line.marked)
        };
        assert_eq!(at(0..1), ("f:1:1".into(), 1, "a = 1".into(), 0..1));
        assert_eq!(at(7..10), ("f:2:1".into(), 2, "\u{e9}b = \"x".into(), 0..2));
        // Over the end of its line, over the end of the text, in the middle of a character, and empty.
        assert_eq!(at(13..18).3, 5..7);
        assert_eq!(at(99..120), ("f:4:1".into(), 4, String::new(), 0..1));
        assert_eq!(at(8..8), ("f:2:1".into(), 2, "\u{e9}b = \"x".into(), 0..1));
    }
}
