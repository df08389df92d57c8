//! An emulator of Stripe that is not ours: `seahaven-stripe-world` from PyPI, as a process of its own.
//!
//! Started once for a test binary, where Python 3.13 or newer is found and the package can be had.
//! Otherwise the tests that want it are skipped, and say why on standard error.

#![expect(clippy::disallowed_types, reason = "the emulator is a process")]

use std::ffi::OsString;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

/// From the start to the first answer: an installation from the network included.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// The emulator. It ends with this process, since its input does.
struct World {
    port: u16,
    _process: Child,
}

static WORLD: OnceCell<Result<World, String>> = OnceCell::const_new();

/// The base URL of a fresh account with this name, or none, with a word on standard error.
pub async fn account(name: &str) -> Option<String> {
    match WORLD.get_or_init(start).await {
        Ok(world) => Some(format!("http://127.0.0.1:{}/worlds/{name}", world.port)),
        Err(reason) => {
            // Past the test runner, which shows nothing of a test that passes.
            let why = format!("skipped, no emulator of Stripe: {reason}");
            let _ = writeln!(std::io::stderr(), "the test with the account {name}: {why}");
            None
        }
    }
}

async fn start() -> Result<World, String> {
    let python = python().ok_or("no Python 3.13 or newer is found")?;
    let target = target().ok_or("the target folder is not found")?;
    let log_path = target.join("stripe-world.log");
    let log = std::fs::OpenOptions::new().create(true).truncate(true).write(true).open(&log_path);
    let log = log.map_err(|why| format!("{}: {why}", log_path.display()))?;
    let port = free_port().map_err(|why| why.to_string())?;
    let mut process = Command::new(python)
        .arg(Path::new("tests").join("support").join("stripe_world.py"))
        .arg(target.join("stripe-world"))
        .arg(port.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(|why| why.to_string())?;
    let begun = Instant::now();
    loop {
        if tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok() {
            return Ok(World { port, _process: process });
        }
        let ended = process.try_wait().map_err(|why| why.to_string())?;
        if ended.is_some() || begun.elapsed() > READY_WITHIN {
            let _ = (process.kill(), process.wait());
            let log = std::fs::read_to_string(&log_path).unwrap_or_default();
            let last = log.lines().last().unwrap_or("no word from it");
            return Err(format!("{last} (see {})", log_path.display()));
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// A port that is free now. If another process takes it in between, the emulator ends, and the test is
/// skipped.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// `target/PROFILE/deps/TEST` is running.
fn target() -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.ancestors().nth(3)?.to_owned())
}

/// A Python that can run it: `STRIPE_WORLD_PYTHON`, one in the path, or one of pyenv's.
fn python() -> Option<OsString> {
    let named = std::env::var_os("STRIPE_WORLD_PYTHON");
    let in_path = ["python3.14", "python3.13", "python3", "python"].map(OsString::from);
    let versions =
        PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".pyenv/versions");
    let pyenv = std::fs::read_dir(versions).into_iter().flatten().flatten();
    let pyenv = pyenv.map(|version| version.path().join("bin").join("python").into_os_string());
    named.into_iter().chain(in_path).chain(pyenv).find(|python| {
        let check = "import sys, pip; assert sys.version_info >= (3, 13)";
        let checked = Command::new(python)
            .args(["-c", check])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        checked.is_ok_and(|status| status.success())
    })
}
