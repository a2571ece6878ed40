use std::fs;

use super::*;
use crate::{
    cli::Command as Asked,
    report::{Level, rendered},
};

/// A file of settings, and what the command line is with it.
struct World {
    _folder: tempfile::TempDir,
    path: String,
}

impl World {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.toml");
        fs::write(&path, text).unwrap();
        Self { path: path.to_str().unwrap().to_owned(), _folder: folder }
    }

    fn parse(&self, line: &str) -> Result<Parsed, NotParsed> {
        let line = format!("eagre {line} --config {}", self.path);
        parse(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    fn refused(&self, line: &str) -> String {
        match self.parse(line) {
            Err(NotParsed::Wrong(failure)) => {
                assert_eq!(failure.status, 2);
                rendered(Level::Error, &failure, false).replace(&self.path, "e.toml")
            }
            other => panic!("{other:?}"),
        }
    }
}

fn source<'a>(parsed: &'a Parsed, key: &str) -> (&'a Source, Option<&'a str>) {
    let setting = parsed.sources.settings.iter().find(|setting| setting.key == key).unwrap();
    (&setting.source, setting.value.as_deref())
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let world = World::new("bucket = \"memory://\"\ngrpc = '127.0.0.1:1'\ninsecure = true\n");
    let parsed = world.parse("dev --grpc 127.0.0.1:2").unwrap();
    let Asked::Dev(args) = &parsed.cli.command else { panic!("dev") };
    assert_eq!((&*args.bucket, &*args.grpc, &*args.http), ("memory://", "127.0.0.1:2", "127.0.0.1:8071"));
    assert!(args.insecure);
    assert_eq!(source(&parsed, "grpc"), (&Source::Flag("--grpc".into()), Some("127.0.0.1:2")));
    assert_eq!(source(&parsed, "http"), (&Source::Default, Some("127.0.0.1:8071")));
    let Source::File(place) = source(&parsed, "bucket").0 else { panic!("of the file") };
    assert_eq!(place.name, format!("{}:1:10", world.path));
    assert_eq!(parsed.sources.place("http"), None);
    assert_eq!(parsed.sources.place("grpc"), Some(Place::named("--grpc")));
}

#[test]
fn the_same_holds_for_the_command_that_checks() {
    let world = World::new("bucket = \"memory://\"\n");
    let parsed = world.parse("config check").unwrap();
    assert_eq!(source(&parsed, "bucket").1, Some("memory://"));
    assert!(matches!(source(&parsed, "bucket").0, Source::File(_)));
    assert!(world.refused("config check --unheard-of").contains("unexpected argument '--unheard-of'"));
}

#[test]
fn a_mistake_in_the_file_is_told_even_if_a_flag_would_win() {
    let world = World::new("bucket = \"memory://\"\ngrcp = '127.0.0.1:1'\n");
    let error = world.refused("dev --grpc 127.0.0.1:2");
    assert!(error.starts_with("error: there is no setting `grcp`\n --> e.toml:2:1\n"), "{error}");
}

#[test]
fn the_options_parser_judges_the_file() {
    let option = clap::Arg::new("most").long("most").value_name("N").value_parser(clap::value_parser!(u32).range(1..));
    let command = Command::new("eagre").subcommand(Command::new("dev").arg(option));
    let settings = known::settings(&command);
    let value =
        |text: &str| FileValue { id: "most".into(), values: vec![text.into()], place: Place::named("e.toml:1:8") };
    assert!(check(&command, &value("7"), &settings).is_ok());
    for text in ["0", "-1", "x", ""] {
        let Err(NotParsed::Wrong(failure)) = check(&command, &value(text), &settings) else { panic!("{text}") };
        let error = rendered(Level::Error, &failure, false);
        assert!(error.contains("'most <N>'") && error.contains(" --> e.toml:1:8"), "{text}: {error}");
    }
}

#[test]
fn a_command_without_settings_has_no_file() {
    let line = ["eagre", "topic", "list", "--config", "e.toml"].map(OsString::from);
    assert!(matches!(parse(&line), Err(NotParsed::Wrong(_))));
    let parsed = parse(&line[..3]).unwrap();
    assert!(parsed.sources.settings.is_empty());
}

#[test]
fn help_is_no_mistake() {
    for line in [&["eagre", "--help"][..], &["eagre", "dev", "--help"], &["eagre", "--version"], &["eagre"]] {
        let line: Vec<_> = line.iter().map(OsString::from).collect();
        assert!(matches!(parse(&line), Err(NotParsed::Help(_))), "{line:?}");
    }
}
