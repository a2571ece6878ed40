//! Kind 3: a topic's record. It outlives the topic's deletion, because its number is never given again.
//!
//! key: slot, topic number u64
//! value v1: state (0 live; 1 deleted, then signed time ms), id (16 bytes big-endian), signed creation time ms,
//!   partition map version, name (text), placement: 1 fixed, then partition count; 2 elastic, then a count of
//!   classes and for each its remainder and the exponent k of its modulus 2^k
//! value v2, where something is set: as v1, then its settings: a count, then number and value of each, in ascending order
//!   of the numbers; 1: the largest record batch in bytes

use bytes::Bytes;
use eagre_model::{Placement, ResidueClass, TopicConfig, TopicNumber, TopicRecord};

use super::{RowKind, read_topic, topic_key};
use crate::codec::{Reader, RowError, Writer};

/// The number of a setting. Never changed, never reused.
const MAX_MESSAGE_BYTES: u64 = 1;

/// A topic's record and whether it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// The record; its number is the key.
    pub record: TopicRecord,
    /// Live or deleted.
    pub state: TopicState,
}

/// Whether a topic lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicState {
    /// It has a name row.
    Live,
    /// It is gone for users.
    Deleted {
        /// Milliseconds since the epoch.
        at_ms: i64,
    },
}

impl RowKind for Topic {
    const KIND: u8 = 3;
    type Key = TopicNumber;
    type Value = Self;

    fn encode_key(key: &TopicNumber) -> Bytes {
        topic_key(Self::KIND, *key).finish()
    }

    fn decode_key(bytes: &[u8]) -> Result<TopicNumber, RowError> {
        let (reader, topic) = read_topic(bytes, Self::KIND)?;
        reader.end()?;
        Ok(topic)
    }

    fn encode_value(key: &TopicNumber, value: &Self) -> Bytes {
        assert_eq!(*key, value.record.number, "a topic's record stands under its number");
        let config = &value.record.config;
        let has_settings = *config != TopicConfig::default();
        let mut writer = Writer::value(if has_settings { 2 } else { 1 });
        match value.state {
            TopicState::Live => writer.u8(0),
            TopicState::Deleted { at_ms } => writer.u8(1).signed(at_ms),
        };
        let record = &value.record;
        writer.u128(record.id).signed(record.created_at_ms).varint(record.partition_map_version).text(&record.name);
        match &record.placement {
            Placement::Fixed { partitions } => {
                writer.u8(1).varint(u64::from(*partitions));
            }
            Placement::Elastic { classes } => {
                writer.u8(2).varint(classes.len() as u64);
                for class in classes {
                    assert!(class.modulus.is_power_of_two(), "a residue class divides the hashes evenly");
                    writer.varint(u64::from(class.remainder)).varint(u64::from(class.modulus.trailing_zeros()));
                }
            }
        }
        if let Some(bytes) = config.max_message_bytes {
            writer.varint(1).varint(MAX_MESSAGE_BYTES).varint(u64::from(bytes));
        }
        writer.finish()
    }

    fn decode_value(key: &TopicNumber, bytes: &[u8]) -> Result<Self, RowError> {
        let (version, mut reader) = Reader::value_up_to(2, bytes)?;
        let state = match reader.u8()? {
            0 => TopicState::Live,
            1 => TopicState::Deleted { at_ms: reader.signed()? },
            _ => return Err(RowError::OutOfRange("state")),
        };
        let id = reader.u128()?;
        let created_at_ms = reader.signed()?;
        let partition_map_version = reader.varint()?;
        let name = reader.text("name")?;
        let placement = match reader.u8()? {
            1 => Placement::Fixed { partitions: reader.u32_varint("partitions")? },
            2 => Placement::Elastic { classes: read_classes(&mut reader)? },
            _ => return Err(RowError::OutOfRange("placement")),
        };
        let config = if version >= 2 { read_config(&mut reader)? } else { TopicConfig::default() };
        reader.end()?;
        let record = TopicRecord { number: *key, name, id, created_at_ms, placement, partition_map_version, config };
        Ok(Self { record, state })
    }
}

/// One setting so far; a row in which nothing is set is of version 1.
fn read_config(reader: &mut Reader<'_>) -> Result<TopicConfig, RowError> {
    if reader.varint()? != 1 || reader.varint()? != MAX_MESSAGE_BYTES {
        return Err(RowError::OutOfRange("setting"));
    }
    Ok(TopicConfig { max_message_bytes: Some(reader.u32_varint("max message bytes")?) })
}

fn read_classes(reader: &mut Reader<'_>) -> Result<Vec<ResidueClass>, RowError> {
    let count = reader.count(2)?;
    let mut classes = Vec::with_capacity(count);
    for _ in 0..count {
        let remainder = reader.u32_varint("remainder")?;
        let modulus = 1u32.checked_shl(reader.u32_varint("modulus")?).ok_or(RowError::OutOfRange("modulus"))?;
        if remainder >= modulus {
            return Err(RowError::OutOfRange("remainder"));
        }
        classes.push(ResidueClass { remainder, modulus });
    }
    Ok(classes)
}
