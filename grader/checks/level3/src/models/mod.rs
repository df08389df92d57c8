//! The parts against reference models: random scripts, made smaller until only the difference is left.
//!
//! A model says what the documentation says, in the plainest way there is: it keeps everything and
//! looks through it for every question. No script has two timers that end in the same millisecond
//! where their order would matter, so a part that is written in another way agrees with it as well.

mod breaker;
mod dead_letters;
mod deadline;
mod idempotency;
mod limiter;
mod retry;
mod saga;

use std::time::Duration;

use grader_kit::{Cx, Fail, Outcome};
use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tokio::time::Instant;

pub use breaker::breaker;
pub use dead_letters::dead_letters;
pub use deadline::deadline;
pub use idempotency::idempotency;
pub use limiter::limiter;
pub use retry::retry;
pub use saga::saga;

/// Scripts that are the same in every run, so that a fault that one of them shows fails always; and as
/// many that are drawn from the run's seed, so that the fixed ones cannot be learned by heart.
const SCRIPTS: [u32; 2] = [250, 150];

/// Smaller scripts that are tried once one has failed.
const MOST_TRIES: u32 = 300;

/// Nor more of them once so much time has gone by, of the 20 virtual minutes that a criterion has.
const LAST_TRY: Duration = Duration::from_secs(15 * 60);

/// Something that can be played through, and read by a learner.
pub(super) trait Script {
    /// What is done, one line a step.
    fn lines(&self) -> Vec<String>;
}

/// Where the part and its model part.
pub(super) struct Difference {
    /// After which step, as [`Script::lines`] counts them.
    pub(super) step: usize,
    pub(super) headline: String,
    pub(super) expected: String,
    pub(super) observed: String,
}

/// What one script comes to. The outer error is the learner's code at fault: a panic, a hang.
pub(super) type Played = Result<Result<(), Difference>, Fail>;

/// Plays scripts until one differs from the model, and shows the smallest that still does.
pub(super) async fn compare<S>(
    cx: &Cx,
    scripts: S,
    mut play: impl AsyncFnMut(&S::Value) -> Played,
) -> Outcome
where
    S: Strategy,
    S::Value: Script,
{
    let runner = |rng| {
        let config = Config { failure_persistence: None, ..Config::default() };
        TestRunner::new_with_rng(config, rng)
    };
    let mut draw = cx.draw();
    let drawn: [u8; 32] = std::array::from_fn(|_| draw.below(256) as u8);
    let fixed = runner(TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let drawn = runner(TestRng::from_seed(RngAlgorithm::ChaCha, &drawn));
    let began = Instant::now();
    let [fixed_count, drawn_count] = SCRIPTS;
    let mut runners = [fixed, drawn];
    for number in 0..fixed_count + drawn_count {
        let runner = &mut runners[usize::from(number >= fixed_count)];
        let mut tree = scripts.new_tree(runner).map_err(|why| Fail::new(why.to_string()))?;
        // A script is a case of its own.
        cx.timeline().restart();
        let Some(mut worst) = failed(play(&tree.current()).await) else { continue };
        let mut smallest = tree.current();
        let mut tries = 0;
        while tries < MOST_TRIES && began.elapsed() < LAST_TRY && tree.simplify() {
            // Simplified until it passes, then less so until it fails again.
            loop {
                tries += 1;
                let script = tree.current();
                cx.timeline().restart();
                match failed(play(&script).await) {
                    Some(failure) => {
                        (worst, smallest) = (failure, script);
                        break;
                    }
                    None if tries < MOST_TRIES && tree.complicate() => {}
                    None => break,
                }
            }
        }
        // Once more, so that the timeline shows this script and not the last one that was tried.
        cx.timeline().restart();
        worst = failed(play(&smallest).await).unwrap_or(worst);
        return Err(told(cx, number + 1, &smallest, worst));
    }
    Ok(())
}

/// Holds what each of those in a script got against what the model gives it.
pub(super) fn compared<T: PartialEq>(
    wanted: &[T],
    found: &[T],
    headline: impl FnOnce(usize) -> String,
    said: impl Fn(&T) -> String,
) -> Result<(), Difference> {
    match wanted.iter().zip(found).position(|(wanted, found)| wanted != found) {
        None => Ok(()),
        Some(at) => Err(Difference {
            // All of the script: what one gets may depend on those who come later.
            step: wanted.len(),
            headline: headline(at + 1),
            expected: said(&wanted[at]),
            observed: said(&found[at]),
        }),
    }
}

enum Failure {
    Differs(Difference),
    Broken(Fail),
}

fn failed(played: Played) -> Option<Failure> {
    match played {
        Ok(Ok(())) => None,
        Ok(Err(difference)) => Some(Failure::Differs(difference)),
        Err(fail) => Some(Failure::Broken(fail)),
    }
}

fn told(cx: &Cx, number: u32, script: &impl Script, failure: Failure) -> Fail {
    let lines = script.lines();
    let (shown, fail) = match failure {
        Failure::Broken(fail) => (lines.len(), fail),
        Failure::Differs(difference) => {
            let fail = Fail::new(difference.headline)
                .expected(difference.expected)
                .observed(difference.observed)
                .help("play the script by hand, lines with an instant in the order of time, and look up in the contract what each of its steps has to do: \
                       `cargo grade show` with the name of the part");
            (difference.step + 1, fail)
        }
    };
    cx.note(format!(
        "the smallest script that shows it, found from script {number} of {}:",
        SCRIPTS.iter().sum::<u32>()
    ));
    for (step, line) in lines.iter().take(shown).enumerate() {
        cx.note(format!("{:>3}. {line}", step + 1));
    }
    fail
}
