//! Throws seeded mutations of well-formed bytes at a parser: it must neither panic nor allocate out of proportion.
//!
//! A dev-dependency of every crate with a parser that faces the network or the bucket, without dependencies of its own.
//! Runs on stable Rust, as an ordinary test; coverage-guided fuzzing of the same functions is in `fuzz/`.
//!
//! ```no_run
//! #[global_allocator]
//! static ALLOCATOR: eagre_mutate::CountingAllocator = eagre_mutate::CountingAllocator;
//!
//! fn footer(bytes: &[u8]) { /* parse, and check what must hold of the outcome */ }
//!
//! #[test]
//! fn footer_stands_mutations() {
//!     eagre_mutate::Mutations::of("footer")
//!         .grown_from(vec![1, 2, 3])
//!         .allocating_at_most(64 << 10, 16)
//!         .run(footer);
//! }
//! ```
//!
//! Environment: `EAGRE_MUTATION_SECONDS` (default 1) for each parser; `EAGRE_SEED` (default 1): the same seed tries the
//! same inputs in the same order.

mod allocator;
mod mutator;
mod random;

pub use allocator::{CountingAllocator, peak_of};

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use mutator::Mutator;
use random::Random;

/// Inputs are not grown beyond this.
const INPUT_BYTES_MAX: usize = 256 << 10;
/// So much of a failing input is printed.
const SHOWN_BYTES_MAX: usize = 4 << 10;
/// The clock is looked at once per so many inputs.
const INPUTS_PER_LOOK: u64 = 64;

/// Makes the checksums and lengths of mutated bytes agree again, so that a parser looks past them.
type Repair = Box<dyn Fn(&mut [u8])>;

/// What is mutated, and what a parser may do with it. See the crate's documentation.
pub struct Mutations {
    name: String,
    corpus: Vec<Vec<u8>>,
    repair: Option<Repair>,
    base_bytes: usize,
    bytes_per_input_byte: usize,
    seed: u64,
    duration: Duration,
}

impl Mutations {
    /// A run for the parser of this name.
    pub fn of(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            corpus: Vec::new(),
            repair: None,
            base_bytes: 1 << 20,
            bytes_per_input_byte: 64,
            seed: number_from_env("EAGRE_SEED", 1),
            duration: Duration::from_secs(number_from_env("EAGRE_MUTATION_SECONDS", 1)),
        }
    }

    /// Adds well-formed bytes to start from.
    #[must_use]
    pub fn grown_from(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.corpus.push(bytes.into());
        self
    }

    /// Adds every file of a folder whose name ends so, in the order of their names.
    ///
    /// # Panics
    /// When the folder or a file cannot be read, or no file ends so.
    #[must_use]
    pub fn grown_from_files(mut self, folder: impl AsRef<Path>, suffix: &str) -> Self {
        let folder = folder.as_ref();
        let entries = std::fs::read_dir(folder).unwrap_or_else(|e| fail(&format!("{}: {e}", folder.display())));
        let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.to_string_lossy().ends_with(suffix));
        paths.sort();
        assert!(!paths.is_empty(), "no *{suffix} in {}", folder.display());
        for path in paths {
            self.corpus.push(std::fs::read(&path).unwrap_or_else(|e| fail(&format!("{}: {e}", path.display()))));
        }
        self
    }

    /// Three of four mutated inputs go through this before they are tried.
    #[must_use]
    pub fn repaired_by(mut self, repair: impl Fn(&mut [u8]) + 'static) -> Self {
        self.repair = Some(Box::new(repair));
        self
    }

    /// How much the parser may hold at a time: `base_bytes` and so many for each byte of input. Default: 1 MiB and 64.
    #[must_use]
    pub fn allocating_at_most(mut self, base_bytes: usize, bytes_per_input_byte: usize) -> Self {
        self.base_bytes = base_bytes;
        self.bytes_per_input_byte = bytes_per_input_byte;
        self
    }

    /// Tries the corpus itself, then mutations until the time is over. Returns how many inputs were tried.
    ///
    /// # Panics
    /// When the parser panics or allocates more than allowed, after printing seed, number and bytes of the input. When
    /// [`CountingAllocator`] is not the test's global allocator, or there is nothing to start from.
    #[expect(clippy::disallowed_methods, reason = "a test of its own, whose length is real time")]
    pub fn run(self, parse: impl Fn(&[u8])) -> u64 {
        assert!(!self.corpus.is_empty(), "nothing to start from");
        assert!(allocator::is_installed(), "make CountingAllocator the #[global_allocator] of this test");
        let started = Instant::now();
        for (i, bytes) in self.corpus.iter().enumerate() {
            self.try_one(&parse, bytes, &format!("member {i} of the corpus"));
        }
        let mut random = Random::new(self.seed);
        let mutator = Mutator::new(&self.corpus, INPUT_BYTES_MAX);
        let mut tried = 0u64;
        while !tried.is_multiple_of(INPUTS_PER_LOOK) || started.elapsed() < self.duration {
            let mut input = mutator.mutate(&mut random);
            // Drawn always, so that a repair does not change what follows.
            let repairs = random.below(4) != 0;
            if let Some(repair) = self.repair.as_ref().filter(|_| repairs) {
                repair(&mut input);
            }
            self.try_one(&parse, &input, &format!("input {tried} of seed {}", self.seed));
            tried += 1;
        }
        say(&format!("{}: stood {tried} mutations of seed {}", self.name, self.seed));
        tried
    }

    fn try_one(&self, parse: &impl Fn(&[u8]), input: &[u8], which: &str) {
        let allowed = self.base_bytes + self.bytes_per_input_byte * input.len();
        let (outcome, peak_bytes) = allocator::peak_of(|| catch_unwind(AssertUnwindSafe(|| parse(input))));
        if let Err(panic) = outcome {
            say(&format!("{}: panicked at {which}: {}", self.name, shown(input)));
            resume_unwind(panic);
        }
        if peak_bytes > allowed {
            let text = format!("{}: allocated {peak_bytes} bytes, allowed are {allowed}, at {which}", self.name);
            fail(&format!("{text}: {}", shown(input)));
        }
    }
}

fn number_from_env(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| fail(&format!("{name} is a whole number, not {text:?}"))),
        Err(_) => default,
    }
}

fn shown(input: &[u8]) -> String {
    let bytes = &input[..input.len().min(SHOWN_BYTES_MAX)];
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{} bytes{} {hex}", input.len(), if bytes.len() < input.len() { ", the first are" } else { ":" })
}

#[expect(clippy::print_stdout, reason = "the report of a test")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::panic, reason = "a panic fails the test that runs the mutations")]
fn fail(text: &str) -> ! {
    panic!("{text}")
}

#[cfg(test)]
mod tests;
