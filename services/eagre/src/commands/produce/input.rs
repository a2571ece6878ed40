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

/// What the input is called in messages.
pub fn name(file: Option<&Path>) -> String {
    let file = file.filter(|file| file.as_os_str() != "-");
    file.map_or_else(|| "stdin".to_owned(), |file| file.display().to_string())
}

/// Begins to read lines, of stdin where no file is named.
pub fn open(file: Option<&Path>) -> Result<mpsc::Receiver<io::Result<Block>>, Failure> {
    let blocks = match file {
        None => read_in_thread(io::stdin()),
        Some(path) if path.as_os_str() == "-" => read_in_thread(io::stdin()),
        Some(path) => {
            let cannot = |error| Failure::of_file("read", path, &error, "--file takes a file of lines, or - for stdin");
            let file = File::open(path).map_err(cannot)?;
            if file.metadata().map_err(cannot)?.is_dir() {
                return Err(cannot(io::ErrorKind::IsADirectory.into()));
            }
            read_in_thread(file)
        }
    };
    blocks.map_err(|error| Failure::of_system("start a thread", &error))
}
