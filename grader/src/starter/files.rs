//! Reading and writing files: whole or not at all.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use thiserror::Error;

/// A file or a folder could not be read or written.
#[derive(Debug, Error)]
#[error("cannot {action} {}: {cause}{}", .path.display(), advice(.cause))]
pub struct FileError {
    /// What was tried: `read`, `write`, `remove`.
    pub action: &'static str,
    /// The file or the folder.
    pub path: PathBuf,
    /// The error of the operating system.
    pub cause: io::Error,
}

impl FileError {
    pub(crate) fn new(action: &'static str, path: &Path, cause: io::Error) -> Self {
        Self { action, path: path.to_path_buf(), cause }
    }
}

fn advice(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room on that disk and run the command again"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; make the file and its folder writable and run the command again"
        }
        io::ErrorKind::InvalidData => "; a source file has to be UTF-8",
        _ => "",
    }
}

/// The text of a file, or `None` when there is none.
pub(crate) fn read(path: &Path) -> Result<Option<String>, FileError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(FileError::new("read", path, cause)),
    }
}

/// Whether a path names a source file of a level. What editors and file systems leave beside one does not
/// count: swap files (`.race.rs.swp`), locks (`.#race.rs`), resource forks (`._race.rs`) and backups
/// (`race.rs.orig`), nor anything in a hidden folder.
pub(super) fn is_source(path: &str) -> bool {
    path.ends_with(".rs") && !path.split('/').any(|name| name.starts_with('.'))
}

/// The source files below `folder`, relative to `root`, with `/`, sorted. Links are not followed.
pub(super) fn rust_files(root: &Path, folder: &str) -> Result<Vec<String>, FileError> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let path = root.join(&folder);
        let failed = |cause| FileError::new("read", &path, cause);
        for entry in std::fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            // Cargo knows no module whose name is not UTF-8.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = format!("{folder}/{name}");
            if name.starts_with('.') {
                continue;
            }
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() && is_source(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Whether two texts are the same apart from how their lines end: git may check out `\r\n` for what
/// was committed with `\n`.
pub(super) fn same_text(one: &str, other: &str) -> bool {
    one.lines().eq(other.lines())
}

/// Writes a file so that it has either its old text or its new one, whatever happens meanwhile.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), FileError> {
    stage(path, text)?.put()
}

/// A new text, written out beside the file that it will replace.
pub(super) struct Staged {
    file: NamedTempFile,
    path: PathBuf,
}

/// Writes `text` beside `path`: what can fail for want of space or of a right fails here.
pub(super) fn stage(path: &Path, text: &str) -> Result<Staged, FileError> {
    let failed = |cause| FileError::new("write", path, cause);
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".starter-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // As `std::fs::write` would: the umask takes away what it should.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    if let Ok(old) = std::fs::metadata(path) {
        if old.permissions().readonly() {
            return Err(failed(io::ErrorKind::PermissionDenied.into()));
        }
        std::fs::set_permissions(file.path(), old.permissions()).map_err(failed)?;
    }
    file.as_file().sync_all().map_err(failed)?;
    Ok(Staged { file, path: path.to_path_buf() })
}

impl Staged {
    /// Lets the new text take the place of the old one.
    pub(super) fn put(self) -> Result<(), FileError> {
        let Self { file, path } = self;
        let put = file.persist(&path);
        put.map(drop).map_err(|failure| FileError::new("write", &path, failure.error))
    }
}

/// Removes a file; that there is none is well too.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(FileError::new("remove", path, cause))
        }
        _ => Ok(()),
    }
}

/// Removes the folders between `path` and `top` that are empty, the deepest first. `top` itself stays.
pub(crate) fn remove_empty_folders(path: &Path, top: &Path) -> Result<(), FileError> {
    for folder in path.ancestors().skip(1).take_while(|folder| *folder != top) {
        match std::fs::remove_dir(folder) {
            Ok(()) => {}
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) if cause.kind() == io::ErrorKind::DirectoryNotEmpty => break,
            Err(cause) => return Err(FileError::new("remove", folder, cause)),
        }
    }
    Ok(())
}
