//! Where the lines come from.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use tokio::sync::mpsc;

use super::lines::{Block, read_in_thread};
use crate::failure::Failure;

/// Whether a path is the regular file that is read.
pub fn is_input(path: &Path, file: Option<&Path>) -> bool {
    let input = file.filter(|file| file.as_os_str() != "-").unwrap_or(Path::new("/dev/stdin"));
    let place = |path: &Path| {
        let metadata = fs::metadata(path).ok()?;
        metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
    };
    place(path).is_some_and(|found| place(input) == Some(found))
}

/// Begins to read lines, of stdin where no file is named.
pub fn open(file: Option<&Path>) -> Result<mpsc::Receiver<io::Result<Block>>, Failure> {
    let blocks = match file {
        None => read_in_thread(io::stdin()),
        Some(path) if path.as_os_str() == "-" => read_in_thread(io::stdin()),
        Some(path) => {
            let cannot = |error| Failure::new(format!("cannot read {}: {error}", path.display()));
            let file = File::open(path).map_err(cannot)?;
            if file.metadata().map_err(cannot)?.is_dir() {
                return Err(cannot(io::ErrorKind::IsADirectory.into()));
            }
            read_in_thread(file)
        }
    };
    blocks.map_err(|error| Failure::new(format!("cannot start a thread: {error}")))
}
