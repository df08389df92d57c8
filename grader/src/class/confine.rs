//! What a fork can reach while it is built and judged.
//!
//! | bound | by |
//! | --- | --- |
//! | memory and CPU time of each compiler and each check | limits of the system (Linux) |
//! | output of a check, a message, a report | cut by the grader |
//! | real time of a fork | the lane ends the worker |
//! | system calls of a check | its own jail (Linux) |
//! | network, files, other processes | bubblewrap, where it is installed |
//!
//! The judged code runs in checks only. The compiler runs no code of a fork, but it reads files for it, so
//! it is confined too.
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use super::conditions::Sandbox;

/// The variables that a worker gets. Nothing else of the teacher's environment can reach a fork's code,
/// not even through `env!`.
const VARIABLES: &[&str] = &[
    "PATH",
    "HOME",
    "CARGO",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "RUSTC",
    "USERPROFILE",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
    "LIB",
    "INCLUDE",
    "PROGRAMFILES",
    "PROGRAMFILES(X86)",
    "PROGRAMDATA",
    "LANG",
    "LC_ALL",
    "SDKROOT",
    "DEVELOPER_DIR",
    "CC",
];

/// Whether bubblewrap can be used here, and what is missing where it cannot.
#[must_use]
pub fn available() -> (Sandbox, Option<String>) {
    if !cfg!(target_os = "linux") {
        let why = missing("bubblewrap exists for Linux only");
        return (Sandbox::None, Some(why));
    }
    let mut command = Command::new("bwrap");
    command.args(arguments(Path::new("/"), None)).arg("true");
    match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => (Sandbox::Bubblewrap, None),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            (Sandbox::None, Some(missing(&format!("bubblewrap cannot be used here ({said})"))))
        }
        Err(_) => (Sandbox::None, Some(missing("bubblewrap (bwrap) is not installed"))),
    }
}

fn missing(why: &str) -> String {
    format!(
        "{why}: the compiler that reads the forks' code has your account's rights, the network and your \
         files included. The checks still have their own jail. Grade forks that you do not trust \
         where bubblewrap is installed, or on a machine of their own"
    )
}

/// The command that runs `program` for one fork, with `target` as the only folder that can be written.
#[must_use]
pub fn command(sandbox: Sandbox, program: &Path, target: &Path) -> Command {
    let mut command = match sandbox {
        Sandbox::None => Command::new(program),
        Sandbox::Bubblewrap => {
            let mut command = Command::new("bwrap");
            command.args(arguments(target, Some(target))).arg(program);
            command
        }
    };
    command.env_clear();
    for name in VARIABLES {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.env("CARGO_NET_OFFLINE", "true").env("TMPDIR", target);
    command
}

/// Bubblewrap's arguments: everything read-only, no network, no processes but its own, ended with the
/// grader.
fn arguments(current: &Path, writable: Option<&Path>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> =
        ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"].map(OsString::from).into();
    if let Some(folder) = writable {
        arguments.extend([OsString::from("--bind"), folder.into(), folder.into()]);
    }
    arguments.extend(
        [
            "--unshare-net",
            "--unshare-pid",
            "--unshare-ipc",
            "--unshare-uts",
            "--die-with-parent",
            "--new-session",
        ]
        .map(OsString::from),
    );
    arguments.extend([OsString::from("--chdir"), current.into(), OsString::from("--")]);
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_target_folder_can_be_written_and_there_is_no_network() {
        let (sandbox, missing) = available();
        if sandbox == Sandbox::None {
            // Skipped: the machine has no bubblewrap. The reason is what a teacher is told.
            assert!(missing.is_some_and(|why| why.contains("bubblewrap")));
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let (target, beside) = (folder.path().join("target"), folder.path().join("beside"));
        std::fs::create_dir(&target).expect("a folder");
        std::fs::create_dir(&beside).expect("a folder");
        let script = "touch $TMPDIR/a; touch $TMPDIR/../beside/b; ls /sys/class/net 2>/dev/null >/dev/null; \
                      cat /proc/net/dev; env";
        let output = command(sandbox, Path::new("sh"), &target).args(["-c", script]).output();
        let output = output.expect("bwrap");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(target.join("a").exists(), "{output:?}");
        assert!(!beside.join("b").exists());
        assert!(!said.contains("eth0:"), "{said}");
        let names = said.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name);
        let leaked = names.filter(|name| name.contains("TOKEN") || *name == "CARGO_MANIFEST_DIR");
        assert_eq!(leaked.count(), 0, "{said}");
    }
}
