//! The table of `docs/settings.md`, made of the definition of the command line.

use std::{env, fmt::Write as _, fs, path::Path};

use clap::CommandFactory as _;

use super::known::{COMMAND, Kind, settings};
use crate::cli::Cli;

const BEGIN: &str = "<!-- made of the command line's definition; do not edit: begin -->\n";
const END: &str = "<!-- end -->\n";
/// Set to anything: write the table instead of comparing it.
const UPDATE_VARIABLE: &str = "EAGRE_UPDATE_DOCS";

fn table() -> String {
    let mut out = String::from("| flag | variable | key | default | |\n|---|---|---|---|---|\n");
    let command = Cli::command();
    let dev = command.find_subcommand(COMMAND).unwrap();
    for setting in settings(&command) {
        let arg = dev.get_arguments().find(|arg| arg.get_id() == setting.id.as_str()).unwrap();
        let value_name = arg.get_value_names().filter(|_| setting.kind != Kind::Switch).and_then(|names| names.first());
        let flag =
            value_name.map_or_else(|| format!("--{}", setting.long), |name| format!("--{} {name}", setting.long));
        let default = arg.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy()));
        let default = default.reduce(|all, next| format!("{all}, {next}"));
        let default =
            default.unwrap_or_else(|| if setting.kind == Kind::Switch { "`false`" } else { "none" }.to_owned());
        let about = setting.about.replace('|', "\\|").replace('\n', " ");
        let variable = setting.variable.unwrap_or_default();
        // Writing to a string does not fail.
        let _ = writeln!(out, "| `{flag}` | `{variable}` | `{}` | {default} | {about} |", setting.key);
    }
    out
}

#[test]
fn the_documented_settings_are_those_that_there_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/settings.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the table's begin");
    let (found, after) = rest.split_once(END).expect("the table's end");
    let expected = table();
    if env::var_os(UPDATE_VARIABLE).is_some() {
        fs::write(&path, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
        return;
    }
    assert!(
        found == expected,
        "docs/settings.md differs from the command line; make it anew with\n  \
         {UPDATE_VARIABLE}=1 cargo test --workspace --bin eagre documented_settings\n{expected}"
    );
}
