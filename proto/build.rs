//! Compiles the protocol files in process: no system `protoc` is needed.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const PUBLIC: [&str; 4] =
    ["eagre/v1/topics.proto", "eagre/v1/records.proto", "eagre/v1/produce.proto", "eagre/v1/fetch.proto"];
const INTERNAL: &str = "eagre/internal/v1/sequencer.proto";

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // What a client may ask a running service for, comments included.
    fs::write(out.join("eagre.v1.bin"), protox::compile(PUBLIC, [&root])?.encode_to_vec())?;
    let descriptors = protox::compile(PUBLIC.into_iter().chain([INTERNAL]), [&root])?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    println!("cargo::rerun-if-changed=eagre");
    Ok(())
}
