//! The ledger's file: its ownership, its permissions, and the lock that admits only one server.
//!
//! Two servers on one file would each have a ranking of their own and know nothing of the other's scores. A file may have
//! several names (links, paths), so the lock is on the file itself; beside it are the lock files by name that earlier releases
//! take. The operating system releases all of them when the process ends, however it ends.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use super::LedgerError;
use crate::repositories::cause::Cause;
use crate::repositories::private;

/// The files that SQLite, and this program, create beside the file.
const BESIDE: [&str; 4] = ["-wal", "-shm", "-journal", ".lock"];

/// The locks of the only server.
pub struct Held {
    _files: Vec<File>,
}

/// The file that a URL names.
pub fn of(url: &str) -> Result<PathBuf, LedgerError> {
    let path = url.strip_prefix("sqlite://").unwrap_or_default();
    if path.is_empty() || path.contains('?') {
        return Err(LedgerError::Unusable("the URL must look like sqlite://path/to/file.db, without parameters".into()));
    }
    Ok(PathBuf::from(path))
}

/// Creates the file and its directory if they are missing, withdraws others' access, and locks the file if it is to be
/// exclusive.
pub fn prepare(path: &Path, exclusive: bool) -> Result<Option<Held>, LedgerError> {
    let unavailable = |error: io::Error| LedgerError::Unavailable(Cause::because(format!("{}: {error}", path.display()), error));
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        private::make_directory(directory).map_err(unavailable)?;
    }
    // Opened only if necessary: closing it releases SQLite's own locks on it, if this process has any.
    let file = if exclusive || !path.exists() { Some(private::open_file(path).map_err(unavailable)?) } else { None };
    let real = fs::canonicalize(path).map_err(unavailable)?;
    private::tighten_file(&real).map_err(unavailable)?;
    for suffix in BESIDE {
        private::tighten_file(&named(&real, suffix)).map_err(unavailable)?;
    }
    let Some(file) = file.filter(|_| exclusive) else { return Ok(None) };
    let mut names = vec![real];
    // The name that an earlier release would lock, if it leads here over a link.
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let (Ok(directory), Some(name)) = (fs::canonicalize(directory), path.file_name()) {
        names.push(directory.join(name));
    }
    names.dedup();
    let locks = names.iter().map(|name| private::open_file(&named(name, ".lock")).map_err(unavailable));
    let mut files = locks.collect::<Result<Vec<_>, _>>()?;
    // On other systems this lock and SQLite's are of the same kind, and would exclude each other.
    if cfg!(target_os = "linux") {
        files.push(file);
    }
    for file in &files {
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                LedgerError::Unavailable(format!("another server already runs on {}", path.display()).into())
            }
            TryLockError::Error(error) => unavailable(error),
        })?;
    }
    Ok(Some(Held { _files: files }))
}

fn named(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
