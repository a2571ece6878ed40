//! `eagre version`.

use std::process::ExitCode;

use eagre_objects::BUCKET_FORMAT;
use serde_json::json;

use crate::{
    cli::{Format, VersionArgs},
    console::print,
    failure::Failure,
};

/// As in `Cargo.toml`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What was built; `unknown` without a repository.
pub const COMMIT: &str = env!("EAGRE_COMMIT");

/// Runs the command.
pub fn run(args: &VersionArgs) -> Result<ExitCode, Failure> {
    print(&match args.format {
        Format::Text => format!(
            "eagre {VERSION} (commit {COMMIT})\nreads bucket formats 1 to {BUCKET_FORMAT}, writes {BUCKET_FORMAT}\n"
        ),
        Format::Json => {
            json!({ "version": VERSION, "commit": COMMIT, "bucket_formats": (1..=BUCKET_FORMAT).collect::<Vec<_>>() })
                .to_string()
                + "\n"
        }
    })?;
    Ok(ExitCode::SUCCESS)
}
