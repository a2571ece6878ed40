#![no_main]

#[path = "../../storage/log/tests/parsers/mod.rs"]
mod parsers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::wal_object(bytes));
