//! `eagre config`.

use std::{fmt::Write as _, process::ExitCode};

use eagre_runtime::MemoryPlan;
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
        Format::Text => text(&sources.settings) + "\n" + &memory(&args.dev.memory_limit),
        Format::Json => {
            let settings = sources.settings.iter().map(|setting| json(setting).to_string() + "\n");
            let memory = args.dev.memory_limit.rows().into_iter();
            let memory: Vec<_> = memory.map(|(what, bytes)| json!({ "for": what, "bytes": bytes })).collect();
            let peers = args.dev.memory_limit.peers();
            let room = json!({ "connections": peers.connections_max(), "calls": peers.calls_max() });
            settings.collect::<String>() + &json!({ "memory": memory, "room_for": room }).to_string() + "\n"
        }
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

/// How the limit of memory is divided, and how many clients that is room for.
fn memory(plan: &MemoryPlan) -> String {
    let rows = plan.rows();
    let width = rows.iter().map(|(what, _)| what.len()).max().unwrap_or(0);
    let mut out = format!("{:<width$}    MIB\n", "MEMORY");
    for (what, bytes) in rows {
        // Writing to a string does not fail.
        let _ = writeln!(out, "{what:<width$}  {:>5}", bytes >> 20);
    }
    let peers = plan.peers();
    let (connections, calls) = (peers.connections_max(), peers.calls_max());
    let _ = writeln!(
        out,
        "\nThere is room for {connections} connections, or for {calls} open calls where connections are few."
    );
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
