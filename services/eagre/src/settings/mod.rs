//! Settings: flags win over variables, those over the file of `--config`, that over the defaults.
//!
//! All of it follows from the definition of the command line. The file's values become the defaults of their options, and
//! the command line is parsed again: so a value is checked by the same parser wherever it comes from.

mod file;
mod known;
mod nearest;
mod sources;
mod strays;
#[cfg(test)]
mod table;

use std::ffi::OsString;

use clap::{ArgMatches, Command, CommandFactory as _, FromArgMatches as _, error::ContextKind};

use self::file::FileValue;
pub use self::sources::{Effective, Source, Sources};
use crate::{cli::Cli, failure::Failure, place::Place, usage};

/// The command line, understood.
#[derive(Debug)]
pub struct Parsed {
    /// What to do, with the values that hold.
    pub cli: Cli,
    /// Where the settings' values came from; empty for commands that have none.
    pub sources: Sources,
    /// Variables that look like settings and are none; empty for commands that have none.
    pub warnings: Vec<Failure>,
}

/// Why there is nothing to run.
#[derive(Debug)]
pub enum NotParsed {
    /// Help or the version was asked for, or a command without its subcommand: clap says it.
    Help(clap::Error),
    /// Given wrongly.
    Wrong(Failure),
}

/// Understands a command line, `arguments[0]` being the program.
///
/// # Errors
/// [`NotParsed`].
pub fn parse(arguments: &[OsString]) -> Result<Parsed, NotParsed> {
    let command = Cli::command();
    let first = matched(command.clone(), arguments)?;
    let Some(path) = path_to_settings(&first) else { return parsed(&first, Sources::default(), Vec::new()) };
    let settings = known::settings(&command);
    let file = match innermost(&first, &path).and_then(known::config_file) {
        Some(file) => file::read(&file, &settings).map_err(NotParsed::Wrong)?,
        None => Vec::new(),
    };
    for value in &file {
        check(&command, value, &settings)?;
    }
    let matches = matched(with_defaults(command.clone(), &path, &file), arguments)?;
    let holding = innermost(&matches, &path);
    let sources = holding.map(|holding| Sources::of(holding, &settings, &file)).unwrap_or_default();
    let set = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    parsed(&matches, sources, strays::strays(&known::variables(&command), set))
}

fn matched(command: Command, arguments: &[OsString]) -> Result<ArgMatches, NotParsed> {
    command.try_get_matches_from(arguments).map_err(|error| not_parsed(error, arguments))
}

fn not_parsed(error: clap::Error, arguments: &[OsString]) -> NotParsed {
    match usage::failure(&error, arguments) {
        Some(failure) => NotParsed::Wrong(failure),
        None => NotParsed::Help(error),
    }
}

fn parsed(matches: &ArgMatches, sources: Sources, warnings: Vec<Failure>) -> Result<Parsed, NotParsed> {
    let cli = Cli::from_arg_matches(matches).map_err(|error| not_parsed(error, &[]))?;
    Ok(Parsed { cli, sources, warnings })
}

/// The subcommands down to the one that takes settings. `None`: this command takes none.
fn path_to_settings(matches: &ArgMatches) -> Option<Vec<String>> {
    let mut path = Vec::new();
    let mut innermost = matches;
    while let Some((name, inner)) = innermost.subcommand() {
        path.push(name.to_owned());
        innermost = inner;
    }
    innermost.try_contains_id(known::CONFIG).is_ok().then_some(path)
}

fn innermost<'a>(matches: &'a ArgMatches, path: &[String]) -> Option<&'a ArgMatches> {
    path.iter().try_fold(matches, |matches, name| matches.subcommand_matches(name))
}

/// The command line on which the file's values are the defaults.
fn with_defaults(command: Command, path: &[String], file: &[FileValue]) -> Command {
    match path {
        [] => file.iter().fold(command, |command, value| {
            command.mut_arg(value.id.clone(), |arg| arg.default_values(value.values.clone()))
        }),
        [name, rest @ ..] => command.mut_subcommand(name, |inner| with_defaults(inner, rest, file)),
    }
}

/// Lets the option's own parser judge a value of the file.
fn check(command: &Command, value: &FileValue, settings: &[known::Setting]) -> Result<(), NotParsed> {
    let setting = settings.iter().find(|setting| setting.id == value.id && setting.kind != known::Kind::Switch);
    let Some(setting) = setting else { return Ok(()) };
    let flags = value.values.iter().map(|value| format!("--{}={value}", setting.long));
    let line: Vec<OsString> =
        ["eagre", known::COMMAND].map(str::to_owned).into_iter().chain(flags).map(Into::into).collect();
    let Err(error) = command.clone().try_get_matches_from(&line) else { return Ok(()) };
    // Anything else may be wrong with a line that has nothing but this flag.
    let flag = format!("--{}", setting.long);
    let is_of_it = error.get(ContextKind::InvalidArg).is_some_and(|arg| {
        let arg = arg.to_string();
        arg == flag || arg.strip_prefix(&flag).is_some_and(|rest| rest.starts_with([' ', '=']))
    });
    let is_of_value = error.get(ContextKind::InvalidValue).is_some();
    match usage::failure(&error, &line) {
        Some(failure) if is_of_it && is_of_value => {
            let what = failure.what.replace(&format!("'{flag}"), &format!("'{}", setting.key));
            Err(NotParsed::Wrong(Failure { usage: None, what, ..failure }.at(Place::clone(&value.place))))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
