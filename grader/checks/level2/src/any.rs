//! `any::fetch`.

use grader_kit::{Cx, Outcome, ensure, ensure_eq, failed};
use level2::any::{AllFailed, Winner, fetch};
use level2::model::Section;

use crate::fake::{Fake, Step, down, refused};
use crate::support::{nothing_left, returned_at, succeeded};

const NAME: &str = "any::fetch";

/// Three replicas; each does its step when users is asked for.
fn replicas(cx: &Cx, steps: [Step; 3]) -> [Fake; 3] {
    let [first, second, third] = steps;
    [
        Fake::new(cx).named("replica 0").with(Section::Users, first),
        Fake::new(cx).named("replica 1").with(Section::Users, second),
        Fake::new(cx).named("replica 2").with(Section::Users, third),
    ]
}

pub async fn first_success_wins(cx: Cx) -> Outcome {
    let steps = [Step::Fails(100, refused(Section::Users)), Step::Answers(300), Step::Answers(200)];
    let fakes = replicas(&cx, steps);
    let sources = fakes.iter().map(Fake::source).collect();
    let call = cx.call(NAME, fetch(Section::Users, sources)).await?;
    let observed = succeeded(call.value, "two replicas answer")?;
    returned_at(
        call.took,
        200,
        "replica 0 fails at 100, replica 2 answers first",
        "ask all replicas at once; a failure decides nothing while another may answer",
    )?;
    let expected = Winner { replica: 2, data: fakes[2].data(Section::Users) };
    ensure_eq!(observed, expected, "the winner is not the first that answered");
    Ok(())
}

pub async fn stops_the_losers(cx: Cx) -> Outcome {
    let fakes = replicas(&cx, [Step::Answers(300), Step::Answers(100), Step::Hangs]);
    let sources = fakes.iter().map(Fake::source).collect();
    let call = cx.call(NAME, fetch(Section::Users, sources)).await?;
    succeeded(call.value, "replica 1 answers")?;
    for fake in &fakes {
        nothing_left(&cx, fake, "after a replica has won").await?;
    }
    Ok(())
}

pub async fn lists_every_error(cx: Cx) -> Outcome {
    let steps = [
        Step::Fails(300, refused(Section::Users)),
        Step::Fails(100, down(Section::Users)),
        Step::Fails(200, down(Section::Sales)),
    ];
    let fakes = replicas(&cx, steps);
    let sources = fakes.iter().map(Fake::source).collect();
    let call = cx.call(NAME, fetch(Section::Users, sources)).await?;
    let errors = vec![refused(Section::Users), down(Section::Users), down(Section::Sales)];
    ensure_eq!(
        failed(call.value, "every replica failed")?,
        AllFailed { errors },
        "the error does not list what each replica said, in the order of the replicas"
    );
    Ok(())
}

pub async fn no_replica_is_a_failure(cx: Cx) -> Outcome {
    let call = cx.call(NAME, fetch(Section::Users, Vec::new())).await?;
    let observed = failed(call.value, "there was no replica to ask")?;
    ensure!(observed.errors.is_empty(), "errors of replicas that do not exist");
    returned_at(call.took, 0, "there is nothing to wait for", "an empty list has no first success")
}
