//! Cargo builds what has a new modification time. Files that come out of an archive, or from
//! `rsync -a`, bring their old times along: cargo would keep the binary that it has, and the grader
//! would judge code that is not there any more. So the grader remembers what it last built.
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Makes cargo look again at each package of the level whose files are not those of the last time: the
/// learner's, and those that the course provides for it in folders below. `records` is the folder that
/// remembers.
///
/// Does nothing where it cannot: a folder that may not be written cannot be built in either, and
/// cargo says so better.
pub(super) fn ensure(level: &Path, records: &Path) {
    let Some(name) = level.file_name().map(|name| name.to_string_lossy().into_owned()) else {
        return;
    };
    ensure_package(level, &records.join(&name));
    let below = fs::read_dir(level).into_iter().flatten().flatten();
    for entry in below.filter(|entry| is_package(&entry.path())) {
        let record = format!("{name}-{}", entry.file_name().to_string_lossy());
        ensure_package(&entry.path(), &records.join(record));
    }
}

/// Whether a folder holds a library that others can be built from.
fn is_package(folder: &Path) -> bool {
    folder.join("Cargo.toml").is_file() && folder.join("src/lib.rs").is_file()
}

fn ensure_package(package: &Path, record: &Path) {
    let now = fingerprint(package).to_string();
    if fs::read_to_string(record).is_ok_and(|last| last == now) {
        return;
    }
    let touched = File::options()
        .append(true)
        .open(package.join("src/lib.rs"))
        .and_then(|file| file.set_modified(SystemTime::now()));
    if touched.is_ok() {
        // Not written: the next run builds once more than it needs.
        let _ = fs::write(record, now);
    }
}

/// Paths and contents of all that a package is built from.
fn fingerprint(package: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    hash_file(&package.join("Cargo.toml"), &mut hasher);
    hash_folder(&package.join("src"), &mut hasher);
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

    #[test]
    fn a_provided_package_is_looked_at_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let level = folder.path().join("level9");
        let sim = level.join("sim");
        for package in [&level, &sim] {
            fs::create_dir_all(package.join("src")).expect("src");
            fs::write(package.join("Cargo.toml"), "").expect("manifest");
            fs::write(package.join("src/lib.rs"), "").expect("lib");
        }
        let target = folder.path().join("target");
        fs::create_dir(&target).expect("target");
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let (own, provided) = (level.join("src/lib.rs"), sim.join("src/lib.rs"));
        ensure(&level, &target);
        fs::write(&provided, "pub struct World;").expect("lib");
        for lib in [&own, &provided] {
            let file = File::options().append(true).open(lib).expect("lib");
            file.set_modified(long_ago).expect("time");
        }
        ensure(&level, &target);
        let modified = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).expect("time");
        assert!(modified(&provided) > long_ago, "the simulator has changed");
        assert_eq!(modified(&own), long_ago, "the level has not");
    }
}
