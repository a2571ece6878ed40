//! Axes: where a value lies between the ends, and which values deserve a tick.

/// A linear axis is taken unless the largest value is more than so many times the smallest.
const SPREAD_FOR_LOG: f64 = 15.0;

/// Seconds that are round to people, for the steps of a time axis.
const TIME_STEPS_S: [f64; 20] = [
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0,
    10_800.0, 21_600.0, 43_200.0,
];

/// From values to places, 0.0 at one end of the axis and 1.0 at the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// Equal distances for equal differences.
    Linear {
        /// At 0.0.
        low: f64,
        /// At 1.0, larger than `low`.
        high: f64,
    },
    /// Equal distances for equal ratios.
    Log {
        /// At 0.0, positive.
        low: f64,
        /// At 1.0, larger than `low`.
        high: f64,
    },
    /// Fractions from 0 to 1; equal distances for every further nine: 0.9, 0.99, 0.999.
    Nines {
        /// How many nines the axis has.
        nines: f64,
    },
}

impl Scale {
    /// From zero to a round value that holds all of `values`. `unit` is what round values are multiples of.
    pub fn from_zero(values: impl Iterator<Item = f64>, unit: f64) -> Self {
        let highest = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        if highest <= 0.0 {
            return Self::Linear { low: 0.0, high: unit };
        }
        let step = round_up(highest / unit / 4.0) * unit;
        Self::Linear { low: 0.0, high: (highest / step).ceil() * step }
    }

    /// Logarithmic where the spread of the positive values wants it, from zero otherwise.
    pub fn fitting(values: impl Iterator<Item = f64> + Clone, unit: f64) -> Self {
        let positive = values.clone().filter(|value| value.is_finite() && *value > 0.0);
        let (low, high) = positive.fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
        if high > low * SPREAD_FOR_LOG {
            Self::Log { low: round_down(low), high: round_up(high) }
        } else {
            Self::from_zero(values, unit)
        }
    }

    /// As many nines as so many values can show.
    pub fn nines(values: u64) -> Self {
        Self::Nines { nines: (values.max(1) as f64).log10().clamp(2.0, 6.0) }
    }

    /// Where a value lies, held between 0.0 and 1.0. What is not a number lies at 0.0.
    pub fn place(self, value: f64) -> f64 {
        let place = match self {
            Self::Linear { low, high } => (value - low) / (high - low),
            Self::Log { low, high } => (value.max(low) / low).ln() / (high / low).ln(),
            Self::Nines { nines } if value < 1.0 => -(1.0 - value).log10() / nines,
            Self::Nines { .. } => 1.0,
        };
        if place.is_nan() { 0.0 } else { place.clamp(0.0, 1.0) }
    }

    /// Whether distances stand for ratios.
    pub fn is_log(self) -> bool {
        matches!(self, Self::Log { .. })
    }

    /// Values for ticks, about `most` and rarely more. `unit` is what round values are multiples of.
    pub fn ticks(self, most: usize, unit: f64) -> Vec<f64> {
        let most = most.max(2);
        match self {
            Self::Linear { low, high } => {
                let step = round_up((high - low) / unit / most as f64) * unit;
                multiples(low, high, step)
            }
            Self::Log { low, high } => log_ticks(low, high, most),
            Self::Nines { nines } => {
                let tail = (1..=nines.floor() as i32).map(|nine| 1.0 - 10_f64.powi(-nine));
                std::iter::once(0.5).chain(tail).collect()
            }
        }
    }

    /// Values for ticks of an axis of seconds.
    pub fn time_ticks(self, most: usize) -> Vec<f64> {
        let Self::Linear { low, high } = self else { return Vec::new() };
        let wanted = (high - low) / most.max(2) as f64;
        let step = TIME_STEPS_S.iter().copied().find(|step| *step >= wanted);
        // A week and longer: whole days, however many.
        multiples(low, high, step.unwrap_or_else(|| round_up(wanted / 86_400.0) * 86_400.0))
    }
}

fn multiples(low: f64, high: f64, step: f64) -> Vec<f64> {
    if !(step > 0.0 && low.is_finite() && high.is_finite()) {
        return Vec::new();
    }
    let (first, last) = ((low / step).ceil() as i64, (high / step * (1.0 + 1e-9)).floor() as i64);
    (first..=last.min(first + 99)).map(|nth| nth as f64 * step).collect()
}

fn log_ticks(low: f64, high: f64, most: usize) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let within = |tick: &f64| *tick >= low * (1.0 - 1e-9) && *tick <= high * (1.0 + 1e-9);
    let with = |factors: &[f64], every: usize| -> Vec<f64> {
        (first..=last)
            .step_by(every)
            .flat_map(|decade| factors.iter().map(move |factor| factor * 10_f64.powi(decade)))
            .filter(within)
            .collect()
    };
    let candidates = [with(&[1.0, 2.0, 5.0], 1), with(&[1.0, 3.0], 1), with(&[1.0], 1), with(&[1.0], 2)];
    candidates.into_iter().find(|ticks| ticks.len() <= most).unwrap_or_else(|| with(&[1.0], 3))
}

/// The next of 1, 2, 5, 10, 20, … that is not smaller.
fn round_up(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| value <= factor * decade * (1.0 + 1e-9)).unwrap_or(10.0);
    factor * decade
}

/// The last of 1, 2, 5, 10, 20, … that is not larger.
fn round_down(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    let factor = [5.0, 2.0].into_iter().find(|factor| value >= factor * decade * (1.0 - 1e-9)).unwrap_or(1.0);
    factor * decade
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: &[f64], right: &[f64]) {
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-9 * b.abs().max(1.0);
        assert!(left.len() == right.len() && left.iter().zip(right).all(near), "{left:?} is not {right:?}");
    }

    #[test]
    fn a_narrow_spread_begins_at_zero_and_a_wide_one_is_logarithmic() {
        assert_eq!(Scale::fitting([2.0, 9.0].into_iter(), 1.0), Scale::Linear { low: 0.0, high: 10.0 });
        let Scale::Log { low, high } = Scale::fitting([0.7, 1900.0, 0.0, f64::NAN].into_iter(), 1.0) else { panic!() };
        close(&[low, high], &[0.5, 2000.0]);
    }

    #[test]
    fn ticks_are_round() {
        close(&Scale::Linear { low: 0.0, high: 10.0 }.ticks(5, 1.0), &[0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        let mib = 1_048_576.0;
        let scale = Scale::from_zero([47.0 * mib].into_iter(), mib);
        close(&scale.ticks(5, mib), &[0.0, 20.0 * mib, 40.0 * mib, 60.0 * mib]);
        close(&Scale::Log { low: 0.5, high: 2000.0 }.ticks(6, 1.0), &[1.0, 10.0, 100.0, 1000.0]);
        close(&Scale::Log { low: 5.0, high: 50.0 }.ticks(6, 1.0), &[5.0, 10.0, 20.0, 50.0]);
        close(&Scale::nines(20_000).ticks(9, 1.0), &[0.5, 0.9, 0.99, 0.999, 0.9999]);
    }

    #[test]
    fn time_has_steps_of_its_own() {
        close(&Scale::Linear { low: 0.0, high: 65.0 }.time_ticks(7), &[0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        close(&Scale::Linear { low: 0.0, high: 600.0 }.time_ticks(5), &[0.0, 120.0, 240.0, 360.0, 480.0, 600.0]);
        let week = Scale::Linear { low: 0.0, high: 7.0 * 86_400.0 }.time_ticks(4);
        close(&week, &[0.0, 172_800.0, 345_600.0, 518_400.0]);
    }

    #[test]
    fn places_stay_on_the_axis() {
        let linear = Scale::from_zero([f64::NAN, 0.0].into_iter(), 1.0);
        close(&[linear.place(f64::NAN), linear.place(-1.0), linear.place(f64::INFINITY)], &[0.0, 0.0, 1.0]);
        let log = Scale::Log { low: 1.0, high: 100.0 };
        close(&[log.place(0.0), log.place(10.0), log.place(1e9)], &[0.0, 0.5, 1.0]);
        let nines = Scale::nines(10_000);
        close(&[nines.place(0.0), nines.place(0.99), nines.place(1.0)], &[0.0, 0.5, 1.0]);
    }

    #[test]
    fn nothing_at_all_still_has_an_axis() {
        assert_eq!(Scale::fitting(std::iter::empty(), 1.0), Scale::Linear { low: 0.0, high: 1.0 });
    }
}
