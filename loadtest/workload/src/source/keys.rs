//! Which key a record has.

use rand::{RngExt, rngs::Xoshiro256PlusPlus};

use super::KeyId;
use crate::{Input, Keys};

/// As in `key-000042`: as wide as [`crate::parse::KEYS_MAX`] needs.
const DIGITS: usize = 6;
const PREFIX: &[u8] = b"key-";
const KEY_BYTES: usize = PREFIX.len() + DIGITS;

/// All keys, rendered once, and how often each is drawn.
#[derive(Debug)]
pub(super) struct KeyTable {
    frequency: Frequency,
    rendered: Vec<u8>,
}

#[derive(Debug)]
enum Frequency {
    None,
    Uniform {
        count: u32,
    },
    Hot {
        count: u32,
        share: f64,
    },
    Weighted(Alias),
    /// By row; false: that row has no key.
    Input(Vec<bool>),
}

impl KeyTable {
    pub fn new(keys: &Keys, input: Option<&Input>) -> Self {
        let (frequency, count) = match *keys {
            Keys::None => (Frequency::None, 0),
            Keys::Uniform { count } => (Frequency::Uniform { count }, count),
            Keys::Hot { count, share } => (Frequency::Hot { count, share }, count),
            Keys::Zipf { count, exponent } => {
                let weights = (1..=count).map(|rank| f64::from(rank).powf(-exponent)).collect();
                (Frequency::Weighted(Alias::new(weights)), count)
            }
            Keys::Input => {
                let rows = input.map_or(0, Input::rows) as u64;
                let keyed = (0..rows).map(|row| input.is_some_and(|input| input.key(row).is_some())).collect();
                (Frequency::Input(keyed), 0)
            }
        };
        let rendered = (0..count).flat_map(render).collect();
        Self { frequency, rendered }
    }

    pub fn draw(&self, row: u64, draws: &mut Xoshiro256PlusPlus) -> Option<KeyId> {
        let id = match &self.frequency {
            Frequency::None => return None,
            Frequency::Uniform { count } => draws.random_range(0..*count),
            Frequency::Hot { count: 1, .. } => 0,
            Frequency::Hot { share, .. } if draws.random::<f64>() < *share => 0,
            Frequency::Hot { count, .. } => draws.random_range(1..*count),
            Frequency::Weighted(alias) => alias.draw(draws),
            Frequency::Input(keyed) => {
                let row = (row % keyed.len().max(1) as u64) as usize;
                return keyed.get(row).copied().unwrap_or_default().then_some(KeyId(row as u32));
            }
        };
        Some(KeyId(id))
    }

    pub fn is_input(&self) -> bool {
        matches!(self.frequency, Frequency::Input(_))
    }

    pub fn rendered(&self, id: u32) -> &[u8] {
        let start = id as usize * KEY_BYTES;
        &self.rendered[start..start + KEY_BYTES]
    }
}

fn render(mut id: u32) -> [u8; KEY_BYTES] {
    let mut key = [b'0'; KEY_BYTES];
    key[..PREFIX.len()].copy_from_slice(PREFIX);
    for digit in key[PREFIX.len()..].iter_mut().rev() {
        *digit = b'0' + (id % 10) as u8;
        id /= 10;
    }
    key
}

/// Draws from any weights at the price of one random number: Walker's alias method as Vose builds it (1991).
#[derive(Debug)]
struct Alias {
    /// Of 2^32: so often the column's own number comes, else its alias.
    columns: Vec<(u32, u32)>,
}

impl Alias {
    fn new(weights: Vec<f64>) -> Self {
        let total: f64 = weights.iter().sum();
        let mut shares: Vec<f64> = weights.iter().map(|weight| weight / total * weights.len() as f64).collect();
        let mut columns: Vec<(u32, u32)> = (0..weights.len() as u32).map(|own| (u32::MAX, own)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..shares.len()).partition(|at| shares[*at] < 1.0);
        while let (Some(less), Some(more)) = (small.pop(), large.pop()) {
            columns[less] = ((shares[less] * 4_294_967_296.0) as u32, more as u32);
            shares[more] -= 1.0 - shares[less];
            if shares[more] < 1.0 { small.push(more) } else { large.push(more) }
        }
        Self { columns }
    }

    fn draw(&self, draws: &mut Xoshiro256PlusPlus) -> u32 {
        let drawn = draws.random::<u64>();
        let column = ((drawn >> 32) * self.columns.len() as u64) >> 32;
        let (own_below, alias) = self.columns[column as usize];
        if (drawn as u32) < own_below { column as u32 } else { alias }
    }
}
