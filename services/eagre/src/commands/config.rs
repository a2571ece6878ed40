//! `eagre config`.

use std::{fmt::Write as _, process::ExitCode};

use serde_json::{Value, json};

use crate::{
    cli::{ConfigArgs, ConfigCheckArgs, ConfigCommand, Format},
    console::print,
    dev,
    failure::Failure,
    report::{Level, show},
    settings::{Effective, Source, Sources},
};

/// Runs the command.
pub async fn run(args: ConfigArgs, sources: &Sources, warnings: &[Failure]) -> Result<ExitCode, Failure> {
    match args.command {
        ConfigCommand::Check(args) => check(&args, sources, warnings).await,
    }
}

async fn check(args: &ConfigCheckArgs, sources: &Sources, warnings: &[Failure]) -> Result<ExitCode, Failure> {
    for warning in warnings {
        show(Level::Warning, warning);
    }
    // Whatever is wrong, it is the settings' fault.
    let wrong = |failure| Failure { status: Failure::usage("").status, ..failure };
    dev::validated(&args.dev, sources).await.map_err(wrong)?;
    print(&match args.format {
        Format::Text => text(&sources.settings),
        Format::Json => sources.settings.iter().map(|setting| json(setting).to_string() + "\n").collect(),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn text(settings: &[Effective]) -> String {
    let row = |setting: &Effective| {
        let value = setting.value.clone().unwrap_or_else(|| "none".to_owned());
        [setting.key.clone(), value, setting.source.to_string()]
    };
    let head = ["SETTING", "VALUE", "SAID BY"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(settings.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (keys, values) = (width(0), width(1));
    let mut out = String::new();
    for [key, value, source] in &rows {
        // Writing to a string does not fail.
        let _ = writeln!(out, "{key:<keys$}  {value:<values$}  {source}");
    }
    out
}

fn json(setting: &Effective) -> Value {
    let kind = match setting.source {
        Source::Flag(_) => "flag",
        Source::Variable(_) => "variable",
        Source::File(_) => "file",
        Source::Default => "default",
    };
    let place = match &setting.source {
        Source::Flag(_) | Source::Variable(_) | Source::File(_) => Value::from(setting.source.to_string()),
        Source::Default => Value::Null,
    };
    json!({ "key": setting.key, "value": setting.value, "source": kind, "place": place })
}
