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
    file: NamedTempFile,
    path: PathBuf,
}

impl Pending {
    /// Tried before the work begins, so that nobody waits for a result that cannot be kept.
    pub(super) fn create(path: &Path) -> Result<Self, WriteError> {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
        NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))
            .map(|file| Pending { file, path: path.to_path_buf() })
            .map_err(|source| WriteError::Create { path: path.to_path_buf(), source })
    }

    /// Fills the file and gives it its name. Styles are taken out.
    pub(super) fn finish(mut self, text: &str) -> Result<(), WriteError> {
        let plain = anstream::adapter::strip_str(text).to_string();
        let failed = |source| WriteError::Finish { path: self.path.clone(), source };
        self.file.write_all(plain.as_bytes()).map_err(failed)?;
        self.file.as_file().sync_all().map_err(failed)?;
        match self.file.persist(&self.path) {
            Ok(_) => Ok(()),
            Err(error) => Err(WriteError::Finish { path: self.path, source: error.error }),
        }
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
