//! Measurements in processes of their own: what hangs or crashes there ends nothing here, and memory is
//! what that process alone has.

use std::io::{self, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// What a process left behind.
#[derive(Debug, Clone)]
pub struct Output {
    /// The exit status.
    pub status: ExitStatus,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// Why there is no output.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program cannot be run.
    #[error("cannot be run: {0}")]
    Io(#[from] io::Error),
    /// It was stopped after the limit.
    #[error("gives no answer within {} s", .limit.as_secs())]
    TooLong {
        /// The time that it was given.
        limit: Duration,
    },
}

/// Runs `command` to its end, without input, and kills it after `limit` of real time.
///
/// # Errors
///
/// [`ProcessError`]. An exit code other than 0 is none.
pub fn run(command: &mut Command, limit: Duration) -> Result<Output, ProcessError> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    // Read while it runs: a full pipe would stop it.
    let (out, err) = (read(child.stdout.take()), read(child.stderr.take()));
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            let (out, err) = (out.recv().unwrap_or_default(), err.recv().unwrap_or_default());
            return Ok(Output { status, out, err });
        }
        if begin.elapsed() > limit {
            // It may end by itself in this very moment; then there is nothing to kill.
            let _ = child.kill();
            child.wait()?;
            return Err(ProcessError::TooLong { limit });
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// What this executable prints when it is started again with `variable` set to `value`: a program asks
/// for the variable first of all and then does only that part.
///
/// # Errors
///
/// What went wrong, in words: it could not be run, took too long, or ended with an error.
pub fn run_self(variable: &str, value: &str, limit: Duration) -> Result<String, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = run(Command::new(own).env(variable, value), limit).map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(output.out);
    }
    let last = output.err.lines().rfind(|line| !line.trim().is_empty());
    Err(format!("{}: {}", output.status, last.unwrap_or("no word of why")))
}

fn read(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What was read before an error is what there is.
            let _ = stream.read_to_end(&mut bytes);
        }
        // The receiver is gone after a kill.
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_is_stopped() {
        let begin = Instant::now();
        let ended = run(Command::new("sleep").arg("60"), Duration::from_millis(50));
        assert!(matches!(ended, Err(ProcessError::TooLong { .. })));
        assert!(begin.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn keeps_what_was_printed() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let output = run(&mut command, Duration::from_secs(60)).expect("there is a shell");
        assert_eq!((output.out.as_str(), output.err.as_str()), ("out\n", "err\n"));
        assert_eq!(output.status.code(), Some(3));
    }
}
