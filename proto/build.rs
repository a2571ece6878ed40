//! Compiles the protocol files in process: no system `protoc` is needed.

use std::{env, error::Error, path::PathBuf};

const FILES: [&str; 5] = [
    "eagre/v1/topics.proto",
    "eagre/v1/records.proto",
    "eagre/v1/produce.proto",
    "eagre/v1/fetch.proto",
    "eagre/internal/v1/sequencer.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let descriptors = protox::compile(FILES, [&root])?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    println!("cargo::rerun-if-changed=eagre");
    Ok(())
}
