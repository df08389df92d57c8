//! The life of a check process.
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{ExitCode, exit};
use std::time::Duration;

use grader_protocol::{Diagnosis, Fail, Jail, Message, VERSION};

use crate::channel::{self, Channel};
use crate::clock::VIRTUAL_LIMIT;
use crate::meter::Meter;
use crate::{Criterion, Cx, jail, limits, panics, sources};

/// Stack of the thread that judges: the same everywhere, whatever the shell's `ulimit` says.
const STACK: usize = 8 << 20;

/// What the command line asks for.
enum Asked {
    /// Print the ids, one a line.
    List,
    /// Judge for the grader, over the channel on descriptor 0.
    Judge(String),
    /// Judge for a person, on the terminal.
    ByHand { id: String, jailed: bool },
}

/// Entry of every check binary: judges the one criterion that the command line names.
///
/// Does not return once a criterion runs: the process ends as soon as the verdict is sent, since
/// dropping a runtime would wait for what the judged code left behind.
#[must_use]
pub fn main(criteria: &'static [Criterion]) -> ExitCode {
    let mut args = std::env::args().skip(1);
    let asked = match (args.next().as_deref(), args.next(), args.next()) {
        (Some("--list"), None, None) => Asked::List,
        (Some("--self"), Some(id), None) => Asked::ByHand { id, jailed: true },
        (Some("--self"), Some(flag), Some(id)) if flag == "--no-jail" => {
            Asked::ByHand { id, jailed: false }
        }
        (Some(id), None, None) if !id.starts_with('-') => Asked::Judge(id.to_owned()),
        _ => {
            return usage(
                "usage: --list | --self [--no-jail] ID | ID (only started by the grader)",
            );
        }
    };
    let (id, jailed, by_hand) = match asked {
        Asked::List => {
            let mut out = io::stdout().lock();
            for criterion in criteria {
                if writeln!(out, "{}", criterion.id).is_err() {
                    break; // whoever reads has seen enough
                }
            }
            return ExitCode::SUCCESS;
        }
        Asked::Judge(id) => (id, true, false),
        Asked::ByHand { id, jailed } => (id, jailed, true),
    };
    let Some(criterion) = criteria.iter().find(|criterion| criterion.id == id) else {
        return usage(&format!("no criterion `{id}` here; --list names them all"));
    };
    let (nonce, channel) = if by_hand {
        (String::new(), Channel::Terminal)
    } else {
        match channel::open() {
            Ok(opened) => opened,
            Err(why) => {
                return usage(&format!("{why}: start me through the grader, or with --self"));
            }
        }
    };
    let level = id.split('/').next().unwrap_or_default();
    let sources = sources::read(Path::new(level));
    limits::set();
    panics::install_hook();
    let judge = move || {
        let message = run(criterion, nonce, jailed, sources);
        let passed = message.fail.is_none();
        if let Err(why) = channel.send(&message) {
            eprintln!("the verdict could not be sent: {why}");
            exit(67);
        }
        exit(if by_hand && !passed { 1 } else { 0 });
    };
    let thread =
        std::thread::Builder::new().name("judge".to_owned()).stack_size(STACK).spawn(judge);
    match thread.map(std::thread::JoinHandle::join) {
        // Only a panic of the kit itself ends the thread without ending the process.
        Ok(_) => ExitCode::from(66),
        Err(why) => usage(&format!("no thread to judge on: {why}")),
    }
}

fn usage(text: &str) -> ExitCode {
    eprintln!("{text}");
    ExitCode::from(64)
}

/// Judges the criterion on the calling thread.
fn run(criterion: &Criterion, nonce: String, jailed: bool, sources: Vec<crate::Source>) -> Message {
    let mut message = Message {
        version: VERSION,
        nonce,
        id: criterion.id.to_owned(),
        fail: None,
        notes: Vec::new(),
        virtual_us: 0,
        jail: Jail::None,
    };
    let not_judged =
        |why: String| Some(Fail::diagnosed("the criterion", Diagnosis::NotJudged { why }));
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
    {
        Ok(runtime) => runtime,
        Err(why) => {
            message.fail = not_judged(format!("no runtime: {why}"));
            return message;
        }
    };
    let meter = Meter::new();
    if jailed {
        match jail::close() {
            Ok(jail) => message.jail = jail,
            Err(why) => message.notes.push(format!("not jailed: {why}")),
        }
    }
    let cx = {
        let _in_runtime = runtime.enter();
        Cx::new(meter, sources)
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            // Twice the limit of one call: a script of several short calls and one that hangs.
            let script = tokio::time::timeout(VIRTUAL_LIMIT * 2, (criterion.body)(cx.clone()));
            script.await.unwrap_or_else(|_| {
                let since_us = cx.timeline().events().last().map_or(0, |event| event.at_us);
                Err(Fail::diagnosed(
                    "the exercise",
                    Diagnosis::NeverWoken { since_us, tasks: cx.alive_tasks() },
                ))
            })
        })
    }));
    // The exercise's own code outside of a watched call: a constructor, a Drop, a stream's poll.
    let mut fail = match outcome {
        Ok(outcome) => outcome.err(),
        Err(_) => {
            let panics = panics::take();
            let todo = panics.first().is_some_and(|p| p.is_todo());
            let diagnosis = if todo { Diagnosis::NotStarted } else { Diagnosis::Panicked };
            Some(Fail { panics, ..Fail::diagnosed("the exercise", diagnosis) })
        }
    };
    if let Some(fail) = &mut fail {
        fail.timeline = cx.timeline().events();
        if fail.panics.is_empty() {
            fail.panics = panics::take();
        }
    }
    message.fail = fail;
    message.notes.extend(cx.shared.notes.take());
    let virtual_time: Duration = cx.shared.virtual_time.get();
    message.virtual_us = u64::try_from(virtual_time.as_micros()).unwrap_or(u64::MAX);
    message
}
