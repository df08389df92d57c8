//! `race::load`.

use std::pin::pin;
use std::time::Duration;

use futures::future::join;
use futures::{StreamExt as _, poll};
use grader_kit::{Cx, Draw, Fail, Outcome, ensure, failed, ms};
use level2::error::{SectionError, SourceError};
use level2::model::{Section, SectionData};
use level2::race::{FirstThree, TooFew, load};
use tokio::time::{sleep, timeout};

use crate::fake::{Fake, Payload, Step, refused};
use crate::moves::moves;
use crate::plain;
use crate::support::{
    A_YEAR, ASSIGNED, YEARS, any_figures, asked_once, begins, catching, copy, crowd, errors,
    first_poll, is_exact, latencies, leaves_nothing_when_dropped, names, nothing_kept,
    nothing_left, panics, passed_on, passes_each_panic_on, returned_at, shop, side_by_side,
    states_time, succeeded, with_odd_time,
};

const NAME: &str = "race::load";

/// Runs a race in which three sections can arrive.
async fn won(cx: &Cx, fake: &Fake) -> Result<(FirstThree, Duration), Fail> {
    let call = cx.call(NAME, load(fake.source())).await?;
    Ok((succeeded(call.value, "three sources can answer")?, call.took))
}

/// The sections in the order of their latencies, and the latencies.
fn by_time(latencies: [u64; 5]) -> [(Section, u64); 5] {
    let mut order = [0, 1, 2, 3, 4].map(|index| (Section::ALL[index], latencies[index]));
    order.sort_unstable_by_key(|&(_, after)| after);
    order
}

fn arrived(data: &[SectionData]) -> Vec<String> {
    data.iter().map(plain::data).collect()
}

fn failures(errors: &[SectionError]) -> Vec<String> {
    errors.iter().map(plain::error).collect()
}

fn failure(section: Section, error: &SourceError) -> String {
    format!("{section}: {}", plain::source_error(error))
}

pub async fn returns_at_the_third(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    let (first, took) = won(&cx, &fake).await?;
    returned_at(
        took,
        400,
        "reviews answers at 200, users at 300, orders at 400",
        "return as soon as three have answered; return the other two in `rest`, and do not wait for them",
    )?;
    states_time(first.took, 400)?;

    let mut draw = cx.draw();
    for slow in [false, true] {
        let mut drawn = latencies(&mut draw);
        if slow {
            // The three slowest take more than a year.
            let third = by_time(drawn)[2].1;
            drawn = drawn.map(|after| if after < third { after } else { after + A_YEAR });
        }
        let (section, third) = by_time(drawn)[2];
        let fake = shop(&cx, &mut draw, drawn);
        begins(&cx, "other latencies; it is first polled 70 ms after it was made");
        let made = load(fake.source());
        sleep(ms(70)).await;
        first_poll(&cx);
        let call = cx.call_within(YEARS, NAME, made).await?;
        returned_at(
            call.took,
            third,
            &format!("{section} is the third to answer"),
            "return at the third success, whichever sections these are, and however long it takes",
        )?;
        states_time(succeeded(call.value, "three sources can answer")?.took, third)?;
    }
    let (first, took) = with_odd_time(&cx, NAME, load(Fake::new(&cx).source())).await?;
    is_exact(succeeded(first, "three sources can answer")?.took, took, "`took`")
}

pub async fn hands_over_the_first_three(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let (first, second) = (ASSIGNED, latencies(&mut draw));
    let shops = [
        shop(&cx, &mut draw, first).named("shop"),
        shop(&cx, &mut draw, second).named("branch"),
        [Section::Sales, Section::Users, Section::Orders]
            .into_iter()
            .fold(Fake::new(&cx).named("stuck"), |fake, section| fake.with(section, Step::Hangs)),
    ];
    let right = |data: &[SectionData], fake: &Fake, latencies, case: &str| -> Outcome {
        let expected: Vec<_> =
            by_time(latencies)[..3].iter().map(|&(s, _)| plain::data(&fake.data(s))).collect();
        let observed = arrived(data);
        ensure!(observed == expected, "`arrived` is not the first three in the order of arrival";
            expected = plain::items(&expected),
            observed = format!("{} ({case})", plain::items(&observed)),
            help = "push the answers of this load's own calls, each unchanged, as they come");
        Ok(())
    };
    right(&won(&cx, &shops[0]).await?.0.arrived, &shops[0], first, "the first load")?;

    begins(
        &cx,
        "three loads at a time: of sources with new data, of others, and of some that hang",
    );
    let fresh = shop(&cx, &mut draw, first).named("shop");
    let mut stuck = pin!(load(shops[2].source()));
    let both = async {
        let _ = poll!(&mut stuck);
        timeout(ms(60_000), join(load(fresh.source()), load(shops[1].source()))).await
    };
    let Ok((again, branch)) = cx.call(NAME, both).await?.value else {
        return Err(Fail::new("a load waits because another one is stuck")
            .help("loads share nothing: no lock and no memory outside of the load itself"));
    };
    right(
        &succeeded(again, "three can answer")?.arrived,
        &fresh,
        first,
        "a second load of the same sources, with new data",
    )?;
    let branch = succeeded(branch, "three can answer")?;
    right(&branch.arrived, &shops[1], second, "other sources, loaded at the same time")?;

    for tie in [[100, 200, 300, 300, 300], [250; 5], [0; 5]] {
        // A failure shows its own case.
        cx.timeline().restart();
        begins(&cx, "several answer at the same millisecond");
        let fake = shop(&cx, &mut draw, tie);
        let first = won(&cx, &fake).await?.0;
        let observed = arrived(&first.arrived);
        ensure!(observed.len() == 3, "`arrived` holds {} sections", observed.len();
            expected = "three, also when others answer at the same millisecond: they are in `rest`",
            observed = plain::items(&observed));
    }
    for _ in 0..10 {
        let drawn = latencies(&mut draw);
        let fake = shop(&cx, &mut draw, drawn);
        right(&won(&cx, &fake).await?.0.arrived, &fake, drawn, "other latencies")?;
    }
    moves(&cx, NAME, &[250], load).await?;
    let first = by_time(ASSIGNED).map(|(section, _)| section);
    any_figures(&cx, NAME, &first[..3], async |source| match load(source).await {
        Ok(first) => arrived(&first.arrived),
        Err(error) => failures(&error.failed),
    })
    .await?;
    side_by_side(&cx, NAME, load).await?;
    crowd(&cx, NAME, load).await
}

pub async fn a_failure_is_no_success(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let errors = errors(&mut draw);
    // Which of the five in the order of time fail: one, two, the first two at their first poll.
    for (case, fail) in [&[1][..], &[0], &[2], &[0, 2], &[1, 2], &[0, 1]].into_iter().enumerate() {
        let drawn = if case == 0 { ASSIGNED } else { latencies(&mut draw) };
        let order = by_time(drawn);
        let mut fake = shop(&cx, &mut draw, drawn);
        for &place in fail {
            let (section, after) = order[place];
            let at = if case == 5 { 0 } else { after };
            fake = fake.with(section, Step::Fails(at, copy(&errors[(case + place) % 4])));
        }
        let failing: Vec<_> = fail.iter().map(|&place| order[place].0).collect();
        let expected: Vec<_> = (0..5)
            .filter(|place| !fail.contains(place))
            .map(|place| order[place])
            .take(3)
            .collect();
        begins(&cx, &format!("{} fail early", names(&failing)));
        let (first, took) = won(&cx, &fake).await?;
        let arrived: Vec<_> = first.arrived.iter().map(plain::section_of).collect();
        let wanted: Vec<_> = expected.iter().map(|&(section, _)| section).collect();
        ensure!(arrived.len() == 3, "{} sections arrived, not 3", arrived.len();
            expected = plain::sections(&wanted), observed = plain::sections(&arrived),
            help = format!("failed: {}. The next success takes its place", names(&failing)));
        returned_at(
            took,
            expected[2].1,
            &format!("failed before: {}; {} is the third success", names(&failing), wanted[2]),
            "count successes, not calls that have ended",
        )?;
        asked_once(&fake, &format!("{} fail early", names(&failing)))?;
    }
    for section in Section::ALL {
        for error in &errors[..2] {
            let fake = Fake::new(&cx).with(section, Step::Fails(50, copy(error)));
            begins(&cx, &format!("{section} fails at 50 ms"));
            won(&cx, &fake).await?;
            asked_once(&fake, &format!("{section} fails at 50 ms"))?;
        }
    }
    Ok(())
}

/// The shop with sources that fail, each after so many milliseconds, and what a load says of them.
fn with_failures<'a>(
    shop: Fake,
    failing: impl IntoIterator<Item = ((Section, u64), &'a SourceError)>,
) -> (Fake, Vec<String>) {
    failing.into_iter().fold((shop, Vec::new()), |(shop, mut said), ((section, after), error)| {
        said.push(failure(section, error));
        (shop.with(section, Step::Fails(after, copy(error))), said)
    })
}

pub async fn lists_early_failures(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let errors = errors(&mut draw);
    // None, one or two of those that come before the third success fail.
    for (case, fail) in [&[0, 1][..], &[0, 2], &[0, 2], &[1], &[2], &[]].into_iter().enumerate() {
        let drawn = if case < 2 { ASSIGNED } else { latencies(&mut draw) };
        let order = by_time(drawn);
        let failing = fail.iter().map(|&place| (order[place], &errors[(case + place) % 4]));
        let (fake, expected) = with_failures(shop(&cx, &mut draw, drawn), failing);
        let observed = failures(&won(&cx, &fake).await?.0.failed);
        ensure!(observed == expected,
            "`failed` does not list what failed before the third success, in the order of time";
            expected = plain::items(&expected), observed = plain::items(&observed),
            help = "push each failure with its section and its cause when it happens, and return the list unchanged");
    }
    // Two sections fail in the same words.
    let order = by_time(latencies(&mut draw));
    let failing = [order[0], order[1]].map(|place| (place, &errors[1]));
    let (fake, expected) = with_failures(Fake::new(&cx), failing);
    let observed = failures(&won(&cx, &fake).await?.0.failed);
    ensure!(observed == expected, "`failed` does not list each of two failures with the same text";
        expected = plain::items(&expected), observed = plain::items(&observed),
        help = "keep every failure, also when another section failed for the same reason");
    let lost = lost_of_one_instant(&cx, &mut draw, true).await?;
    ensure!(lost.is_empty(), "what fails at the millisecond of the third success is lost";
        expected = format!("{} in `failed` or in `rest`", names(&lost)), observed = "in neither",
        help = "what is there together with the third success is either listed or left in `rest`");
    Ok(())
}

/// An item of `rest` as text.
fn said(item: &Result<SectionData, SectionError>) -> String {
    match item {
        Ok(data) => plain::data(data),
        Err(error) => plain::error(error),
    }
}

/// The items of `rest` as text, and when each was handed over.
async fn items(cx: &Cx, first: &mut FirstThree) -> Result<Vec<(String, u64)>, Fail> {
    let mut items = Vec::new();
    loop {
        let next = cx.call("the next item of `rest`", first.rest.next()).await?;
        let Some(outcome) = next.value else { return Ok(items) };
        items.push((said(&outcome), cx.timeline().now_ms()));
        if items.len() > 5 {
            return Err(Fail::new("`rest` does not end").expected("two items and then the end"));
        }
    }
}

fn at(items: &[(String, u64)]) -> String {
    let items: Vec<_> = items.iter().map(|(item, at)| format!("{item} at {at} ms")).collect();
    plain::items(&items)
}

/// Latencies of which these two are the last, in this order.
fn ends_with(draw: &mut Draw, fourth: usize, fifth: usize) -> [u64; 5] {
    let mut latencies = latencies(draw);
    for (place, slot) in [(4, fifth), (3, fourth)] {
        let (section, _) = by_time(latencies)[place];
        latencies.swap(section as usize, slot);
    }
    latencies
}

pub async fn hands_over_the_rest(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let drawn = latencies(&mut draw);
    let mut cases = vec![(ASSIGNED, None), (drawn, None), (drawn, Some(1))];
    // Each section before each other one.
    for pair in 0..25 {
        if pair / 5 != pair % 5 {
            cases.push((ends_with(&mut draw, pair / 5, pair % 5), None));
        }
    }
    for (latencies, early) in cases {
        let order = by_time(latencies);
        let mut fake = shop(&cx, &mut draw, latencies);
        // A section that has failed early is not in `rest`, and makes the fourth one of the three.
        if let Some(place) = early {
            let (section, after): (Section, u64) = order[place];
            fake = fake.fails(section, after);
        }
        let start = cx.timeline().now_ms();
        let mut first = won(&cx, &fake).await?.0;
        let rest = items(&cx, &mut first).await?;
        let expected: Vec<_> = order[if early.is_some() { 4 } else { 3 }..]
            .iter()
            .map(|&(section, after)| (plain::data(&fake.data(section)), start + after))
            .collect();
        ensure!(rest == expected, "`rest` does not yield what is in neither `arrived` nor `failed`, as it arrives";
            expected = at(&expected), observed = at(&rest),
            help = "put the calls that are still running into `rest`, each on its own. A second call costs the time twice, and waiting for both delays one of them");
        ensure!(fake.called().len() == 5, "{} calls instead of 5", fake.called().len();
            expected = "each source is called once", observed = names(&fake.called()));
        let (last, ended) = (start + order[4].1, cx.timeline().now_ms());
        ensure!(ended == last, "`rest` ends {} ms after its last item", ended.saturating_sub(last);
            expected = format!("the end at {last} ms: the fifth section leaves nothing to wait for"),
            help = "return `None` at the first poll after the last item");
    }
    let lost = lost_of_one_instant(&cx, &mut draw, false).await?;
    ensure!(lost.is_empty(), "what answers at the millisecond of the third success is lost";
        expected = format!("{} in `arrived` or in `rest`", names(&lost)), observed = "in neither",
        help = "what is there together with the third success, but is not one of the three, belongs into `rest`");
    begins(&cx, "the caller asks for the rest 10 s later");
    let fake = shop(&cx, &mut draw, drawn);
    let mut first = won(&cx, &fake).await?.0;
    sleep(ms(10_000)).await;
    let mut rest: Vec<_> =
        items(&cx, &mut first).await?.into_iter().map(|(item, _)| item).collect();
    let mut expected: Vec<_> =
        by_time(drawn)[3..].iter().map(|&(section, _)| plain::data(&fake.data(section))).collect();
    // Both have been there for long: no order is promised.
    rest.sort_unstable();
    expected.sort_unstable();
    ensure!(rest == expected, "`rest` has lost outcomes when it is polled 10 s later";
        expected = plain::items(&expected), observed = plain::items(&rest),
        help = "the calls have no limit, and their answers wait until `rest` is polled");
    moves(&cx, "race::load and its `rest`", &[450, 550], |source| async {
        if let Ok(first) = load(source).await {
            first.rest.for_each(|_| async {}).await;
        }
    })
    .await?;
    let last = by_time(ASSIGNED).map(|(section, _)| section);
    any_figures(&cx, "`rest`", &last[3..], async |source| match load(source).await {
        Ok(first) => first.rest.map(|item| said(&item)).collect().await,
        Err(error) => failures(&error.failed),
    })
    .await?;
    the_rest_takes_a_year(&cx, &mut draw).await
}

/// The last source takes more than a year; then the last two do, and the caller asks for them another year later.
async fn the_rest_takes_a_year(cx: &Cx, draw: &mut Draw) -> Outcome {
    let drawn = latencies(draw);
    let third = by_time(drawn)[2].1;
    let fourth = by_time(drawn)[3].1;
    for late in [false, true] {
        let quick = if late { third } else { fourth };
        let slow = drawn.map(|after| if after <= quick { after } else { after + A_YEAR });
        let fake = shop(cx, draw, slow);
        begins(
            cx,
            if late {
                "the last two sources take more than a year"
            } else {
                "the last source takes more than a year"
            },
        );
        let first = won(cx, &fake).await?.0;
        if late {
            begins(cx, "the caller asks for the rest when both have long been there");
            cx.pass(YEARS).await;
        }
        let rest = cx.call_within(YEARS, "`rest`", first.rest.collect::<Vec<_>>()).await?.value;
        let mut observed: Vec<_> = rest.iter().map(said).collect();
        let mut expected: Vec<_> = by_time(slow)[3..]
            .iter()
            .map(|&(section, _)| plain::data(&fake.data(section)))
            .collect();
        observed.sort_unstable();
        expected.sort_unstable();
        ensure!(observed == expected, "`rest` has lost outcomes that take more than a year";
            expected = plain::items(&expected), observed = plain::items(&observed),
            help = "the calls have no limit: `rest` ends when the last outcome was delivered, however late that is");
    }
    Ok(())
}

/// Of outcomes that are there in the millisecond of the third success, each is in one of the three places. Returns
/// the sections that are in none of them, of those that failed or of those that answered.
async fn lost_of_one_instant(
    cx: &Cx,
    draw: &mut Draw,
    that_fail: bool,
) -> Result<Vec<Section>, Fail> {
    let (last, [_, error, _, other]) = (draw.between(100..=300), errors(draw));
    let ties = [[last; 5], [0; 5], [50, last, last, last, last], [50, 60, last, last, last]];
    for (case, mut tie) in ties.into_iter().cycle().take(12).enumerate() {
        draw.shuffle(&mut tie);
        let mut fake = shop(cx, draw, tie);
        // None of them fails, or one, or two.
        let mut sections = Section::ALL;
        draw.shuffle(&mut sections);
        let (failing, answering) = sections.split_at(case / 4);
        for (&section, error) in failing.iter().zip([&error, &other]) {
            fake = fake.with(section, Step::Fails(tie[section as usize], copy(error)));
        }
        // A failure shows its own case.
        cx.timeline().restart();
        begins(cx, "several outcomes are there at the same millisecond");
        let FirstThree { arrived, failed, rest, .. } = won(cx, &fake).await?.0;
        // More or fewer than three are another criterion's business.
        if arrived.len() != 3 {
            continue;
        }
        let rest = cx.call("`rest`", rest.collect::<Vec<_>>()).await?.value;
        let rest = rest.iter().map(|item| match item {
            Ok(data) => plain::section_of(data),
            Err(error) => error.section,
        });
        let mut there: Vec<_> = arrived.iter().map(plain::section_of).collect();
        there.extend(failed.iter().map(|error| error.section).chain(rest));
        let wanted = if that_fail { failing } else { answering };
        let lost: Vec<_> =
            wanted.iter().copied().filter(|section| !there.contains(section)).collect();
        if !lost.is_empty() {
            return Ok(lost);
        }
    }
    Ok(Vec::new())
}

pub async fn the_rest_carries_failures(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let errors = errors(&mut draw);
    for (case, fail) in [&[4][..], &[3], &[3, 4]].into_iter().enumerate() {
        let drawn = if case == 0 { ASSIGNED } else { latencies(&mut draw) };
        let order = by_time(drawn);
        let failing = fail.iter().map(|&place| (order[place], &errors[(case + place) % 4]));
        let (fake, expected) = with_failures(shop(&cx, &mut draw, drawn), failing);
        begins(&cx, &format!("{} fail(s) after the return", expected.len()));
        let rest =
            cx.call("`rest`", won(&cx, &fake).await?.0.rest.collect::<Vec<_>>()).await?.value;
        let observed: Vec<_> =
            rest.iter().filter_map(|item| item.as_ref().err()).map(plain::error).collect();
        ensure!(observed == expected, "`rest` does not report what failed after the return";
            expected = plain::items(&expected), observed = plain::items(&observed),
            help = "the items of `rest` are results: pass on each outcome, with its section and cause");
    }
    // Both fail in the same words, in the order of the page and against it.
    for (fourth, fifth) in [(0, 4), (4, 0)] {
        let order = by_time(ends_with(&mut draw, fourth, fifth));
        let drawn = Section::ALL.map(|section| {
            order.iter().find(|(one, _)| *one == section).map_or(0, |(_, after)| *after)
        });
        let failing = [order[3], order[4]].map(|place| (place, &errors[1]));
        let (fake, expected) = with_failures(shop(&cx, &mut draw, drawn), failing);
        begins(&cx, "two fail after the return, with the same text");
        let rest = won(&cx, &fake).await?.0.rest.collect::<Vec<_>>();
        let rest = cx.call("`rest`", rest).await?.value;
        let observed: Vec<_> =
            rest.iter().filter_map(|item| item.as_ref().err()).map(plain::error).collect();
        ensure!(observed == expected, "`rest` does not report each of two failures with the same text";
            expected = plain::items(&expected), observed = plain::items(&observed),
            help = "every section is one item, also when another one failed for the same reason");
    }
    Ok(())
}

pub async fn a_dropped_rest_stops(cx: Cx) -> Outcome {
    // A stream may start its work at the first poll.
    for (wait, when) in [
        (0, "before its first poll"),
        (50, "50 ms after its first poll"),
        (150, "when one of its two items has come"),
    ] {
        let fake = Fake::new(&cx);
        begins(&cx, &format!("`rest` is dropped {when}"));
        let (mut first, _) = won(&cx, &fake).await?;
        if wait > 0 {
            timeout(ms(wait), first.rest.by_ref().for_each(|_| async {})).await.ok();
        }
        cx.timeline().record("the grader", "drops `rest`");
        drop(first);
        nothing_left(&cx, &fake, &format!("after `rest` was dropped {when}")).await?;
    }
    Ok(())
}

/// Three sources fail, in these places of the order of time.
struct Lost {
    fake: Fake,
    at: u64,
    arrived: Vec<String>,
    failed: Vec<String>,
}

fn lost(cx: &Cx, draw: &mut Draw, drawn: [u64; 5], fail: [usize; 3]) -> Lost {
    let order = by_time(drawn);
    let mut errors = errors(draw);
    // In every second case all of them fail in the same words.
    if draw.chance(50) {
        errors = [1; 4].map(|same| copy(&errors[same]));
    }
    let mut fake = shop(cx, draw, drawn);
    let mut failed = Vec::new();
    for place in fail {
        let (section, after) = order[place];
        fake = fake.with(section, Step::Fails(after, copy(&errors[place % 4])));
        failed.push(failure(section, &errors[place % 4]));
    }
    let arrived = (0..fail[2])
        .filter(|place| !fail.contains(place))
        .map(|place| plain::data(&fake.data(order[place].0)))
        .collect();
    Lost { fake, at: order[fail[2]].1, arrived, failed }
}

/// None, one and two sections have arrived at the third failure.
const LOST: [[usize; 3]; 3] = [[0, 1, 2], [0, 1, 3], [1, 3, 4]];

pub async fn too_few_at_once(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for (case, fail) in LOST.into_iter().cycle().take(6).enumerate() {
        let latencies = if case < 3 { ASSIGNED } else { latencies(&mut draw) };
        let Lost { fake, at, .. } = lost(&cx, &mut draw, latencies, fail);
        begins(&cx, &format!("the third failure is at {at} ms"));
        let call = cx.call(NAME, load(fake.source())).await?;
        failed(call.value, "three sources failed")?;
        returned_at(
            call.took,
            at,
            "the third failure leaves only two sources",
            "waiting for the others cannot help: arrived and still running together are fewer than \
             three",
        )?;
    }
    begins(&cx, "three sources fail at their first poll");
    let fake = [Section::Users, Section::LowStock, Section::Reviews]
        .into_iter()
        .fold(Fake::new(&cx), |fake, section| fake.fails(section, 0));
    let call = cx.call(NAME, load(fake.source())).await?;
    failed(call.value, "three sources failed")?;
    returned_at(call.took, 0, "three failures at once", "return at the third failure")
}

pub async fn too_few_lists_every_outcome(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for (case, fail) in LOST.into_iter().cycle().take(30).enumerate() {
        let latencies = if case < 3 { ASSIGNED } else { latencies(&mut draw) };
        let lost = lost(&cx, &mut draw, latencies, fail);
        let call = cx.call(NAME, load(lost.fake.source())).await?;
        let TooFew { arrived: there, failed: gone } = failed(call.value, "three sources failed")?;
        for (what, observed, expected) in
            [("arrived", arrived(&there), lost.arrived), ("failed", failures(&gone), lost.failed)]
        {
            ensure!(observed == expected,
                "the error does not list what arrived and what failed, in the order of time";
                expected = format!("`{what}`: {}", plain::items(&expected)),
                observed = format!("`{what}`: {}", plain::items(&observed)),
                help = "`arrived` and `failed` hold what has happened up to the third failure, in the order of time, unchanged");
        }
    }
    Ok(())
}

pub async fn passes_panics_on(cx: Cx) -> Outcome {
    won(&cx, &Fake::new(&cx)).await?;
    let cases = panics(&mut cx.draw());
    passes_each_panic_on(&cx, NAME, "panics before the return", cases, load).await?;
    for (section, _, text, _) in panics(&mut cx.draw()) {
        let case = format!("{section} panics after the return");
        begins(&cx, &case);
        let step = Step::PanicsWith(650, Payload::Text(text.clone()));
        let fake = Fake::new(&cx).with(section, step);
        let (result, took) = catching(&cx, NAME, load(fake.source())).await?;
        let (result, took) = match result {
            // A load that waits for all is another criterion's business, and so is the time of an item.
            Err(text) => (Err(text), took),
            Ok(first) => {
                let rest = succeeded(first, "three sources can answer")?.rest;
                catching(&cx, "`rest`", rest.map(|_| ()).collect::<Vec<_>>()).await?
            }
        };
        let at = u64::try_from(took.as_millis()).unwrap_or_default();
        passed_on((result, took), &text, at, &case)?;
    }
    Ok(())
}

pub async fn leaves_nothing_behind(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    leaves_nothing_when_dropped(&cx, NAME, &fake, &[0, 150, 250, 350], load).await?;
    for section in [Section::Sales, Section::Users, Section::Orders] {
        let fake = Fake::new(&cx)
            .fails(Section::LowStock, 100)
            .fails(Section::Reviews, 50)
            .with(section, Step::Fails(150, refused(section)));
        begins(&cx, &format!("reviews, low-stock and {section} fail"));
        let mut made = Box::pin(load(fake.source()));
        let call = cx.call(NAME, made.as_mut()).await?;
        failed(call.value, "three sources failed")?;
        nothing_kept(&cx, &fake, made, "after the race was lost").await?;
    }
    // A `rest` that runs on when it is dropped is another criterion's business.
    let fake = Fake::new(&cx);
    drop(won(&cx, &fake).await?);
    cx.settle().await;
    if !fake.running().is_empty() || cx.alive_tasks() > 0 {
        return Ok(());
    }
    // What a caller keeps of a race that was won is the future, and not `rest`.
    let fake = Fake::new(&cx);
    begins(&cx, "the caller drops `rest` and keeps the future of the load");
    let mut made = Box::pin(load(fake.source()));
    let first = cx.call(NAME, made.as_mut()).await?.value;
    drop(succeeded(first, "every source answered")?);
    nothing_kept(&cx, &fake, made, "after the race was won and `rest` was dropped").await
}

/// What the report shows of it.
pub mod scenes {
    use grader_kit::{Cx, Outcome};

    use super::{Fake, NAME, load};
    use crate::shown::{sections, shows, take};

    pub async fn first_three(cx: Cx) -> Outcome {
        let end = async |result: Result<super::FirstThree, super::TooFew>| match result {
            Ok(first) => {
                let arrived = first.arrived.len();
                take(first.rest).await;
                sections(arrived)
            }
            Err(few) => format!("an error, with {}", sections(few.arrived.len())),
        };
        shows(&cx, NAME, load(Fake::new(&cx).source()), end).await
    }
}
