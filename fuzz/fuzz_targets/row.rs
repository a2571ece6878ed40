#![no_main]

#[path = "../../storage/metadata/tests/parsers/mod.rs"]
#[expect(dead_code, reason = "one target tries one parser")]
mod parsers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::row(bytes));
