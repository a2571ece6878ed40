//! Asks a log that rests for the first record at or after a time, and compares the answers with what was read from it.

use bytes::Bytes;
use eagre_env::{Randomness, SeededRandomness};
use eagre_model::{batch::Limits, records};
use eagre_proto::v1::{FetchPartition, ListOffsetsRequest, Position, position::Position as At};
use eagre_verify::Partition;

use super::{Role, gateway::Reached, topic_name};

const QUESTIONS: u64 = 8;

/// An offset, and the time of the record there if there is one.
type Found = (i64, Option<i64>);

/// Offset and time of each record of a log, in order.
#[derive(Default)]
pub(super) struct Times(Vec<(i64, i64)>);

impl Times {
    /// Adds a batch's records from an offset on.
    pub fn add(&mut self, batch: &Bytes, from: i64) {
        // Bytes that are no batch are judged elsewhere.
        let found = records::decode(batch, &Limits::default()).unwrap_or_default();
        let times = found.iter().map(|record| (record.offset, record.timestamp_ms));
        self.0.extend(times.filter(|(offset, _)| *offset >= from));
    }

    /// The answer that is right, and the time found there.
    fn first_at(&self, timestamp_ms: i64, high_watermark: i64) -> Found {
        let found = self.0.iter().find(|(_, at)| *at >= timestamp_ms);
        found.map_or((high_watermark, None), |(offset, at)| (*offset, Some(*at)))
    }

    /// A time of a record, one beside it, or one before or after all.
    fn draw(&self, random: &SeededRandomness) -> i64 {
        let nth = usize::try_from(random.below(self.0.len().max(1) as u64)).unwrap_or(0);
        let (_, at) = self.0.get(nth).copied().unwrap_or_default();
        match random.below(6) {
            0 => 0,
            1 => self.0.iter().map(|(_, at)| at + 1).max().unwrap_or(1),
            2 => at.saturating_sub(1).max(0),
            3 => at + 1,
            _ => at,
        }
    }

    /// Asks one gateway; says why when there was no answer.
    pub async fn check(
        &self,
        role: &Role,
        gateway: &Reached,
        partition: Partition,
        high_watermark: i64,
    ) -> Result<(), String> {
        let random = role.world.random("times", u64::from(partition.topic) << 32 | u64::from(partition.partition));
        let asked: Vec<i64> = (0..QUESTIONS).map(|_| self.draw(&random)).collect();
        let place = |timestamp_ms: &i64| FetchPartition {
            topic: topic_name(partition).to_owned(),
            partition: partition.partition,
            position: Some(Position { position: Some(At::TimestampMs(*timestamp_ms)) }),
        };
        let request = ListOffsetsRequest { partitions: asked.iter().map(place).collect() };
        let answer = gateway.fetch().list_offsets(request).await.map_err(|status| status.message().to_owned())?;
        let answers = answer.into_inner().offsets;
        let told: Vec<_> = answers.iter().map(|answer| (answer.offset, answer.timestamp_ms)).collect();
        let right: Vec<_> = asked.iter().map(|at| self.first_at(*at, high_watermark)).collect();
        role.world.trace.note(&role.host, format_args!("{partition} asked for times {asked:?}: {told:?}"));
        // What was appended while the log was read may be found behind it, and is not known here.
        let is_right = |(told, right): (&Found, &Found)| told == right || right.1.is_none() && told.0 >= high_watermark;
        if told.len() != right.len() || !told.iter().zip(&right).all(is_right) {
            role.world.complain(format!("{partition} asked for the times {asked:?} told {told:?}, not {right:?}"));
        }
        Ok(())
    }
}
