//! Files and directories that only the user who runs the server may read: scores, secrets of tokens, and files beside them.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

const OTHERS: u32 = 0o077;
const STICKY: u32 = 0o1000;

/// Creates a directory and its parents if they are missing: mode 0700.
pub fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Withdraws others' access to an existing directory. One that is shared by its nature (`/`, or sticky like `/tmp`) stays as it
/// is, as does one that belongs to another user: that is logged, and its contents are protected file by file.
pub fn tighten_directory(path: &Path) {
    let Ok(path) = fs::canonicalize(path) else { return };
    let Ok(metadata) = fs::metadata(&path) else { return };
    let mode = metadata.permissions().mode();
    if !metadata.is_dir() || mode & OTHERS == 0 {
        return;
    }
    let shared = mode & STICKY != 0 || path.parent().is_none();
    if shared || fs::set_permissions(&path, Permissions::from_mode(mode & 0o7777 & !OTHERS)).is_err() {
        tracing::warn!(directory = %path.display(), "others can look into DATA_DIR, and its mode cannot be changed to 0700");
    }
}

/// Withdraws others' access to a file, if it exists.
pub fn tighten_file(path: &Path) -> io::Result<()> {
    let mode = match fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if mode & OTHERS == 0 { Ok(()) } else { fs::set_permissions(path, Permissions::from_mode(mode & 0o7777 & !OTHERS)) }
}

/// Opens a file for writing, creating it with mode 0600 if it is missing. Its contents stay.
pub fn open_file(path: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).write(true).mode(0o600).open(path)
}
