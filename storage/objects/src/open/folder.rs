//! Opening a folder as a bucket.

use std::{fs, io, path::Path};

use crate::{OpenError, folder::FolderStore};

/// Opens a folder, which is made when it is not there.
pub(super) fn open(path: &Path) -> Result<FolderStore, OpenError> {
    let shown = || path.display().to_string();
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => return Err(OpenError::NotAFolder { path: shown() }),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_folder(path).map_err(|source| match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    OpenError::ReadOnly { path: shown(), source }
                }
                _ => OpenError::Folder { path: shown(), source },
            })?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(OpenError::NotAFolder { path: shown() });
        }
        Err(source) => return Err(OpenError::Folder { path: shown(), source }),
    }
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::READ_OK | rustix::fs::Access::EXEC_OK;
    let flags = rustix::fs::AtFlags::EACCESS;
    if let Err(error) = rustix::fs::accessat(rustix::fs::CWD, path, access, flags) {
        return Err(OpenError::ReadOnly { path: shown(), source: error.into() });
    }
    FolderStore::open(path).map_err(|source| OpenError::Folder { path: shown(), source })
}

/// Makes the folder and those above it, and syncs every directory that got a new entry.
fn make_folder(path: &Path) -> io::Result<()> {
    let absolute = std::path::absolute(path)?;
    let there = absolute.ancestors().find(|ancestor| ancestor.is_dir()).map(Path::to_path_buf);
    fs::create_dir_all(&absolute)?;
    let Some(there) = there else { return Ok(()) };
    for directory in absolute.ancestors().take_while(|ancestor| ancestor.starts_with(&there)) {
        fs::File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Removes the folders below this one that have nothing in them, and itself then; a store of objects knows no folders and
/// leaves them behind.
pub(super) fn remove_empty(path: &Path) {
    let Ok(entries) = fs::read_dir(path) else { return };
    let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.for_each(|folder| remove_empty(&folder.path()));
    // It fails when something is left in it, as it should.
    let _ = fs::remove_dir(path);
}
