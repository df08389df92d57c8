//! A fork as a folder.
use std::fs;
use std::path::{Path, PathBuf};

use super::{DEEPEST, Kind, TakeError, Tree};

/// A folder. Links are never followed.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(super) fn new(root: &Path) -> Folder {
        Folder { root: root.to_path_buf() }
    }
}

impl Tree for Folder {
    fn list(&mut self, each: &mut dyn FnMut(String, Kind) -> bool) -> Result<(), TakeError> {
        walk(&self.root, "", 0, each).map(drop)
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, TakeError> {
        let path = self.root.join(path);
        fs::read(&path).map_err(|source| TakeError::Io { path, source })
    }
}

/// Whether more is wanted.
fn walk(
    folder: &Path,
    name: &str,
    depth: usize,
    each: &mut dyn FnMut(String, Kind) -> bool,
) -> Result<bool, TakeError> {
    let io = |source| TakeError::Io { path: folder.to_path_buf(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        // A folder below that may not be read is no plain file either.
        Err(_) if depth > 0 => return Ok(each(name.to_owned(), Kind::Other)),
        Err(source) => return Err(io(source)),
    };
    for entry in entries {
        let entry = entry.map_err(io)?;
        let kind = entry.file_type().map_err(io)?;
        let file_name = entry.file_name();
        let text = file_name.to_string_lossy();
        let path = if name.is_empty() { text.into_owned() } else { format!("{name}/{text}") };
        let more = if file_name.to_str().is_none() {
            each(path, Kind::Other)
        } else if kind.is_dir() && depth < DEEPEST {
            // Nothing in it is listed, and it may be large.
            file_name == ".git" || walk(&entry.path(), &path, depth + 1, each)?
        } else if kind.is_file() {
            each(path, Kind::File(entry.metadata().map_err(io)?.len()))
        } else {
            each(path, Kind::Other)
        };
        if !more {
            return Ok(false);
        }
    }
    Ok(true)
}
