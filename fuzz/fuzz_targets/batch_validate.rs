#![no_main]

#[path = "../../storage/model/tests/parsers/mod.rs"]
#[expect(dead_code, reason = "one target tries one parser")]
mod parsers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    parsers::batch_validate(bytes);
    let mut repaired = bytes.to_vec();
    parsers::repair(&mut repaired);
    parsers::batch_validate(&repaired);
});
