//! The switch in a check binary that says which planted solution it runs.
//!
//! The judged process has no environment and no arguments of ours, so the number stands in the binary itself,
//! behind [`MARK`]. Another solution is another number in a copy of the binary.
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
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
    bytes: Vec<u8>,
    places: Vec<usize>,
    folder: PathBuf,
    /// The copy that was written last.
    last: Option<PathBuf>,
}

impl Switched {
    /// Reads a binary; its copies are written to `folder`.
    ///
    /// # Errors
    ///
    /// The system's, or when the binary has no switch.
    pub(super) fn read(binary: &Path, folder: &Path) -> io::Result<Switched> {
        let bytes = fs::read(binary)?;
        let places: Vec<usize> = places(&bytes, MARK.as_bytes()).collect();
        if places.is_empty() {
            let why = format!("{} has no switch for planted solutions", binary.display());
            return Err(io::Error::other(why));
        }
        Ok(Switched { bytes, places, folder: folder.to_path_buf(), last: None })
    }

    /// Writes the binary that runs the solution `number`; 0 is the reference. Each is a file of its own: a
    /// program that may still run cannot be written to.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(super) fn set(&mut self, number: u32) -> io::Result<&Path> {
        if let Some(last) = self.last.take() {
            fs::remove_file(last)?;
        }
        for at in &self.places {
            let at = at + MARK.len();
            self.bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        let path = self.folder.join(format!("switched-{number}"));
        write_program(&path, &self.bytes)?;
        Ok(self.last.insert(path))
    }
}

impl Drop for Switched {
    fn drop(&mut self) {
        if let Some(last) = self.last.take() {
            let _ = fs::remove_file(last); // the next run writes over it
        }
    }
}

/// Writes a program and waits until it can be started: a process that another thread starts at this moment
/// holds the open file until it becomes another program, and Linux refuses to start a file that is open for
/// writing.
fn write_program(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o755);
    options.open(path)?.write_all(bytes)?;
    for _ in 0..100 {
        let mut command = Command::new(path);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.spawn() {
            Ok(mut child) => {
                child.kill()?;
                child.wait()?;
                return Ok(());
            }
            Err(why) if why.kind() == io::ErrorKind::ExecutableFileBusy => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(why) => return Err(why),
        }
    }
    Err(io::ErrorKind::ExecutableFileBusy.into())
}

/// Where `mark` stands.
fn places<'a>(bytes: &'a [u8], mark: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let first = mark.first().copied().unwrap_or_default();
    let starts = bytes.iter().enumerate().filter(move |(_, byte)| **byte == first).map(|it| it.0);
    starts.filter(move |at| bytes[*at..].starts_with(mark))
}
