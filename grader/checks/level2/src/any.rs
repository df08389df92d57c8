//! `any::fetch`.

use std::sync::Arc;
use std::time::Duration;

use grader_kit::{Cx, Draw, Fail, Outcome, ensure, failed, ms};
use level2::any::{AllFailed, Winner, fetch};
use level2::error::SourceError;
use level2::model::Section;

use crate::endings::{dropped_everywhere, passes_a_panic_on, passes_a_panic_on_and_keeps_nothing};
use crate::fake::{Fake, Payload, Step, down, refused};
use crate::moves::moves;
use crate::plain::{self, same};
use crate::support::{
    A_YEAR, YEARS, any_figures, asked_once, begins, crowd, nothing_kept, nothing_left, returned_at,
    side_by_side, succeeded,
};
use tokio::time::timeout;

const NAME: &str = "any::fetch";

/// One replica for each step, done when `section` is asked for.
fn replicas(cx: &Cx, section: Section, steps: Vec<Step>) -> Vec<Fake> {
    let replica =
        |(place, step)| Fake::new(cx).named(&format!("replica {place}")).with(section, step);
    steps.into_iter().enumerate().map(replica).collect()
}

/// Asks the replicas.
async fn asked(
    cx: &Cx,
    section: Section,
    fakes: &[Fake],
) -> Result<(Result<Winner, AllFailed>, Duration), Fail> {
    let sources = fakes.iter().map(Fake::source).collect();
    let call = cx.call(NAME, fetch(section, sources)).await?;
    Ok((call.value, call.took))
}

/// An error that no other replica gives.
fn said(draw: &mut Draw) -> SourceError {
    let text = draw.text(1..=12);
    if draw.chance(50) { SourceError::Unavailable(text) } else { SourceError::Rejected(text) }
}

/// Steps of which one answers at `wins_at`, before any other that answers.
fn a_race(draw: &mut Draw, count: usize, winner: usize, wins_at: u64) -> Vec<Step> {
    let fails = |draw: &mut Draw| {
        let at = 2 * draw.below(wins_at) + 1;
        Step::Fails(at, said(draw))
    };
    let step = |place| match place {
        _ if place == winner => Step::Answers(wins_at),
        _ if draw.chance(40) => fails(draw),
        _ if draw.chance(20) => Step::Hangs,
        _ => Step::Answers(wins_at + 1 + draw.below(500)),
    };
    (0..count).map(step).collect()
}

async fn wins(cx: &Cx, section: Section, steps: Vec<Step>, winner: usize, at: u64) -> Outcome {
    let fakes = replicas(cx, section, steps);
    let (outcome, took) = asked(cx, section, &fakes).await?;
    let Winner { replica, data } = succeeded(outcome, &format!("replica {winner} answers"))?;
    returned_at(
        took,
        at,
        &format!("replica {winner} of {} is the first that answers", fakes.len()),
        "ask all replicas at once; a failure decides nothing while another may answer",
    )?;
    let expected = plain::data(&fakes[winner].data(section));
    same(
        plain::data(&data),
        expected,
        || "the data is not that of the first replica that answered".to_owned(),
        "the data and the number belong to one replica",
    )?;
    ensure!(replica == winner, "`replica` is {replica}, but the data is that of replica {winner}";
        expected = format!("{winner}: the replica's place in the caller's list, counted from 0"),
        help = "outcomes arrive in the order of time: let each call return its place in the list too");
    for (place, fake) in fakes.iter().enumerate() {
        let calls = fake.called().len();
        ensure!(calls == 1, "replica {place} was asked {calls} times";
            expected = "each replica is asked once, all of them at the first poll",
            help = "one call for each replica");
    }
    Ok(())
}

pub async fn first_success_wins(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let steps =
        vec![Step::Fails(100, refused(Section::Users)), Step::Answers(300), Step::Answers(200)];
    wins(&cx, Section::Users, steps, 2, 200).await?;
    let early = vec![Step::Answers(200), Step::Fails(0, down(Section::Sales)), Step::Answers(300)];
    wins(&cx, Section::Sales, early, 0, 200).await?;
    for section in Section::ALL {
        let count = draw.index(10) + 2;
        let (winner, at) = (draw.index(count), draw.between(100..=900));
        wins(&cx, section, a_race(&mut draw, count, winner, at), winner, at).await?;
    }
    let (count, at) = (300, 100);
    wins(&cx, Section::Orders, a_race(&mut draw, count, count - 1, at), count - 1, at).await?;
    // A failure and a success of the same millisecond, in either order of the list.
    for winner in [0, 1] {
        let mut steps = vec![Step::Fails(at, said(&mut draw)), Step::Fails(at, said(&mut draw))];
        steps[winner] = Step::Answers(at);
        wins(&cx, Section::Sales, steps, winner, at).await?;
    }
    many_replicas(&cx, draw.between(66_000..=67_000)).await?;
    moves(&cx, NAME, &[100], |source| fetch(Section::Reviews, vec![source])).await?;
    for section in Section::ALL {
        any_figures(&cx, NAME, &[section], async |source| {
            match fetch(section, vec![source]).await {
                Ok(won) => vec![plain::data(&won.data)],
                Err(AllFailed { errors }) => errors.iter().map(plain::source_error).collect(),
            }
        })
        .await?;
    }
    side_by_side(&cx, NAME, |source| fetch(Section::Reviews, vec![source])).await?;
    crowd(&cx, NAME, |source| fetch(Section::Reviews, vec![source])).await?;
    listed_twice(&cx).await?;
    a_late_winner(&cx).await
}

/// The list names one replica twice: two calls, of which the second answers.
async fn listed_twice(cx: &Cx) -> Outcome {
    let steps = vec![Step::Fails(50, down(Section::Users)), Step::Answers(100)];
    let fake = Fake::new(cx).named("the replica").script(Section::Users, steps);
    let source = fake.source();
    begins(cx, "the list names one replica twice");
    let call = cx.call(NAME, fetch(Section::Users, vec![Arc::clone(&source), source])).await?;
    let calls = fake.called().len();
    ensure!(calls == 2, "a replica that the list names twice was asked {calls} times";
        expected = "twice: one call for each place of the list",
        help = "a list may name a replica more than once: do not look for equal ones");
    let won = succeeded(call.value, "the second call of the replica answers")?;
    same(
        plain::data(&won.data),
        plain::data(&fake.data_of_call(Section::Users, 2)),
        || "the data is not that of the call that answered".to_owned(),
        "each place of the list has its own call",
    )
}

/// Thousands of replicas hang, and the last one answers.
async fn many_replicas(cx: &Cx, count: u64) -> Outcome {
    let hangs = Fake::new(cx).quiet().with(Section::Users, Step::Hangs).source();
    let last = Fake::new(cx).named("the last replica").with(Section::Users, Step::Answers(100));
    let mut all: Vec<_> = (1..count).map(|_| Arc::clone(&hangs)).collect();
    all.push(last.source());
    begins(cx, &format!("{count} replicas: all hang but the last"));
    let fetch = timeout(ms(60_000), fetch(Section::Users, all));
    let Ok(outcome) = cx.call(NAME, fetch).await?.value else {
        return Err(Fail::new(format!("of {count} replicas, the last one is not asked"))
            .expected("all of them are asked at once, however many there are")
            .help("ask every replica at the first poll: no number of them is the most"));
    };
    succeeded(outcome, "the last replica answers").map(drop)
}

/// The only replica that answers takes more than a year, long after another one has failed.
async fn a_late_winner(cx: &Cx) -> Outcome {
    let steps = vec![Step::Fails(10, down(Section::Users)), Step::Answers(A_YEAR), Step::Hangs];
    let sources = replicas(cx, Section::Users, steps).iter().map(Fake::source).collect();
    let call = cx.call_within(YEARS, NAME, fetch(Section::Users, sources)).await?;
    succeeded(call.value, "replica 1 answers after more than a year")?;
    returned_at(call.took, A_YEAR, "replica 1 answers", "a fetch has no limit of its own")
}

pub async fn stops_the_losers(cx: Cx) -> Outcome {
    let fakes = replicas(
        &cx,
        Section::Users,
        vec![
            Step::Answers(300),
            Step::Answers(100),
            Step::Hangs,
            Step::Fails(200, down(Section::Users)),
        ],
    );
    let (outcome, _) = asked(&cx, Section::Users, &fakes).await?;
    succeeded(outcome, "replica 1 answers")?;
    for fake in &fakes {
        nothing_left(&cx, fake, "after a replica has won").await?;
    }
    keeps_no_losers(&cx).await
}

/// All replicas as one fake, and the caller keeps the future of the fetch that has returned.
async fn keeps_no_losers(cx: &Cx) -> Outcome {
    let steps = vec![Step::Answers(300), Step::Answers(100), Step::Hangs];
    let fake = Fake::new(cx).script(Section::Users, steps);
    let all = vec![fake.source(), fake.source(), fake.source()];
    let mut made = Box::pin(fetch(Section::Users, all));
    let call = cx.call(NAME, made.as_mut()).await?;
    succeeded(call.value, "one of three replicas answers")?;
    nothing_kept(cx, &fake, made, "after a replica has won").await
}

pub async fn leaves_nothing_behind(cx: Cx) -> Outcome {
    // One fake for all three replicas: the first call answers at 400 ms, and so on.
    let steps = vec![Step::Answers(400), Step::Answers(300), Step::Hangs];
    let fakes = || Fake::new(&cx).script(Section::Users, steps.clone());
    let load =
        |fake: &Fake| fetch(Section::Users, vec![fake.source(), fake.source(), fake.source()]);
    dropped_everywhere(&cx, NAME, &[0, 100, 200, 299], fakes, load).await
}

pub async fn a_panic_passes_on(cx: Cx) -> Outcome {
    // What is not written is found here: below, a panic is what is wanted.
    let healthy = Fake::new(&cx);
    let _ = cx.call(NAME, fetch(Section::Users, vec![healthy.source()])).await?;
    let mut draw = cx.draw();
    for section in Section::ALL {
        let text = draw.text(1..=12);
        let payload = *draw.pick(&[true, false]);
        let payload = if payload { Payload::Literal("a bug") } else { Payload::Text(text) };
        let at = draw.between(10..=90);
        for (step, at) in
            [(Step::PanicsWith(at, payload.clone()), at), (Step::PanicsWith(0, payload.clone()), 0)]
        {
            let other = Fake::new(&cx).named("replica 1").with(section, Step::Answers(200));
            let bad = Fake::new(&cx).named("replica 0").with(section, step);
            let load = fetch(section, vec![bad.source(), other.source()]);
            passes_a_panic_on(&cx, NAME, &other, (&payload, at), load).await?;
            // The second one panics.
            let other = other.twin();
            let all = vec![other.source(), bad.twin().source()];
            passes_a_panic_on(&cx, NAME, &other, (&payload, at), fetch(section, all)).await?;
        }
        let (other, method) = (Fake::new(&cx), Step::PanicsAtOnceWith(payload.clone()));
        let bad = Fake::new(&cx).named("replica 0").with(section, method);
        let load = fetch(section, vec![bad.source(), other.source()]);
        passes_a_panic_on(&cx, NAME, &other, (&payload, 0), load).await?;
    }
    // What a fetch that has returned keeps is another criterion's business.
    if keeps_no_losers(&cx).await.is_err() {
        return Ok(());
    }
    let payload = Payload::Text(draw.text(1..=12));
    // One replica panics, at the first poll or later, at each place of the list; the others hang.
    for (place, at) in [(0, 0), (1, 0), (2, 0), (0, 50), (1, 50), (2, 50)] {
        let mut steps = vec![Step::Hangs; 3];
        steps[place] = Step::PanicsWith(at, payload.clone());
        let fake = Fake::new(&cx).script(Section::Users, steps);
        cx.timeline().restart();
        begins(&cx, "of three replicas two hang and one panics; the caller keeps the future");
        let load = fetch(Section::Users, vec![fake.source(), fake.source(), fake.source()]);
        passes_a_panic_on_and_keeps_nothing(&cx, NAME, &fake, (&payload, at), load).await?;
    }
    Ok(())
}

/// Every replica fails, each at its own time.
async fn all_fail(cx: &Cx, section: Section, errors: Vec<SourceError>, draw: &mut Draw) -> Outcome {
    // Some fail at the same millisecond.
    let mut times: Vec<u64> = (1..=errors.len() as u64).map(|nth| nth / 2 * 10).collect();
    draw.shuffle(&mut times);
    let steps = times.iter().zip(&errors).map(|(at, error)| Step::Fails(*at, error.clone()));
    let fakes = replicas(cx, section, steps.collect());
    let (outcome, _) = asked(cx, section, &fakes).await?;
    let AllFailed { errors: observed } = failed(outcome, "every replica failed")?;
    ensure!(observed.len() == errors.len(), "the error lists {} errors of {} replicas",
        observed.len(), errors.len();
        help = "keep the error of each replica, also when two are equal");
    for (place, fake) in fakes.iter().enumerate() {
        asked_once(fake, &format!("replica {place} fails"))?;
    }
    let difference =
        observed.iter().zip(&errors).enumerate().find_map(|(place, (there, wanted))| {
            let (there, wanted) = (plain::source_error(there), plain::source_error(wanted));
            (there != wanted).then_some((place, there, wanted))
        });
    match difference {
        None => Ok(()),
        Some((place, there, wanted)) => Err(Fail::new(format!(
            "the error does not list the error of each replica, in the order of the replicas: number {place} differs"
        ))
        .expected(wanted)
        .observed(there)
        .help("they fail in the order of time: keep each error with its place in the list, and sort at the end")),
    }
}

pub async fn lists_every_error(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let twice = down(Section::Users);
    let errors = vec![
        refused(Section::Users),
        twice.clone(),
        SourceError::Rejected(String::new()),
        SourceError::Unavailable("  spaces \n and lines ".to_owned()),
        twice,
    ];
    all_fail(&cx, Section::Users, errors, &mut draw).await?;
    // Neighbours with equal errors, and a list of nothing else.
    let (one, other) = (said(&mut draw), said(&mut draw));
    for equal in [[&one, &one, &other, &other], [&other, &one, &one, &one], [&one; 4]] {
        let errors = equal.into_iter().cloned().collect();
        all_fail(&cx, Section::Orders, errors, &mut draw).await?;
    }
    for section in Section::ALL {
        let errors = (0..draw.index(10) + 1).map(|_| said(&mut draw)).collect();
        all_fail(&cx, section, errors, &mut draw).await?;
    }
    // The list names one replica twice, and both calls fail.
    let fake = Fake::new(&cx).with(Section::Users, Step::Fails(20, down(Section::Users)));
    let source = fake.source();
    let both = fetch(Section::Users, vec![Arc::clone(&source), source]);
    let AllFailed { errors } = failed(cx.call(NAME, both).await?.value, "both calls failed")?;
    ensure!(errors.len() == 2, "the error lists {} errors of a replica that the list names twice", errors.len();
        expected = "2: one for each place of the list");
    let errors = (0..300).map(|_| said(&mut draw)).collect();
    all_fail(&cx, Section::Reviews, errors, &mut draw).await
}

pub async fn no_replica_is_a_failure(cx: Cx) -> Outcome {
    for section in Section::ALL {
        let none: Vec<Arc<_>> = Vec::new();
        let call = cx.call(NAME, fetch(section, none)).await?;
        let observed = failed(call.value, "there was no replica to ask")?;
        ensure!(observed.errors.is_empty(), "errors of replicas that do not exist");
        ensure!(call.took == ms(0), "returned at {} ms", call.took.as_millis();
            expected = "0 ms: there is nothing to wait for",
            help = "an empty list has no first success");
    }
    Ok(())
}
