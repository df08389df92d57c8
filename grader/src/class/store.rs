//! The output folder: one folder for each fork, written as it finishes.
//!
//! ```text
//! OUT/gradebook.csv, class.md     the class
//! OUT/forks/NAME/result.json      a fork, and the other forms of it; written last
//! OUT/forks/NAME/files/...        the learner's files as they were graded
//! OUT/work                        pristine workspaces with their target folders; may be removed
//! ```
//!
//! A file appears when it is complete. There is no other record of what is done, so a run that was
//! interrupted or killed continues from the results that are there.
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::result::{ForkResult, SCHEMA_VERSION, hex};
use crate::starter::{FileError, files};
use crate::submission::Files;

/// Longer names of folders are cut.
const LONGEST_NAME: usize = 60;

/// The output folder of one run.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    /// Held while the store is open: one run writes into it.
    _lock: Option<File>,
}

/// The output folder cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The system said no.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another run writes there.
    #[error("another run writes into {}: wait for it, or name another folder with --out", .0.display())]
    InUse(PathBuf),
    /// It holds something else.
    #[error(
        "{} has files and no results of a class: name an empty or a new folder with --out",
        .0.display()
    )]
    Foreign(PathBuf),
    /// A result that cannot be read.
    #[error("{}: {why}. Remove it, then grade the fork again", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl Store {
    /// Opens the folder, and makes it if it is not there.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn open(root: &Path) -> Result<Store, StoreError> {
        let failed = |cause| FileError::new("write", root, cause);
        let is_known = root.join("forks").is_dir() || root.join("work/lock").is_file();
        let is_empty = fs::read_dir(root).map_or(true, |mut entries| entries.next().is_none());
        if !is_known && !is_empty {
            return Err(StoreError::Foreign(root.to_path_buf()));
        }
        for folder in ["forks", "work"] {
            fs::create_dir_all(root.join(folder)).map_err(failed)?;
        }
        let lock = File::create(root.join("work/lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(StoreError::InUse(root.to_path_buf())),
            Err(fs::TryLockError::Error(cause)) => return Err(failed(cause).into()),
        }
        Ok(Store { root: root.to_path_buf(), _lock: Some(lock) })
    }

    /// A folder whose results are only read.
    #[must_use]
    pub fn reading(root: &Path) -> Store {
        Store { root: root.to_path_buf(), _lock: None }
    }

    /// A file of the class.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Where workspaces and target folders are kept.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// The folder of a fork.
    #[must_use]
    pub fn folder(&self, name: &str) -> PathBuf {
        self.root.join("forks").join(folder_name(name))
    }

    /// Writes a file of a fork or of the class, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn write(&self, path: &Path, text: &str) -> Result<(), FileError> {
        files::write(path, text)
    }

    /// Keeps the learner's files of a level as they are graded.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn keep(&self, name: &str, level: &str, files: &Files) -> Result<(), FileError> {
        let folder = self.folder(name).join("files").join(level);
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .map_err(|cause| FileError::new("remove", &folder, cause))?;
        }
        for (path, bytes) in files.iter() {
            let path = folder.join(path);
            let failed = |cause| FileError::new("write", &path, cause);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).map_err(failed)?;
            }
            fs::write(&path, bytes).map_err(failed)?;
        }
        Ok(())
    }

    /// The result of a fork, if it has one.
    ///
    /// # Errors
    ///
    /// [`StoreError::File`] and [`StoreError::Damaged`].
    pub fn result(&self, name: &str) -> Result<Option<ForkResult>, StoreError> {
        read(&self.folder(name).join("result.json"))
    }

    /// All results, by name. One that cannot be read is an error in its place.
    ///
    /// # Errors
    ///
    /// [`StoreError::File`] when the folder cannot be read.
    pub fn results(&self) -> Result<BTreeMap<String, PathBuf>, StoreError> {
        let folder = self.root.join("forks");
        let failed = |cause| FileError::new("read", &folder, cause);
        let mut results = BTreeMap::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path().join("result.json");
            if path.is_file() {
                results.insert(path.display().to_string(), path);
            }
        }
        Ok(results)
    }
}

/// Reads a result.
///
/// # Errors
///
/// [`StoreError::File`] and [`StoreError::Damaged`].
pub fn read(path: &Path) -> Result<Option<ForkResult>, StoreError> {
    let Some(text) = files::read(path)? else { return Ok(None) };
    let damaged = |why: String| StoreError::Damaged { path: path.to_path_buf(), why };
    let result: ForkResult = serde_json::from_str(&text).map_err(|why| damaged(why.to_string()))?;
    if result.schema_version != SCHEMA_VERSION {
        return Err(damaged(format!(
            "it is of schema {}, not {SCHEMA_VERSION}",
            result.schema_version
        )));
    }
    Ok(Some(result))
}

/// A name as that of a folder: letters and digits of any script stay. A name that changes by that, or
/// that another one could meet on a file system that ignores case, gets the beginning of its hash.
fn folder_name(name: &str) -> String {
    let keeps = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let kept: String =
        name.chars().map(|letter| if keeps(letter) { letter } else { '_' }).collect();
    let kept = &kept[..kept.floor_char_boundary(LONGEST_NAME)];
    let plain = kept == name && !name.starts_with('.') && !name.ends_with('.') && !name.is_empty();
    if plain
        && name
            .chars()
            .all(|letter| !letter.is_uppercase() && (letter.is_ascii() || letter.is_lowercase()))
    {
        return kept.to_owned();
    }
    let hash = hex(&Sha256::digest(name.as_bytes()));
    format!("{}-{}", kept.trim_matches('.'), &hash[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_a_folder_of_its_own() {
        let names = [
            "anna",
            "Anna",
            "../up",
            "a/b",
            "a_b",
            "",
            ".",
            "..",
            "Ξένη",
            "名前",
            "con\u{0}trol",
            ".git",
        ];
        let folders: Vec<String> = names.iter().map(|name| folder_name(name)).collect();
        let distinct: std::collections::BTreeSet<String> =
            folders.iter().map(|name| name.to_lowercase()).collect();
        assert_eq!(distinct.len(), names.len(), "{folders:?}");
        for folder in &folders {
            assert!(!folder.starts_with('.') && !folder.contains(['/', '\\', '\0']), "{folder}");
        }
        assert_eq!(folder_name("anna"), "anna");
        assert!(folder_name(&"x".repeat(500)).len() < 80);
    }

    #[test]
    fn one_run_writes_into_a_folder_and_no_foreign_one_is_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("out");
        let store = Store::open(&out).expect("a new folder");
        assert!(matches!(Store::open(&out), Err(StoreError::InUse(_))));
        drop(store);
        assert!(Store::open(&out).is_ok());
        fs::create_dir(folder.path().join("photos")).expect("a folder");
        fs::write(folder.path().join("photos/a.jpg"), "").expect("a file");
        let refused = Store::open(&folder.path().join("photos")).expect_err("foreign").to_string();
        assert!(refused.contains("has files and no results"), "{refused}");
    }

    #[test]
    fn a_result_that_is_no_result_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("result.json");
        assert!(read(&path).expect("no result").is_none());
        fs::write(&path, "{").expect("a file");
        assert!(read(&path).expect_err("damaged").to_string().contains("grade the fork again"));
    }
}
