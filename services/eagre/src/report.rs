//! How errors and warnings look, wherever they come from.
//!
//! ```text
//! error: there is no setting `grcp`
//!  --> eagre.toml:3:1
//!   |
//! 3 | grcp = "127.0.0.1:8070"
//!   | ^^^^
//!   = help: the nearest one is `grpc`
//! ```

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use eagre_env::redacted;

use crate::{console::say, failure::Failure};

/// Set to anything: no colour, wherever it goes (<https://no-color.org>).
const NO_COLOUR_VARIABLE: &str = "NO_COLOR";
/// `dumb`: a terminal that shows no colour.
const TERMINAL_VARIABLE: &str = "TERM";

/// How serious it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The command failed.
    Error,
    /// It goes on.
    Warning,
}

/// Says why the command failed and gives its exit status.
pub fn report(failure: &Failure) -> ExitCode {
    show(Level::Error, failure);
    ExitCode::from(failure.status)
}

/// Says something on stderr that does not end the command.
pub fn show(level: Level, failure: &Failure) {
    say(&rendered(level, failure, has_colour_on_stderr()));
}

/// Whether a person sees stderr and wants colour.
pub fn has_colour_on_stderr() -> bool {
    let is_set = |name, dull: fn(&std::ffi::OsStr) -> bool| std::env::var_os(name).is_some_and(|value| dull(&value));
    io::stderr().is_terminal()
        && !is_set(NO_COLOUR_VARIABLE, |value| !value.is_empty())
        && !is_set(TERMINAL_VARIABLE, |value| value == "dumb")
}

/// As text, without a newline at its end, and without passwords that stand in a URL, whatever part it stands in.
pub fn rendered(level: Level, failure: &Failure, has_colour: bool) -> String {
    redacted(&whole(level, failure, has_colour))
}

fn whole(level: Level, failure: &Failure, has_colour: bool) -> String {
    let paint =
        |code: &str, text: &str| if has_colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() };
    let (loud, frame) = (if level == Level::Error { "1;31" } else { "1;33" }, "1;34");
    let label = if level == Level::Error { "error" } else { "warning" };
    let Failure { what, place, usage, notes, help, .. } = failure;
    let mut out = format!("{}: {}", paint(loud, label), paint("1", what));
    let line = place.as_ref().and_then(|place| place.line.as_ref());
    let gutter = line.map_or(1, |line| line.number.to_string().len());
    let margin = " ".repeat(gutter);
    // Writing to a string does not fail.
    if let Some(place) = place {
        let _ = write!(out, "\n{margin}{} {}", paint(frame, "-->"), place.name);
    }
    if let Some(line) = line {
        let bar = paint(frame, "|");
        let marks = "^".repeat(line.marked.len());
        let before: String =
            line.text.chars().take(line.marked.start).map(|c| if c == '\t' { c } else { ' ' }).collect();
        let number = paint(frame, &line.number.to_string());
        let _ = write!(
            out,
            "\n{margin} {bar}\n{number} {bar} {}\n{margin} {bar} {before}{}",
            line.text,
            paint(loud, &marks)
        );
    }
    let usage = usage.iter().map(|usage| ("usage", usage));
    let notes = notes.iter().map(|note| ("note", note));
    for (label, text) in usage.chain(notes).chain(help.iter().map(|help| ("help", help))) {
        let text = text.replace('\n', &format!("\n{margin}     "));
        let _ = write!(out, "\n{margin} {} {}: {text}", paint(frame, "="), paint("1", label));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::place::Place;

    #[test]
    fn what_where_and_what_to_do() {
        let text = "# mine\n\tgrcp = 1\n";
        let failure = Failure::usage("there is no setting `grcp`")
            .at(Place::in_file(Path::new("e.toml"), text, 8..12))
            .help("the nearest one is `grpc`");
        let expected = "\
error: there is no setting `grcp`
 --> e.toml:2:2
  |
2 | \tgrcp = 1
  | \t^^^^
  = help: the nearest one is `grpc`";
        assert_eq!(rendered(Level::Error, &failure, false), expected);
    }

    #[test]
    fn only_what_is_known_is_said() {
        let bare = Failure::new("stopped");
        assert_eq!(rendered(Level::Warning, &bare, false), "warning: stopped");
        let failure = Failure { usage: Some("eagre fly".into()), ..bare }
            .at(Place::named("--far"))
            .help("walk\nor run")
            .note("it is far");
        let expected =
            "error: stopped\n --> --far\n  = usage: eagre fly\n  = note: it is far\n  = help: walk\n      or run";
        assert_eq!(rendered(Level::Error, &failure, false), expected);
    }

    #[test]
    fn passwords_are_not_shown_wherever_they_stand() {
        let text = "otlp_endpoint = \"http://me:hush@there:1/x\"\n";
        let failure = Failure::usage("invalid value 'http://me:hush@there:1/x' for --otlp-endpoint")
            .at(Place::in_file(Path::new("e.toml"), text, 16..42))
            .note("it was http://me:hush@there:1/x")
            .help("write no http://me:hush@there");
        let shown = rendered(Level::Error, &failure, true);
        assert!(!shown.contains("hush") && shown.contains("http://me:****@there:1/x"), "{shown}");
    }

    #[test]
    fn colour_adds_nothing_but_colour() {
        let failure = Failure::new("a").at(Place::named("b")).help("c");
        let coloured = rendered(Level::Error, &failure, true);
        assert!(coloured.starts_with("\x1b[1;31merror\x1b[0m: "), "{coloured:?}");
        let mut plain = String::new();
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once("\x1b[") {
            plain.push_str(before);
            rest = after.split_once('m').unwrap().1;
        }
        assert_eq!(plain + rest, rendered(Level::Error, &failure, false));
    }
}
