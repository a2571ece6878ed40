//! What must not outlive this process, whatever ends it: processes that it started and folders that it made.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Child,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::process::{Pid, Signal, kill_process};

static LEFT: Mutex<Left> = Mutex::new(Left { processes: BTreeSet::new(), folders: BTreeSet::new() });

struct Left {
    processes: BTreeSet<i32>,
    folders: BTreeSet<PathBuf>,
}

fn left() -> MutexGuard<'static, Left> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A process that runs. To be dropped when it was waited for: its number may be another's after that.
pub struct Running(i32);

impl Running {
    /// Of a child that was just started.
    pub fn of(child: &Child) -> Self {
        let id = i32::try_from(child.id()).unwrap_or(0);
        left().processes.insert(id);
        Self(id)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        left().processes.remove(&self.0);
    }
}

/// A folder for as long as this lives. Whoever made it removes it.
pub struct Made(PathBuf);

impl Made {
    /// Of a folder that was just made.
    pub fn folder(path: &Path) -> Self {
        left().folders.insert(path.to_owned());
        Self(path.to_owned())
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        left().folders.remove(&self.0);
    }
}

/// Kills and removes all of it. The process is to end after that.
pub fn now() {
    let left = left();
    for id in &left.processes {
        if let Some(pid) = Pid::from_raw(*id) {
            // It may have ended by itself.
            kill_process(pid, Signal::KILL).ok();
        }
    }
    for folder in &left.folders {
        fs::remove_dir_all(folder).ok();
    }
}
