//! What a machine has.
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Everything that is looked at.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The course's version, and the oldest Rust that it works with.
    pub course: (&'static str, &'static str),
    /// The first line of `rustc --version`, or why there is none.
    pub rustc: Result<String, String>,
    /// The same of cargo.
    pub cargo: Result<String, String>,
    /// The same of git.
    pub git: Result<String, String>,
    /// The same of the C compiler, which the stores of level 3 need.
    pub cc: Result<String, String>,
    /// How a small program was compiled, linked and started.
    pub trial: Trial,
    /// The target folder.
    pub target: PathBuf,
    /// Whether it can be written, and who else uses it.
    pub target_state: Target,
    /// Bytes that are free on its disk, where that is known.
    pub free: Option<u64>,
    /// Bytes of memory that are available, where that is known.
    pub memory: Option<u64>,
    /// Whether this grader was built from the files in the workspace.
    pub is_current: bool,
    /// Variables that change how the learner's own cargo builds, and that the grader ignores.
    pub ignored: Vec<&'static str>,
    /// Why bubblewrap cannot be used, where it cannot. For teachers.
    pub no_sandbox: Option<String>,
}

/// A small program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trial {
    /// It works. Real times: compiling and linking, the first start, the second start.
    Works {
        /// Compiling and linking.
        built: Duration,
        /// The first start.
        first: Duration,
        /// The second one.
        second: Duration,
    },
    /// It does not compile or link: the compiler's words.
    NoLink(String),
    /// It cannot be started: the system's words.
    NoStart(String),
}

/// A target folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// It can be used.
    Free,
    /// Another cargo builds in it.
    Locked,
    /// It cannot be written: the system's words.
    ReadOnly(String),
}

impl Facts {
    /// Looks at the machine, for the workspace at `root`. Takes about a second.
    #[must_use]
    pub fn gather(root: &Path) -> Facts {
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(target) => root.join(target),
            None => root.join("target"),
        };
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        Facts {
            course: (env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_RUST_VERSION")),
            trial: trial(&rustc),
            rustc: version(&rustc),
            cargo: version(&cargo),
            git: version("git"),
            cc: version("cc"),
            target_state: target_state(&target),
            free: free(&target),
            target,
            memory: memory(),
            is_current: crate::build::is_current(root),
            ignored: ["RUSTFLAGS", "RUSTC_WRAPPER", "CARGO_BUILD_RUSTFLAGS"]
                .into_iter()
                .filter(is_set)
                .collect(),
            no_sandbox: crate::class::confine::available().1,
        }
    }
}

/// The first line that a program says about itself.
fn version(program: &str) -> Result<String, String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    let output = output.map_err(|why| why.to_string())?;
    if !output.status.success() {
        return Err(words(&output));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

fn trial(rustc: &str) -> Trial {
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(why) => return Trial::NoLink(why.to_string()),
    };
    let (source, program) = (folder.path().join("trial.rs"), folder.path().join("trial"));
    if let Err(why) = fs::write(&source, "fn main() {}") {
        return Trial::NoLink(why.to_string());
    }
    let start = Instant::now();
    let output =
        Command::new(rustc).arg(&source).arg("-o").arg(&program).stdin(Stdio::null()).output();
    let built = start.elapsed();
    match output {
        Err(why) => return Trial::NoLink(why.to_string()),
        Ok(output) if !output.status.success() => return Trial::NoLink(words(&output)),
        Ok(_) => {}
    }
    let run = || {
        let start = Instant::now();
        let status = Command::new(&program).stdin(Stdio::null()).status();
        status.map(|_| start.elapsed()).map_err(|why| why.to_string())
    };
    match (run(), run()) {
        (Ok(first), Ok(second)) => Trial::Works { built, first, second },
        (Err(why), _) | (_, Err(why)) => Trial::NoStart(why),
    }
}

fn target_state(target: &Path) -> Target {
    let read_only = |why: std::io::Error| Target::ReadOnly(why.to_string());
    // A folder that is not there yet is made by the first build: the one that holds it counts.
    let Some(there) = target.ancestors().find(|folder| folder.is_dir()) else {
        return Target::ReadOnly("there is no such disk".to_owned());
    };
    if let Err(why) = tempfile::tempfile_in(there) {
        return read_only(why);
    }
    // Cargo holds this lock while it builds.
    let Ok(lock) = File::options().read(true).write(true).open(target.join("debug/.cargo-lock"))
    else {
        return Target::Free;
    };
    match lock.try_lock() {
        Err(TryLockError::WouldBlock) => Target::Locked,
        _ => Target::Free,
    }
}

#[cfg(unix)]
fn free(target: &Path) -> Option<u64> {
    let folder = target.ancestors().find(|folder| folder.is_dir())?;
    let room = rustix::fs::statvfs(folder).ok()?;
    Some(room.f_bavail * room.f_frsize)
}

#[cfg(not(unix))]
fn free(_target: &Path) -> Option<u64> {
    None
}

/// Linux says so in a file; elsewhere it is not known.
fn memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes << 10)
}
