//! `progressive::load`.

use std::pin::pin;
use std::time::Duration;

use futures::future::join;
use futures::{StreamExt as _, poll};
use grader_kit::{Cx, Draw, Fail, Outcome, ensure, failed, list, ms};
use level2::all_settled::{Timeouts, settle};
use level2::error::SectionError;
use level2::model::Section;
use level2::progressive::{FirstPhase, load};
use level2::settled::SectionReport;
use tokio::time::{sleep, timeout};

use crate::fake::{Fake, Payload, Step, latency};
use crate::moves::moves;
use crate::plain;
use crate::settles::{LIMITS, agrees, alone, limits, set, settled_right};
use crate::support::{
    A_YEAR, AN_HOUR, ASSIGNED, HOURS, YEARS, any_figures, asked_once, begins, copy, crowd, endless,
    errors, first_poll, is_exact, latencies, leaves_nothing_when_dropped, names, nothing_kept,
    nothing_left, odd, of_several_lines, returned_at, shop, side_by_side, states_time, stopped_at,
    succeeded, with_odd_time,
};

const NAME: &str = "progressive::load";
const FIRST: [Section; 2] = [Section::Sales, Section::Orders];
const SECOND: [Section; 3] = [Section::Users, Section::LowStock, Section::Reviews];

async fn first_phase(cx: &Cx, fake: &Fake, own: [u64; 5]) -> Result<(FirstPhase, Duration), Fail> {
    let call = cx.call(NAME, load(fake.source(), limits(own))).await?;
    Ok((succeeded(call.value, "sales and orders answered")?, call.took))
}

/// A load in which nothing fails. What it may leave in the background has time to end.
async fn healthy(cx: &Cx) -> Outcome {
    first_phase(cx, &Fake::new(cx), LIMITS).await?;
    sleep(ms(10_000)).await;
    Ok(())
}

/// The first phase shows what the sources answered.
fn first_shows(first: &FirstPhase, fake: &Fake, case: &str) -> Outcome {
    let page = fake.page();
    for (observed, expected) in [
        (plain::sales(&first.sales), plain::sales(&page.sales)),
        (plain::orders(&first.orders), plain::orders(&page.orders)),
    ] {
        ensure!(observed == expected, "the first phase does not show what the sources answered";
            expected = expected, observed = format!("{observed} ({case})"),
            help = "return the answers of this load's own calls, each unchanged. A load keeps nothing \
                    for the next one, and shares nothing with another");
    }
    Ok(())
}

pub async fn shows_the_critical_first(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let drawn = latencies(&mut draw);
    // In the second case orders is the slower one.
    for latencies in [ASSIGNED, [330, 200, 470, 100, 400], drawn] {
        let fake = shop(&cx, &mut draw, latencies);
        let [sales, _, orders, ..] = latencies;
        begins(&cx, "it is first polled 70 ms after it was made");
        let made = load(fake.source(), limits(LIMITS));
        sleep(ms(70)).await;
        first_poll(&cx);
        let call = cx.call(NAME, made).await?;
        let first = succeeded(call.value, "sales and orders answered")?;
        returned_at(
            call.took,
            sales.max(orders),
            &format!("sales and orders are loaded together, {sales} and {orders} ms"),
            "join the two, and return when both are there",
        )?;
        states_time(first.took, sales.max(orders))?;
        first_shows(&first, &fake, "one load after another")?;
    }
    let (first, second) = (latencies(&mut draw), latencies(&mut draw));
    let shops = [
        shop(&cx, &mut draw, first).named("shop"),
        shop(&cx, &mut draw, second).named("branch"),
        Fake::new(&cx).named("stuck").with(Section::Sales, Step::Hangs),
    ];
    begins(&cx, "three at a time: a shop, its branch, and one that is stuck");
    let run = |fake: &Fake| load(fake.source(), limits([400_000; 5]));
    let mut stuck = pin!(run(&shops[2]));
    let both = async {
        let _ = poll!(&mut stuck);
        timeout(ms(60_000), join(run(&shops[0]), run(&shops[1]))).await
    };
    let Ok((one, other)) = cx.call(NAME, both).await?.value else {
        return Err(Fail::new("a load waits because another one is stuck")
            .help("loads share nothing: no lock and no memory outside of the load itself"));
    };
    first_shows(&succeeded(one, "every source answered")?, &shops[0], "beside its branch")?;
    first_shows(&succeeded(other, "every source answered")?, &shops[1], "beside another shop")?;
    let made = load(Fake::new(&cx).source(), limits(LIMITS));
    let (first, took) = with_odd_time(&cx, NAME, made).await?;
    is_exact(succeeded(first, "sales and orders answered")?.took, took, "`took`")?;
    let both_phases = |source| async {
        if let Ok(first) = load(source, limits(LIMITS)).await {
            first.rest.for_each(|_| async {}).await;
        }
    };
    let right = settled_right(&cx, &FIRST).await;
    any_figures(&cx, NAME, &right, async |source| match load(source, limits(LIMITS)).await {
        Ok(first) => vec![plain::sales(&first.sales), plain::orders(&first.orders)],
        Err(error) => vec![plain::error(&error)],
    })
    .await?;
    side_by_side(&cx, "progressive::load and its `rest`", both_phases).await?;
    moves(&cx, "progressive::load and its `rest`", &[250, 650, 750, 1000], both_phases).await?;
    crowd(&cx, "progressive::load and its `rest`", both_phases).await
}

pub async fn holds_the_others_back(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let drawn = latencies(&mut draw);
    // In the second case orders is the slower one.
    for latencies in [ASSIGNED, [330, 200, 470, 100, 400], drawn] {
        let fake = shop(&cx, &mut draw, latencies);
        let over = cx.timeline().now_ms() + latencies[0].max(latencies[2]);
        let (first, _) = first_phase(&cx, &fake, LIMITS).await?;
        cx.call("`rest`", first.rest.map(|_| ()).collect::<Vec<_>>()).await?;
        let early: Vec<_> = fake
            .seen()
            .into_iter()
            .filter(|seen| seen.at < over && SECOND.contains(&seen.section))
            .collect();
        ensure!(early.is_empty(), "{} call(s) of the second phase began in the first", early.len();
            expected = "users, low-stock and reviews are called when sales and orders have arrived",
            observed = names(early.iter().map(|seen| &seen.section)),
            help = "start the second phase when the first is over, so that the services have sales and \
                    orders alone to answer");
    }
    Ok(())
}

/// Takes the second phase's reports, each with the moment of its delivery.
async fn second_phase(cx: &Cx, first: &mut FirstPhase) -> Result<Vec<(SectionReport, u64)>, Fail> {
    let mut reports: Vec<(SectionReport, u64)> = Vec::new();
    loop {
        let next = cx.call("the next item of `rest`", first.rest.next()).await?;
        let Some(report) = next.value else { break };
        reports.push((report, cx.timeline().now_ms()));
        if reports.len() > 5 {
            return Err(Fail::new("`rest` does not end").expected("three items and then the end"));
        }
    }
    let there: Vec<_> = reports.iter().map(|(report, _)| report.section).collect();
    let once =
        |section| there.iter().filter(|&&one| plain::same_section(one, section)).count() == 1;
    if !SECOND.into_iter().all(once) || there.len() > 3 {
        return Err(Fail::new("`rest` does not report on each section of the second phase once")
            .expected(plain::sections(&SECOND))
            .observed(plain::sections(&there)));
    }
    Ok(reports)
}

pub async fn hands_over_the_second_phase(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let drawn = latencies(&mut draw);
    for (case, error) in errors(&mut draw).iter().enumerate() {
        let latencies = if case == 0 { ASSIGNED } else { drawn };
        let failing = SECOND[case % 3];
        let step = Step::Fails(draw.between(1..=15), copy(error));
        let fake = shop(&cx, &mut draw, latencies).with(failing, step);
        begins(&cx, &format!("{failing} fails, the others answer"));
        let (mut first, _) = first_phase(&cx, &fake, LIMITS).await?;
        let start = cx.timeline().now_ms();
        let reports = second_phase(&cx, &mut first).await?;
        let began: Vec<_> =
            fake.seen().iter().filter(|s| SECOND.contains(&s.section)).map(|s| s.at).collect();
        ensure!(began.iter().all(|&at| at == began[0]), "the second phase does not begin at once";
            expected = "users, low-stock and reviews are called at one moment",
            observed = format!("called at {} ms", list(&began)),
            help = "poll the three calls together: a FuturesUnordered or a JoinSet, not one after another");
        for (report, now) in reports {
            let section = report.section;
            let Some(alone) = alone(&cx, &fake, section, limits(LIMITS)).await else { continue };
            // A load that has waited in its first phase has the outcome already.
            let over = fake.over(section).unwrap_or(now).max(start);
            ensure!(now == over, "{section} is yielded at {now} ms";
                expected = format!("at {over} ms, when its outcome was there"),
                help = "yield each section by itself: waiting for all three delays the fast ones");
            agrees(&report, &alone, "the caller polled `rest` at once")?;
            let calls = fake.called().iter().filter(|&&called| called == section).count();
            ensure!(calls == alone.calls, "{section} was called {calls} times";
                expected = format!("{} call", alone.calls),
                help = "a failure is reported, not repaired: ask each source once");
        }
    }
    let right = settled_right(&cx, &SECOND).await;
    any_figures(&cx, "`rest`", &right, async |source| match load(source, limits(LIMITS)).await {
        Ok(first) => first.rest.map(|report| plain::report(&report)).collect().await,
        Err(error) => vec![plain::error(&error)],
    })
    .await?;
    asked_for_later(&cx, &mut draw).await?;
    in_every_order(&cx, &mut draw).await?;
    let mut first = first_phase(&cx, &Fake::new(&cx), LIMITS).await?.0;
    let rest = first.rest.by_ref().collect::<Vec<_>>();
    let (reports, took) = with_odd_time(&cx, "`rest`", rest).await?;
    let part = took.saturating_sub(ms(600));
    for report in reports {
        let passed = ms(latency(report.section)) + part;
        is_exact(report.took, passed, &format!("the report on {}", report.section))?;
    }
    Ok(())
}

/// The caller asks for `rest` a moment after the return, when no source can have answered yet: the calls begin at one
/// of the two moments, and their times count from there.
async fn asked_for_later(cx: &Cx, draw: &mut Draw) -> Outcome {
    let drawn = latencies(draw).map(|after| after + 200);
    let fake = shop(cx, draw, drawn);
    let wait = draw.between(50..=150);
    let mut settled_alone = Vec::new();
    for section in SECOND {
        settled_alone.extend(alone(cx, &fake, section, limits(LIMITS)).await);
    }
    let case = format!("the caller polled `rest` {wait} ms after the return");
    begins(cx, &case);
    let fake = fake.twin();
    let (mut first, _) = first_phase(cx, &fake, LIMITS).await?;
    sleep(ms(wait)).await;
    for (report, _) in second_phase(cx, &mut first).await? {
        for alone in &settled_alone {
            if plain::same_section(alone.report.section, report.section) {
                agrees(&report, alone, &case)?;
            }
        }
    }
    Ok(())
}

/// The three sections of the second phase in each order, the first of them at once or later, and at the same
/// millisecond. What `settle` makes of one of
/// them is another criterion's business.
async fn in_every_order(cx: &Cx, draw: &mut Draw) -> Outcome {
    let orders = [[1, 3, 4], [1, 4, 3], [3, 1, 4], [3, 4, 1], [4, 1, 3], [4, 3, 1], [0; 3]];
    // The first of them answers at its first poll, or after 100 ms.
    for (order, first) in orders.into_iter().flat_map(|order| [(order, 0), (order, 100)]) {
        let mut latencies = [50; 5];
        for (place, section) in (0..).zip(order) {
            latencies[section] = first + 100 * place;
        }
        if order == [0; 3] {
            latencies = [50, 100, 50, 100, 100];
        }
        let fake = shop(cx, draw, latencies);
        begins(cx, &format!("latencies in the order of the page: {} ms", list(latencies)));
        let (mut first, _) = first_phase(cx, &fake, LIMITS).await?;
        let start = cx.timeline().now_ms();
        let mut last = start;
        for (report, now) in second_phase(cx, &mut first).await? {
            let expected = start + latencies[report.section as usize];
            ensure!(now == expected || fake.over(report.section).is_some_and(|over| over < start),
                "{} is yielded at {now} ms", report.section;
                expected = format!("at {expected} ms, when its outcome was there"),
                help = "yield the sections in the order of time, not of the page");
            last = last.max(now);
        }
        let ended = cx.timeline().now_ms();
        ensure!(ended == last, "`rest` ends {} ms after its last report", ended - last;
            expected = format!("the end at {last} ms: the third report leaves nothing to wait for"),
            help = "return `None` at the first poll after the last report");
    }
    Ok(())
}

/// The load has to end with the failure of `section`, in the first phase. What `settle` makes of that
/// section alone is what it has to say.
async fn ends_with(cx: &Cx, fake: &Fake, section: Section, own: [u64; 5], why: &str) -> Outcome {
    let Some(alone) = alone(cx, fake, section, limits(own)).await else { return Ok(()) };
    begins(cx, why);
    let mut made = Box::pin(load(fake.source(), limits(own)));
    sleep(ms(70)).await;
    first_poll(cx);
    let call = cx.call(NAME, made.as_mut()).await?;
    let observed: SectionError = failed(call.value, why)?;
    returned_at(
        call.took,
        alone.at,
        &format!("{section} fails, and without it there is no page"),
        "fail as soon as one of the two fails, as try_join! does",
    )?;
    ensure!(plain::error(&observed) == alone.shown, "the error is not that of the critical section";
        expected = alone.shown, observed = plain::error(&observed),
        help = "SectionError { section, failure } with the failure of the section's report");
    asked_once(fake, why)?;
    let now = cx.timeline().now_ms();
    if alone.clean {
        nothing_kept(cx, fake, made, "after the load has failed").await?;
    }
    sleep(ms(10_000)).await;
    // A call of the second phase that began in the first is another criterion's business.
    let second: Vec<_> =
        fake.seen().iter().filter(|seen| seen.at > now).map(|s| s.section).collect();
    ensure!(second.is_empty(), "the second phase began although the first has failed";
        expected = "no call of users, low-stock or reviews", observed = names(&second),
        help = "return the error before any call of the second phase is started");
    Ok(())
}

pub async fn a_critical_failure_ends_it(cx: Cx) -> Outcome {
    healthy(&cx).await?;
    let mut draw = cx.draw();
    // Each of the two fails with each kind of error.
    for (case, error) in errors(&mut draw).iter().cycle().take(8).enumerate() {
        // Orders first, then sales; the other one fails later.
        let turn = case + case / 4;
        let (section, other) = (FIRST[(turn + 1) % 2], FIRST[turn % 2]);
        let at = [draw.between(100..=180), draw.between(210..=290), 0, 350][case % 4];
        let fake = Fake::new(&cx).fails(other, 390).with(section, Step::Fails(at, copy(error)));
        ends_with(&cx, &fake, section, LIMITS, &format!("{section} fails at {at} ms")).await?;
    }
    Ok(())
}

pub async fn limits_the_first_phase(cx: Cx) -> Outcome {
    healthy(&cx).await?;
    let mut draw = cx.draw();
    for (section, other) in [(0, 2), (2, 0)] {
        for limit in [draw.between(1000..=1900), 0] {
            let mut own = [7000; 5];
            own[section] = limit;
            own[other] = draw.between(2000..=2900);
            let section = Section::ALL[section];
            let fake = Fake::new(&cx).with(section, Step::Hangs);
            let why = format!("{section} hangs; its limit is {limit} ms");
            ends_with(&cx, &fake, section, own, &why).await?;
        }
    }
    // What `settle` itself makes of such a limit is another criterion's business.
    for limit in endless(&mut draw) {
        let fake = Fake::new(&cx);
        let mut own = limits(LIMITS);
        own.sales = limit;
        if alone(&cx, &fake, Section::Sales, own).await.is_some() {
            begins(&cx, &format!("the limit of sales is {}", plain::time(limit)));
            let call = cx.call(NAME, load(fake.source(), own)).await?;
            succeeded(call.value, "sales and orders answered")?;
        }
    }
    for section in FIRST {
        let mut own = limits(LIMITS);
        set(&mut own, section, odd(&mut draw, ms(800)));
        let fake = Fake::new(&cx).with(section, Step::Hangs);
        let Some(alone) = alone(&cx, &fake, section, own).await else { continue };
        let why = format!("{section} hangs; its limit is {}", plain::time(own.of(section)));
        begins(&cx, &why);
        let observed = failed(cx.call(NAME, load(fake.source(), own)).await?.value, &why)?;
        ensure!(plain::error(&observed) == alone.shown, "the error does not carry the section's limit";
            expected = alone.shown, observed = plain::error(&observed),
            help = "keep the limit as it is: a conversion to milliseconds loses a part of it");
    }
    let fake = Fake::new(&cx)
        .with(Section::Sales, Step::Answers(A_YEAR))
        .with(Section::Orders, Step::Answers(A_YEAR));
    let mut own = limits([A_YEAR + 1000; 5]);
    own.orders = Duration::MAX;
    if settle_late(&cx, &fake, FIRST, own).await? {
        begins(&cx, "sales and orders take more than a year, and have the time");
        let call = cx.call_within(YEARS, NAME, load(fake.source(), own)).await?;
        succeeded(call.value, "sales and orders answered")?;
        for section in FIRST {
            let fake = Fake::new(&cx).with(section, Step::Answers(AN_HOUR));
            begins(&cx, &format!("{section} answers more than an hour after the other one"));
            let call = cx.call_within(HOURS, NAME, load(fake.source(), own)).await?;
            succeeded(call.value, "sales and orders answered")?;
        }
    }
    Ok(())
}

/// Whether `settle` waits for two sources that take more than a year.
async fn settle_late(
    cx: &Cx,
    fake: &Fake,
    sections: [Section; 2],
    own: Timeouts,
) -> Result<bool, Fail> {
    let [one, other] =
        sections.map(|section| settle(section, fake.twin().source(), own.of(section)));
    let both = cx.call_within(YEARS, "all_settled::settle", join(one, other)).await?.value;
    Ok(both.0.result.is_ok() && both.1.result.is_ok())
}

pub async fn limits_the_second_phase(cx: Cx) -> Outcome {
    healthy(&cx).await?;
    let mut draw = cx.draw();
    let mut own = [0, 1, 2, 3, 4].map(|slot| 1000 + slot * 500 + draw.below(400));
    draw.shuffle(&mut own);
    for zero in [None, Some(0), Some(1), Some(2)] {
        if let Some(zero) = zero {
            own[SECOND[zero] as usize] = 0;
        }
        let fake = SECOND
            .into_iter()
            .fold(Fake::new(&cx), |fake, section| fake.with(section, Step::Hangs));
        let mut settled_alone = Vec::new();
        for section in SECOND {
            settled_alone.extend(alone(&cx, &fake, section, limits(own)).await);
        }
        if settled_alone.len() < 3 {
            continue;
        }
        begins(&cx, "users, low-stock and reviews hang; each has its own limit");
        let (mut first, _) = first_phase(&cx, &fake, own).await?;
        for (report, _) in second_phase(&cx, &mut first).await? {
            for alone in &settled_alone {
                if plain::same_section(alone.report.section, report.section) {
                    agrees(&report, alone, "its source hangs; the caller polled `rest` at once")?;
                }
            }
        }
    }
    // Limits that are no whole number of milliseconds, and a source that takes more than a year.
    for section in SECOND {
        let mut own = limits(LIMITS);
        set(&mut own, section, odd(&mut draw, ms(800)));
        let fake = Fake::new(&cx).with(section, Step::Hangs);
        let Some(alone) = alone(&cx, &fake, section, own).await else { continue };
        begins(&cx, &format!("{section} hangs; its limit is {}", plain::time(own.of(section))));
        let call = cx.call(NAME, load(fake.source(), own)).await?;
        let mut first = succeeded(call.value, "sales and orders answered")?;
        for (report, _) in second_phase(&cx, &mut first).await? {
            if plain::same_section(report.section, section) {
                agrees(&report, &alone, "its source hangs")?;
            }
        }
    }
    // A call is cut while another one still runs.
    for (section, other) in
        [(1, 3), (3, 1), (4, 3)].map(|(s, o)| (Section::ALL[s], Section::ALL[o]))
    {
        let mut own = limits(LIMITS);
        set(&mut own, section, ms(100));
        let fake = Fake::new(&cx).with(section, Step::Hangs);
        let Some(alone) = alone(&cx, &fake, section, own).await else { continue };
        let case = format!("{section} hangs, and {other} still runs");
        begins(&cx, &case);
        let call = cx.call(NAME, load(fake.source(), own)).await?;
        let mut first = succeeded(call.value, "sales and orders answered")?;
        second_phase(&cx, &mut first).await?;
        // When it begins is another criterion's business.
        let began = fake.seen().iter().rfind(|seen| seen.section == section).map(|seen| seen.at);
        if let (Some(began), true) = (began, alone.clean) {
            stopped_at(&fake, section, began + alone.at, &case)?;
        }
    }
    let late = [Section::Users, Section::LowStock];
    let fake = late
        .into_iter()
        .fold(Fake::new(&cx), |fake, section| fake.with(section, Step::Answers(A_YEAR)));
    let mut own = limits([A_YEAR + 1000; 5]);
    own.low_stock = Duration::MAX;
    if settle_late(&cx, &fake, late, own).await? {
        begins(&cx, "users and low-stock take more than a year, and have the time");
        let call = cx.call(NAME, load(fake.source(), own)).await?;
        let rest = succeeded(call.value, "sales and orders answered")?.rest;
        let reports = cx.call_within(YEARS, "`rest`", rest.collect::<Vec<_>>()).await?.value;
        let observed: Vec<_> = reports.iter().map(plain::report).collect();
        for section in late {
            let expected = plain::data(&fake.data(section));
            ensure!(observed.contains(&expected), "{section} is lost although its source answers within its limit";
                expected = format!("{expected}, after more than a year"),
                observed = plain::items(&observed),
                help = "each call has the limit of its section in `timeouts`, and no other");
        }
    }
    let fake = Fake::new(&cx);
    begins(&cx, "the caller first polls `rest` after 20 s; every source answers in time");
    let (mut first, _) = first_phase(&cx, &fake, LIMITS).await?;
    sleep(ms(20_000)).await;
    for (report, _) in second_phase(&cx, &mut first).await? {
        let Some(alone) = alone(&cx, &fake, report.section, limits(LIMITS)).await else { continue };
        ensure!(plain::report(&report) == alone.shown,
            "{} is lost although its source answers within its limit", plain::section(report.section);
            expected = alone.shown,
            observed = format!("{} (polled 20 s after the return)", plain::report(&report)),
            help = "a call's limit runs from the start of that call. Start the clock with the call, not \
                    when the stream is made");
    }
    Ok(())
}

pub async fn contains_panics(cx: Cx) -> Outcome {
    healthy(&cx).await?;
    let text = of_several_lines(&mut cx.draw(), "a table");
    // Two panics in the second phase, in the order of its sections and against it.
    for (users, reviews) in [(70, 120), (120, 70)] {
        let fake = Fake::new(&cx)
            .with(Section::Users, Step::Panics(users))
            .with(Section::Reviews, Step::PanicsWith(reviews, Payload::Text(text.clone())));
        let case = format!("users panics after {users} ms, and reviews after {reviews} ms");
        begins(&cx, &case);
        let (mut first, _) = first_phase(&cx, &fake, LIMITS).await?;
        for (report, _) in second_phase(&cx, &mut first).await? {
            if let Some(alone) = alone(&cx, &fake, report.section, limits(LIMITS)).await {
                agrees(&report, &alone, &case)?;
            }
        }
    }
    for step in [
        Step::PanicsWith(250, Payload::Literal("a row is missing")),
        Step::PanicsWith(150, Payload::Text(text)),
        Step::PanicsAtOnce,
    ] {
        for section in FIRST {
            let fake = Fake::new(&cx).with(section, step.clone());
            ends_with(&cx, &fake, section, LIMITS, &format!("{section} panics")).await?;
        }
        for section in SECOND {
            let fake = Fake::new(&cx).with(section, step.clone());
            // `settle` that lets the panic through is another criterion's business.
            if alone(&cx, &fake, section, limits(LIMITS)).await.is_none() {
                continue;
            }
            begins(&cx, &format!("{section} panics in the second phase"));
            let (mut first, _) = first_phase(&cx, &fake, LIMITS).await?;
            for (report, _) in second_phase(&cx, &mut first).await? {
                if let Some(alone) = alone(&cx, &fake, report.section, limits(LIMITS)).await {
                    agrees(&report, &alone, &format!("{section} panics"))?;
                }
            }
        }
    }
    Ok(())
}

pub async fn leaves_nothing_behind(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    leaves_nothing_when_dropped(&cx, NAME, &fake, &[0, 150, 450], |source| {
        load(source, limits(LIMITS))
    })
    .await?;
    // A stream may start its work at the first poll.
    for (wait, when) in [
        (0, "before its first poll"),
        (50, "50 ms after its first poll"),
        (250, "when one of its items has come"),
        (350, "when two of its items have come"),
    ] {
        let fake = Fake::new(&cx);
        begins(&cx, &format!("`rest` is dropped {when}"));
        let (mut first, _) = first_phase(&cx, &fake, LIMITS).await?;
        if wait > 0 {
            timeout(ms(wait), first.rest.by_ref().for_each(|_| async {})).await.ok();
        }
        cx.timeline().record("the grader", "drops `rest`");
        drop(first);
        nothing_left(&cx, &fake, &format!("after `rest` was dropped {when}")).await?;
    }
    let fake = Fake::new(&cx);
    begins(&cx, "the caller polls `rest` for 50 ms, drops it and keeps the future of the load");
    let mut made = Box::pin(load(fake.source(), limits(LIMITS)));
    let first = cx.call(NAME, made.as_mut()).await?.value;
    let mut first = succeeded(first, "sales and orders answered")?;
    timeout(ms(50), first.rest.by_ref().for_each(|_| async {})).await.ok();
    drop(first);
    nothing_kept(&cx, &fake, made, "after `rest` was dropped").await
}

/// What the report shows of it.
pub mod scenes {
    use grader_kit::{Cx, Outcome};

    use super::{Fake, FirstPhase, LIMITS, NAME, SectionError, limits, load};
    use crate::shown::{shows, take};

    pub async fn two_phases(cx: Cx) -> Outcome {
        let end = async |result: Result<FirstPhase, SectionError>| match result {
            Ok(first) => {
                take(first.rest).await;
                "sales and orders".to_owned()
            }
            Err(_) => "an error".to_owned(),
        };
        shows(&cx, NAME, load(Fake::new(&cx).source(), limits(LIMITS)), end).await
    }
}
