//! `eagre consume`.

mod format;
mod from;

use std::{pin::pin, process::ExitCode, task::Poll};

use eagre_client::{ConsumedRecord, Consumer, ReadError};
use eagre_env::SystemClock;

pub use self::from::From;
use crate::{
    cli::{ConsumeArgs, Format},
    failure::Failure,
    output::{Written, closed, write},
    signals::Signals,
};

/// Written to stdout at once.
const OUTPUT_BYTES: usize = 256 << 10;

/// Runs the command.
pub async fn run(args: ConsumeArgs) -> Result<ExitCode, Failure> {
    let from = args.from.unwrap_or(if args.until_end { From::Beginning } else { From::End });
    if matches!(from, From::Offset(_)) && args.partition.is_none() {
        return Err(
            Failure::usage("an offset is one of a partition").help("add --partition, or write --from -N or @TIME")
        );
    }
    let mut signals = Signals::listen()?;
    let mut closed = closed();
    let position = from.position(&SystemClock);
    let builder = args.connect.client()?.consumer();
    let builder = match args.partition {
        Some(partition) => builder.partition(&args.topic, partition, position),
        None => builder.topic(&args.topic, position),
    };
    let builder = if args.until_end { builder.until_end() } else { builder };
    let printing = async {
        let printer = Printer { format: args.format, left: args.max.unwrap_or(u64::MAX), out: Vec::new() };
        printer.print(builder.open().await?).await
    };
    tokio::select! {
        biased;
        signal = signals.next() => Ok(signal.status()),
        Ok(()) = &mut closed => Ok(ExitCode::SUCCESS),
        printed = printing => printed.map(|()| ExitCode::SUCCESS),
    }
}

/// Prints records as they come.
struct Printer {
    format: Format,
    /// How many records are still wanted.
    left: u64,
    /// What is not written yet.
    out: Vec<u8>,
}

impl Printer {
    async fn print(mut self, mut consumer: Consumer) -> Result<(), Failure> {
        while self.left > 0 {
            // What has come is written before more is waited for.
            let mut next = pin!(consumer.next_chunk());
            let chunk = match futures::poll!(&mut next) {
                Poll::Ready(chunk) => chunk,
                Poll::Pending => {
                    if self.write()? == Written::Closed {
                        return Ok(());
                    }
                    next.await
                }
            };
            let Some(chunk) = chunk else { break };
            if self.add(chunk)? == Written::Closed {
                return Ok(());
            }
        }
        self.write().map(|_| ())
    }

    fn add(&mut self, chunk: Result<Vec<ConsumedRecord>, ReadError>) -> Result<Written, Failure> {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => {
                self.write()?;
                return Err(match error {
                    ReadError::UnknownTopic(topic) => {
                        Failure::new(format!("topic {topic:?} was deleted while it was read"))
                            .help("what was not printed of it is gone with it")
                    }
                    error => error.into(),
                });
            }
        };
        for record in &chunk {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            format::append(&mut self.out, record, self.format);
            if self.out.len() >= OUTPUT_BYTES && self.write()? == Written::Closed {
                return Ok(Written::Closed);
            }
        }
        Ok(Written::All)
    }

    fn write(&mut self) -> Result<Written, Failure> {
        let written = write(&self.out)?;
        self.out.clear();
        Ok(written)
    }
}
