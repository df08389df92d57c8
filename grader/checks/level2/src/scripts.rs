//! Random scripts that are played with a part and with a model of it.
//!
//! A model says what the clauses say in the plainest way there is. Where the clauses leave something open
//! (two things in the same millisecond), the model has no answer and the script is passed over.

use grader_kit::{Cx, Draw, Fail, Outcome};

/// Smaller scripts that are tried once one has failed.
const MOST_TRIES: usize = 400;

/// How a part differs from its model.
pub struct Difference {
    pub headline: String,
    pub expected: String,
    pub observed: String,
}

/// What one script comes to. The outer error is the learner's code at fault: a panic, a hang.
pub type Played = Result<Result<(), Difference>, Fail>;

/// Plays `count` drawn scripts until one differs from the model. Steps are then left out as long as the
/// script still fails, and the note shows those that are left, as `line` words them.
pub async fn compare<Step: Clone>(
    cx: &Cx,
    count: usize,
    mut script: impl FnMut(&mut Draw) -> Vec<Step>,
    mut play: impl AsyncFnMut(&[Step]) -> Played,
    line: impl Fn(&Step) -> String,
) -> Outcome {
    let mut draw = cx.draw();
    for number in 1..=count {
        let mut steps = script(&mut draw);
        let Some(mut fail) = failed(play(&steps).await) else { continue };
        let (mut at, mut tries) = (0, 0);
        while at < steps.len() && tries < MOST_TRIES {
            let mut fewer = steps.clone();
            fewer.remove(at);
            tries += 1;
            match failed(play(&fewer).await) {
                Some(still) => (fail, steps) = (still, fewer),
                None => at += 1,
            }
        }
        cx.note(format!("the smallest script that shows it, of script {number} of {count}:"));
        for (step, text) in steps.iter().map(&line).enumerate() {
            cx.note(format!("{:>3}. {text}", step + 1));
        }
        return Err(fail);
    }
    Ok(())
}

fn failed(played: Played) -> Option<Fail> {
    match played {
        Ok(Ok(())) => None,
        Ok(Err(Difference { headline, expected, observed })) => Some(
            Fail::new(headline)
                .expected(expected)
                .observed(observed)
                .help("play the script below by hand: the contract says each of its rules alone"),
        ),
        Err(fail) => Some(fail),
    }
}
