use std::fs;

use clap::{Arg, ArgAction, Command};

use super::*;
use crate::{
    report::{Level, rendered},
    settings::known::settings,
};

fn command() -> Command {
    let option = |name: &'static str| Arg::new(name).long(name).help("What it is for");
    let dev = Command::new("dev").args([
        option("config").value_parser(clap::value_parser!(std::path::PathBuf)),
        option("bucket"),
        option("grpc"),
        option("max-put-per-second").value_parser(clap::value_parser!(u32)),
        option("insecure").action(ArgAction::SetTrue),
        option("label").action(ArgAction::Append),
    ]);
    Command::new("eagre").subcommand(dev)
}

fn parsed(text: &str) -> Result<Vec<(String, Vec<String>)>, String> {
    let values = parse(Path::new("e.toml"), text, &settings(&command()));
    values
        .map(|values| values.into_iter().map(|value| (value.id, value.values)).collect())
        .map_err(|failure| rendered(Level::Error, &failure, false))
}

#[test]
fn values_are_what_flags_would_say() {
    let text = "# of mine\nbucket = './b'\nmax_put_per_second = 0x10\ninsecure = true\nlabel = [\"a\", 2]\n";
    let expected = [
        ("bucket", vec!["./b"]),
        ("max-put-per-second", vec!["16"]),
        ("insecure", vec!["true"]),
        ("label", vec!["a", "2"]),
    ];
    let owned = expected.map(|(id, values)| (id.to_owned(), values.into_iter().map(str::to_owned).collect()));
    assert_eq!(parsed(text).unwrap(), owned);
    assert_eq!(parsed("").unwrap(), []);
    assert_eq!(parsed("label = 'one'\nmax_put_per_second = '4'\n").unwrap().len(), 2);
}

#[test]
fn an_unknown_key_names_its_place_and_the_nearest_one() {
    let expected = "\
error: there is no setting `grcp`
 --> e.toml:2:1
  |
2 | grcp = \"127.0.0.1:1\"
  | ^^^^
  = help: the nearest one is `grpc`
  = help: there are bucket, grpc, max_put_per_second, insecure, label";
    assert_eq!(parsed("bucket = 'b'\ngrcp = \"127.0.0.1:1\"\nhtpp = 1\n").unwrap_err(), expected);
    for (text, part) in [
        ("max-put-per-second = 4", "the nearest one is `max_put_per_second`"),
        ("[dev]\nbucket = 'b'\n", "without sections"),
        ("config = 'other.toml'", "cannot name another one"),
        ("a.bucket = 'b'", "there is no setting `a`"),
    ] {
        let error = parsed(text).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn a_wrong_type_points_at_the_value() {
    let expected = "\
error: `bucket` is a string, not a number
 --> e.toml:1:10
  |
1 | bucket = 5
  |          ^
  = help: put it in quotes";
    assert_eq!(parsed("bucket = 5").unwrap_err(), expected);
    for (text, part) in [
        ("insecure = 'yes'", "`insecure` is true or false, not a string"),
        ("max_put_per_second = true", "`max_put_per_second` is a string or a number, not true or false"),
        ("label = [true]", "`label` is a string or an array of strings, not an array"),
        ("bucket = { a = 1 }", "`bucket` is a string, not a table"),
        ("max_put_per_second = 2026-11-23", "not a date or time"),
    ] {
        let error = parsed(text).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn what_is_not_toml_points_at_the_line() {
    for (text, line) in [
        ("bucket = 'b'\nbucket = 'c'\n", "e.toml:2:1"),
        ("bucket = b\n", "e.toml:1:10"),
        ("\n\nbucket\n", "e.toml:3:"),
        ("bucket = 'b", "e.toml:1:"),
    ] {
        let error = parsed(text).unwrap_err();
        assert!(error.contains("is not TOML: ") && error.contains(line), "{text}: {error}");
    }
    assert!(parsed("bucket = 'b'\nbucket = 'c'\n").unwrap_err().contains("duplicate key"));
}

#[test]
fn what_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("latin"), b"bucket = 'b'\nhttp = '\xe9'\n").unwrap();
    fs::write(path("large"), vec![b'#'; 2 << 20]).unwrap();
    for (name, what) in [
        ("missing", "No such file"),
        (".", "Is a directory"),
        ("latin", "is not UTF-8\n --> "),
        ("large", "larger than 1 MiB"),
    ] {
        let failure = read(&path(name), &[]).unwrap_err();
        let error = rendered(Level::Error, &failure, false);
        assert!(error.contains(what) && error.contains("= help: "), "{name}: {error}");
        assert_eq!(failure.status, 2);
    }
    let latin = rendered(Level::Error, &read(&path("latin"), &[]).unwrap_err(), false);
    assert!(latin.contains("latin:2\n"), "{latin}");
}
