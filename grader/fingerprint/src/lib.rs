//! What a set of source files holds, as a number.
//!
//! Cargo decides by modification times whether a package has to be compiled again. Files out of an archive
//! bring old times along, a cache of another machine brings times of tomorrow, and two clones may share a
//! target folder: then cargo keeps a build of files that are not there any more. The grader does not rely
//! on times. It hashes what a package is built from and hands the number to the compiler in an environment
//! variable, see [`variable`]. Each package reads its variable with `option_env!`, so cargo compiles it
//! again when the number is another one, and the finished program can say what it was built from.
use std::fmt::{self, Write as _};
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

/// What the grader and its catalog are built from: its build script hashes these, and the grader compares.
pub const GRADER: &[&str] = &[
    "grader/Cargo.toml",
    "grader/build.rs",
    "grader/src",
    "grader/protocol",
    "grader/criteria",
    "grader/fingerprint",
];

/// A hash over names and contents of files. Its text form has 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The fingerprint of `parts` below `root`: files, or folders with all that is in them. Names count
/// relative to `root`, so that a copy elsewhere has the same fingerprint. A part that is missing counts
/// as missing.
///
/// Hidden files, what editors leave beside a file, and folders called `target` are left out; links to
/// folders are not followed.
#[must_use]
pub fn of(root: &Path, parts: &[&str]) -> Fingerprint {
    let mut hasher = DefaultHasher::new();
    for part in parts {
        add(&root.join(part), part, &mut hasher);
    }
    Fingerprint(hasher.finish())
}

/// The environment variable that carries the fingerprint of the package in a folder of the workspace:
/// `COURSE_SOURCES_LEVEL3_SIM` for `level3/sim`.
#[must_use]
pub fn variable(folder: &str) -> String {
    let mut name = "COURSE_SOURCES_".to_owned();
    for letter in folder.chars() {
        let letter = if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
        // Writing into a string does not fail.
        let _ = name.write_char(letter);
    }
    name
}

fn add(path: &Path, name: &str, hasher: &mut DefaultHasher) {
    name.hash(hasher);
    if !path.is_dir() {
        // Devices and pipes have no end; only what a file holds can have changed.
        let bytes = if path.is_file() { fs::read(path).ok() } else { None };
        return bytes.hash(hasher);
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut below: Vec<_> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let path = entry.path();
            let is_linked_folder = path.is_dir() && path.is_symlink();
            (!is_litter(&name) && !is_linked_folder).then_some((name, path))
        })
        .collect();
    below.sort();
    below.len().hash(hasher);
    for (name, path) in below {
        add(&path, &name, hasher);
    }
}

/// Whether a name is one of those that editors and cargo leave beside sources.
fn is_litter(name: &str) -> bool {
    name.starts_with(['.', '#']) || name.ends_with('~') || name == "target"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_and_names_count_and_times_do_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        fs::create_dir_all(root.join("a/src/deep")).expect("folders");
        fs::write(root.join("a/src/deep/b.rs"), "one").expect("a file");
        let look = || of(root, &["a/src", "a/Cargo.toml"]);
        let first = look();
        let file = fs::File::options().append(true).open(root.join("a/src/deep/b.rs"));
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        file.and_then(|file| file.set_modified(long_ago)).expect("a time");
        fs::write(root.join("a/src/deep/.b.rs.swp"), "an editor's").expect("a file");
        assert_eq!(look(), first);

        fs::write(root.join("a/src/deep/b.rs"), "two").expect("a file");
        assert_ne!(look(), first);
        fs::write(root.join("a/src/deep/b.rs"), "one").expect("a file");
        assert_eq!(look(), first);
        fs::write(root.join("a/Cargo.toml"), "").expect("a file");
        assert_ne!(look(), first, "an empty file is not a missing one");
        fs::remove_file(root.join("a/Cargo.toml")).expect("removed");
        fs::rename(root.join("a/src/deep"), root.join("a/src/flat")).expect("renamed");
        assert_ne!(look(), first);
    }

    #[test]
    fn a_copy_elsewhere_has_the_same_fingerprint() {
        let (one, two) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
        for root in [one.path(), two.path()] {
            fs::create_dir(root.join("src")).expect("a folder");
            fs::write(root.join("src/lib.rs"), "pub mod a;").expect("a file");
        }
        assert_eq!(of(one.path(), &["src"]), of(two.path(), &["src"]));
        assert_eq!(of(one.path(), &["src"]).to_string().len(), 16);
    }

    #[test]
    fn a_folder_has_a_variable() {
        assert_eq!(variable("grader/checks/level3"), "COURSE_SOURCES_GRADER_CHECKS_LEVEL3");
    }
}
