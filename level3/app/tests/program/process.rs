//! The program as a child.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use level3_sim::Dice;
use serde_json::Value;

/// Longer than the program needs for anything here, by far, whatever else runs on the machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A store in a folder of its own, with the simulated services beside it.
pub struct Place {
    folder: tempfile::TempDir,
    pub url: String,
}

impl Place {
    /// A file.
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("store").display());
        Self { folder, url }
    }

    /// A database, with a folder for the services.
    pub fn postgres(url: String) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), url }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The name of the simulated services' files.
    pub fn simulated(&self) -> PathBuf {
        self.folder.path().join("services")
    }

    /// The program on this store, with services that are twenty times as fast as the real ones.
    pub fn program(&self, args: &str) -> Command {
        self.program_at(20, args)
    }

    /// The same with services that are so many times as fast as the real ones.
    pub fn program_at(&self, speed: u32, args: &str) -> Command {
        let mut program = program(self.folder(), args);
        program.args(["--store", &self.url, "--speed", &speed.to_string()]);
        program.arg("--simulated").arg(self.simulated());
        program
    }
}

/// The program in a folder, with nothing of the environment that it looks at.
pub fn program(folder: &Path, args: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_payment-gateway"));
    program.current_dir(folder).args(args.split_whitespace()).stdin(Stdio::null());
    for variable in [
        "STRIPE_SECRET_KEY",
        "STRIPE_WEBHOOK_SECRET",
        "STRIPE_WEBHOOK_SECRET_FILE",
        "SENDGRID_API_KEY",
        "RUST_LOG",
        "PGPASSWORD",
        "PGPASSWORD_FILE",
        "PGPASSFILE",
        "PGSSLMODE",
        "PGSSLROOTCERT",
    ] {
        program.env_remove(variable);
    }
    program
}

/// A running program, killed when the test forgets it.
pub struct Running(Child);

impl Running {
    /// Starts it with its output thrown away.
    pub fn quietly(mut program: Command) -> Self {
        Self(program.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// What Ctrl-C sends.
    pub fn interrupt(&self) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    }

    /// Waits until it has ended, or fails.
    pub fn end(mut self) -> ExitStatus {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("the program has not ended after {PATIENCE:?}");
    }

    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails for one that has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The result, printed because of `--json`.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|why| panic!("{why}: {self:#?}"))
    }

    /// Checks that the exit code says whether all payments of the stream went through. A machine that is too
    /// busy to pay in time has payments that fail.
    pub fn code_fits(&self) {
        let result = self.json();
        let count = |name: &str| result["payments"][name].as_u64().unwrap();
        let not_paid = count("failed") + count("compensating") + count("refused");
        assert_eq!(self.code, Some(i32::from(not_paid > 0)), "{self:#?}");
    }
}

/// A running program whose output is read, so that no pipe fills up.
pub struct Followed {
    running: Running,
    stdout: Reader,
    stderr: Reader,
}

impl Followed {
    pub fn start(mut program: Command) -> Self {
        let mut child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Self { running: Running(child), stdout: Reader::new(stdout), stderr: Reader::new(stderr) }
    }

    /// Waits until the program has said this on standard error.
    pub fn says(&mut self, words: &str) {
        let begun = Instant::now();
        loop {
            // Asked for before the text is read: of a program that has ended, all words are there.
            let has_ended = self.stderr.has_ended();
            let said = self.stderr.text();
            if said.contains(words) {
                return;
            }
            assert!(!has_ended, "it has ended without {words:?}: {said}");
            assert!(begun.elapsed() < PATIENCE, "no {words:?} after {PATIENCE:?}: {said}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn interrupt(&self) {
        self.running.interrupt();
    }

    pub fn is_running(&mut self) -> bool {
        self.running.is_running()
    }

    /// `kill -9`.
    pub fn kill(self) {
        self.running.kill();
    }

    pub fn end(self) -> Ended {
        let status = self.running.end();
        let (stdout, stderr) = (self.stdout.end(), self.stderr.end());
        Ended { code: status.code(), stdout, stderr }
    }
}

/// Reads a pipe to its end, beside the test.
struct Reader {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: thread::JoinHandle<()>,
}

impl Reader {
    fn new(mut pipe: impl std::io::Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let read = Arc::clone(&bytes);
        let thread = thread::spawn(move || {
            let mut part = [0; 4096];
            loop {
                match pipe.read(&mut part).unwrap() {
                    0 => return,
                    count => read.lock().unwrap().extend_from_slice(&part[..count]),
                }
            }
        });
        Self { bytes, thread }
    }

    fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// What was read so far.
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// All of it.
    fn end(self) -> String {
        self.thread.join().unwrap();
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }
}

/// Runs it to its end.
pub fn run(program: Command) -> Ended {
    Followed::start(program).end()
}

/// Chance from the seed in `LEVEL3_KILL_SEED`, or from a new one, which is printed.
pub fn dice() -> Dice {
    let given = std::env::var("LEVEL3_KILL_SEED").ok();
    let seed = given.map_or_else(|| RandomState::new().hash_one(0), |seed| seed.parse().unwrap());
    println!("LEVEL3_KILL_SEED={seed}");
    Dice::new(seed)
}
