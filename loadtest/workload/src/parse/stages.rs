//! `[[stages]]`, `arrivals` and `scale_to`: what becomes a schedule.

use std::{sync::Arc, time::Duration};

use super::{
    section::Section,
    shown,
    units::{Rate, TIME_MAX, bytes, natural, rate, rate_or_zero, real, text, time_above_zero, word},
};
use crate::{Input, ScenarioError, Schedule, StageMark, Unpaced, schedule::Shape};

/// Beyond it nanoseconds of a trace are lost.
const SPEED_MAX: f64 = 1e9;

/// How lengths are stretched so that all stages together take as long as `scale_to` says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    to: Duration,
    of: Duration,
}

impl Scale {
    const NONE: Self = Self { to: Duration::from_secs(1), of: Duration::from_secs(1) };

    pub fn of(self, length: Duration) -> Duration {
        let nanos = length.as_nanos() * self.to.as_nanos() / self.of.as_nanos();
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn ratio(self) -> f64 {
        self.to.as_secs_f64() / self.of.as_secs_f64()
    }
}

/// What a stage is, as typed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Constant,
    Ramp,
    Step,
    Square,
    Sine,
    FlashCrowd,
    Max,
    Replay,
}

/// Of `scale_to`.
pub(super) fn scale(root: &Section<'_>, input: Option<&Input>) -> Result<Scale, ScenarioError> {
    let Some(to) = root.optional("scale_to", time_above_zero)? else { return Ok(Scale::NONE) };
    let mut of = Duration::ZERO;
    for stage in root.sections("stages")? {
        of += match kind(&stage)? {
            Kind::Replay => span(&stage, input)?.div_f64(speed(&stage)?),
            _ => stage.required("for", time_above_zero)?,
        };
    }
    // Without stages it is those that are missing.
    Ok(if of.is_zero() { Scale::NONE } else { Scale { to, of } })
}

/// All stages, one after the other.
pub(super) fn schedule(
    root: &Section<'_>,
    input: Option<&Arc<Input>>,
    value_bytes_mean: f64,
    scale: Scale,
) -> Result<Schedule, ScenarioError> {
    let stages = root.sections("stages")?;
    let poisson = root.optional("arrivals", word(&[("even", false), ("poisson", true)]))?;
    if stages.is_empty() {
        return Err(root.refused("stages", "there is none: when is anything to be sent?"));
    }
    let alone = stages.len() == 1;
    let (at, typed) = (Duration::ZERO, Duration::ZERO);
    let mut course = Course { at, typed, scale, mean: value_bytes_mean, pieces: Vec::new(), marks: Vec::new() };
    for stage in stages {
        let kind = kind(&stage)?;
        if matches!(kind, Kind::Max | Kind::Replay) {
            if !alone {
                return Err(stage.refused("shape", "it can only be the only stage"));
            }
            if poisson.is_some() {
                return Err(root.refused("arrivals", "the stage has no rate that they could follow"));
            }
        }
        match kind {
            Kind::Max => return unpaced(stage, scale, value_bytes_mean),
            Kind::Replay => return replay(stage, input, scale),
            _ => course.append(stage, kind)?,
        }
    }
    if course.at > TIME_MAX {
        return Err(root.refused("stages", "together they are longer than a year"));
    }
    let records = course.pieces.iter().map(|(shape, length)| shape.due(length.as_secs_f64(), length.as_secs_f64()));
    if records.sum::<f64>() < 1.0 {
        return Err(root.refused("stages", "not even one record is due in all of them"));
    }
    Ok(Schedule::paced(course.pieces, poisson.unwrap_or_default(), course.marks))
}

fn kind(stage: &Section<'_>) -> Result<Kind, ScenarioError> {
    stage.required(
        "shape",
        word(&[
            ("constant", Kind::Constant),
            ("ramp", Kind::Ramp),
            ("step", Kind::Step),
            ("square", Kind::Square),
            ("sine", Kind::Sine),
            ("flash-crowd", Kind::FlashCrowd),
            ("max", Kind::Max),
            ("replay", Kind::Replay),
        ]),
    )
}

/// Stages as far as they are read.
struct Course {
    /// Where the next one begins.
    at: Duration,
    /// The same before it was stretched: ends are stretched and not lengths, so that roundings do not add up.
    typed: Duration,
    scale: Scale,
    mean: f64,
    pieces: Vec<(Shape, Duration)>,
    marks: Vec<StageMark>,
}

impl Course {
    fn append(&mut self, stage: Section<'_>, kind: Kind) -> Result<(), ScenarioError> {
        let fields: &[&str] = match kind {
            Kind::Constant => &["shape", "name", "for", "rate"],
            Kind::Ramp => &["shape", "name", "for", "from", "to"],
            Kind::Step => &["shape", "name", "for", "from", "to", "at"],
            Kind::Square => &["shape", "name", "for", "low", "high", "period", "duty"],
            Kind::Sine => &["shape", "name", "for", "low", "high", "period"],
            _ => &["shape", "name", "for", "base", "peak", "at", "rise", "decay"],
        };
        let stage = stage.only(fields)?;
        self.typed += stage.required("for", time_above_zero)?;
        let end = self.scale.of(self.typed);
        let length = end - self.at;
        if length.is_zero() {
            return Err(stage.refused("for", "nothing is left of it at this scale"));
        }
        match kind {
            Kind::Constant => {
                let rate = stage.required("rate", rate)?;
                self.mark(&stage, Duration::ZERO, rate.to_string())?;
                self.piece(Shape::Constant { rate: self.rate(&rate) }, length);
            }
            Kind::Ramp => {
                let (from, to) = self.unlike(&stage, "from", "to")?;
                self.mark(&stage, Duration::ZERO, format!("ramp from {from} to {to}"))?;
                self.piece(Shape::Ramp { from: self.rate(&from), to: self.rate(&to) }, length);
            }
            Kind::Step => {
                let (from, to) = self.unlike(&stage, "from", "to")?;
                let at = self.within(&stage, "at", length)?;
                self.mark(&stage, Duration::ZERO, from.to_string())?;
                self.marks.push(StageMark { at: self.at + at, name: format!("step to {to}") });
                self.piece(Shape::Constant { rate: self.rate(&from) }, at);
                self.piece(Shape::Constant { rate: self.rate(&to) }, length - at);
            }
            Kind::Square | Kind::Sine => self.wave(&stage, kind, length)?,
            _ => self.flash_crowd(&stage, length)?,
        }
        self.at = end;
        Ok(())
    }

    fn wave(&mut self, stage: &Section<'_>, kind: Kind, length: Duration) -> Result<(), ScenarioError> {
        let (from, to) = self.rising(stage, "low", "high")?;
        let (low, high) = (self.rate(&from), self.rate(&to));
        let period = self.scale.of(stage.required("period", time_above_zero)?).as_secs_f64();
        if period < 1e-6 {
            return Err(stage.refused("period", "it is shorter than a microsecond"));
        }
        if kind == Kind::Sine {
            self.mark(stage, Duration::ZERO, format!("sine from {from} to {to}"))?;
            self.piece(Shape::Sine { low, high, period }, length);
        } else {
            let duty = stage.or("duty", real(0.001..=0.999), 0.5)?;
            self.mark(stage, Duration::ZERO, format!("square from {from} to {to}"))?;
            self.piece(Shape::Square { low, high, period, duty }, length);
        }
        Ok(())
    }

    fn flash_crowd(&mut self, stage: &Section<'_>, length: Duration) -> Result<(), ScenarioError> {
        let (calm, crowd) = self.rising(stage, "base", "peak")?;
        let (base, peak) = (self.rate(&calm), self.rate(&crowd));
        let at = self.within(stage, "at", length)?;
        let rise = self.scale.of(stage.required("rise", time_above_zero)?);
        if rise.is_zero() || at + rise >= length {
            return Err(stage.refused("rise", "the peak would come after the end of the stage"));
        }
        let exponent = stage.required("decay", real(0.1..=10.0))?;
        self.mark(stage, Duration::ZERO, calm.to_string())?;
        self.marks.push(StageMark { at: self.at + at, name: format!("flash crowd to {crowd}") });
        self.piece(Shape::Constant { rate: base }, at);
        self.piece(Shape::Ramp { from: base, to: peak }, rise);
        let scale = rise.as_secs_f64();
        self.piece(Shape::Decay { base, peak, scale, exponent }, length - at - rise);
        Ok(())
    }

    /// A moment within the stage, neither its beginning nor its end.
    fn within(&self, stage: &Section<'_>, name: &str, length: Duration) -> Result<Duration, ScenarioError> {
        let at = self.scale.of(stage.required(name, time_above_zero)?);
        if at.is_zero() || at >= length {
            return Err(stage.refused(name, "it is not within the stage, which is as long as `for` says"));
        }
        Ok(at)
    }

    /// Two rates of which one may be 0.
    fn unlike(&self, stage: &Section<'_>, one: &str, other: &str) -> Result<(Rate, Rate), ScenarioError> {
        let (from, to) = (stage.required(one, rate_or_zero)?, stage.required(other, rate_or_zero)?);
        if self.rate(&from) == self.rate(&to) {
            return Err(stage.refused(other, format!("it is the same as `{one}`: take the shape `constant`")));
        }
        Ok((from, to))
    }

    fn rising(&self, stage: &Section<'_>, low: &str, high: &str) -> Result<(Rate, Rate), ScenarioError> {
        let (from, to) = (stage.required(low, rate_or_zero)?, stage.required(high, rate)?);
        if self.rate(&from) >= self.rate(&to) {
            return Err(stage.refused(high, format!("{to} is not above `{low}`, {from}")));
        }
        Ok((from, to))
    }

    fn rate(&self, rate: &Rate) -> f64 {
        rate.records_per_s(self.mean)
    }

    fn mark(&mut self, stage: &Section<'_>, at: Duration, name: String) -> Result<(), ScenarioError> {
        let name = stage.or("name", text, name)?;
        self.marks.push(StageMark { at: self.at + at, name });
        Ok(())
    }

    fn piece(&mut self, shape: Shape, length: Duration) {
        self.pieces.push((shape, length));
    }
}

fn unpaced(stage: Section<'_>, scale: Scale, mean: f64) -> Result<Schedule, ScenarioError> {
    let stage = stage.only(&["shape", "name", "for", "bytes", "records"])?;
    let length = scale.of(stage.required("for", time_above_zero)?);
    let records = stage.optional("records", natural)?;
    let bytes = stage.optional("bytes", bytes)?;
    let max_records = match (records, bytes) {
        (Some(_), Some(_)) => return Err(stage.refused("bytes", "there is a limit in records already")),
        (records, None) => records,
        (None, Some(bytes)) => Some((bytes as f64 / mean).ceil() as u64),
    };
    if max_records == Some(0) {
        return Err(stage.refused("", "a limit of 0 records: nothing would ever be sent"));
    }
    let name = stage.or("name", text, "as fast as it goes".to_owned())?;
    Ok(Schedule::without_pace(length, Unpaced { max_records }, vec![StageMark { at: Duration::ZERO, name }]))
}

fn replay(stage: Section<'_>, input: Option<&Arc<Input>>, scale: Scale) -> Result<Schedule, ScenarioError> {
    let stage = stage.only(&["shape", "name", "speed"])?;
    let length = span(&stage, input.map(Arc::as_ref))?;
    let speed = speed(&stage)? / scale.ratio();
    if length.as_secs_f64() / speed > TIME_MAX.as_secs_f64() {
        let reason = format!("the trace spans {}, which would take longer than a year", shown(length));
        return Err(stage.refused("speed", reason));
    }
    let Some(input) = input else { return Err(stage.refused("shape", "there is no [input] to replay")) };
    let default = format!("replay of {}, {} times as fast", input.name(), (speed * 100.0).round() / 100.0);
    let name = stage.or("name", text, default)?;
    Ok(Schedule::replay(Arc::clone(input), speed, vec![StageMark { at: Duration::ZERO, name }]))
}

fn speed(stage: &Section<'_>) -> Result<f64, ScenarioError> {
    stage.or("speed", real(1e-3..=SPEED_MAX), 1.0)
}

/// How long the trace is, by its own times.
fn span(stage: &Section<'_>, input: Option<&Input>) -> Result<Duration, ScenarioError> {
    let Some(input) = input else { return Err(stage.refused("shape", "there is no [input] to replay")) };
    if !input.is_timed() {
        return Err(stage.refused("shape", "[input] names no time column, so there is nothing to go by"));
    }
    match input.at_ns(input.rows() - 1) {
        0 => Err(stage.refused("shape", "all rows of the input have the same time")),
        nanos => Ok(Duration::from_nanos(nanos)),
    }
}
