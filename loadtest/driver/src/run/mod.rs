//! One run: what its parts share, what is measured and judged, and what becomes of it.

pub mod actions;
pub mod execute;
pub mod files;
pub mod live;
pub mod metronome;
pub mod outcome;
pub mod record;
pub mod recorder;
pub mod sampler;
pub mod series;
pub mod service;
pub mod shared;
pub mod watched;
