//! `[[consumers]]`, `[[actions]]` and `[bounds]`: who reads, what is done to the service, what has to hold.

use std::time::Duration;

use super::{
    section::Section,
    shown,
    stages::Scale,
    units::{bytes, count, natural, rate, real, time, time_above_zero, word},
};
use crate::{Action, ActionKind, Bounds, Consumers, From, ScenarioError};

const CONSUMERS_MAX: u32 = 10_000;
const DOWN: Duration = Duration::from_millis(500);

pub(super) fn consumers(
    root: &Section<'_>,
    scale: Scale,
    duration: Duration,
    value_bytes_mean: f64,
) -> Result<Vec<Consumers>, ScenarioError> {
    let read = |section: Section<'_>| {
        let section = section.only(&["count", "from", "join", "leave", "restart_every", "rate"])?;
        let join = scale.of(section.or("join", time, Duration::ZERO)?);
        if join > Duration::ZERO && join >= duration {
            return Err(section.refused("join", format!("the stages are over after {}", shown(duration))));
        }
        let leave = section.optional("leave", time)?.map(|leave| scale.of(leave));
        if leave.is_some_and(|leave| leave <= join) {
            return Err(section.refused("leave", "it leaves before it has joined"));
        }
        let slow = section.optional("rate", rate)?;
        Ok(Consumers {
            count: section.or("count", count(1..=CONSUMERS_MAX), 1)?,
            from: section.or(
                "from",
                word(&[("earliest", From::Earliest), ("latest", From::Latest)]),
                From::Earliest,
            )?,
            join,
            leave,
            restart_every: section.optional("restart_every", time_above_zero)?,
            max_bytes_per_s: slow.map(|rate| rate.bytes_per_s(value_bytes_mean).ceil() as u64),
        })
    };
    root.sections("consumers")?.into_iter().map(read).collect()
}

pub(super) fn actions(root: &Section<'_>, scale: Scale, duration: Duration) -> Result<Vec<Action>, ScenarioError> {
    let read = |section: Section<'_>| {
        let section = section.only(&["at", "every", "do", "down"])?;
        let at = scale.of(section.required("at", time)?);
        if at >= duration {
            return Err(section.refused("at", format!("the stages are over after {}", shown(duration))));
        }
        let what = word(&[("kill", ActionKind::Kill), ("stop", ActionKind::Stop), ("pause", ActionKind::Pause)]);
        let what = section.required("do", what)?;
        let every = section.optional("every", time_above_zero)?;
        let down = section.or("down", time, DOWN)?;
        if every.is_some_and(|every| every <= down) {
            return Err(
                section.refused("every", format!("it is down for {}, so the next one would come first", shown(down)))
            );
        }
        Ok(Action { at, every, what, down })
    };
    root.sections("actions")?.into_iter().map(read).collect()
}

pub(super) fn bounds(root: &Section<'_>) -> Result<Bounds, ScenarioError> {
    let bounds = root.section("bounds")?.only(&[
        "ack_p50",
        "ack_p99",
        "end_to_end_p99",
        "first_record_p99",
        "served",
        "refused",
        "server_rss",
        "peak_ratio",
        "actions",
    ])?;
    Ok(Bounds {
        ack_p50: bounds.optional("ack_p50", time_above_zero)?,
        ack_p99: bounds.optional("ack_p99", time_above_zero)?,
        end_to_end_p99: bounds.optional("end_to_end_p99", time_above_zero)?,
        first_record_p99: bounds.optional("first_record_p99", time_above_zero)?,
        served_min: bounds.optional("served", real(0.0..=1.0))?,
        refused_max: bounds.optional("refused", natural)?,
        server_rss_max_bytes: bounds.optional("server_rss", bytes)?,
        peak_ratio_min: bounds.optional("peak_ratio", real(1.0..=1e6))?,
        actions_min: bounds.optional("actions", natural)?,
    })
}
