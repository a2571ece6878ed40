//! The rate over a piece of a schedule: how many records are due until a moment, and the moment until which so many are due.
//!
//! Times are seconds since the piece began. In 64-bit floats a piece of a week is exact to far below a nanosecond.

use std::f64::consts::TAU;

/// A course of the rate. Rates are records a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Shape {
    /// The same all the time.
    Constant { rate: f64 },
    /// A line over the whole piece.
    Ramp { from: f64, to: f64 },
    /// Each period is low at first; its last part, `duty`, is high.
    Square { low: f64, high: f64, period: f64, duty: f64 },
    /// Each period begins and ends at its lowest.
    Sine { low: f64, high: f64, period: f64 },
    /// From `peak` down to `base` with a heavy tail: what is above `base` shrinks with `(1 + t / scale)^-exponent`.
    Decay { base: f64, peak: f64, scale: f64, exponent: f64 },
}

impl Shape {
    /// The cumulative rate. `length` is that of the piece.
    pub fn due(&self, t: f64, length: f64) -> f64 {
        match *self {
            Self::Constant { rate } => rate * t,
            Self::Ramp { from, to } => from * t + (to - from) / length * t * t / 2.0,
            Self::Square { low, high, period, duty } => {
                let (low_s, each) = square(low, high, period, duty);
                let periods = (t / period).floor();
                let rest = t - periods * period;
                periods * each + low * rest.min(low_s) + high * (rest - low_s).max(0.0)
            }
            Self::Sine { low, high, period } => {
                let (mean, swing) = ((low + high) / 2.0, (high - low) / 2.0);
                mean * t - swing * period / TAU * (TAU * t / period).sin()
            }
            Self::Decay { base, peak, scale, exponent } => {
                let stretched = (t / scale).ln_1p();
                let power = 1.0 - exponent;
                // expm1(x p) / p goes to x where p goes to 0, which is the logarithm that an exponent of 1 has.
                let above = if power.abs() < 1e-9 { stretched } else { (stretched * power).exp_m1() / power };
                base * t + (peak - base) * scale * above
            }
        }
    }

    /// The inverse of [`Shape::due`]: seconds, between 0 and `length`.
    pub fn at(&self, due: f64, length: f64) -> f64 {
        if due <= 0.0 {
            return 0.0;
        }
        let t = match *self {
            Self::Constant { rate } => due / rate,
            Self::Ramp { from, to } => {
                let slope = (to - from) / length;
                // The form of the root that loses no digits, and has no division by a slope of 0.
                2.0 * due / (from + (from * from + 2.0 * slope * due).max(0.0).sqrt())
            }
            Self::Square { low, high, period, duty } => {
                let (low_s, each) = square(low, high, period, duty);
                let periods = (due / each).floor();
                let rest = due - periods * each;
                let within = if rest < low * low_s { rest / low } else { low_s + (rest - low * low_s) / high };
                periods * period + within
            }
            Self::Sine { low, high, period } => {
                let each = (low + high) / 2.0 * period;
                let periods = (due / each).floor();
                periods * period + self.solve(due - periods * each, period)
            }
            Self::Decay { .. } => self.solve(due, length),
        };
        t.clamp(0.0, length)
    }

    /// The rate where it is smooth: the derivative of [`Shape::due`].
    fn rate(&self, t: f64, length: f64) -> f64 {
        match *self {
            Self::Constant { rate } => rate,
            Self::Ramp { from, to } => from + (to - from) * t / length,
            Self::Square { low, high, period, duty } => {
                if t % period < period * (1.0 - duty) {
                    low
                } else {
                    high
                }
            }
            Self::Sine { low, high, period } => low + (high - low) / 2.0 * (1.0 - (TAU * t / period).cos()),
            Self::Decay { base, peak, scale, exponent } => base + (peak - base) * (1.0 + t / scale).powf(-exponent),
        }
    }

    /// Newton's method, which falls back to halving where a step would leave what is known to hold the answer, or where the
    /// steps do not shrink (a sine is flat where it is lowest).
    fn solve(&self, due: f64, length: f64) -> f64 {
        const STEPS_MAX: usize = 200;
        const CLOSE_S: f64 = 1e-10;
        let (mut low, mut high) = (0.0, length);
        let mut t = (due / self.due(length, length) * length).min(length);
        let mut last_step = f64::INFINITY;
        for _ in 0..STEPS_MAX {
            let error = self.due(t, length) - due;
            if error == 0.0 {
                return t;
            }
            if error > 0.0 {
                high = t;
            } else {
                low = t;
            }
            let newton = t - error / self.rate(t, length);
            let shrinks = (newton - t).abs() < last_step / 2.0;
            let next = if shrinks && newton >= low && newton <= high { newton } else { low + (high - low) / 2.0 };
            last_step = (next - t).abs();
            if last_step < CLOSE_S {
                return next;
            }
            t = next;
        }
        t
    }
}

/// The low part of a period in seconds, and the records of a period.
fn square(low: f64, high: f64, period: f64, duty: f64) -> (f64, f64) {
    let low_s = period * (1.0 - duty);
    (low_s, low * low_s + high * (period - low_s))
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

    use super::*;

    fn drawn(draws: &mut Xoshiro256PlusPlus) -> (Shape, f64) {
        let rate = |draws: &mut Xoshiro256PlusPlus| 10f64.powf(draws.random_range(-1.0..5.0));
        let (one, more) = (rate(draws), rate(draws));
        let low = if draws.random_bool(0.2) { 0.0 } else { one };
        let high = low + more;
        let length = 10f64.powf(draws.random_range(-1.0..5.0));
        let period = length / draws.random_range(0.3..50.0);
        let shape = match draws.random_range(0..6) {
            0 => Shape::Constant { rate: high },
            1 => Shape::Ramp { from: low, to: high },
            2 => Shape::Ramp { from: high, to: low },
            3 => Shape::Square { low, high, period, duty: draws.random_range(0.01..0.99) },
            4 => Shape::Sine { low, high, period },
            _ => {
                let exponent = if draws.random_bool(0.2) { 1.0 } else { draws.random_range(0.1..4.0) };
                Shape::Decay { base: low, peak: high, scale: period, exponent }
            }
        };
        (shape, length)
    }

    #[test]
    fn the_inverse_is_one() {
        let mut draws = Xoshiro256PlusPlus::seed_from_u64(1);
        for _ in 0..2_000 {
            let (shape, length) = drawn(&mut draws);
            for _ in 0..20 {
                let t = draws.random_range(0.0..1.0) * length;
                let due = shape.due(t, length);
                let back = shape.at(due, length);
                // Where hardly anything is due the moment is not to be had from the count, but the count is.
                let close = (back - t).abs() <= 1e-9 * length.max(1.0)
                    || (shape.due(back, length) - due).abs() <= 1e-9 * due.max(1.0);
                assert!(close, "{shape:?} of {length} s: {t} -> {due} -> {back}");
            }
        }
    }

    #[test]
    fn what_is_due_is_the_sum_of_the_rate() {
        let mut draws = Xoshiro256PlusPlus::seed_from_u64(2);
        for _ in 0..300 {
            let (shape, length) = drawn(&mut draws);
            const STEPS: u32 = 20_000;
            let step = length / f64::from(STEPS);
            let sum: f64 = (0..STEPS).map(|n| shape.rate((f64::from(n) + 0.5) * step, length) * step).sum();
            let due = shape.due(length, length);
            // Jumps of a square fall within a step.
            assert!((sum - due).abs() <= 6e-3 * due, "{shape:?} of {length} s: {sum} and {due}");
        }
    }

    #[test]
    fn a_sine_begins_at_its_lowest_and_has_the_mean_rate() {
        let shape = Shape::Sine { low: 2.0, high: 10.0, period: 60.0 };
        assert!((shape.due(60.0, 60.0) - 360.0).abs() < 1e-9);
        assert!((shape.rate(0.0, 60.0) - 2.0).abs() < 1e-9 && (shape.rate(30.0, 60.0) - 10.0).abs() < 1e-9);
    }
}
