//! From what was typed to a plan.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use eagre_workload::{Flags, Scenario, from_flags, shipped};

use crate::{
    cli::{Load, Target},
    client::Address,
    run::execute::{Plan, default_out},
};

/// The scenario that was asked for.
pub fn scenario(load: &Load) -> Result<Scenario> {
    let mut set = Vec::new();
    for change in &load.set {
        let Some((key, value)) = change.split_once('=') else {
            bail!("--set {change}: it is KEY=VALUE, such as producers.count=4");
        };
        set.push((key.trim().to_owned(), value.trim().to_owned()));
    }
    set.extend(load.seed.map(|seed| ("seed".to_owned(), seed.to_string())));
    let Some(name) = &load.scenario else { return Ok(from_flags(&flags(load), &set)?) };
    if let Some(shipped) = shipped().iter().find(|shipped| shipped.name == name) {
        return Ok(Scenario::parse(name, shipped.toml, &set, Path::new("."))?);
    }
    let path = Path::new(name);
    if path.extension().is_none_or(|extension| extension != "toml") {
        let names: Vec<_> = shipped().iter().map(|shipped| shipped.name).collect();
        bail!("there is no scenario {name}: shipped are {}; a file ends in .toml", names.join(", "));
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read the scenario {name}"))?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let base = path.parent().unwrap_or(Path::new("."));
    Scenario::parse(&stem, &text, &set, base).with_context(|| name.clone())
}

fn flags(load: &Load) -> Flags {
    let text = |given: &Option<String>, default: &str| given.clone().unwrap_or_else(|| default.to_owned());
    Flags {
        rate: text(&load.rate, "1MiB"),
        record: text(&load.record, "1KiB"),
        seconds: text(&load.seconds, "30"),
        producers: load.producers.unwrap_or(4),
        consumers: load.consumers.unwrap_or(1),
        topics: load.topics.unwrap_or(1),
        partitions: load.partitions.unwrap_or(8),
        connections: load.connections,
    }
}

/// Of `http://host:port/metrics` as well, which is what a browser shows.
fn host_and_port(metrics: &str) -> Result<String> {
    let bare = metrics.strip_prefix("http://").unwrap_or(metrics).trim_end_matches('/');
    let bare = bare.strip_suffix("/metrics").unwrap_or(bare);
    if bare.contains('/') {
        bail!("--metrics {metrics}: it is host:port or http://host:port/metrics");
    }
    Ok(bare.to_owned())
}

/// A plan of a scenario for a target.
pub fn plan(scenario: Scenario, target: &Target, out: Option<&Path>) -> Result<Plan> {
    let address = Address::parse(target.target.as_deref())?;
    if address != Address::Own && !target.dev_options.is_empty() {
        bail!("--dev is for an `eagre dev` that the load test starts: leave --target out");
    }
    if address == Address::Own && (target.server_pid.is_some() || target.metrics.is_some()) {
        bail!("--server-pid and --metrics are for a --target: what the load test starts is watched anyhow");
    }
    let dev_options = scenario.dev_options.iter().chain(&target.dev_options).cloned().collect();
    let out = out.map_or_else(|| default_out(&scenario, Path::new(".")), Path::to_owned);
    Ok(Plan {
        scenario,
        address,
        out,
        server_pid: target.server_pid,
        metrics: target.metrics.as_deref().map(host_and_port).transpose()?,
        name: target.name.clone(),
        dev_options,
        raw: None,
        keep_topics: false,
        reads_back: true,
        fault: None,
        is_live: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_metrics_are_may_be_typed_as_it_is_browsed() {
        for typed in ["a:1", "http://a:1", "http://a:1/", "http://a:1/metrics", "a:1/metrics/"] {
            assert_eq!(host_and_port(typed).unwrap(), "a:1", "{typed}");
        }
        assert!(host_and_port("https://a:1/metrics").is_err());
    }

    #[test]
    fn options_that_would_do_nothing_are_refused() {
        let plan = |target: Target| plan(scenario(&Load::default()).unwrap(), &target, None).unwrap_err().to_string();
        let dev_options = vec!["--memory-limit=1GiB".to_owned()];
        let told = plan(Target { target: Some("grpc://a:1".into()), dev_options, ..Target::default() });
        assert!(told.contains("leave --target out"), "{told}");
        for target in [
            Target { server_pid: Some(1), ..Target::default() },
            Target { metrics: Some("a:1".into()), ..Target::default() },
        ] {
            assert!(plan(target).contains("are for a --target"));
        }
    }
}
