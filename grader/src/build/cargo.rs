//! Runs the nested cargo: pinned to what a verdict rests on, and watched until it is done or stuck.
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::messages::Messages;
use super::{BuildError, Step, limits};
use crate::interrupt::Guarded;

/// Settings of the profile that a verdict rests on, whatever the user's configuration says.
const PINNED: &[&str] = &[
    "profile.dev.panic=\"unwind\"",
    "profile.dev.overflow-checks=true",
    "profile.dev.debug-assertions=true",
    "profile.dev.opt-level=0",
    // The place of a panic stands in the code itself, and a check prints no backtrace.
    "profile.dev.debug=0",
];

/// Variables that change what is compiled, or belong to an outer `cargo run` or `cargo test`: a nested
/// cargo that inherits those builds everything again.
const REMOVED: &[&str] =
    &["RUSTFLAGS", "RUSTC_BOOTSTRAP", "CARGO_BUILD_RUSTFLAGS", "CARGO_BUILD_WARNINGS"];
const REMOVED_GROUPS: &[&str] = &["CARGO_PKG_", "CARGO_MANIFEST", "CARGO_PROFILE_"];

/// Variables that stand above the user's configuration. A wrapper of the compiler may start a server
/// (a compile cache), which would keep the limits of this build after it.
const SET: &[(&str, &str)] =
    &[("CARGO_ENCODED_RUSTFLAGS", ""), ("RUSTC_WRAPPER", ""), ("RUSTC_WORKSPACE_WRAPPER", "")];

/// Real time in which no process of the build uses any CPU time.
const MOST_ASLEEP: Duration = Duration::from_secs(30);

/// CPU time of all processes of the build together since cargo last said something. The largest package
/// needs 40 s, and a machine of two cores compiles two at a time.
const MOST_CPU: Duration = Duration::from_secs(200);

/// How often a build that says nothing is looked at, and after how many looks the user hears of it.
const LOOK: Duration = Duration::from_secs(1);
const LOOKS_UNTIL_NOTICE: u32 = 15;

/// What cargo says on standard error while all is well.
const STATUS: &[&str] = &[
    "Compiling",
    "Finished",
    "Blocking",
    "Updating",
    "Downloading",
    "Downloaded",
    "Locking",
    "Adding",
    "Fresh",
    "Building",
    "Checking",
    "Dirty",
];

/// The outcome of a run of cargo.
#[derive(Debug, Default)]
pub(super) struct Ran {
    pub(super) messages: Messages,
    /// What cargo said beside its messages, without the lines about its work.
    pub(super) stderr: String,
    /// Why it was stopped, if it was.
    pub(super) stuck: Option<Stuck>,
}

/// A build that was stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stuck {
    /// The packages that were being compiled.
    pub(super) packages: Vec<String>,
    /// The evidence for it.
    pub(super) why: String,
}

/// The command with everything that does not depend on what is built.
pub(super) fn pinned(cargo: &str) -> Command {
    let mut command = Command::new(cargo);
    command.arg("build");
    command.args(PINNED.iter().flat_map(|value| ["--config", value]));
    for (key, _) in std::env::vars_os() {
        let name = key.to_string_lossy();
        if REMOVED.contains(&name.as_ref())
            || REMOVED_GROUPS.iter().any(|group| name.starts_with(group))
        {
            command.env_remove(&key);
        }
    }
    command.envs(SET.iter().copied());
    command
}

enum Heard {
    Message(Vec<u8>),
    Said(String),
}

/// Runs the command. `progress` hears what is done, and what takes long.
pub(super) fn run(
    mut command: Command,
    cargo: String,
    progress: &mut dyn FnMut(Step<'_>),
) -> Result<Ran, BuildError> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().map_err(|source| BuildError::NoCargo { cargo, source })?;
    let group = Guarded::new(child.id());
    limits::set(&child);
    let (tell, heard) = channel();
    read(child.stdout.take(), tell.clone(), Heard::Message);
    read(child.stderr.take(), tell, |line| {
        Heard::Said(String::from_utf8_lossy(&line).into_owned())
    });

    let mut ran = Ran::default();
    let mut started: Vec<String> = Vec::new();
    let mut watch = Watch::default();
    let mut told = false;
    loop {
        match heard.recv_timeout(LOOK) {
            Ok(Heard::Message(line)) => {
                watch.heard();
                if let Some(target) = ran.messages.read(&line) {
                    started.retain(|package| package.replace('-', "_") != target.replace('-', "_"));
                    progress(Step::Built(&target));
                }
            }
            Ok(Heard::Said(line)) => {
                watch.heard();
                let mut words = line.split_whitespace();
                let status = words.next().filter(|word| STATUS.contains(word));
                match status {
                    None => ran.stderr.extend([line.as_str(), "\n"]),
                    Some("Compiling") => started.extend(words.next().map(str::to_owned)),
                    Some("Blocking") => {
                        watch.waits = true;
                        // Once: cargo asks for several locks, one after the other.
                        if !std::mem::replace(&mut told, true) {
                            progress(Step::Waiting(blocked_by(&line)));
                        }
                    }
                    Some("Updating" | "Downloading") => watch.waits = true,
                    Some(_) => {}
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                if let Some(why) = watch.look(cpu_time(&child)) {
                    group.kill();
                    ran.stuck = Some(Stuck { packages: started.clone(), why });
                    break;
                }
                if watch.looks.is_multiple_of(LOOKS_UNTIL_NOTICE) && !watch.waits {
                    let seconds = u64::from(watch.looks) * LOOK.as_secs();
                    let names = started.join(", ");
                    progress(Step::Waiting(&format!("compiling {names} for {seconds} s and more")));
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let _ = child.wait(); // what was built tells more than the exit code
    drop(group);
    Ok(ran)
}

/// Reads a stream line by line on a thread of its own.
fn read(
    stream: Option<impl Read + Send + 'static>,
    tell: Sender<Heard>,
    as_heard: impl Fn(Vec<u8>) -> Heard + Send + 'static,
) {
    let Some(stream) = stream else { return };
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            if tell.send(as_heard(line)).is_err() {
                return; // the build was stopped
            }
        }
    });
}

/// What cargo waits for, by its own line about a lock.
fn blocked_by(line: &str) -> &'static str {
    if line.contains("package cache") {
        "another cargo uses the cache of packages: waiting for it"
    } else {
        "another cargo uses the target folder: waiting for it"
    }
}

/// What is known of a build that says nothing.
#[derive(Debug, Default)]
struct Watch {
    /// Looks since cargo last said something.
    looks: u32,
    /// CPU time at the first of them, and at the last.
    first: Option<Duration>,
    last: Duration,
    /// Since when no CPU time was used.
    asleep: Option<Instant>,
    /// Whether cargo waits for something that is not the compiler: another cargo, the network.
    waits: bool,
}

impl Watch {
    fn heard(&mut self) {
        *self = Watch { last: self.last, ..Watch::default() };
    }

    /// Takes the CPU time of the build so far, if it can be known; says so when there is no hope left.
    fn look(&mut self, cpu: Option<Duration>) -> Option<String> {
        self.looks += 1;
        let cpu = cpu?;
        let first = *self.first.get_or_insert(cpu);
        if cpu.saturating_sub(self.last) > Duration::from_millis(20) || self.waits {
            self.asleep = None;
        } else {
            self.asleep.get_or_insert_with(Instant::now);
        }
        self.last = cpu;
        let asleep = self.asleep.map(|since| since.elapsed()).unwrap_or_default();
        if asleep > MOST_ASLEEP {
            return Some(format!("the compiler slept for {} s", asleep.as_secs()));
        }
        let used = cpu.saturating_sub(first);
        (used > MOST_CPU)
            .then(|| format!("the compiler computed for {} s of CPU time", used.as_secs()))
    }
}

/// CPU time of all processes of the build: cargo's group.
#[cfg(target_os = "linux")]
fn cpu_time(leader: &Child) -> Option<Duration> {
    let group = leader.id().to_string();
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let of = |stat: String| -> Option<u64> {
        // The fields of proc(5) after the name, which may hold anything: the state is the first of them.
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ours = fields.get(2) == Some(&group.as_str());
        // Own time, and that of children that have ended.
        let ticks = fields.get(11..15)?.iter().filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        ours.then_some(ticks)
    };
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let ticks: u64 = processes
        .filter_map(|process| of(std::fs::read_to_string(process.path().join("stat")).ok()?))
        .sum();
    Some(Duration::from_millis(ticks * 1000 / per_second))
}

/// Unknown elsewhere.
#[cfg(not(target_os = "linux"))]
fn cpu_time(_leader: &Child) -> Option<Duration> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_computes_too_long_is_stuck_and_one_that_waits_is_not() {
        let seconds = |n| Some(Duration::from_secs(n));
        let mut watch = Watch::default();
        assert_eq!(watch.look(seconds(10)), None);
        assert_eq!(watch.look(seconds(200)), None);
        assert!(watch.look(seconds(211)).is_some_and(|why| why.contains("computed for 201 s")));
        watch.heard();
        assert_eq!(watch.look(seconds(212)), None);
        watch.asleep = Instant::now().checked_sub(MOST_ASLEEP * 2);
        assert!(watch.look(seconds(212)).is_some_and(|why| why.contains("slept for")));
        watch.waits = true;
        assert_eq!(watch.look(seconds(212)), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_build_is_pinned_whatever_the_environment_says() {
        let command = pinned("cargo");
        let set: Vec<_> = command.get_envs().filter(|(_, value)| value.is_some()).collect();
        assert_eq!(set.len(), SET.len());
        let arguments: Vec<_> = command.get_args().collect();
        assert!(arguments.contains(&std::ffi::OsStr::new("profile.dev.panic=\"unwind\"")));
    }
}
