//! One module a family of promises.

pub(crate) mod ends;
pub(crate) mod index;
pub(crate) mod loss;
pub(crate) mod offsets;
pub(crate) mod order;
pub(crate) mod producers;
pub(crate) mod realtime;

#[cfg(test)]
mod tests;

use crate::{Moment, Partition, Violation, ViolationKind};

/// Where the violations of one partition go.
struct Report<'a> {
    partition: Partition,
    found: &'a mut Vec<Violation>,
}

impl Report<'_> {
    fn add(&mut self, kind: ViolationKind, at: Moment, sentence: String) {
        self.found.push(Violation { kind, partition: self.partition, at, sentence });
    }
}
