//! The switch in a check binary that says which planted solution it runs.
//!
//! The judged process has no environment and no arguments of ours, so the number stands in the binary itself,
//! behind [`MARK`]. Another solution is another number in a copy of the binary.
use std::fs::{self, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// What stands before the number.
const MARK: &str = "the planted solution of this run";

/// The expression that reads the number. The compiler cannot know the value, so it keeps all versions.
pub(super) fn expression() -> String {
    let length = MARK.len();
    let total = length + 4;
    let bytes: Vec<String> = (length..total).map(|at| format!("it[{at}]")).collect();
    format!(
        "{{ static PLANTED: [u8; {total}] = *b\"{MARK}\\0\\0\\0\\0\"; \
         let it = ::core::hint::black_box(&PLANTED); u32::from_le_bytes([{}]) }}",
        bytes.join(", ")
    )
}

/// A check binary whose switch can be set.
#[derive(Debug)]
pub(super) struct Switched {
    path: PathBuf,
    places: Vec<u64>,
}

impl Switched {
    /// Copies a binary into `folder`. A binary without a switch runs none of the code that the solutions change (the
    /// linker left it out), so every solution behaves there as the reference does.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(super) fn copy(binary: &Path, folder: &Path) -> io::Result<Switched> {
        let bytes = fs::read(binary)?;
        let places = places(&bytes, MARK.as_bytes()).collect();
        let path = folder.join("switched");
        // A new file: what an earlier run has left may still be running.
        if path.exists() {
            fs::remove_file(&path)?;
        }
        fs::copy(binary, &path)?;
        Ok(Switched { path, places })
    }

    /// The binary that runs the solution `number`; 0 is the reference. No process may run it any more.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(super) fn set(&self, number: u32) -> io::Result<&Path> {
        let mut file = when_free(|| OpenOptions::new().write(true).open(&self.path))?;
        for at in &self.places {
            file.seek(SeekFrom::Start(*at))?;
            file.write_all(&number.to_le_bytes())?;
        }
        drop(file);
        // A process that another thread starts at this moment holds the open file until it becomes another
        // program, and Linux does not start a program that is open for writing.
        let mut child = when_free(|| {
            let mut command = Command::new(&self.path);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
        })?;
        child.kill()?;
        child.wait()?;
        Ok(&self.path)
    }
}

/// Tries until the file is not busy, for a second at most.
fn when_free<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..100 {
        match attempt() {
            Err(why) if why.kind() == io::ErrorKind::ExecutableFileBusy => {
                thread::sleep(Duration::from_millis(10));
            }
            done => return done,
        }
    }
    attempt()
}

/// Where the number stands behind each `mark`.
fn places<'a>(bytes: &'a [u8], mark: &'a [u8]) -> impl Iterator<Item = u64> + 'a {
    let ends = mark.len()..;
    let found = bytes.windows(mark.len()).zip(ends).filter(move |(window, _)| *window == mark);
    found.map(|(_, end)| end as u64)
}
