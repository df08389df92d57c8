//! The program as a child, and chance.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

/// Longer than the program needs for anything here, by far, whatever else runs on the machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A running program. It is killed when the test forgets it.
pub struct Running {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
}

/// The program in this folder, with nothing of the environment that it looks at.
pub fn program(folder: &Path, args: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_notifier"));
    program.current_dir(folder).args(args.split_whitespace()).stdin(Stdio::null());
    program.env_remove("RUST_LOG").env_remove("NOTIFIER_SMTP_URL");
    program
}

impl Running {
    pub fn start(mut program: Command) -> Self {
        let mut child = program.stdout(Stdio::piped()).spawn().unwrap();
        let (send, lines) = mpsc::unbounded_channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        Self { child, lines }
    }

    /// Waits for a line with these words, and returns the word after them.
    pub async fn says(&mut self, words: &str) -> String {
        let found = async {
            while let Some(line) = self.lines.recv().await {
                if let Some((_, rest)) = line.split_once(words) {
                    return rest.split_whitespace().next().unwrap_or_default().to_owned();
                }
            }
            panic!("the program has ended without {words:?}");
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap()
    }

    /// Where it listens, as a URL without a slash at the end.
    pub async fn url(&mut self) -> String {
        let address = self.says("http://").await;
        format!("http://{}", address.trim_end_matches(['/', '.']))
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "the program has ended by itself");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What Ctrl-C sends, and the end.
    pub fn interrupt(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        self.wait()
    }

    pub fn wait(&mut self) -> ExitStatus {
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

impl Drop for Running {
    fn drop(&mut self) {
        // Fails for one that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Chance from the seed in `NOTIFIER_SEED`, or from a new one, which is printed.
pub struct Dice(u64);

impl From<u64> for Dice {
    fn from(seed: u64) -> Self {
        Self(seed)
    }
}

impl Dice {
    pub fn new() -> Self {
        let given = std::env::var("NOTIFIER_SEED").ok();
        let seed =
            given.map_or_else(|| RandomState::new().hash_one(0), |seed| seed.parse().unwrap());
        println!("NOTIFIER_SEED={seed}");
        Self(seed)
    }

    /// A number below `end`, by SplitMix64.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}
