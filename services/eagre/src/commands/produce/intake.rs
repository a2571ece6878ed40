//! From lines to records on their way.

use std::io;

use bytes::Bytes;
use eagre_client::{SendError, TopicProducer};
use tokio::sync::{mpsc, watch};

use super::{
    keys::KeySource,
    lines::{Block, lines},
    pace::Pacer,
    progress::HandedOver,
};
use crate::{
    failure::Failure,
    report::{Level, show},
};

/// Makes records of lines and hands them over.
pub struct Intake {
    /// Where they go.
    pub topic: TopicProducer,
    /// Where their keys come from.
    pub keys: KeySource,
    /// Whatever the keys are.
    pub partition: Option<u32>,
    /// Of every record.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// Holds them back.
    pub pacer: Option<Pacer>,
    /// Lines taken.
    pub line: u64,
    /// Tells how far it is.
    pub handed_over: watch::Sender<HandedOver>,
    /// Those that were left out.
    pub skipped: Skipped,
}

/// So many lines that are left out are told one by one.
const TOLD_MAX: usize = 5;

/// Lines of which no record could be made.
#[derive(Debug, Default)]
pub struct Skipped {
    /// How many.
    pub count: u64,
    /// The first few, at most [`TOLD_MAX`].
    pub first: Vec<SkippedLine>,
}

/// One of them.
#[derive(Debug)]
pub struct SkippedLine {
    /// From 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
    /// What to do about it.
    pub hint: &'static str,
}

impl Intake {
    /// Cancelled between two records, it has handed over the first `line` lines.
    pub async fn take_all(&mut self, mut blocks: mpsc::Receiver<io::Result<Block>>) -> io::Result<()> {
        while let Some(block) = blocks.recv().await {
            match block? {
                Block::Lines(block) => {
                    for line in lines(&block) {
                        self.take(line).await;
                    }
                    self.handed_over.send_modify(|handed_over| {
                        handed_over.lines = self.line;
                        handed_over.bytes += block.len() as u64;
                    });
                }
                Block::TooLong => {
                    self.line += 1;
                    self.skip("it is longer than 2 MiB".to_owned(), "a record holds up to 1 MiB");
                }
            }
        }
        Ok(())
    }

    async fn take(&mut self, line: Bytes) {
        if let Some(pacer) = &mut self.pacer {
            pacer.pace().await;
        }
        let number = self.line + 1;
        let sent = match self.keys.record(line) {
            Ok(mut record) => {
                record.partition = self.partition;
                record.headers.clone_from(&self.headers);
                let sent = self.topic.enqueue(record, number).await;
                sent.map_err(|error| match error {
                    SendError::TooLarge(why) => {
                        (why, "a record holds up to 1 MiB, and a topic may take less: see `eagre topic describe`")
                    }
                    error => (error.to_string(), "see `eagre topic describe`"),
                })
            }
            Err(why) => Err((why, "mend the line, or choose another --key-field or --key-separator")),
        };
        self.line = number;
        if let Err((why, hint)) = sent {
            self.skip(why, hint);
        }
    }

    fn skip(&mut self, why: String, hint: &'static str) {
        self.skipped.count += 1;
        if self.skipped.first.len() < TOLD_MAX {
            show(Level::Warning, &Failure::new(format!("line {} is left out: {why}", self.line)));
            self.skipped.first.push(SkippedLine { line: self.line, why, hint });
        } else if self.skipped.count == TOLD_MAX as u64 + 1 {
            show(Level::Warning, &Failure::new("more lines are left out; they are only counted from here on"));
        }
    }
}
