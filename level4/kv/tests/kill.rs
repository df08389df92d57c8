//! A process that is killed while it writes, and one whose disk is full. Real files, on real time.
#![expect(clippy::disallowed_types, reason = "the test starts the process that it kills")]

use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use level4_kv::{DEFAULT_BYTES, Disk, StoreError};

/// Where the writer finds its file. The variable is not set when the writer runs as a test like another.
const FILE: &str = "LEVEL4_KV_FILE";
/// The number that it begins with.
const FIRST: &str = "LEVEL4_KV_FIRST";

/// How many keys it writes: number `n` has key `n % KEYS`.
const KEYS: &str = "LEVEL4_KV_KEYS";

/// A text of up to 30 000 bytes that shows its number, and whether all of it is there.
fn text(number: u64) -> String {
    let length = usize::try_from(number * 7919 % 30_000).expect("small");
    format!("{number}:{}", "x".repeat(length))
}

fn number(text: &str) -> u64 {
    let (number, _) = text.split_once(':').expect("a text with its number");
    number.parse().expect("a number")
}

/// The process that the tests start: it writes until it is killed, or until a write fails, and prints the number of each
/// write that was accepted.
#[test]
#[ignore = "the other tests start it in a process of its own"]
fn the_writer() {
    let (Some(file), Ok(first), Ok(keys)) = (env::var_os(FILE), env::var(FIRST), env::var(KEYS))
    else {
        return;
    };
    let store = Disk::open(file, DEFAULT_BYTES).expect("a store");
    let mut out = std::io::stdout().lock();
    let first: u64 = first.parse().expect("a number");
    let keys: u64 = keys.parse().expect("a number");
    for next in first.. {
        let written = store.write(&(next % keys).to_string(), &text(next));
        // A line of its own: libtest has begun one.
        let line = match &written {
            Ok(()) => format!("\naccepted {next}\n"),
            Err(error) => format!("\nrefused {error:?}\n"),
        };
        out.write_all(line.as_bytes()).and_then(|()| out.flush()).expect("the test reads");
        if written.is_err() {
            // What was accepted can be read, on a full disk too.
            assert!(store.read("0").is_ok_and(|kept| kept.is_some()));
            return;
        }
    }
}

/// Starts the writer. `shell` runs before it, in the same process.
fn writer(file: &Path, first: u64, keys: usize, shell: &str) -> (Child, BufReader<ChildStdout>) {
    let program = env::current_exe().expect("this program");
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{shell}\nexec \"$0\" \"$@\"")).arg(program);
    command.args(["--exact", "the_writer", "--ignored", "--nocapture"]);
    command.env(FILE, file).env(FIRST, first.to_string()).env(KEYS, keys.to_string());
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("sh");
    let lines = BufReader::new(child.stdout.take().expect("a pipe"));
    (child, lines)
}

/// Reads up to `most` numbers that were accepted, and remembers the last one of each key.
fn accepted(lines: &mut BufReader<ChildStdout>, most: u64, last: &mut [Option<u64>]) -> u64 {
    let mut count = 0;
    let mut line = String::new();
    while count < most && lines.read_line(&mut line).expect("a pipe") > 0 {
        // Without its end it may be cut.
        let number = line.strip_prefix("accepted ").and_then(|number| number.strip_suffix('\n'));
        if let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) {
            let key = usize::try_from(number).expect("small") % last.len();
            last[key] = Some(number);
            count += 1;
        }
        line.clear();
    }
    count
}

/// Every text that was accepted is there, or one that was written after it. The highest number.
fn all_there(file: &Path, last: &[Option<u64>]) -> u64 {
    let store = Disk::open(file, DEFAULT_BYTES).expect("the store opens");
    let mut highest = 0;
    for (key, accepted) in last.iter().enumerate() {
        let kept = store.read(&key.to_string()).expect("it can be read");
        let kept = kept.map(|kept| kept.text);
        let found = kept.as_deref().map(number);
        assert!(found >= *accepted, "key {key}: {accepted:?} was accepted, {found:?} is there");
        if let (Some(found), Some(kept)) = (found, kept) {
            assert_eq!(kept, text(found), "key {key}: only a part is there");
            highest = highest.max(found);
        }
    }
    highest
}

#[test]
#[cfg(unix)]
fn what_was_accepted_survives_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("copies");
    // Few keys: most writes replace a text.
    let mut last = vec![None; 16];
    let mut first = 0;
    for round in 0..12 {
        let (mut child, mut lines) = writer(&file, first, last.len(), "");
        let count = accepted(&mut lines, 1 + round * 3, &mut last);
        // On unix this is SIGKILL: in the middle of what the writer does next.
        child.kill().expect("it runs");
        child.wait().expect("its end");
        assert_eq!(count, 1 + round * 3, "the writer has ended by itself");
        // What it has still said before it died.
        accepted(&mut lines, u64::MAX, &mut last);
        first = all_there(&file, &last) + 1;
    }
}

#[test]
#[cfg(target_os = "linux")]
fn what_was_accepted_survives_a_full_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("copies");
    let mut last = vec![None; 1000];
    // A limit on the length of a file, in blocks of 512 bytes. Without the signal a write above it is an error.
    let (mut child, mut lines) = writer(&file, 0, last.len(), "trap '' XFSZ; ulimit -f 4000");
    assert!(accepted(&mut lines, 3, &mut last) == 3, "there is room for three");
    accepted(&mut lines, u64::MAX, &mut last);
    assert!(child.wait().expect("its end").success(), "the writer could not read on a full disk");
    let highest = all_there(&file, &last);
    assert!(highest > 3, "{highest}");
    let refused = Disk::open("/dev/full", DEFAULT_BYTES);
    assert!(
        matches!(refused, Err(StoreError::NoSpace { .. } | StoreError::Io { .. })),
        "{refused:?}"
    );
}
