//! The life of a check process.
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{ExitCode, exit};
use std::time::Duration;

use grader_protocol::{Diagnosis, Fail, Jail, Message, VERSION};
use tokio::time::{Instant, timeout_at};

use crate::call::CRITERION_LIMIT;
use crate::channel::{self, Channel};
use crate::clock::Clock;
use crate::context::Parts;
use crate::meter::Meter;
use crate::threads::Pool;
use crate::{Criterion, Cx, Outcome, Source, jail, limits, panics, sources};

/// Stack of the thread that judges: the same everywhere, whatever the shell's `ulimit` says.
const STACK: usize = 8 << 20;

/// The fingerprint of the kit's own sources, as the compiler saw it.
const KIT: (&str, Option<&str>) =
    ("COURSE_SOURCES_GRADER_KIT", option_env!("COURSE_SOURCES_GRADER_KIT"));

/// What the command line asks for.
enum Asked {
    /// Print the ids, one a line.
    List,
    /// Print what the binary was built from: a variable and a fingerprint a line.
    BuiltFrom,
    /// Judge for the grader, which says over the channel on descriptor 0 what.
    Judge,
    /// Judge for a person, on the terminal.
    ByHand { id: String, jailed: bool, seed: u64 },
}

const USAGE: &str = "usage: --list | --built-from | --self [--no-jail] [--seed N] ID; without arguments the binary takes \
                     its order from the grader, over standard input";

/// What the arguments say; `None` if they are no sentence.
fn asked(mut args: impl Iterator<Item = String>) -> Option<Asked> {
    let Some(first) = args.next() else { return Some(Asked::Judge) };
    let asked = match first.as_str() {
        "--list" => Asked::List,
        "--built-from" => Asked::BuiltFrom,
        "--self" => {
            let (mut jailed, mut seed, mut id) = (true, None, None);
            while id.is_none() {
                match args.next()?.as_str() {
                    "--no-jail" => jailed = false,
                    "--seed" => seed = Some(args.next()?.parse().ok()?),
                    name if name.starts_with('-') => return None,
                    name => id = Some(name.to_owned()),
                }
            }
            Asked::ByHand { id: id?, jailed, seed: seed.unwrap_or_else(any_seed) }
        }
        _ => return None,
    };
    args.next().is_none().then_some(asked)
}

/// A seed for a run by hand: the standard library's own random numbers are good enough to vary values.
fn any_seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};

    RandomState::new().hash_one(()) >> 14
}

/// Entry of every check binary: judges the one criterion that is asked for.
///
/// `built_from` holds the fingerprints of the sources at compile time: environment variables, and the
/// values that they had.
///
/// Does not return once a criterion runs: the process ends as soon as the verdict is sent, since
/// dropping a runtime would wait for what the judged code left behind.
#[must_use]
pub fn main(criteria: &'static [Criterion], built_from: &[(&str, Option<&str>)]) -> ExitCode {
    let Some(asked) = asked(std::env::args().skip(1)) else { return usage(USAGE) };
    let (jailed, by_hand) = match &asked {
        Asked::ByHand { jailed, .. } => (*jailed, true),
        _ => (true, false),
    };
    let (id, seed, nonce, channel) = match asked {
        Asked::List => {
            let mut out = io::stdout().lock();
            for criterion in criteria {
                if writeln!(out, "{}", criterion.id).is_err() {
                    break; // the reader has closed the pipe
                }
            }
            return ExitCode::SUCCESS;
        }
        Asked::BuiltFrom => {
            let mut out = io::stdout().lock();
            for (variable, fingerprint) in built_from.iter().chain(&[KIT]) {
                if writeln!(out, "{variable} {}", fingerprint.unwrap_or("unknown")).is_err() {
                    break;
                }
            }
            return ExitCode::SUCCESS;
        }
        Asked::Judge => match channel::open() {
            Ok((order, channel)) => (order.id, order.seed, order.nonce, channel),
            Err(why) => return usage(&format!("{why}\n{USAGE}")),
        },
        Asked::ByHand { id, seed, .. } => {
            eprintln!("seed {seed}: repeat with --self --seed {seed} {id}");
            (id, seed, String::new(), Channel::Terminal)
        }
    };
    let Some(criterion) = criteria.iter().find(|criterion| criterion.id == id) else {
        return usage(&format!("no criterion `{id}` here; --list names them all"));
    };
    let level = id.split('/').next().unwrap_or_default();
    let sources = sources::read(Path::new(level));
    panics::know_placeholders(level, &sources);
    limits::set();
    panics::install_hook();
    // Before the judged code runs, and each thread in a jail of its own.
    let pool = match criterion.threads.then(|| Pool::start(jailed)).transpose() {
        Ok(pool) => pool,
        Err(why) => return usage(&format!("no threads for {id}: {why}")),
    };
    let judge = move || {
        let mut message = run(criterion, Setting { nonce, jailed, sources, seed, pool });
        // A panic's text may be of any length.
        message.tidy();
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

/// The outcome of `script`, or `None` when it takes longer than a criterion may.
async fn in_time(cx: &Cx, mut script: impl Future<Output = Outcome> + Unpin) -> Option<Outcome> {
    let start = Instant::now();
    loop {
        let limit = CRITERION_LIMIT.saturating_add(cx.shared.patience.get());
        match timeout_at(start + limit, &mut script).await {
            Ok(outcome) => return Some(outcome),
            // A call that is allowed to take longer has begun meanwhile.
            Err(_) if CRITERION_LIMIT.saturating_add(cx.shared.patience.get()) > limit => {}
            Err(_) => return None,
        }
    }
}

/// What a criterion is judged with.
struct Setting {
    nonce: String,
    jailed: bool,
    sources: Vec<Source>,
    seed: u64,
    pool: Option<Pool>,
}

/// Judges the criterion on the calling thread.
fn run(criterion: &'static Criterion, setting: Setting) -> Message {
    let Setting { nonce, jailed, sources, seed, pool } = setting;
    let mut message = Message {
        version: VERSION,
        nonce,
        id: criterion.id.to_owned(),
        fail: None,
        notes: Vec::new(),
        figure: None,
        virtual_us: 0,
        jail: Jail::None,
    };
    let not_judged =
        |why: String| Some(Fail::diagnosed("the criterion", Diagnosis::NotJudged { why }));
    let (runtime, clock) = match Clock::paused() {
        Ok(made) => made,
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
    let cx = Cx::new(Parts { clock, meter, sources, id: criterion.id, seed, pool });
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let mut script = std::pin::pin!((criterion.body)(cx.clone()));
            match in_time(&cx, script.as_mut()).await {
                Some(outcome) => outcome,
                None => {
                    // The script still is where it was, and so is the call.
                    let (call, since_us) = cx.shared.running.borrow().last().cloned().unzip();
                    let virtual_s = CRITERION_LIMIT.as_secs();
                    let since_us = since_us.unwrap_or_default();
                    Err(Fail::diagnosed(
                        "the exercise",
                        Diagnosis::OutOfTime { virtual_s, call, since_us },
                    ))
                }
            }
        })
    }));
    // The exercise's own code outside of a watched call: a constructor, a Drop, a stream's poll.
    let mut fail = match outcome {
        Ok(outcome) => outcome.err(),
        Err(_) => {
            let panics = panics::cause_first(panics::take());
            let todo = panics.first().is_some_and(panics::is_todo);
            let diagnosis = if todo { Diagnosis::NotStarted } else { Diagnosis::Panicked };
            Some(Fail { panics, ..Fail::diagnosed("the exercise", diagnosis) })
        }
    };
    // Whatever the script made of it: with another clock it did not see what it looked at.
    let moved = {
        let _in_runtime = runtime.enter();
        cx.shared.clock.look()
    };
    if let Some(diagnosis) = moved
        && fail.as_ref().is_none_or(|fail| fail.diagnosis.as_ref() != Some(&diagnosis))
    {
        fail = Some(Fail::diagnosed("the exercise", diagnosis));
    }
    if let Some(fail) = &mut fail
        && fail.panics.is_empty()
    {
        fail.panics = panics::cause_first(panics::take());
        // A task that a call had left running, and whose panic no call has seen.
        if fail.diagnosis.is_none() && fail.panics.iter().any(panics::is_todo) {
            let panics = std::mem::take(&mut fail.panics);
            *fail = Fail { panics, ..Fail::diagnosed("the exercise", Diagnosis::NotStarted) };
        }
    }
    let contained = cx.shared.contained.take();
    let case = cx.timeline().case();
    let of_this_case = || contained.iter().filter(|contained| contained.case == case);
    let placeholder = of_this_case().find(|contained| panics::is_todo(&contained.panic));
    // The code caught its own placeholder: nothing else that it did counts.
    if let (Some(_), Some(found)) = (&fail, placeholder) {
        let panics = vec![found.panic.clone()];
        fail = Some(Fail { panics, ..Fail::diagnosed(&found.call, Diagnosis::NotStarted) });
    }
    match &mut fail {
        None => message.notes.extend(panics::remarks(&contained)),
        Some(fail) => {
            // The case that failed: what others contained did no harm.
            let (fakes, own): (Vec<_>, Vec<_>) = of_this_case().partition(|it| it.is_of_a_fake());
            if fail.panics.is_empty() {
                let own = own.into_iter().take(panics::MOST).map(|it| it.panic.clone());
                fail.panics = panics::cause_first(own.collect());
            }
            message.notes.extend(panics::remarks(fakes));
            fail.timeline = cx.timeline().events();
            if fail.diagnosis == Some(Diagnosis::NotStarted) {
                fail.observed = panics::placeholder(&fail.panics);
            }
        }
    }
    message.fail = fail;
    message.notes.extend(cx.shared.notes.take());
    message.figure = cx.shared.figure.take();
    let virtual_time: Duration = cx.shared.virtual_time.get();
    message.virtual_us = u64::try_from(virtual_time.as_micros()).unwrap_or(u64::MAX);
    message
}
