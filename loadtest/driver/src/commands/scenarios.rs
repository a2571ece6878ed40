//! `scenarios` and `show`.

use std::path::Path;

use anyhow::{Result, bail};
use eagre_workload::{Scenario, shipped};

use super::say;

/// Names, lengths and what each asks.
pub fn list() -> Result<()> {
    for shipped in shipped() {
        let scenario = Scenario::parse(shipped.name, shipped.toml, &[], Path::new("."))?;
        let seconds = scenario.schedule.duration().as_secs();
        say(&format!("{:<16} {:>5} s  {}", shipped.name, seconds, scenario.about))?;
    }
    Ok(())
}

/// As it is shipped.
pub fn show(name: &str) -> Result<()> {
    match shipped().iter().find(|shipped| shipped.name == name) {
        Some(shipped) => say(shipped.toml.trim_end()),
        None => {
            let names: Vec<_> = shipped().iter().map(|shipped| shipped.name).collect();
            bail!("there is no scenario {name}: shipped are {}", names.join(", "))
        }
    }
}
