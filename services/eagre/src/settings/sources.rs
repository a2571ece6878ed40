//! Where each setting's value came from.

use std::fmt;

use clap::{ArgMatches, parser::ValueSource};
use eagre_env::redacted_address;

use super::{file::FileValue, known::Setting};
use crate::place::Place;

/// What stands for a value that is not to be seen.
const MASKED: &str = "********";

/// Who said it. What comes first here wins over what comes behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    Flag(String),
    /// The environment.
    Variable(String),
    /// The file of settings.
    File(Place),
    /// Nobody.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
            Self::File(place) => f.write_str(&place.name),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A setting as it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// Its key.
    pub key: String,
    /// The value, masked where it is a secret; `None`: there is none.
    pub value: Option<String>,
    /// Who said it.
    pub source: Source,
    id: String,
}

/// All settings of a command that has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// In the order of the help.
    pub settings: Vec<Effective>,
}

impl Sources {
    /// Of a parsed command, with what the file said.
    pub fn of(matches: &ArgMatches, settings: &[Setting], file: &[FileValue]) -> Self {
        let effective = |setting: &Setting| {
            let id = setting.id.as_str();
            let in_file = file.iter().find(|value| value.id == id);
            let source = match (matches.value_source(id), in_file) {
                (Some(ValueSource::CommandLine), _) => Source::Flag(format!("--{}", setting.long)),
                (Some(ValueSource::EnvVariable), _) => Source::Variable(setting.variable.clone().unwrap_or_default()),
                // The file takes the default's place.
                (_, Some(value)) => Source::File(value.place.clone()),
                (_, None) => Source::Default,
            };
            let raw = matches.get_raw(id).map(|values| values.map(|value| value.to_string_lossy().into_owned()));
            let value = raw.map(|values| values.collect::<Vec<_>>().join(","));
            let value = value.map(|value| if setting.is_secret { MASKED.to_owned() } else { redacted_address(&value) });
            Effective { key: setting.key.clone(), value, source, id: id.to_owned() }
        };
        Self { settings: settings.iter().map(effective).collect() }
    }

    /// Where the value of an option is, for an error about it. `None`: it is the default.
    pub fn place(&self, id: &str) -> Option<Place> {
        match &self.settings.iter().find(|setting| setting.id == id)?.source {
            Source::Flag(name) | Source::Variable(name) => Some(Place::named(name.clone())),
            Source::File(place) => Some(place.clone()),
            Source::Default => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};

    use super::*;
    use crate::settings::known::settings;

    #[test]
    fn secrets_are_masked() {
        let option = |name: &'static str| Arg::new(name).long(name);
        let dev = Command::new("dev").args([option("token").hide_env_values(true), option("otlp"), option("none")]);
        let command = Command::new("eagre").subcommand(dev);
        let line = ["eagre", "dev", "--token", "hush", "--otlp", "http://me:hush@there:1/a"];
        let matches = command.clone().try_get_matches_from(line).unwrap();
        let sources = Sources::of(matches.subcommand().unwrap().1, &settings(&command), &[]);
        let shown: Vec<_> = sources.settings.iter().map(|setting| setting.value.as_deref()).collect();
        assert_eq!(shown, [Some("********"), Some("http://me:****@there:1/a"), None]);
    }
}
