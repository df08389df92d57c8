//! The program as a child.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use event_processor::chance::mix;
use serde_json::Value;

/// Longer than the program needs for anything here, by far, whatever else runs on the machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder of its own, with the journal in it.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The segments of the journal, oldest first.
    pub fn segments(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.file("events.journal")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut segments: Vec<_> =
            paths.filter(|path| path.extension().is_some_and(|it| it == "segment")).collect();
        segments.sort();
        segments
    }

    /// Waits until the journal has so many bytes.
    pub fn has_bytes(&self, bytes: u64) {
        eventually("bytes in the journal", || {
            // A segment may go while it is looked at.
            let length = |file: PathBuf| file.metadata().map_or(0, |file| file.len());
            let folder = self.file("events.journal");
            folder.exists() && self.segments().into_iter().map(length).sum::<u64>() > bytes
        });
    }

    /// The program in this folder, with nothing of the environment that it looks at.
    pub fn program(&self, args: &str) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_event-processor"));
        program.current_dir(self.folder()).args(args.split_whitespace()).stdin(Stdio::null());
        program.env_remove("RUST_LOG");
        program
    }

    /// Runs it to its end.
    pub fn run(&self, args: &str) -> Ended {
        Followed::start(self.program(args)).end()
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

    /// The counts of the result, which must add up.
    pub fn balance(&self) -> Balance {
        let json = self.json();
        let count = |name: &str| json["balance"][name].as_u64().unwrap();
        assert_eq!(json["balance"]["wrong"], Value::Array(Vec::new()), "{self:#?}");
        assert_eq!(count("lost"), 0, "{self:#?}");
        let [accepted, delivered] = ["accepted", "delivered"].map(count);
        Balance { accepted, delivered, dead: count("dead"), pending: count("pending") }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    pub accepted: u64,
    pub delivered: u64,
    pub dead: u64,
    pub pending: u64,
}

/// A running program whose output is read, so that no pipe fills up. It is killed when the test forgets it.
pub struct Followed {
    child: Child,
    stdout: Reader,
    stderr: Reader,
}

impl Followed {
    pub fn start(mut program: Command) -> Self {
        let mut child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Self { child, stdout: Reader::new(stdout), stderr: Reader::new(stderr) }
    }

    /// Waits until it has printed something.
    pub fn prints(&mut self) {
        eventually("something printed", || self.stdout.has_read() || self.stdout.has_ended());
    }

    /// Waits until it has said this on standard error.
    pub fn says(&mut self, words: &str) {
        eventually(words, || {
            // Asked for before the text is read: of a program that has ended, all words are there.
            let has_ended = self.stderr.has_ended();
            let said = self.stderr.text();
            let is_said = said.contains(words);
            assert!(is_said || !has_ended, "it has ended without {words:?}: {said}");
            is_said
        });
    }

    /// Waits until it has said these words on standard error, and returns the rest of their line.
    pub fn said_after(&mut self, words: &str) -> String {
        // The whole line: its end may come in another read.
        eventually(words, || {
            let text = self.stderr.text();
            text.split_once(words).is_some_and(|(_, rest)| rest.contains('\n'))
        });
        let text = self.stderr.text();
        let rest = text.split_once(words).map_or("", |(_, rest)| rest);
        rest.lines().next().unwrap_or_default().to_owned()
    }

    /// `kill -9`. Returns what it had printed.
    pub fn kill(mut self) -> String {
        assert!(self.child.try_wait().unwrap().is_none(), "the program has ended by itself");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.stdout.end()
    }

    /// What Ctrl-C sends.
    pub fn interrupt(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    }

    pub fn end(mut self) -> Ended {
        let status = self.wait();
        Ended { code: status.code(), stdout: self.stdout.end(), stderr: self.stderr.end() }
    }

    fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("the program has not ended after {PATIENCE:?}");
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        // Fails for one that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a pipe to its end, beside the test.
struct Reader {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Reader {
    fn new(mut pipe: impl std::io::Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let read = Arc::clone(&bytes);
        let thread = thread::spawn(move || {
            let mut part = [0; 1 << 16];
            loop {
                match pipe.read(&mut part).unwrap() {
                    0 => return,
                    count => read.lock().unwrap().extend_from_slice(&part[..count]),
                }
            }
        });
        Self { bytes, thread: Some(thread) }
    }

    fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(thread::JoinHandle::is_finished)
    }

    fn has_read(&self) -> bool {
        !self.bytes.lock().unwrap().is_empty()
    }

    /// What was read so far.
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// All of it.
    fn end(&mut self) -> String {
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        self.text()
    }
}

/// Waits until something is so.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Chance from the seed in `EVENT_PROCESSOR_SEED`, or from a new one, which is printed.
pub struct Dice(u64);

impl Dice {
    pub fn new() -> Self {
        let given = std::env::var("EVENT_PROCESSOR_SEED").ok();
        let seed =
            given.map_or_else(|| RandomState::new().hash_one(0), |seed| seed.parse().unwrap());
        println!("EVENT_PROCESSOR_SEED={seed}");
        Self(seed)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = mix(self.0);
        self.0 % end
    }
}
