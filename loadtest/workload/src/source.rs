//! What records are: their sizes, keys and bytes.

mod keys;
mod pool;
mod sizes;

use std::sync::{Arc, OnceLock};

use rand::{RngExt, rngs::Xoshiro256PlusPlus};

use crate::{
    Input, Payload, Records, Scenario,
    draws::{Purpose, draws},
};
use keys::KeyTable;
use pool::Pool;
pub(crate) use sizes::mean_bytes;

/// Of the stamp that every value begins with.
pub const STAMP_BYTES: usize = 32;

/// Of a value with its stamp, at most.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// One of the keys of a scenario. Of the drawn ones 0 is the most frequent; those of an input are its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u32);

/// A record before it is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draft {
    /// Its number over all producers.
    pub row: u64,
    /// Stamp included: [`STAMP_BYTES`] to [`VALUE_BYTES_MAX`].
    pub value_bytes: usize,
    /// `None`: no key.
    pub key: Option<KeyId>,
    /// Where in the pool its bytes begin.
    place: u32,
}

/// What one producer's records are. Small: keys and bytes belong to all sources of a scenario together.
#[derive(Debug)]
pub struct Source {
    draws: Xoshiro256PlusPlus,
    material: Arc<Material>,
    place: usize,
}

impl Source {
    /// The first source of a scenario makes keys and bytes for all, which takes some milliseconds.
    pub fn new(scenario: &Scenario, producer: u32) -> Self {
        let make = || Arc::new(Material::new(&scenario.records, scenario.input.clone(), scenario.seed));
        let material = Arc::clone(scenario.material.shared.get_or_init(make));
        let mut draws = draws(scenario.seed, Purpose::Records, producer);
        let place = draws.random_range(0..pool::PLACES);
        Self { draws, material, place }
    }

    /// The next record.
    pub fn draw(&mut self, row: u64) -> Draft {
        let value_bytes =
            sizes::draw(&self.material.records.size, self.material.input.as_deref(), row, &mut self.draws);
        let key = self.material.keys.draw(row, &mut self.draws);
        let place = self.place;
        // One after the other, so that a batch of one producer does not hold the same bytes twice, with gaps, so that the
        // next time around they are cut differently.
        let gap = (self.draws.random::<u32>() % 64) as usize;
        self.place = (place + value_bytes + gap) % pool::PLACES;
        Draft { row, value_bytes, key, place: u32::try_from(place).expect("the pool is smaller than 4 GiB") }
    }

    /// Of a draft of any source of the scenario.
    pub fn key(&self, draft: &Draft) -> Option<&[u8]> {
        let KeyId(id) = draft.key?;
        match &self.material.input {
            Some(input) if self.material.keys.is_input() => input.key(u64::from(id)),
            _ => Some(self.material.keys.rendered(id)),
        }
    }

    /// Fills `out`, the value after its stamp: `draft.value_bytes - STAMP_BYTES` bytes.
    pub fn payload(&mut self, draft: &Draft, out: &mut [u8]) {
        match (&self.material.fill, &self.material.input) {
            (Some(pool), _) => pool.fill(draft.place as usize, out),
            (None, Some(input)) => input.fill(draft.row, out),
            // Refused when the scenario was parsed.
            (None, None) => out.fill(0),
        }
    }
}

/// Keys and bytes of a scenario, made when the first source is.
#[derive(Debug, Clone, Default)]
pub struct SharedMaterial {
    shared: Arc<OnceLock<Arc<Material>>>,
}

#[derive(Debug)]
struct Material {
    records: Records,
    keys: KeyTable,
    /// `None`: the input's text.
    fill: Option<Pool>,
    input: Option<Arc<Input>>,
}

impl Material {
    fn new(records: &Records, input: Option<Arc<Input>>, seed: u64) -> Self {
        let fill = match records.payload {
            Payload::Compressible { ratio } => Some(Pool::new(ratio, seed)),
            Payload::Input => None,
        };
        let keys = KeyTable::new(&records.keys, input.as_deref());
        Self { records: records.clone(), keys, fill, input }
    }
}

#[cfg(test)]
mod tests;
