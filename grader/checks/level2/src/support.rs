//! What the criteria have in common.

use std::any::Any;
use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::future::{join, join_all};
use futures::{FutureExt as _, poll};
use grader_kit::{Cx, Draw, Fail, Outcome, ensure, list, ms, short};
use level2::error::{SectionError, SourceError};
use level2::model::{Dashboard, Loaded, Section};
use level2::source::DashboardSource;
use tokio::time::{Instant, sleep, timeout};

use crate::fake::{Fake, Figures, Payload, Step};
use crate::moves::moves;
use crate::plain;

/// Sections as a learner reads them: `sales, users`.
pub fn names<'a>(sections: impl IntoIterator<Item = &'a Section>) -> String {
    list(sections.into_iter().map(|section| section.name()))
}

/// What a call returned, when it had to succeed.
pub fn succeeded<T, E: Display>(result: Result<T, E>, why: &str) -> Result<T, Fail> {
    result.map_err(|error| {
        Fail::new(format!("returned an error although {why}")).observed(error.to_string())
    })
}

/// The moment of the return, in virtual time.
pub fn returned_at(took: Duration, expected_ms: u64, because: &str, help: &str) -> Outcome {
    ensure!(took == ms(expected_ms), "returned at {} ms", took.as_millis();
        expected = format!("{expected_ms} ms: {because}"),
        observed = format!("{} ms", took.as_millis()), help = help);
    Ok(())
}

/// The time a result states for itself.
pub fn states_time(stated: Duration, expected_ms: u64) -> Outcome {
    ensure!(stated == ms(expected_ms), "`took` says {} ms", stated.as_micros() as f64 / 1000.0;
        expected = format!("{expected_ms} ms, from the first poll of the load to its return"),
        help = "note tokio::time::Instant::now() first and store its elapsed() at the return: \
                std's clock does not see virtual time");
    Ok(())
}

/// Runs a future while the clock moves by a part of a millisecond, 10 ms after the first poll. Timers know whole
/// milliseconds only, so this is how a time comes about that is none. Returns the output and the time that passed.
pub async fn with_odd_time<F: Future>(
    cx: &Cx,
    name: &str,
    future: F,
) -> Result<(F::Output, Duration), Fail> {
    let part = odd(&mut cx.draw(), Duration::ZERO);
    begins(cx, &format!("the clock moves by {} in a moment", plain::time(part)));
    let timed = async {
        let began = Instant::now();
        let output = future.await;
        (output, began.elapsed())
    };
    let moves = async {
        sleep(ms(10)).await;
        cx.skip(part);
    };
    let ((output, took), ()) = cx.call(name, join(timed, moves)).await?.value;
    // Later times are whole again.
    cx.skip(ms(1) - part);
    Ok((output, took))
}

/// A duration that the judged code has measured is the one that passed, to the nanosecond.
pub fn is_exact(stated: Duration, passed: Duration, what: &str) -> Outcome {
    let help = if stated.abs_diff(passed) < ms(1) {
        "keep the Duration that `elapsed()` returns: whole milliseconds lose a part of it"
    } else {
        "note tokio::time::Instant::now() at the first poll of what is measured, and take its elapsed() at its end"
    };
    ensure!(stated == passed, "{what} says {}", plain::time(stated);
        expected = format!("{}, to the nanosecond", plain::time(passed)), help = help);
    Ok(())
}

/// Lets everything that was dropped or aborted come to rest; then no call and no task may be alive.
pub async fn nothing_left(cx: &Cx, fake: &Fake, when: &str) -> Outcome {
    cx.settle().await;
    let running = fake.running();
    ensure!(running.is_empty(), "{} source call(s) still run {when}", running.len();
        expected = "no call is left",
        observed = format!("still running: {}", names(&running)),
        help = "a call stops when its future is dropped. A spawned task is not stopped by dropping \
                its JoinHandle: keep the calls inside the load's own future, or use a JoinSet");
    let tasks = cx.alive_tasks();
    ensure!(tasks == 0, "{tasks} spawned task(s) are alive {when}";
        expected = "no task is left",
        help = "dropping a JoinHandle leaves its task running: use a JoinSet, or abort the tasks in \
                a destructor");
    Ok(())
}

/// A load has returned, and its caller keeps the future, as after `&mut load` in a `select!`: no call and no task may
/// be left. Drops the future.
pub async fn nothing_kept<F: Future>(
    cx: &Cx,
    fake: &Fake,
    load: Pin<Box<F>>,
    when: &str,
) -> Outcome {
    let help = "a caller that polls a future by reference may keep it for long after its result: drop the calls \
                before `poll` returns `Ready`. The body of an `async fn` does so by itself";
    kept(cx, fake, load, when, "has returned", help).await
}

/// The same for a load that has panicked, as after `(&mut load).catch_unwind()`.
pub async fn nothing_kept_by_a_panic<F: Future>(
    cx: &Cx,
    fake: &Fake,
    load: Pin<Box<F>>,
    when: &str,
) -> Outcome {
    let help = "a panic leaves `poll` before the line that drops the calls. Take them out of the future while they are \
                polled, so that unwinding drops them. The body of an `async fn` does so by itself";
    kept(cx, fake, load, when, "has panicked", help).await
}

/// What is left of a load that is over in this way, while its caller keeps the future.
async fn kept<F: Future>(
    cx: &Cx,
    fake: &Fake,
    load: Pin<Box<F>>,
    when: &str,
    how: &str,
    help: &str,
) -> Outcome {
    cx.settle().await;
    let (running, tasks) = (fake.running(), cx.alive_tasks());
    drop(load);
    // What is left also then is another fault.
    nothing_left(cx, fake, when).await?;
    ensure!(running.is_empty() && tasks == 0,
        "{} source call(s) run {when} until the caller drops the future", running.len();
        expected = format!("no call is left when the future {how}, also while the caller keeps it"),
        observed = format!("still running: {}; tasks: {tasks}", names(&running)),
        help = help);
    Ok(())
}

/// The last call of `section` was over at this moment, in milliseconds since the criterion began: what is cut is
/// stopped at that time, however long the rest of the load goes on. With a limit of zero, the end of a task may come
/// before its call.
pub fn stopped_at(fake: &Fake, section: Section, expected: u64, case: &str) -> Outcome {
    if !fake.called().contains(&section) {
        return Ok(());
    }
    let over = fake.over(section);
    let observed =
        over.map_or_else(|| "it still runs".to_owned(), |at| format!("it was stopped at {at} ms"));
    ensure!(over == Some(expected), "the call of {section} runs on after its limit";
        expected = format!("it is stopped at {expected} ms, when its limit is over ({case})"),
        observed = observed,
        help = "drop the future of a call that has run out of time, or abort its task, before anything else \
                is awaited");
    Ok(())
}

/// Begins the timeline of one of several loads, and notes what is special about it: a failure shows the load that
/// failed, and no other.
pub fn begins(cx: &Cx, case: &str) {
    cx.timeline().restart();
    cx.timeline().record("the grader", format!("begins a load: {case}"));
}

/// Notes in the timeline that a load is polled for the first time: the times of a message count from here.
pub fn first_poll(cx: &Cx) {
    cx.timeline().record("the grader", "polls it for the first time: the message counts from here");
}

/// The latencies of the assignment, in the order of the page.
pub const ASSIGNED: [u64; 5] = [500, 300, 400, 600, 200];

/// More than an hour, in milliseconds. A load that has no limit of its own waits for as long.
pub const AN_HOUR: u64 = 4_000_000;

/// Most of an hour, in milliseconds. A load that cuts the last section some time after the others does not wait for as
/// long.
pub const MOST_OF_AN_HOUR: u64 = 3_000_000;

/// What a call may take that waits for [`AN_HOUR`].
pub const HOURS: Duration = ms(5 * AN_HOUR);

/// More than a year, in milliseconds: longer than a limit that a solution makes up. A criterion waits for
/// this at most twice, since tokio's timers reach 795 days.
pub const A_YEAR: u64 = 370 * 24 * 60 * 60 * 1000;

/// What a call may take that waits for [`A_YEAR`].
pub const YEARS: Duration = ms(A_YEAR + A_YEAR / 50);

/// Durations that no sum with an `Instant` holds, the longest first, and some that no clock reaches.
pub fn endless(draw: &mut Draw) -> [Duration; 6] {
    [
        Duration::MAX,
        Duration::MAX - Duration::from_nanos(1),
        Duration::from_secs(u64::MAX),
        Duration::from_secs(u64::MAX / 2 + 1),
        Duration::from_secs(u64::MAX / 4),
        Duration::from_secs(draw.between(1 << 40..=u64::MAX)),
    ]
}

/// `time`, a little longer: by less than a millisecond, and by no whole number of microseconds.
pub fn odd(draw: &mut Draw, time: Duration) -> Duration {
    time + Duration::from_nanos(draw.between(1001..=998_999) / 2 * 2 + 1)
}

/// Other latencies, in the order of the page: from 20 to 840 ms, no two closer than 80 ms. Reviews, the
/// first to answer in the assignment, is one of the last two. None is a multiple of 5 ms, so that a load that looks at
/// its calls from time to time returns late.
pub fn latencies(draw: &mut Draw) -> [u64; 5] {
    let mut latencies =
        [0, 1, 2, 3, 4].map(|slot| 20 + slot * 180 + 5 * draw.below(20) + draw.between(1..=4));
    draw.shuffle(&mut latencies[..4]);
    let late = latencies.iter().position(|&after| (560..660).contains(&after));
    if let (Some(late), 0) = (late, draw.below(2)) {
        latencies.swap(late, 4);
    }
    latencies
}

/// What is said of a load that loses one of several outcomes of one millisecond.
pub const TIE: &str = "one wake-up may stand for several calls: poll all that are left each time, not only up to the first that is \
                       ready, or let join_all, FuturesUnordered or a JoinSet do it";

/// Latencies of which several are equal: all five, at the first poll and later, and some of them.
pub fn ties(draw: &mut Draw) -> [[u64; 5]; 5] {
    let (early, late) = (draw.between(20..=400), draw.between(420..=800));
    let mut drawn = [early, early, late, late, late];
    draw.shuffle(&mut drawn);
    [[early; 5], [0; 5], drawn, [early, late, early, late, early], [0, early, 0, early, early]]
}

/// Sources that answer after these latencies, with drawn data. No two of them answer with the same.
pub fn shop(cx: &Cx, draw: &mut Draw, latencies: [u64; 5]) -> Fake {
    static OPENED: AtomicU32 = AtomicU32::new(1);
    let drawn = u32::try_from(draw.below(90_000)).unwrap_or_default();
    let salt = OPENED.fetch_add(1, Ordering::Relaxed) * 100_000 + drawn;
    let fake = Fake::new(cx).salted(salt);
    Section::ALL
        .into_iter()
        .zip(latencies)
        .fold(fake, |fake, (section, after)| fake.with(section, Step::Answers(after)))
}

/// Errors of both kinds: with a drawn text, without a text, and with a long one that is not ASCII.
pub fn errors(draw: &mut Draw) -> [SourceError; 4] {
    [
        SourceError::Rejected(format!("no access for {}", draw.word())),
        SourceError::Unavailable(format!("{} does not answer", draw.word())),
        SourceError::Rejected(String::new()),
        SourceError::Unavailable(
            format!("  {} \u{2026} gr\u{f6}\u{df}er \n", draw.word()).repeat(200),
        ),
    ]
}

/// A source's error with the same variant and text.
pub fn copy(error: &SourceError) -> SourceError {
    match error {
        SourceError::Unavailable(text) => SourceError::Unavailable(text.clone()),
        SourceError::Rejected(text) => SourceError::Rejected(text.clone()),
    }
}

/// `observed` is `expected`, section by section.
pub fn shows(observed: &Dashboard, expected: &Dashboard, case: &str) -> Outcome {
    for (observed, expected) in plain::page(observed).into_iter().zip(plain::page(expected)) {
        ensure!(observed == expected, "the page does not show what the sources answered";
            expected = expected, observed = format!("{observed} ({case})"),
            help = "build the page from the answers of this load's own calls, each unchanged. A load \
                    keeps nothing for the next one, and shares nothing with another");
    }
    Ok(())
}

/// A load shows the answers of its own calls: once, again, beside another shop's load, and while a
/// third one is stuck.
pub async fn carries_its_own_answers<F>(
    cx: &Cx,
    name: &str,
    load: impl Fn(Arc<dyn DashboardSource>) -> F,
) -> Outcome
where
    F: Future<Output = Result<Loaded, SectionError>>,
{
    let mut draw = cx.draw();
    let (first, second) = (latencies(&mut draw), latencies(&mut draw));
    let shops = [
        shop(cx, &mut draw, first).named("shop"),
        shop(cx, &mut draw, second).named("branch"),
        Fake::new(cx).named("stuck").with(Section::Users, Step::Hangs),
    ];
    let call = cx.call(name, load(shops[0].source())).await?;
    shows(
        &succeeded(call.value, "every source answered")?.dashboard,
        &shops[0].page(),
        "the shop",
    )?;

    moves(cx, name, &[250], &load).await?;

    begins(cx, "three at a time: the shop again, a branch, and one that is stuck");
    let mut stuck = pin!(load(shops[2].source()));
    let fresh = shop(cx, &mut draw, first).named("shop");
    let both = async {
        let _ = poll!(&mut stuck);
        timeout(ms(60_000), join(load(fresh.source()), load(shops[1].source()))).await
    };
    let Ok((again, branch)) = cx.call(name, both).await?.value else {
        return Err(Fail::new("a load waits because another one is stuck")
            .help("loads share nothing: no lock and no memory outside of the load itself"));
    };
    let again = succeeded(again, "every source answered")?.dashboard;
    shows(&again, &fresh.page(), "the second load of the shop, with new data")?;
    let branch = succeeded(branch, "every source answered")?.dashboard;
    shows(&branch, &shops[1].page(), "the branch, loaded beside the shop")?;
    any_figures(cx, name, &Section::ALL, |source| load(source).map(page_or_error)).await?;
    side_by_side(cx, name, &load).await?;
    crowd(cx, name, load).await
}

/// A load passes on what its sources answer, whatever the numbers are. `load` returns the answers of `sections` as
/// text, in any order.
pub async fn any_figures<F: Future<Output = Vec<String>>>(
    cx: &Cx,
    name: &str,
    sections: &[Section],
    load: impl Fn(Arc<dyn DashboardSource>) -> F,
) -> Outcome {
    for (figures, what) in [
        (Figures::Zeros, "zeros, and without items"),
        (Figures::Largest, "the largest numbers, and with many items"),
    ] {
        let fake = Fake::new(cx).answering(figures);
        begins(cx, &format!("the sources answer with {what}"));
        let observed = cx.call(name, load(fake.source())).await?.value;
        for &section in sections {
            let expected = plain::data(&fake.data(section));
            ensure!(observed.contains(&expected), "an answer with {what}, is not passed on as it is";
                expected = short(&expected),
                observed = short(&plain::items(&observed)),
                help = "what a source answers is its data, whatever the numbers are: only the source says that it \
                        has failed");
        }
    }
    Ok(())
}

/// A section's data or its failure, as [`any_figures`] takes them.
pub fn page_or_error(result: Result<Loaded, SectionError>) -> Vec<String> {
    match result {
        Ok(loaded) => plain::page(&loaded.dashboard).to_vec(),
        Err(error) => vec![plain::error(&error)],
    }
}

/// Two loads of the same sources, at once and one while the other runs: each makes its own calls, and takes as long as
/// one alone.
pub async fn side_by_side<F: Future>(
    cx: &Cx,
    name: &str,
    load: impl Fn(Arc<dyn DashboardSource>) -> F,
) -> Outcome {
    let fake = Fake::new(cx);
    let source = fake.source();
    let timed = async |after: u64| {
        if after > 0 {
            sleep(ms(after)).await;
        }
        let began = Instant::now();
        load(Arc::clone(&source)).await;
        began.elapsed()
    };
    let alone = cx.call(name, timed(0)).await?.value;
    let calls = fake.called().len();
    for later in [0, 100] {
        begins(
            cx,
            &format!("two loads of the same sources, the second {later} ms after the first"),
        );
        let before = fake.called().len();
        let (first, second) = cx.call(name, join(timed(0), timed(later))).await?.value;
        let made = fake.called().len() - before;
        ensure!(made == 2 * calls, "two loads of the same sources make {made} calls";
            expected = format!("{}: each load makes its own calls, also when another one of the same sources runs", 2 * calls),
            help = "a load shows nothing of another one: do not look for one that runs already");
        for took in [first, second] {
            ensure!(took == alone, "of two loads of the same sources, one takes {}", plain::time(took);
                expected = format!("{}, as one alone ({later} ms between their first polls)", plain::time(alone)),
                help = "loads share nothing: no lock, no calls and no answers");
        }
    }
    Ok(())
}

/// Thousands of loads at once take as long as one alone.
pub async fn crowd<F: Future>(
    cx: &Cx,
    name: &str,
    load: impl Fn(Arc<dyn DashboardSource>) -> F,
) -> Outcome {
    const LOADS: usize = 2100;
    let fake = Fake::new(cx).quiet();
    let alone = cx.call(name, load(fake.source())).await?.took;
    begins(cx, &format!("{LOADS} loads at once"));
    let source = fake.twin().source();
    let call = cx.call(name, join_all((0..LOADS).map(|_| load(Arc::clone(&source))))).await?;
    ensure!(call.took == alone, "{LOADS} loads at once took {}", plain::time(call.took);
        expected = format!("{}, as one load alone: loads do not wait for one another", plain::time(alone)),
        help = "loads share nothing: no lock, and no number of places for calls, outside of the load itself");
    Ok(())
}

/// No source was called twice.
pub fn asked_once(fake: &Fake, case: &str) -> Outcome {
    let called = fake.called();
    for section in Section::ALL {
        let calls = called.iter().filter(|&&one| plain::same_section(one, section)).count();
        ensure!(calls <= 1, "{section} was called {calls} times";
            expected = format!("once ({case})"),
            help = "a failure is returned, not repaired: ask each source once");
    }
    Ok(())
}

/// The text of a panic as `assert_eq!` writes it: several lines, with spaces at their beginnings.
pub fn of_several_lines(draw: &mut Draw, what: &str) -> String {
    let (left, right) = (draw.below(1_000_000), draw.below(1_000_000));
    format!("a row of {what} is missing\n  left: {left}\n right: {right} ")
}

/// Panics of every source: in the method before there is a future, at the first poll, and later; with a literal
/// and with a text that is made. Each has the step and its text, and how many milliseconds after the call it panics.
pub fn panics(draw: &mut Draw) -> Vec<(Section, Step, String, u64)> {
    let mut cases = Vec::new();
    for section in Section::ALL {
        let late = draw.between(50..=150);
        let text = of_several_lines(draw, section.name());
        let literal = Payload::Literal("a row is missing");
        let made = Payload::Text(text);
        for (step, payload, at) in [
            (Step::PanicsWith(late, made.clone()), &made, late),
            (Step::PanicsWith(late, literal.clone()), &literal, late),
            (Step::PanicsWith(0, made.clone()), &made, 0),
            (Step::PanicsAtOnceWith(made.clone()), &made, 0),
        ] {
            cases.push((section, step, payload.text(), at));
        }
    }
    cases
}

/// Runs a load under a source that panics: its result or the text of the panic, and the time.
pub async fn catching<F: Future>(
    cx: &Cx,
    name: &str,
    load: F,
) -> Result<(Result<F::Output, String>, Duration), Fail> {
    let call = cx.call(name, AssertUnwindSafe(load).catch_unwind()).await?;
    Ok((call.value.map_err(|payload| panic_text(payload.as_ref())), call.took))
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let literal = payload.downcast_ref::<&str>().map(ToString::to_string);
    literal.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// The load panicked `expected_ms` after its first poll, with the text of the source's panic.
pub fn passed_on<T>(
    (result, took): (Result<T, String>, Duration),
    text: &str,
    expected_ms: u64,
    case: &str,
) -> Outcome {
    let Err(observed) = result else {
        return Err(Fail::new(format!("the load returned although {case}"))
            .expected(format!("the panic passes to the caller: {}", plain::quoted(text)))
            .help("a panic is a bug, not an answer. Awaiting a call passes its panic on by itself; a \
                   task's panic arrives as a JoinError: std::panic::resume_unwind(error.into_panic()). \
                   `all_settled::settle` contains panics: a load that passes them on cannot be built on it"));
    };
    ensure!(observed == text, "the panic that reached the caller is another one";
        expected = format!("{} ({case})", plain::quoted(text)), observed = plain::quoted(&observed),
        help = "pass the payload on unchanged: std::panic::resume_unwind(payload)");
    ensure!(took == ms(expected_ms), "the panic reached the caller at {} ms", took.as_millis();
        expected = format!("{expected_ms} ms, when it happened ({case})"),
        help = "pass a panic on when it happens, as a failure: do not wait for the other calls");
    Ok(())
}

/// In each case a source panics, and its panic passes to the caller of the load: the source, what it does, the
/// text of its panic, and the millisecond in which it reaches the caller. `when` is how messages call it.
pub async fn passes_each_panic_on<F: Future>(
    cx: &Cx,
    name: &str,
    when: &str,
    cases: impl IntoIterator<Item = (Section, Step, String, u64)>,
    load: impl Fn(Arc<dyn DashboardSource>) -> F,
) -> Outcome {
    for (section, step, text, at) in cases {
        let case = format!("{section} {when}");
        begins(cx, &case);
        let fake = Fake::new(cx).with(section, step);
        passed_on(catching(cx, name, load(fake.source())).await?, &text, at, &case)?;
    }
    Ok(())
}

/// Drops a load before its first poll and at each of `moments`, in milliseconds. A whole load comes
/// first and must end. A load that has ended at a later moment was too fast, which another criterion
/// is about.
pub async fn leaves_nothing_when_dropped<F: Future>(
    cx: &Cx,
    name: &str,
    fake: &Fake,
    moments: &[u64],
    load: impl Fn(Arc<dyn DashboardSource>) -> F,
) -> Outcome {
    let whole = fake.twin();
    begins(cx, &format!("{name}, to its end"));
    cx.call(name, load(whole.source())).await?;
    cx.settle().await;
    // What may still run is a rest that was not asked for, which another criterion is about. It ends.
    if whole.running().is_empty() {
        nothing_left(cx, &whole, "after the load has returned").await?;
    }
    sleep(ms(10_000)).await;
    nothing_left(cx, &whole, "10 s after the load has returned").await?;
    let unpolled = fake.twin();
    begins(cx, &format!("{name}, dropped before its first poll"));
    drop(load(unpolled.source()));
    cx.settle().await;
    ensure!(unpolled.called().is_empty(), "a load that was never polled called its sources";
        expected = "no call before the first poll", observed = names(&unpolled.called()),
        help = "do the work inside the future: a task that is spawned before runs on its own");
    for &at in moments {
        let dropped = fake.twin();
        begins(cx, &format!("{name}, dropped at {at} ms"));
        let outcome = grader_kit::dropped_at(cx, name, at, load(dropped.source())).await;
        if outcome.is_err() && at > moments[0] && dropped.running().is_empty() {
            continue;
        }
        outcome?;
        let now = cx.timeline().now_ms();
        nothing_left(cx, &dropped, &format!("after the load was dropped at {at} ms ({name})"))
            .await?;
        sleep(ms(5000)).await;
        let later: Vec<_> = dropped.seen().into_iter().filter(|seen| seen.at > now).collect();
        ensure!(later.is_empty(), "{} call(s) began after the load was dropped at {at} ms", later.len();
            expected = "no call", observed = names(later.iter().map(|seen| &seen.section)),
            help = "the rest of the load runs in a task: dropping its JoinHandle does not stop it");
    }
    Ok(())
}
