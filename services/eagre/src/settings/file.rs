//! The file of settings: TOML, one flat table, each key an option of `eagre dev` with `_` for `-`.

use std::{
    fs::File,
    io::{self, Read as _},
    ops::Range,
    path::Path,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    known::{CONFIG, Kind, Setting},
    nearest::nearest,
};
use crate::{failure::Failure, place::Place};

/// A larger file is no file of settings.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the file says of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileValue {
    /// clap's name of the setting.
    pub id: String,
    /// As a flag would be given; several of a list.
    pub values: Vec<String>,
    /// Of the value.
    pub place: Place,
}

/// Reads a file of settings.
///
/// # Errors
/// It cannot be read, is not UTF-8 or not TOML, has a key that is no setting, or a value of a wrong type.
pub fn read(path: &Path, settings: &[Setting]) -> Result<Vec<FileValue>, Failure> {
    let bytes = bytes(path).map_err(|error| {
        let help = "name a file of settings with --config or EAGRE_CONFIG, or leave both out";
        Failure { status: Failure::usage("").status, ..Failure::of_file("read the settings in", path, &error, help) }
    })?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let place = Place::line_of(&path.display().to_string(), before.matches('\n').count() as u64 + 1);
        Failure::usage(format!("{} is not UTF-8", path.display())).at(place).help("save it as UTF-8 text")
    })?;
    parse(path, text, settings)
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
    }
    Ok(bytes)
}

fn parse(path: &Path, text: &str, settings: &[Setting]) -> Result<Vec<FileValue>, Failure> {
    let file = Reading { path, text, settings };
    let table = DeTable::parse(text).map_err(|error| {
        let what = format!("{} is not TOML: {}", path.display(), error.message());
        Failure::usage(what)
            .at(file.place(error.span().unwrap_or_default()))
            .help("a line is `key = value`, with strings in quotes: `bucket = \"/var/lib/eagre\"`; see https://toml.io")
    })?;
    let mut found = table.into_inner().into_iter().collect::<Vec<_>>();
    // In the order of the file, so that the first mistake is told first.
    found.sort_by_key(|(key, _)| key.span().start);
    found.iter().map(|(key, value)| file.value(key, value)).collect()
}

struct Reading<'a> {
    path: &'a Path,
    text: &'a str,
    settings: &'a [Setting],
}

impl Reading<'_> {
    fn place(&self, span: Range<usize>) -> Place {
        Place::in_file(self.path, self.text, span)
    }

    fn value<'i>(
        &self,
        key: &Spanned<std::borrow::Cow<'i, str>>,
        value: &Spanned<DeValue<'i>>,
    ) -> Result<FileValue, Failure> {
        let name: &str = key.get_ref();
        let setting = self.settings.iter().find(|setting| setting.key == name);
        let setting = setting.ok_or_else(|| self.unknown(name, value.get_ref()).at(self.place(key.span())))?;
        let values = values(setting.kind, value.get_ref()).ok_or_else(|| {
            let what = format!("`{name}` is {}, not {}", setting.kind.in_words(), in_words(value.get_ref()));
            let failure = Failure::usage(what).at(self.place(value.span()));
            match (setting.kind, value.get_ref()) {
                (Kind::Text, DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_)) => {
                    failure.help("put it in quotes")
                }
                _ => failure.help(setting.about.clone()),
            }
        })?;
        Ok(FileValue { id: setting.id.clone(), values, place: self.place(value.span()) })
    }

    fn unknown(&self, name: &str, value: &DeValue<'_>) -> Failure {
        let failure = Failure::usage(format!("there is no setting `{name}`"));
        let keys = || self.settings.iter().map(|setting| setting.key.as_str());
        if name == CONFIG {
            return failure.help("a file of settings cannot name another one");
        }
        let failure = match nearest(name, keys()) {
            Some(nearest) => failure.help(format!("the nearest one is `{nearest}`")),
            None if value.is_table() => failure.help("the file is one table without sections: leave the header out"),
            None => failure,
        };
        failure.help(format!("there are {}", keys().collect::<Vec<_>>().join(", ")))
    }
}

/// As flags would be given. `None`: it is of another type.
fn values(kind: Kind, value: &DeValue<'_>) -> Option<Vec<String>> {
    let single = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(decimal(number.as_str(), number.radix())),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    };
    match (kind, value) {
        (Kind::Switch, DeValue::Boolean(on)) => Some(vec![on.to_string()]),
        (Kind::Text, DeValue::String(text)) => Some(vec![text.to_string()]),
        (Kind::Value, value) => single(value).map(|value| vec![value]),
        (Kind::List, DeValue::Array(array)) => array.iter().map(|value| single(value.get_ref())).collect(),
        (Kind::List, value) => single(value).map(|value| vec![value]),
        (Kind::Switch | Kind::Text, _) => None,
    }
}

/// A hexadecimal, octal or binary number as flags take it; what is out of range stays as it is, to be refused.
fn decimal(digits: &str, radix: u32) -> String {
    let number = i64::from_str_radix(digits, radix);
    number.map_or_else(|_| digits.to_owned(), |number| number.to_string())
}

fn in_words(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests;
