//! From a request to an acknowledged record.
//!
//! A request is [checked and encoded](edge) into a batch, the batch goes into the [open object](open), which is
//! [cut](cutter) when it has been open for [long enough](linger), [uploaded](upload), and then [committed](commit) in the
//! order of the cuts. Its [answer](answer) goes back as the sequencer gives it. One [pipeline] holds these together.

pub(crate) mod answer;
mod commit;
mod cutter;
pub(crate) mod edge;
mod linger;
mod open;
pub(crate) mod origin;
mod pipeline;
mod scatter;
mod stream;
mod submit;
mod upload;

pub use cutter::SteadyCuts;
pub(crate) use cutter::{CutReason, Cutter};
pub(crate) use linger::Bounds;
pub(crate) use pipeline::Pipeline;
pub(crate) use stream::ProduceAnswers;
pub(crate) use submit::submit;
pub(crate) use upload::Uploader;
