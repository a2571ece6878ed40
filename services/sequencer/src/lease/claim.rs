//! The claim: the object by which a process holds a shard. Its body, its key, and those of its `stepped-down` marker.

use eagre_env::HostIdentity;
use eagre_model::ShardId;
use serde::{Deserialize, Serialize};

/// The format of the body. Numbers once written are never reused.
const VERSION: u32 = 1;
/// Longer bodies are refused unread.
pub(super) const BODY_BYTES_MAX: u64 = 16 << 10;
const SUFFIX: &str = ".stepped-down";

/// What a claim says of its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The shard.
    pub shard: ShardId,
    /// From 1; the highest one that exists holds.
    pub number: u64,
    /// Random: tells our own claim from a rival's when the answer to its creation was lost. Never 0.
    pub nonce: u128,
    /// Where the holder answers pings.
    pub address: String,
    /// Which process it is.
    pub host: HostIdentity,
}

/// A body that is no claim.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimFormatError {
    /// Written by a newer version of Eagre.
    #[error("the claim has format {0}, this version of Eagre reads format {VERSION}")]
    Newer(u32),
    /// Not a claim.
    #[error("the claim cannot be read: {0}")]
    Malformed(String),
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BodyV1 {
    version: u32,
    shard: u32,
    claim: u64,
    nonce: String,
    address: String,
    machine: String,
    process: u32,
    started: u64,
}

impl Claim {
    /// The body: JSON, so that an operator can read it.
    pub fn encode(&self) -> Vec<u8> {
        let body = BodyV1 {
            version: VERSION,
            shard: self.shard.0,
            claim: self.number,
            nonce: format!("{:032x}", self.nonce),
            address: self.address.clone(),
            machine: self.host.machine.clone(),
            process: self.host.process,
            started: self.host.started,
        };
        let mut bytes = serde_json::to_vec(&body).expect("numbers and strings always have a JSON form");
        bytes.push(b'\n');
        bytes
    }

    /// Reads a body.
    pub fn decode(bytes: &[u8]) -> Result<Self, ClaimFormatError> {
        let malformed = |error: serde_json::Error| ClaimFormatError::Malformed(error.to_string());
        let Versioned { version } = serde_json::from_slice(bytes).map_err(malformed)?;
        if version > VERSION {
            return Err(ClaimFormatError::Newer(version));
        }
        let body: BodyV1 = serde_json::from_slice(bytes).map_err(malformed)?;
        let nonce = nonce_of(&body.nonce).ok_or_else(|| ClaimFormatError::Malformed("nonce".into()))?;
        if body.claim == 0 || version == 0 {
            return Err(ClaimFormatError::Malformed("claims and formats count from 1".into()));
        }
        Ok(Self {
            shard: ShardId(body.shard),
            number: body.claim,
            nonce,
            address: body.address,
            host: HostIdentity { machine: body.machine, process: body.process, started: body.started },
        })
    }
}

fn nonce_of(hex: &str) -> Option<u128> {
    let all_hex = hex.len() == 32 && hex.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if !all_hex {
        return None;
    }
    u128::from_str_radix(hex, 16).ok().filter(|nonce| *nonce != 0)
}

/// Below which all claims of a shard lie.
pub fn prefix(shard: ShardId) -> String {
    format!("lease/{:010}", shard.0)
}

/// Where a claim is.
pub fn key(shard: ShardId, number: u64) -> String {
    format!("lease/{:010}/{number:020}", shard.0)
}

/// Where the holder of a claim says that it answers no more.
pub fn marker_key(shard: ShardId, number: u64) -> String {
    format!("lease/{:010}/{number:020}{SUFFIX}", shard.0)
}

/// What a name below [`prefix`] stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// A claim.
    Claim(u64),
    /// The marker of a claim whose holder stepped down.
    SteppedDown(u64),
}

/// Reads a name; `None` for what is not ours.
pub fn named(file_name: &str) -> Option<Named> {
    let (digits, stepped_down) = match file_name.strip_suffix(SUFFIX) {
        Some(digits) => (digits, true),
        None => (file_name, false),
    };
    if digits.len() != 20 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok().filter(|number| *number > 0)?;
    Some(if stepped_down { Named::SteppedDown(number) } else { Named::Claim(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What format 1 looks like, for ever.
    const GOLDEN: &str = concat!(
        r#"{"version":1,"shard":0,"claim":7,"nonce":"000102030405060708090a0b0c0d0e0f","#,
        r#""address":"http://127.0.0.1:8070","machine":"boot/pid:[4026531836]","process":4711,"started":123456789}"#,
        "\n"
    );

    fn claim() -> Claim {
        Claim {
            shard: ShardId::FIRST,
            number: 7,
            nonce: 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f,
            address: "http://127.0.0.1:8070".into(),
            host: HostIdentity { machine: "boot/pid:[4026531836]".into(), process: 4_711, started: 123_456_789 },
        }
    }

    #[test]
    fn the_golden_body_is_written_and_read() {
        assert_eq!(String::from_utf8(claim().encode()).unwrap(), GOLDEN);
        assert_eq!(Claim::decode(GOLDEN.as_bytes()), Ok(claim()));
    }

    #[test]
    fn what_is_no_claim_is_refused() {
        let broken = [
            GOLDEN[..40].to_owned(),
            String::new(),
            "null".into(),
            GOLDEN.replace("\"shard\":0,", ""),
            GOLDEN.replace("\"shard\":0", "\"shard\":-1"),
            GOLDEN.replace("\"claim\":7", "\"claim\":0"),
            GOLDEN.replace("\"version\":1", "\"version\":0"),
            GOLDEN.replace("0001020304", "000102030x"),
            GOLDEN.replace("0001020304", "+001020304"),
            GOLDEN.replace("000102030405060708090a0b0c0d0e0f", "00000000000000000000000000000000"),
            GOLDEN.replace("{\"version\"", "{\"more\":1,\"version\""),
        ];
        for body in broken {
            assert!(matches!(Claim::decode(body.as_bytes()), Err(ClaimFormatError::Malformed(_))), "{body}");
        }
    }

    #[test]
    fn a_newer_format_is_told_apart_from_garbage() {
        let newer = r#"{"version":2,"anything":{}}"#;
        assert_eq!(Claim::decode(newer.as_bytes()), Err(ClaimFormatError::Newer(2)));
    }

    #[test]
    fn names_are_read_back() {
        let file = |path: String| path.rsplit_once('/').unwrap().1.to_owned();
        let number = 12_345_678_901_234_567_890;
        assert_eq!(named(&file(key(ShardId(3), number))), Some(Named::Claim(number)));
        assert_eq!(named(&file(marker_key(ShardId(3), number))), Some(Named::SteppedDown(number)));
        assert_eq!(key(ShardId(3), 5), "lease/0000000003/00000000000000000005");
        for other in
            ["", "5", "00000000000000000000", "00000000000000000005.tmp", "#00000000000000000005", ".stepped-down"]
        {
            assert_eq!(named(other), None, "{other}");
        }
    }
}
