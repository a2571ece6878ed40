//! Bytes of values, stamp included.

use rand::{RngExt, rngs::Xoshiro256PlusPlus};

use super::{STAMP_BYTES, VALUE_BYTES_MAX};
use crate::{Input, Size};

pub(super) fn draw(size: &Size, input: Option<&Input>, row: u64, draws: &mut Xoshiro256PlusPlus) -> usize {
    match *size {
        Size::Fixed(bytes) => bytes,
        Size::LogNormal { median, sigma, max } => log_normal(median, sigma, max, normal(draws)),
        Size::Input => STAMP_BYTES + input.map_or(0, |input| input.line(row).len()),
    }
}

/// What a rate in bytes is divided by.
pub(crate) fn mean_bytes(size: &Size, input: Option<&Input>) -> f64 {
    match *size {
        Size::Fixed(bytes) => bytes as f64,
        Size::LogNormal { median, sigma, max } => log_normal_mean(median, sigma, max),
        Size::Input => {
            let Some(input) = input else { return STAMP_BYTES as f64 };
            let bytes: usize = (0..input.rows() as u64).map(|row| input.line(row).len()).sum();
            STAMP_BYTES as f64 + bytes as f64 / input.rows() as f64
        }
    }
}

/// A value of the distribution for a value of the standard normal one. What is beyond the ends counts as the ends.
fn log_normal(median: usize, sigma: f64, max: usize, normal: f64) -> usize {
    let bytes = median as f64 * (sigma * normal).exp();
    (bytes.round() as usize).clamp(STAMP_BYTES, max.min(VALUE_BYTES_MAX))
}

/// The mean with its ends cut off has no closed form without the error function; the sum over the normal density has all
/// digits that matter.
fn log_normal_mean(median: usize, sigma: f64, max: usize) -> f64 {
    const STEPS_PER_SIGMA: i32 = 500;
    const SIGMAS: i32 = 8;
    let (mut weights, mut sum) = (0.0, 0.0);
    for step in -SIGMAS * STEPS_PER_SIGMA..=SIGMAS * STEPS_PER_SIGMA {
        let normal = f64::from(step) / f64::from(STEPS_PER_SIGMA);
        let weight = (-normal * normal / 2.0).exp();
        weights += weight;
        sum += weight * log_normal(median, sigma, max, normal) as f64;
    }
    sum / weights
}

/// Box and Muller, 1958.
fn normal(draws: &mut Xoshiro256PlusPlus) -> f64 {
    // From (0, 1], so that the logarithm is finite.
    let radius = (-2.0 * (1.0 - draws.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * draws.random::<f64>()).cos()
}
