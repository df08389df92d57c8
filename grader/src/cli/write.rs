//! Results on their way out: whole or not at all.
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
    /// Tries the folder before the work begins, so that nobody waits for a result that cannot be
    /// kept. Nothing stays there meanwhile: a run that is interrupted leaves nothing behind.
    pub(super) fn create(path: &Path) -> Result<Self, WriteError> {
        let pending = Pending { path: path.to_path_buf() };
        match pending.beside() {
            Ok(_) => Ok(pending),
            Err(source) => Err(WriteError::Create { path: pending.path, source }),
        }
    }

    /// Writes the file and gives it its name. Styles are taken out.
    pub(super) fn finish(self, text: &str) -> Result<(), WriteError> {
        let plain = anstream::adapter::strip_str(text).to_string();
        let written = || -> io::Result<()> {
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
        NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))
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
