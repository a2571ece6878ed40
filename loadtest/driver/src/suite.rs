//! The whole table of `docs/benchmarks.md`, each row on a fresh bucket with a server of its own.

mod page_cache;
mod rows;
mod table;

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

use crate::{
    cleanup::Made,
    load::free_bytes,
    raw::{self, Raw},
    report::GIB,
    server::{Bucket, Server},
};

/// Settings of the suite.
#[derive(Debug, Args)]
pub struct Suite {
    /// The release build of `eagre`; by default the one beside this program
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Where buckets and files are made; all are removed
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// One run of 10 s instead of five of 30 s, and smaller data
    #[arg(long)]
    quick: bool,
    /// Only these rows
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Row>,
    /// How long the idle server is watched; quick: at most 30 s
    #[arg(long, default_value = "10m")]
    idle: humantime::Duration,
    /// Write all figures to this file as well
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Row {
    Slow,
    Steady,
    Saturate,
    File,
    Live,
    Stored,
    Idle,
    Streams,
    Mixed,
}

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Extent {
    runs: usize,
    time: Duration,
    warm_up: Duration,
    file_bytes: u64,
    stored_bytes: u64,
    mixed: Duration,
    idle: Duration,
    free_bytes: u64,
}

impl Suite {
    fn extent(&self) -> Extent {
        let seconds = Duration::from_secs;
        if self.quick {
            Extent {
                runs: 1,
                time: seconds(10),
                warm_up: seconds(2),
                file_bytes: 256 << 20,
                stored_bytes: 1 << 30,
                mixed: seconds(30),
                idle: seconds(30).min(self.idle.into()),
                free_bytes: 12 << 30,
            }
        } else {
            Extent {
                runs: 5,
                time: seconds(30),
                warm_up: seconds(5),
                file_bytes: 2 << 30,
                stored_bytes: 10 << 30,
                mixed: seconds(600),
                idle: self.idle.into(),
                free_bytes: 60 << 30,
            }
        }
    }

    /// Runs the rows and prints their table.
    pub async fn run(&self) -> Result<()> {
        let extent = self.extent();
        let free = free_bytes(&self.folder)?;
        let needed = extent.free_bytes;
        ensure!(free >= needed, "{:.0} GiB free, {:.0} needed", free as f64 / GIB, needed as f64 / GIB);
        let folder = tempfile::Builder::new().prefix("eagre-bench-").tempdir_in(&self.folder);
        let folder = folder.with_context(|| format!("cannot make a folder in {}", self.folder.display()))?;
        let _made = Made::folder(folder.path());
        spread_subfolders(folder.path());
        let bench = Bench { binary: self.binary()?, folder: folder.path().to_owned(), extent };
        let mut lines = Vec::new();
        for row in Row::value_variants() {
            if !self.only.is_empty() && !self.only.contains(row) {
                continue;
            }
            let raw = raw::measure(&self.folder, Duration::from_secs(1))?;
            note(&format!("{row:?}: {raw}"))?;
            let mut found = match row {
                Row::Slow => bench.paced("1 MiB/s", 1 << 20, [10.0, 25.0]).await?,
                Row::Steady => bench.paced("50 MiB/s", 50 << 20, [15.0, 60.0]).await?,
                Row::Saturate => bench.saturate(&raw).await?,
                Row::File => bench.file().await?,
                Row::Live => bench.live().await?,
                Row::Stored => bench.stored().await?,
                Row::Idle => bench.idle().await?,
                Row::Streams => bench.streams().await?,
                Row::Mixed => bench.mixed().await?,
            };
            found.iter_mut().for_each(|line| line.raw = line.raw.or(Some(raw)));
            for line in &found {
                note(&format!("  {line}"))?;
            }
            lines.extend(found);
        }
        if let Some(path) = &self.json {
            fs::write(path, serde_json::to_vec_pretty(&lines)?)?;
        }
        Ok(write!(io::stdout(), "{}", table::markdown(&lines))?)
    }

    fn binary(&self) -> Result<PathBuf> {
        let beside = || Ok::<_, io::Error>(std::env::current_exe()?.with_file_name("eagre"));
        let binary = self.binary.clone().map_or_else(beside, Ok)?;
        ensure!(binary.is_file(), "{} is missing: cargo build --release", binary.display());
        Ok(binary)
    }
}

/// Runs rows.
struct Bench {
    binary: PathBuf,
    folder: PathBuf,
    extent: Extent,
}

impl Bench {
    fn fresh(&self) -> Result<(Server, Bucket)> {
        let bucket = Bucket::new(&self.folder)?;
        let server = Server::start(&self.binary, &bucket.path()).context("on a fresh bucket")?;
        Ok((server, bucket))
    }
}

/// On ext4 the files of each folder in it get inodes of another place on the disk, so that searches for free ones among
/// those that another bucket has just given back are not measured. Other filesystems do not know the wish.
fn spread_subfolders(folder: &Path) {
    if let Ok(folder) = fs::File::open(folder)
        && let Ok(flags) = ioctl_getflags(&folder)
    {
        ioctl_setflags(&folder, flags | IFlags::TOPDIR).ok();
    }
}

fn note(text: &str) -> io::Result<()> {
    writeln!(io::stderr(), "{text}")
}

/// Both forms of the raw rates, on stdout.
pub fn print_raw(raw: &Raw) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{raw}")?;
    writeln!(out, "{}", serde_json::to_string(raw)?)?;
    Ok(())
}
