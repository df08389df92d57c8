//! Spares a new target folder the build of everything that is not of the workspace, where another target
//! folder has those crates already, with the same features and profile.
//!
//! Cargo recognises what it has built by names that hold a hash of the crate, its features and its profile,
//! and by modification times. Both are kept. What cargo does not recognise it builds again.
//!
//! Compiled crates are hard links: rustc never changes one, it renames a new file to its place.
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Gives an empty target folder what cargo has built of other people's crates in `profile`, the folder of a
/// profile in another target folder: `target/debug`. What is not there is not missed. `root` is the workspace
/// whose lock file says which packages are other people's.
///
/// # Errors
///
/// The system's, when a file cannot be read or written.
pub fn seed(root: &Path, profile: &Path, target: &Path) -> io::Result<()> {
    let Some(name) = profile.file_name() else { return Ok(()) };
    let to = target.join(name);
    if to.exists() || !profile.join(".fingerprint").is_dir() {
        return Ok(());
    }
    copy_foreign(profile, &to, &workspace(&fs::read_to_string(root.join("Cargo.lock"))?))
}

/// The packages of a lock file that come from no registry: those of the workspace.
fn workspace(lock: &str) -> BTreeSet<String> {
    let mut packages = BTreeSet::new();
    for package in lock.split("[[package]]").filter(|package| !package.contains("\nsource = ")) {
        let name = package.lines().find_map(|line| line.strip_prefix("name = "));
        packages.extend(name.map(|name| name.trim_matches('"').to_owned()));
    }
    packages
}

/// Copies all but the workspace's packages from one profile folder to another.
fn copy_foreign(from: &Path, to: &Path, workspace: &BTreeSet<String>) -> io::Result<()> {
    let mut hashes = BTreeSet::new();
    for folder in [".fingerprint", "build"] {
        if !from.join(folder).is_dir() {
            continue;
        }
        for entry in fs::read_dir(from.join(folder))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some((package, hash)) = name.rsplit_once('-') else { continue };
            if !workspace.contains(package) {
                copy_tree(&entry.path(), &to.join(folder).join(&name))?;
                hashes.insert(hash.to_owned());
            }
        }
    }
    fs::create_dir_all(to.join("deps"))?;
    for entry in fs::read_dir(from.join("deps"))? {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let known = stem.rsplit_once('-').is_some_and(|(_, hash)| hashes.contains(hash));
        if known && let Some(name) = path.file_name() {
            copy(&path, &to.join("deps").join(name))?;
        }
    }
    Ok(())
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_tree(&path, &target)?;
        } else {
            copy(&path, &target)?;
        }
    }
    Ok(())
}

/// A hard link of a compiled crate; else a copy with the same modification time and permissions.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let compiled = from.extension().is_some_and(|kind| kind == "rlib" || kind == "rmeta");
    if compiled && fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    fs::copy(from, to)?;
    let modified = fs::metadata(from)?.modified()?;
    File::options().write(true).open(to)?.set_modified(modified)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn packages_without_a_source_are_the_workspaces() {
        let lock = "version = 4\n\n[[package]]\nname = \"level2\"\nversion = \"0.1.0\"\n\n[[package]]\n\
                    name = \"tokio\"\nversion = \"1.0.0\"\nsource = \"registry\"\n";
        assert_eq!(workspace(lock), ["level2".to_owned()].into());
    }

    #[test]
    fn other_crates_are_copied_with_their_times() {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        for file in [
            ".fingerprint/tokio-1a/lib-tokio",
            ".fingerprint/level2-2b/lib-level2",
            "build/libc-3c/out/a.txt",
            "deps/libtokio-1a.rlib",
            "deps/liblevel2-2b.rlib",
            "deps/unknown",
        ] {
            let path = from.join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(&path, file).expect("a file");
            let file = File::options().write(true).open(&path).expect("the file");
            file.set_modified(long_ago).expect("a time");
        }
        copy_foreign(&from, &to, &["level2".to_owned()].into()).expect("a copy");
        for file in
            [".fingerprint/tokio-1a/lib-tokio", "build/libc-3c/out/a.txt", "deps/libtokio-1a.rlib"]
        {
            let modified = fs::metadata(to.join(file)).and_then(|m| m.modified());
            assert_eq!(modified.expect(file), long_ago);
        }
        for file in [".fingerprint/level2-2b", "deps/liblevel2-2b.rlib", "deps/unknown"] {
            assert!(!to.join(file).exists(), "{file}");
        }
    }
}
