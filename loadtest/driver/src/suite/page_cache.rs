//! A full page cache, as any machine has that has been up for a while.
//!
//! Writing a file takes pages. Where the cache is full they are taken from it; where there is free memory they come from
//! there, and on a virtual machine from its host, which gave them to nobody before: the copy of the same bytes then costs
//! several times as much.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::Path,
};

use anyhow::{Context, Result};

/// At a time.
const CHUNK_BYTES: usize = 4 << 20;
/// The part of the available memory that is filled, in percent.
const PART: u64 = 90;

/// Memory full of a file's pages. The file goes when this is dropped.
pub struct FullPageCache(tempfile::NamedTempFile);

impl FullPageCache {
    /// Writes a file about as large as the memory that is available.
    pub fn fill(folder: &Path) -> Result<Self> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        let chunk = vec![7; CHUNK_BYTES];
        for _ in 0..available_bytes()? * PART / 100 / CHUNK_BYTES as u64 {
            file.write_all(&chunk)?;
        }
        file.as_file().sync_all()?;
        Ok(Self(file))
    }

    /// Fills what was freed meanwhile.
    pub fn refill(&self) -> Result<()> {
        let mut file = File::open(self.0.path())?;
        let mut chunk = vec![0; CHUNK_BYTES];
        while file.read(&mut chunk)? > 0 {}
        Ok(())
    }
}

fn available_bytes() -> Result<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    parse(&meminfo).context("unexpected form of /proc/meminfo")
}

fn parse(meminfo: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(rest.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_found() {
        assert_eq!(parse("MemTotal:  100 kB\nMemAvailable:   23 kB\n"), Some(23 << 10));
        assert_eq!(parse("MemTotal:  100 kB\n"), None);
        assert!(available_bytes().unwrap() > 0);
    }
}
