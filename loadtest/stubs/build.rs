//! Compiles the public protocol files for the load test alone.

use std::{env, error::Error, path::PathBuf};

const PUBLIC: [&str; 4] =
    ["eagre/v1/topics.proto", "eagre/v1/records.proto", "eagre/v1/produce.proto", "eagre/v1/fetch.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.join("eagre/v1").display());
    let descriptors = protox::compile(PUBLIC, [&root])?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
