//! A run's result as data, and as one page that anyone can open.
//!
//! [`RunResult`] is `result.json`. From it alone come [`page`] (one run as HTML), [`compare`] (several runs side by side)
//! and [`summary`] (one screen of a terminal). Nothing here does I/O; a page loads nothing, from the network or from disk.

#![warn(missing_docs)]

mod chart;
mod compare;
mod format;
mod html;
mod page;
mod read;
mod result;
mod scale;
mod standing;
mod summary;

pub use compare::compare;
pub use format::count;
pub use page::page;
pub use read::ReadError;
pub use result::*;
pub use summary::summary;
