//! Cargo builds what has a new modification time. Files that come out of an archive, or from
//! `rsync -a`, bring their old times along: cargo would keep the binary that it has, and the grader
//! would judge code that is not there any more. So the grader remembers what it last built.
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Makes cargo look at the level again if its files are not those of the last time, which `folder`
/// remembers.
///
/// Does nothing where it cannot: a folder that may not be written cannot be built in either, and
/// cargo says so better.
pub(super) fn ensure(level: &Path, folder: &Path) {
    let Some(name) = level.file_name() else { return };
    let record = folder.join(name);
    let now = fingerprint(level).to_string();
    if fs::read_to_string(&record).is_ok_and(|last| last == now) {
        return;
    }
    let touched = File::options()
        .append(true)
        .open(level.join("src/lib.rs"))
        .and_then(|file| file.set_modified(SystemTime::now()));
    if touched.is_ok() {
        // Not written: the next run builds once more than it needs.
        let _ = fs::write(record, now);
    }
}

/// Paths and contents of all that the level is built from.
fn fingerprint(level: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    hash_file(&level.join("Cargo.toml"), &mut hasher);
    hash_folder(&level.join("src"), &mut hasher);
    hasher.finish()
}

fn hash_folder(folder: &Path, hasher: &mut DefaultHasher) {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        // A link to a folder could lead back here.
        if path.is_dir() && !path.is_symlink() {
            hash_folder(&path, hasher);
        } else {
            hash_file(&path, hasher);
        }
    }
}

fn hash_file(path: &Path, hasher: &mut DefaultHasher) {
    path.hash(hasher);
    // Devices and pipes have no end; only what a file holds can have changed.
    if path.is_file() {
        fs::read(path).ok().hash(hasher);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_file_with_an_old_time_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let level = folder.path().join("level9");
        fs::create_dir_all(level.join("src")).expect("src");
        let lib = level.join("src/lib.rs");
        fs::write(&lib, "pub mod a;").expect("lib");
        fs::write(level.join("src/a.rs"), "one").expect("a");
        let target = folder.path().join("target");
        fs::create_dir(&target).expect("target");
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let age = |path: &Path| {
            File::options()
                .append(true)
                .open(path)
                .and_then(|f| f.set_modified(long_ago))
                .expect("time");
        };
        let modified = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).expect("time");

        ensure(&level, &target);
        age(&lib);
        ensure(&level, &target);
        assert_eq!(modified(&lib), long_ago, "nothing has changed");

        fs::write(level.join("src/a.rs"), "two").expect("a");
        age(&level.join("src/a.rs"));
        ensure(&level, &target);
        assert!(modified(&lib) > long_ago, "a.rs is another one");
    }
}
