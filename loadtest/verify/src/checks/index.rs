//! The index tiles the log, and all that it refers to is there.

use super::Report;
use crate::{Partition, Stored, Violation, ViolationKind, log::Log};

pub(crate) fn check(partition: Partition, log: &Log<'_>, found: &mut Vec<Violation>) {
    let mut report = Report { partition, found };
    for (indexed, at) in &log.indexes {
        let mut expected = indexed.from;
        for row in &indexed.rows {
            if row.base_offset != expected || row.last_offset < row.base_offset {
                let sentence = format!(
                    "at {at} the index goes on with offsets {} to {} of {} where {expected} should follow",
                    row.base_offset, row.last_offset, row.object
                );
                report.add(ViolationKind::IndexNotTiled, *at, sentence);
            }
            expected = row.last_offset + 1;
        }
        if expected < indexed.to {
            let sentence = format!("at {at} the index ends before offset {expected}, the log at {}", indexed.to);
            report.add(ViolationKind::IndexNotTiled, *at, sentence);
        }
        for row in &indexed.rows {
            let what = match row.stored {
                Stored::Sound => continue,
                Stored::NoObject => "which does not exist".to_owned(),
                Stored::Short { object_bytes, wanted_bytes } => {
                    format!("which has {object_bytes} bytes where {wanted_bytes} are needed")
                }
                Stored::Corrupt { expected, found } => {
                    format!("whose checksum is {found:08x} and not {expected:08x}")
                }
            };
            let sentence = format!(
                "at {at} the index refers for offsets {} to {} to {}, {what}",
                row.base_offset, row.last_offset, row.object
            );
            report.add(ViolationKind::IndexDangling, *at, sentence);
        }
    }
}
