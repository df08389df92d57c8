//! The grader's own folder in cargo's target folder: it goes when that goes.
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::part::Part;

/// Bytes without which nothing can be built.
#[cfg(unix)]
const ROOM: u64 = 64 << 20;

/// The folder, for builds of the workspace at `root`. One grader builds in it at a time.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Held as long as the folder is in use; `None` where it cannot be written, and there cargo cannot
    /// build either and says so better.
    _lock: Option<File>,
}

impl Folder {
    /// Waits until no other grader builds in the same target folder.
    pub(super) fn open(root: &Path, target: Option<&Path>) -> Folder {
        let target = match (target, std::env::var_os("CARGO_TARGET_DIR")) {
            (Some(target), _) => target.to_path_buf(),
            (None, Some(target)) => root.join(target),
            (None, None) => root.join("target"),
        };
        let path = target.join("grader");
        let locked = || -> io::Result<File> {
            fs::create_dir_all(&path)?;
            let lock = File::create(path.join("lock"))?;
            lock.lock()?;
            Ok(lock)
        };
        let lock = locked().ok();
        Folder { path, _lock: lock }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the disk is full, which is what the text of a failed build speaks of. Such words can stand in
    /// a program too, so the disk is looked at.
    #[cfg(unix)]
    pub(super) fn is_full(&self, errors: &str) -> bool {
        let complains =
            errors.contains("No space left on device") || errors.contains("os error 28");
        let folder = self.path.ancestors().find(|folder| folder.is_dir());
        let room = folder.and_then(|folder| rustix::fs::statvfs(folder).ok());
        complains && room.is_some_and(|room| room.f_bavail * room.f_frsize < ROOM)
    }

    /// Elsewhere cargo's words have to do.
    #[cfg(not(unix))]
    pub(super) fn is_full(&self, _errors: &str) -> bool {
        false
    }

    /// Removes what rustc has kept of earlier builds of these targets.
    pub(super) fn forget(&self, targets: &[&str]) {
        let kept = self.path.with_file_name("debug").join("incremental");
        let ours = |name: &str| {
            let of = |target: &&str| {
                name.strip_prefix(&target.replace('-', "_"))
                    .is_some_and(|rest| rest.starts_with('-'))
            };
            targets.iter().any(of)
        };
        for entry in fs::read_dir(kept).into_iter().flatten().flatten() {
            if ours(&entry.file_name().to_string_lossy()) {
                let _ = fs::remove_dir_all(entry.path()); // the build that follows does not read it
            }
        }
    }

    /// Gives the binary of a part a name of its own. Cargo gives all binaries of a package the same
    /// one, and a second grader may have another one built while the first still judges.
    pub(super) fn keep(&self, part: &Part, binary: &Path) -> PathBuf {
        let mut kept = self.path.join(part.file_name());
        if let Some(extension) = binary.extension() {
            kept.set_extension(extension);
        }
        let new = self.path.join("new");
        let _ = fs::remove_file(&new); // what an interrupted run left
        let linked = fs::hard_link(binary, &new).or_else(|_| fs::copy(binary, &new).map(drop));
        match linked.and_then(|()| fs::rename(&new, &kept)) {
            Ok(()) => kept,
            Err(_) => binary.to_path_buf(), // right as long as no other grader runs
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_cache_goes_and_others_stay() {
        let target = std::env::temp_dir().join(format!("grader-forget-{}", std::process::id()));
        let kept = target.join("debug/incremental");
        for name in ["check_level4-1ab", "check_level4-2cd", "check_level41-3ef", "level4-4gh"] {
            fs::create_dir_all(kept.join(name)).expect("a folder");
        }
        let folder = Folder::open(&target, Some(&target));
        folder.forget(&["check-level4"]);
        let mut left: Vec<_> = fs::read_dir(&kept)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        left.sort();
        fs::remove_dir_all(&target).expect("our own folder");
        assert_eq!(left, ["check_level41-3ef", "level4-4gh"]);
    }
}
