//! Comma-separated values after RFC 4180, with a header. A record is a line: quoted line breaks are refused.

use super::{Columns, Fields, moment};
use crate::parse::meant;

/// Where the columns that mean something are.
#[derive(Debug)]
pub(super) struct Header {
    count: usize,
    time: Option<usize>,
    key: Option<usize>,
}

impl Header {
    pub fn read(line: &str, columns: &Columns) -> Result<Self, String> {
        let names = split(line.trim_start_matches('\u{feff}'))?;
        let place = |wanted: &Option<String>| {
            let Some(wanted) = wanted else { return Ok(None) };
            let known: Vec<&str> = names.iter().map(String::as_str).collect();
            let place = known.iter().position(|name| name == wanted);
            place.map(Some).ok_or_else(|| format!("there is no column `{wanted}`; {}", meant(wanted, &known)))
        };
        Ok(Self { count: names.len(), time: place(&columns.time)?, key: place(&columns.key)? })
    }

    pub fn fields(&self, line: &str) -> Result<Fields, String> {
        let mut fields = split(line)?;
        if fields.len() != self.count {
            return Err(format!("the line has {} fields and the header {}", fields.len(), self.count));
        }
        let at_ns = self.time.map(|place| moment::of_text(&fields[place])).transpose()?;
        let key = self.key.map(|place| std::mem::take(&mut fields[place]));
        Ok(Fields { at_ns, key })
    }
}

fn split(line: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => return Err(format!("after a closing quote there is {after:.20?} and not a comma")),
        }
    }
}

/// The field up to its closing quote, and what follows.
fn unquoted(mut rest: &str) -> Result<(String, &str), String> {
    let mut field = String::new();
    loop {
        let end = rest.find('"').ok_or("a quote is not closed in its line")?;
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(next) => {
                field.push('"');
                rest = next;
            }
            None => return Ok((field, rest)),
        }
    }
}
