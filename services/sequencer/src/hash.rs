//! The hash of a commit request, as it stands in the commit record: tells a request that comes again from another one
//! under the same object id. FNV-1a with 128 bits over the fields, each big-endian; `docs/formats.md` has the order.

use eagre_sequencer_api::CommitRequest;

const OFFSET_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

struct Fnv(u128);

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(PRIME);
        }
    }
}

/// The hash of everything in the request but its trace. Persisted: never changes.
pub fn request_hash(request: &CommitRequest) -> u128 {
    let mut hash = Fnv(OFFSET_BASIS);
    hash.add(&request.object.epoch.0.to_be_bytes());
    hash.add(&request.object.incarnation.to_be_bytes());
    hash.add(&request.object.number.to_be_bytes());
    hash.add(&request.object_length_bytes.to_be_bytes());
    for run in &request.runs {
        hash.add(&run.partition.topic.0.to_be_bytes());
        hash.add(&run.partition.partition.to_be_bytes());
        hash.add(&run.position_bytes.to_be_bytes());
        hash.add(&(run.batches.len() as u64).to_be_bytes());
        for batch in &run.batches {
            hash.add(&batch.length_bytes.to_be_bytes());
            hash.add(&batch.record_count.to_be_bytes());
            hash.add(&batch.crc32c.to_be_bytes());
            hash.add(&batch.max_timestamp_ms.to_be_bytes());
            hash.add(&batch.attributes.to_be_bytes());
            hash.add(&[u8::from(batch.producer.is_some()) + u8::from(batch.part.is_some())]);
            if let Some(producer) = batch.producer {
                hash.add(&producer.id.0.to_be_bytes());
                hash.add(&producer.epoch.0.to_be_bytes());
                hash.add(&producer.first_sequence.to_be_bytes());
            }
            if let Some(part) = batch.part {
                hash.add(&part.number.to_be_bytes());
                hash.add(&part.records.to_be_bytes());
                hash.add(&part.partition_map_version.to_be_bytes());
            }
        }
    }
    hash.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_published_values_of_the_hash() {
        let hash = |text: &str| {
            let mut hash = Fnv(OFFSET_BASIS);
            hash.add(text.as_bytes());
            hash.0
        };
        assert_eq!(hash("a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
        assert_eq!(hash("foobar"), 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
    }
}
