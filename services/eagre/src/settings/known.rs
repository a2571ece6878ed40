//! Which settings there are: the options of `eagre dev`, as the command line defines them. Nothing lists them a second time.

use std::path::PathBuf;

use clap::{Arg, ArgAction, Command, builder::ValueParser};

/// The subcommand whose options are the settings.
pub const COMMAND: &str = "dev";
/// The option that names the file; it is not itself a setting of the file.
pub const CONFIG: &str = "config";

/// What a file may say for a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Switch,
    /// A string and nothing else.
    Text,
    /// A string or a number.
    Value,
    /// An array of strings and numbers, or one of them.
    List,
}

impl Kind {
    /// In words, with their article.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Switch => "true or false",
            Self::Text => "a string",
            Self::Value => "a string or a number",
            Self::List => "a string or an array of strings",
        }
    }
}

/// A setting.
#[derive(Debug, Clone)]
pub struct Setting {
    /// As in the file: the flag with `_` for `-`.
    pub key: String,
    /// The option's name, without `--`.
    pub long: String,
    /// The variable.
    pub variable: Option<String>,
    /// What it is for.
    pub about: String,
    /// What a file may say.
    pub kind: Kind,
    /// Its value is not to be shown (`hide_env_values` of clap).
    pub is_secret: bool,
    /// clap's name of it.
    pub id: String,
}

impl Setting {
    /// `None`: not an option with a name, or the one that names the file.
    fn of(arg: &Arg) -> Option<Self> {
        let long = arg.get_long().filter(|long| *long != CONFIG && *long != "help")?;
        Some(Self {
            key: long.replace('-', "_"),
            long: long.to_owned(),
            variable: arg.get_env().map(|name| name.to_string_lossy().into_owned()),
            about: arg.get_help().map(ToString::to_string).unwrap_or_default(),
            kind: kind(arg),
            is_secret: arg.is_hide_env_values_set(),
            id: arg.get_id().to_string(),
        })
    }
}

fn kind(arg: &Arg) -> Kind {
    let takes = |parser: ValueParser| arg.get_value_parser().type_id() == parser.type_id();
    match arg.get_action() {
        ArgAction::SetTrue | ArgAction::SetFalse => Kind::Switch,
        ArgAction::Append => Kind::List,
        _ if arg.get_value_delimiter().is_some() => Kind::List,
        _ if takes(ValueParser::string()) || takes(ValueParser::path_buf()) => Kind::Text,
        _ => Kind::Value,
    }
}

/// All settings of a command line, in the order of its help.
pub fn settings(command: &Command) -> Vec<Setting> {
    let dev = command.find_subcommand(COMMAND);
    dev.into_iter().flat_map(Command::get_arguments).filter_map(Setting::of).collect()
}

/// Every variable that some command reads.
pub fn variables(command: &Command) -> Vec<String> {
    let own = command.get_arguments().filter_map(|arg| arg.get_env()).map(|name| name.to_string_lossy().into_owned());
    let mut all: Vec<_> = own.chain(command.get_subcommands().flat_map(variables)).collect();
    all.sort();
    all.dedup();
    all
}

/// Where the file is, as a command's options say.
pub fn config_file(matches: &clap::ArgMatches) -> Option<PathBuf> {
    matches.try_get_one::<PathBuf>(CONFIG).ok().flatten().cloned()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_setting_has_its_variable_and_says_what_it_is_for() {
        for setting in settings(&Cli::command()) {
            let variable = format!("EAGRE_{}", setting.key.to_uppercase());
            let long = &setting.long;
            assert_eq!(setting.variable.as_ref(), Some(&variable), "--{long}: write env = {variable:?} in DevArgs");
            assert!(!setting.about.is_empty(), "--{long} has no help");
        }
    }

    #[test]
    fn switches_can_be_said_in_a_variable() {
        let command = Cli::command();
        for setting in settings(&command).into_iter().filter(|setting| setting.kind == Kind::Switch) {
            let dev = command.find_subcommand(COMMAND).unwrap();
            let arg = dev.get_arguments().find(|arg| arg.get_id() == setting.id.as_str()).unwrap();
            let takes_on =
                arg.get_value_parser().possible_values().is_some_and(|mut all| all.any(|it| it.get_name() == "on"));
            assert!(takes_on, "--{}: write value_parser = BoolishValueParser::new() in DevArgs", setting.long);
        }
    }

    #[test]
    fn kinds_follow_from_the_definition() {
        let kinds: Vec<_> = settings(&Cli::command()).into_iter().map(|setting| (setting.key, setting.kind)).collect();
        for expected in [("bucket", Kind::Text), ("grpc", Kind::Text), ("insecure", Kind::Switch)] {
            assert!(kinds.iter().any(|(key, kind)| (key.as_str(), *kind) == expected), "{expected:?} in {kinds:?}");
        }
        let number = Arg::new("n").long("n").value_parser(clap::value_parser!(u32));
        assert_eq!(Setting::of(&number).unwrap().kind, Kind::Value);
        let list = Arg::new("l").long("l").value_delimiter(',');
        assert_eq!(Setting::of(&list).unwrap().kind, Kind::List);
    }
}
