//! One mutated input from a corpus.

use crate::random::Random;

/// Values at which lengths and counts go wrong.
const NUMBERS: [u64; 20] = [
    0,
    1,
    2,
    7,
    8,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x10000,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    0x1_0000_0000,
    0x7FFF_FFFF_FFFF_FFFF,
    0x8000_0000_0000_0000,
    0xFFFF_FFFF_FFFF_FFFF,
];
/// Headers and footers are where parsers decide: half of all places are this near to an end.
const EDGE_BYTES: usize = 128;
/// Mutations of one input.
const STEPS_MAX: usize = 6;
/// Bytes that one mutation inserts, removes or moves, mostly.
const PIECE_BYTES_MAX: usize = 64;

pub(crate) struct Mutator<'a> {
    corpus: &'a [Vec<u8>],
    input_bytes_max: usize,
}

impl<'a> Mutator<'a> {
    pub(crate) fn new(corpus: &'a [Vec<u8>], input_bytes_max: usize) -> Self {
        Self { corpus, input_bytes_max }
    }

    pub(crate) fn mutate(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = random.pick(self.corpus).clone();
        let steps = 1 + random.below(STEPS_MAX);
        for _ in 0..steps {
            self.step(random, &mut bytes);
        }
        bytes.truncate(self.input_bytes_max);
        bytes
    }

    fn step(&self, random: &mut Random, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            bytes.push(random.next() as u8);
            return;
        }
        let at = place(random, bytes.len());
        match random.below(12) {
            0 | 1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes[at] = random.next() as u8,
            3 | 4 => overwrite(&mut bytes[at..], &number(random)),
            5 => overwrite(&mut bytes[at..], &varint(random)),
            6 => nudge(random, &mut bytes[at..]),
            7 => {
                let piece: Vec<u8> = (0..piece_length(random)).map(|_| random.next() as u8).collect();
                bytes.splice(at..at, piece);
            }
            8 => {
                let end = (at + piece_length(random)).min(bytes.len());
                bytes.drain(at..end);
            }
            9 => {
                let end = (at + piece_length(random)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = place(random, bytes.len());
                bytes.splice(to..to, piece);
            }
            10 => bytes.truncate(at),
            _ => self.cross(random, bytes, at),
        }
    }

    /// Goes on with the tail of another member of the corpus.
    fn cross(&self, random: &mut Random, bytes: &mut Vec<u8>, at: usize) {
        let other = random.pick(self.corpus);
        if !other.is_empty() {
            let from = place(random, other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
    }
}

fn place(random: &mut Random, length: usize) -> usize {
    let edge = length.min(EDGE_BYTES);
    match random.below(4) {
        0 => random.below(edge),
        1 => length - 1 - random.below(edge),
        _ => random.below(length),
    }
}

fn piece_length(random: &mut Random) -> usize {
    if random.below(16) == 0 { random.below(PIECE_BYTES_MAX * PIECE_BYTES_MAX) } else { random.below(PIECE_BYTES_MAX) }
}

/// A telling number of 1, 2, 4 or 8 bytes in either order.
fn number(random: &mut Random) -> Vec<u8> {
    let number = *random.pick(&NUMBERS);
    let width = 1 << random.below(4);
    if random.below(2) == 0 {
        number.to_le_bytes()[..width].to_vec()
    } else {
        number.to_be_bytes()[8 - width..].to_vec()
    }
}

/// A telling number as the variable-length integers of Protocol Buffers.
fn varint(random: &mut Random) -> Vec<u8> {
    let mut number = *random.pick(&NUMBERS);
    let mut out = Vec::new();
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

/// Adds a little to the number of up to four bytes that stands here.
fn nudge(random: &mut Random, bytes: &mut [u8]) {
    let width = bytes.len().min(1 << random.below(3));
    let step = random.below(33) as u32;
    let read = bytes[..width].iter().fold(0u32, |number, &byte| number << 8 | u32::from(byte));
    let number = read.wrapping_add(step).wrapping_sub(16);
    overwrite(&mut bytes[..width], &number.to_be_bytes()[4 - width..]);
}

fn overwrite(bytes: &mut [u8], with: &[u8]) {
    for (byte, &new) in bytes.iter_mut().zip(with) {
        *byte = new;
    }
}
