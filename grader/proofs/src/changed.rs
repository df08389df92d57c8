//! What a solution changes of the reference.
use std::collections::BTreeSet;

use grader::catalog::module_of;
use grader::submission::Files;

/// The changed files of a level, with their new content; without one where the file is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed(Vec<(String, Option<Vec<u8>>)>);

impl Changed {
    /// What `files` changes of `reference`.
    #[must_use]
    pub fn between(reference: &Files, files: &Files) -> Changed {
        let paths: BTreeSet<&str> = reference.iter().chain(files.iter()).map(|(p, _)| p).collect();
        let changed = paths
            .into_iter()
            .filter(|path| files.get(path) != reference.get(path))
            .map(|path| (path.to_owned(), files.get(path).map(<[u8]>::to_vec)));
        Changed(changed.collect())
    }

    /// The paths, each with its new content.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.0.iter().map(|(path, bytes)| (path.as_str(), bytes.as_deref()))
    }

    /// The modules of the level that the files belong to.
    pub fn modules(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(path, _)| module_of(path))
    }

    /// Makes the changes in the reference's files.
    pub fn lay(&self, files: &mut Files) {
        for (path, bytes) in &self.0 {
            match bytes {
                Some(bytes) => files.insert(path.clone(), bytes.clone()),
                None => files.remove(path),
            }
        }
    }
}
