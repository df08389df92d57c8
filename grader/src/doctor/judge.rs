//! What the facts mean, and what to do.
use std::time::Duration;

use super::facts::{Facts, Target, Trial};
use super::{Diagnosis, Verdict};

/// Bytes without which no build ends, and with which every build fits.
const DISK: (u64, u64) = (1 << 30, 6 << 30);
const MEMORY: (u64, u64) = (512 << 20, 2 << 30);

/// A small program that takes longer than this is looked at by something else, or the disk is slow.
const SLOW_START: Duration = Duration::from_millis(500);
const SLOW_LINK: Duration = Duration::from_secs(10);

/// What each fact means, in the order in which to mend them.
#[must_use]
pub fn judge(facts: &Facts) -> Vec<Diagnosis> {
    let mut found = vec![course(facts), rust(facts), cargo(facts), linker(facts), start(facts)];
    found.extend([
        target(facts),
        disk(facts),
        memory(facts),
        git(facts),
        cc(facts),
        sandbox(facts),
    ]);
    if !facts.ignored.is_empty() {
        let names = facts.ignored.join(", ");
        let advice =
            "nothing: the grader's builds leave it out, so that it decides about no points";
        found.push(fine("settings", format!("{names} is set"), Some(advice)));
    }
    found
}

fn diagnosis(subject: &'static str, verdict: Verdict, seen: String, advice: &str) -> Diagnosis {
    Diagnosis { subject, verdict, seen, advice: Some(advice.to_owned()) }
}

fn fine(subject: &'static str, seen: String, advice: Option<&str>) -> Diagnosis {
    Diagnosis { subject, verdict: Verdict::Fine, seen, advice: advice.map(str::to_owned) }
}

fn course(facts: &Facts) -> Diagnosis {
    let seen = format!("version {}", facts.course.0);
    if facts.is_current {
        return fine("course", seen, None);
    }
    let seen =
        format!("{seen}, but this grader was built from other files than those in the folder");
    let advice = "`cargo clean -p grader`, then the same command again";
    diagnosis("course", Verdict::Problem, seen, advice)
}

fn rust(facts: &Facts) -> Diagnosis {
    let oldest = facts.course.1;
    match &facts.rustc {
        Ok(version) if is_at_least(version, oldest) => fine("rust", version.clone(), None),
        Ok(version) => {
            let seen = format!("{version}; the course needs {oldest} or newer");
            diagnosis("rust", Verdict::Problem, seen, "`rustup update stable`")
        }
        Err(why) => {
            let seen = format!("there is no rustc: {why}");
            diagnosis(
                "rust",
                Verdict::Problem,
                seen,
                "install Rust (https://rustup.rs), then open a new terminal",
            )
        }
    }
}

/// `rustc 1.95.0 (59807616e 2026-04-14)` against `1.95`.
fn is_at_least(version: &str, oldest: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> {
        let digits = text
            .split('.')
            .map(|part| part.chars().take_while(char::is_ascii_digit).collect::<String>());
        digits.map_while(|digits| digits.parse().ok()).collect()
    };
    let version = version.split_whitespace().nth(1).map(numbers).unwrap_or_default();
    version.len() >= 2 && version >= numbers(oldest)
}

fn cargo(facts: &Facts) -> Diagnosis {
    match &facts.cargo {
        Ok(version) => fine("cargo", version.clone(), None),
        Err(why) => {
            let seen = format!("there is no cargo: {why}");
            diagnosis(
                "cargo",
                Verdict::Problem,
                seen,
                "install Rust (https://rustup.rs), then open a new terminal",
            )
        }
    }
}

fn linker(facts: &Facts) -> Diagnosis {
    match &facts.trial {
        Trial::NoLink(why) => {
            let seen = format!("a small program cannot be built: {why}");
            let advice = "install the linker: `sudo apt install build-essential` (Debian, Ubuntu), `sudo dnf \
                          install gcc` (Fedora), `xcode-select --install` (macOS), the C++ build tools of Visual \
                          Studio (Windows)";
            diagnosis("linker", Verdict::Problem, seen, advice)
        }
        Trial::Works { built, .. } if *built > SLOW_LINK => {
            let seen = format!("a small program takes {:.1} s to build", built.as_secs_f64());
            let advice = "something else uses the machine, or looks at each file that is written: see `start`";
            diagnosis("linker", Verdict::Warning, seen, advice)
        }
        Trial::Works { built, .. } => fine(
            "linker",
            format!("a small program is built in {:.1} s", built.as_secs_f64()),
            None,
        ),
        Trial::NoStart(_) => fine("linker", "a small program is built".to_owned(), None),
    }
}

fn start(facts: &Facts) -> Diagnosis {
    match &facts.trial {
        Trial::Works { first, second, .. } if *first > SLOW_START.max(*second * 5) => {
            let seen = format!(
                "a new program takes {} ms to start for the first time, {} ms then",
                first.as_millis(),
                second.as_millis()
            );
            let advice = "something looks at each new program before it may start, such as a virus scanner: \
                          exclude the target folder there";
            diagnosis("start", Verdict::Warning, seen, advice)
        }
        Trial::Works { first, .. } => {
            fine("start", format!("a new program starts in {} ms", first.as_millis()), None)
        }
        Trial::NoStart(why) => {
            let seen = format!("a small program cannot be started: {why}");
            let advice = "if the folder for temporary files is mounted with `noexec`, name another one with TMPDIR";
            diagnosis("start", Verdict::Problem, seen, advice)
        }
        Trial::NoLink(_) => fine("start", "not tried, since nothing can be built".to_owned(), None),
    }
}

fn target(facts: &Facts) -> Diagnosis {
    let place = facts.target.display();
    match &facts.target_state {
        Target::Free => fine("target", format!("{place} can be written"), None),
        Target::Locked => {
            let advice = "wait for it, or end it. If it is rust-analyzer, give it a target folder of its own: \
                          `rust-analyzer.cargo.targetDir: true` in the editor's settings";
            diagnosis(
                "target",
                Verdict::Warning,
                format!("another cargo builds in {place}"),
                advice,
            )
        }
        Target::ReadOnly(why) => {
            let seen = format!("{place} cannot be written: {why}");
            let advice = "make it writable, or name another folder with CARGO_TARGET_DIR";
            diagnosis("target", Verdict::Problem, seen, advice)
        }
    }
}

fn disk(facts: &Facts) -> Diagnosis {
    let advice = "free some, or name a folder on another disk with CARGO_TARGET_DIR; `cargo clean` removes \
                  everything that was built";
    amount("disk", facts.free, "free", DISK, advice)
}

fn memory(facts: &Facts) -> Diagnosis {
    let advice =
        "end other programs, or let cargo compile one package at a time: CARGO_BUILD_JOBS=1";
    amount("memory", facts.memory, "available", MEMORY, advice)
}

fn amount(
    subject: &'static str,
    bytes: Option<u64>,
    what: &str,
    (least, enough): (u64, u64),
    advice: &str,
) -> Diagnosis {
    let Some(bytes) = bytes else {
        return fine(subject, "not known on this system".to_owned(), None);
    };
    let size = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
    let seen = format!("{} {what}", size(bytes));
    match bytes {
        _ if bytes >= enough => fine(subject, seen, None),
        _ => {
            let verdict = if bytes < least { Verdict::Problem } else { Verdict::Warning };
            diagnosis(subject, verdict, format!("{seen}; {} is enough", size(enough)), advice)
        }
    }
}

fn git(facts: &Facts) -> Diagnosis {
    match &facts.git {
        Ok(version) => fine("git", version.clone(), None),
        Err(why) => {
            let advice =
                "install git: `cargo grade start` keeps the way back to the reference in it";
            diagnosis("git", Verdict::Warning, format!("there is no git: {why}"), advice)
        }
    }
}

fn cc(facts: &Facts) -> Diagnosis {
    match &facts.cc {
        Ok(version) => fine("cc", version.clone(), None),
        Err(why) => {
            let advice =
                "nothing for the levels themselves; the program of level 3 compiles SQLite with it";
            fine("cc", format!("there is no C compiler: {why}"), Some(advice))
        }
    }
}

fn sandbox(facts: &Facts) -> Diagnosis {
    match &facts.no_sandbox {
        None => fine("bubblewrap", "forks of a class are confined".to_owned(), None),
        Some(why) => {
            let seen = why.split(':').next().unwrap_or_default().to_owned();
            let advice = "nothing for your own solution; a teacher installs it (`sudo apt install bubblewrap`) \
                          before `cargo grade class`";
            fine("bubblewrap", seen, Some(advice))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A machine on which all is well.
    fn well() -> Facts {
        let ms = Duration::from_millis;
        Facts {
            course: ("0.3.0", "1.95"),
            rustc: Ok("rustc 1.95.0 (59807616e 2026-04-14)".to_owned()),
            cargo: Ok("cargo 1.95.0".to_owned()),
            git: Ok("git version 2.47.3".to_owned()),
            cc: Ok("cc 12".to_owned()),
            trial: Trial::Works { built: ms(400), first: ms(3), second: ms(2) },
            target: PathBuf::from("target"),
            target_state: Target::Free,
            free: Some(50 << 30),
            memory: Some(8 << 30),
            is_current: true,
            ignored: Vec::new(),
            no_sandbox: None,
        }
    }

    #[track_caller]
    fn says(facts: &Facts, subject: &str, verdict: Verdict, words: &str) {
        let found = judge(facts);
        let found = found.iter().find(|found| found.subject == subject).expect(subject);
        assert_eq!(found.verdict, verdict, "{found:?}");
        let said = format!("{} {}", found.seen, found.advice.as_deref().unwrap_or_default());
        assert!(said.contains(words), "{said}");
        if verdict != Verdict::Fine {
            assert!(found.advice.is_some(), "{found:?}");
        }
    }

    #[test]
    fn all_is_well_on_a_good_machine() {
        assert!(judge(&well()).iter().all(|found| found.verdict == Verdict::Fine));
    }

    #[test]
    fn what_stands_in_the_way_is_named_with_what_to_do() {
        use Verdict::{Fine, Problem, Warning};
        let old = Facts { rustc: Ok("rustc 1.88.0 (x)".to_owned()), ..well() };
        says(&old, "rust", Problem, "rustup update stable");
        let none = Facts { rustc: Err("not found".to_owned()), ..well() };
        says(&none, "rust", Problem, "https://rustup.rs");
        let no_linker =
            Facts { trial: Trial::NoLink("linker `cc` not found".to_owned()), ..well() };
        says(&no_linker, "linker", Problem, "build-essential");
        let noexec = Facts { trial: Trial::NoStart("Permission denied".to_owned()), ..well() };
        says(&noexec, "start", Problem, "TMPDIR");
        let scanned = Trial::Works {
            built: Duration::from_secs(1),
            first: Duration::from_secs(3),
            second: Duration::from_millis(5),
        };
        says(&Facts { trial: scanned, ..well() }, "start", Warning, "virus scanner");
        says(&Facts { target_state: Target::Locked, ..well() }, "target", Warning, "rust-analyzer");
        let read_only = Target::ReadOnly("Read-only file system".to_owned());
        says(&Facts { target_state: read_only, ..well() }, "target", Problem, "CARGO_TARGET_DIR");
        says(&Facts { free: Some(100 << 20), ..well() }, "disk", Problem, "0.1 GiB free");
        says(&Facts { free: Some(3 << 30), ..well() }, "disk", Warning, "cargo clean");
        says(&Facts { free: None, ..well() }, "disk", Fine, "not known");
        says(&Facts { memory: Some(1 << 30), ..well() }, "memory", Warning, "CARGO_BUILD_JOBS=1");
        says(&Facts { is_current: false, ..well() }, "course", Problem, "cargo clean -p grader");
        says(&Facts { git: Err("not found".to_owned()), ..well() }, "git", Warning, "install git");
        says(&Facts { ignored: vec!["RUSTFLAGS"], ..well() }, "settings", Fine, "RUSTFLAGS is set");
        says(
            &Facts { no_sandbox: Some("not installed: a".to_owned()), ..well() },
            "bubblewrap",
            Fine,
            "apt",
        );
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, enough) in [
            ("rustc 1.95.0", true),
            ("rustc 1.95.0-nightly (x)", true),
            ("rustc 1.100.0", true),
            ("rustc 2.0.0", true),
            ("rustc 1.94.9", false),
            ("rustc 1.9.0", false),
            ("rustc", false),
        ] {
            assert_eq!(is_at_least(version, "1.95"), enough, "{version}");
        }
    }
}
