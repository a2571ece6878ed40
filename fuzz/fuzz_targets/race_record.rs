#![no_main]

#[path = "../../storage/objects/tests/parsers/mod.rs"]
mod parsers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::race_record(bytes));
