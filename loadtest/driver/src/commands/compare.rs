//! `compare`: several runs on one page.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use eagre_report::{RunResult, compare};

use super::say;
use crate::{cli::Compare, run::files::write_whole};

/// Writes the page.
pub fn run(options: &Compare) -> Result<()> {
    let runs = options.runs.iter().map(|run| read(run)).collect::<Result<Vec<_>>>()?;
    if options.out.with_file_name("result.json").exists() {
        bail!("{} would stand in the folder of a run: give another --out", options.out.display());
    }
    write_whole(&options.out, &compare(&runs))?;
    say(&format!("{}", options.out.display()))
}

/// `DIR` or `DIR=LABEL`.
fn read(run: &str) -> Result<(String, RunResult)> {
    let (folder, label) = match run.split_once('=') {
        Some((folder, label)) => (folder, Some(label.to_owned())),
        None => (run, None),
    };
    let path = Path::new(folder).join("result.json");
    if !path.exists() && Path::new(folder).is_dir() {
        bail!("{folder} holds no whole run: there is no result.json in it");
    }
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let result = RunResult::read(&text).with_context(|| path.display().to_string())?;
    let label = label.unwrap_or_else(|| {
        Path::new(folder).file_name().map_or(folder.to_owned(), |name| name.to_string_lossy().into_owned())
    });
    Ok((label, result))
}
