//! What this machine is, and what it allows.

use std::{fs, path::Path, thread};

use anyhow::{Context, Result};
use eagre_report::Machine;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Name, size and kernel of the machine.
pub fn describe() -> Machine {
    let first = |file: &str, prefix: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(prefix)).unwrap_or_default();
        line.split_once(':').map_or(String::new(), |(_, value)| value.trim().to_owned())
    };
    let memory_kib = first("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
    Machine {
        cores: thread::available_parallelism().map_or(0, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX)),
        processor: first("/proc/cpuinfo", "model name"),
        memory_bytes: memory_kib * 1_024,
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        raw: None,
    }
}

/// Raises the soft limit of open files as far as it goes. Fails when fewer than `wanted` would be allowed.
pub fn allow_files(wanted: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .context("cannot raise the limit of open files")?;
    if let Some(allowed) = limit.maximum.filter(|allowed| *allowed < wanted) {
        anyhow::bail!("{wanted} open files are needed and {allowed} are allowed: raise the hard limit (ulimit -Hn)");
    }
    Ok(())
}

/// Bytes of all files below a folder. What goes away meanwhile is left out.
pub fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => folder_bytes(&entry.path()),
        _ => entry.metadata().map_or(0, |metadata| metadata.len()),
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_cores_memory_and_a_kernel() {
        let machine = describe();
        assert!(machine.cores > 0 && machine.memory_bytes > 1 << 20 && !machine.kernel.is_empty(), "{machine:?}");
    }

    #[test]
    fn more_files_than_allowed_are_told() {
        assert!(allow_files(10).is_ok());
        if getrlimit(Resource::Nofile).maximum.is_some() {
            assert!(allow_files(u64::MAX).unwrap_err().to_string().contains("ulimit -Hn"));
        }
    }

    #[test]
    fn a_folder_is_as_large_as_its_files() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/b"), [0; 10]).unwrap();
        fs::write(folder.path().join("c"), [0; 5]).unwrap();
        assert_eq!(folder_bytes(folder.path()), 15);
    }
}
