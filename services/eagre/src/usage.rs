//! A command line that was given wrongly, in the words and form of all other failures.

use std::ffi::OsString;

use clap::{
    Command, CommandFactory as _,
    error::{ContextKind, ErrorKind},
};

use crate::{cli::Cli, failure::Failure, place::Place};

/// What clap found. `None`: it is no mistake, or no sentence: help, the version, or the help that stands for a missing
/// subcommand.
pub fn failure(error: &clap::Error, arguments: &[OsString]) -> Option<Failure> {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return None;
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let mut paragraphs = text.split("\n\n").map(str::trim_end);
    let what = paragraphs.next().unwrap_or_default();
    let mut failure = Failure::usage(joined(what));
    for paragraph in paragraphs {
        if let Some(usage) = paragraph.strip_prefix("Usage: ") {
            failure.usage = Some(usage.to_owned());
        }
        for tip in paragraph.lines().filter_map(|line| line.trim_start().strip_prefix("tip: ")) {
            failure = failure.help(tip);
        }
    }
    let (command, name) = asked(arguments);
    failure = failure.help(format!("`{name} --help` says how it is written"));
    Some(failure.at(variable(error, &command, arguments).map(Place::named)))
}

/// One line: possible values stand on a line of their own, missing arguments as well.
fn joined(what: &str) -> String {
    what.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// The command as far as its words are those of commands, and its name.
fn asked(arguments: &[OsString]) -> (Command, String) {
    let mut command = Cli::command();
    let mut name = command.get_name().to_owned();
    for argument in arguments.iter().skip(1) {
        let Some(inner) = command.find_subcommand(argument).cloned() else { break };
        name = format!("{name} {}", inner.get_name());
        command = inner;
    }
    (command, name)
}

/// The variable that a wrong value came from, if it did not come from the command line.
fn variable(error: &clap::Error, command: &Command, arguments: &[OsString]) -> Option<String> {
    let option = error.get(ContextKind::InvalidArg)?.to_string();
    error.get(ContextKind::InvalidValue)?;
    let long = option.strip_prefix("--")?.split([' ', '=']).next()?;
    let is_given = |argument: &OsString| {
        let argument = argument.to_string_lossy();
        argument.strip_prefix("--").is_some_and(|rest| rest.split('=').next() == Some(long))
    };
    let arg = command.get_arguments().find(|arg| arg.get_long() == Some(long))?;
    let name = arg.get_env().filter(|name| !arguments.iter().any(is_given) && std::env::var_os(name).is_some())?;
    Some(name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Level, rendered};

    fn told(line: &str) -> String {
        let arguments: Vec<OsString> = line.split(' ').map(Into::into).collect();
        let error = Cli::command().try_get_matches_from(&arguments).unwrap_err();
        rendered(Level::Error, &failure(&error, &arguments).unwrap(), false)
    }

    #[test]
    fn mistakes_say_what_and_what_to_do() {
        let expected = "\
error: unexpected argument '--patition' found
  = usage: eagre consume --partition <N> <TOPIC>
  = help: a similar argument exists: '--partition'
  = help: `eagre consume --help` says how it is written";
        assert_eq!(told("eagre consume t --patition 1"), expected);
        let expected = "\
error: invalid value 'bzip2' for '--compression <COMPRESSION>' [possible values: none, lz4, zstd]
  = help: `eagre produce --help` says how it is written";
        assert_eq!(told("eagre produce t --compression bzip2"), expected);
        let expected = "\
error: the following required arguments were not provided: <TOPIC>
  = usage: eagre produce <TOPIC>
  = help: `eagre produce --help` says how it is written";
        assert_eq!(told("eagre produce"), expected);
        let expected = "\
error: unrecognized subcommand 'tpoic'
  = usage: eagre <COMMAND>
  = help: a similar subcommand exists: 'topic'
  = help: `eagre --help` says how it is written";
        assert_eq!(told("eagre tpoic"), expected);
    }

    #[test]
    fn a_start_that_cannot_be_is_told_with_all_that_can() {
        let text = told("eagre consume t --from @yesterday");
        assert!(text.starts_with("error: invalid value '@yesterday' for '--from <FROM>': "), "{text}");
        for accepted in ["beginning", "end", "-N", "@2026-11-23T10:00:00Z", "@-1h"] {
            assert!(text.contains(accepted), "{accepted}: {text}");
        }
    }
}
