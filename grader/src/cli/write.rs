//! Results on their way out: whole or not at all.
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use thiserror::Error;

/// A result that could not be written.
#[derive(Debug, Error)]
pub(super) enum WriteError {
    /// The file cannot be made: a folder that is missing or read-only.
    #[error("cannot write {}: {source}. Nothing was graded; name another file with --output", .path.display())]
    Create { path: PathBuf, source: io::Error },
    /// It could be made, but not filled: a full disk.
    #[error("cannot finish {}: {source}. The file is as it was before", .path.display())]
    Finish { path: PathBuf, source: io::Error },
    /// Standard output went away for another reason than a closed pipe.
    #[error("cannot write to standard output: {0}")]
    Stdout(io::Error),
}

/// A file that appears under its name only when it is complete.
#[derive(Debug)]
pub(super) struct Pending {
    path: PathBuf,
}

impl Pending {
    /// Tries the folder before the work begins, so that the user does not wait for a result that cannot be
    /// written. An interrupted run leaves no file behind.
    pub(super) fn create(path: &Path) -> Result<Self, WriteError> {
        // A link stays a link: the file that it leads to is the one that is written.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        if path.is_dir() {
            let source = io::Error::from(io::ErrorKind::IsADirectory);
            return Err(WriteError::Create { path, source });
        }
        let pending = Pending { path };
        if pending.is_special() {
            // Not opened yet: the reader of a pipe would see it end.
            return Ok(pending);
        }
        match pending.beside() {
            Ok(_) => Ok(pending),
            Err(source) => Err(WriteError::Create { path: pending.path, source }),
        }
    }

    /// Writes the file and gives it its name. Styles are taken out.
    pub(super) fn finish(self, text: &str) -> Result<(), WriteError> {
        let plain = anstream::adapter::strip_str(text).to_string();
        let written = || -> io::Result<()> {
            if self.is_special() {
                return File::options().append(true).open(&self.path)?.write_all(plain.as_bytes());
            }
            let mut file = self.beside()?;
            file.write_all(plain.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&self.path).map_err(|error| error.error)?;
            Ok(())
        };
        written().map_err(|source| WriteError::Finish { path: self.path.clone(), source })
    }

    /// A file without a name of its own in the same folder.
    fn beside(&self) -> io::Result<NamedTempFile> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new();
        // A new file is one that others may read, as the umask says; an old one stays as it is.
        #[cfg(unix)]
        {
            use std::fs::Permissions;
            use std::os::unix::fs::PermissionsExt as _;
            let old = std::fs::metadata(&self.path).map(|old| old.permissions());
            file.permissions(old.unwrap_or_else(|_| Permissions::from_mode(0o666)));
        }
        file.tempfile_in(folder)
    }

    /// Whether the path leads to something that is no file and stays what it is: a pipe, a device.
    fn is_special(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|there| !there.is_file())
    }
}

/// Prints a result. A reader that has seen enough (`| head`) is no failure.
pub(super) fn to_stdout(text: &str) -> Result<(), WriteError> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(WriteError::Stdout),
    }
}
