#![no_main]

#[path = "../../services/sequencer/tests/parsers/mod.rs"]
mod parsers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::claim(bytes));
