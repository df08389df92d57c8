//! `deadline::load` and `deadline::load_partial`.

use std::time::Duration;

use futures::future::join3;
use grader_kit::{Cx, Draw, Fail, Outcome, ensure, failed, ms};
use level2::deadline::{DeadlineError, load, load_partial};
use level2::error::SectionFailure;
use level2::model::Section;
use level2::parallel;
use level2::settled::Settled;
use tokio::time::{Instant, sleep, timeout};

use crate::fake::{Fake, Step, down, latency, refused};
use crate::moves::moves;
use crate::plain;
use crate::support::{
    A_YEAR, ASSIGNED, TIE, YEARS, any_figures, asked_once, begins, catching, copy, crowd, endless,
    errors, first_poll, is_exact, latencies, leaves_nothing_when_dropped, names, nothing_kept, odd,
    page_or_error, panics, passed_on, returned_at, shop, shows, side_by_side, states_time,
    succeeded, ties, with_odd_time,
};

const NAME: &str = "deadline::load";
const PARTIAL: &str = "deadline::load_partial";
const LONG: Duration = ms(20_000);

/// The variant of the error and its fields.
fn shown(error: &DeadlineError) -> String {
    match error {
        DeadlineError::Elapsed { limit } => elapsed(*limit),
        DeadlineError::Failed(error) => format!("Failed({})", plain::error(error)),
    }
}

fn elapsed(limit: Duration) -> String {
    format!("Elapsed {{ limit: {} }}", plain::time(limit))
}

pub async fn passes_results_on(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for case in ["a shop", "another shop"] {
        let drawn = latencies(&mut draw);
        let fake = shop(&cx, &mut draw, drawn);
        let call = cx.call(NAME, load(fake.source(), LONG)).await?;
        let loaded = succeeded(call.value, "every source answered within the limit")?;
        // What `parallel::load` makes of the same answers: its faults are another criterion's.
        let expected = cx.call("parallel::load", parallel::load(fake.twin().source())).await?;
        let page = succeeded(expected.value, "every source answered").map_err(|fail| Fail {
            headline: format!("`parallel::load`, on which `load` is built, {}", fail.headline),
            help: Some("repair that exercise first: cargo grade level2/parallel".to_owned()),
            ..fail
        })?;
        shows(&loaded.dashboard, &page.dashboard, case)?;
        for (what, observed, expected) in
            [("the load took", call.took, expected.took), ("`took` says", loaded.took, page.took)]
        {
            ensure!(observed == expected, "{what} {}", plain::time(observed);
                expected = format!("{}, as `parallel::load` does", plain::time(expected)),
                help = "a limit that is not reached changes nothing");
        }
    }
    for (section, error) in Section::ALL.into_iter().zip(errors(&mut draw).iter().cycle()) {
        let fake = Fake::new(&cx).with(section, Step::Fails(draw.below(500), copy(error)));
        let expected = cx.call("parallel::load", parallel::load(fake.twin().source())).await?;
        let at = u64::try_from(expected.took.as_millis()).unwrap_or_default();
        // A failure that `parallel::load` swallows is its own criterion's business.
        let Err(expected) = expected.value else { continue };
        begins(&cx, &format!("{section} fails"));
        let call = cx.call(NAME, load(fake.source(), LONG)).await?;
        let observed = failed(call.value, &format!("{section} failed"))?;
        let expected = format!("Failed({})", plain::error(&expected));
        ensure!(shown(&observed) == expected, "a failure within the limit is not passed on as it is";
            expected = expected, observed = shown(&observed),
            help = "`?` turns the SectionError into DeadlineError::Failed; only the end of the limit is \
                    Elapsed");
        returned_at(
            call.took,
            at,
            &format!("{section} fails"),
            "the limit is the latest moment to return: a failure ends the load when it happens",
        )?;
    }
    // What `parallel::load` makes of such answers is another criterion's business.
    let own = async |source| page_or_error(parallel::load(source).await);
    if any_figures(&cx, "parallel::load", &Section::ALL, own).await.is_ok() {
        any_figures(&cx, NAME, &Section::ALL, async |source| match load(source, LONG).await {
            Ok(loaded) => plain::page(&loaded.dashboard).to_vec(),
            Err(error) => vec![shown(&error)],
        })
        .await?;
    }
    if side_by_side(&cx, "parallel::load", parallel::load).await.is_ok() {
        side_by_side(&cx, NAME, |source| load(source, LONG)).await?;
    }
    side_by_side(&cx, PARTIAL, |source| load_partial(source, LONG)).await?;
    // A `parallel::load` that cannot do it itself is its own criterion's business.
    if moves(&cx, "parallel::load", &[250], parallel::load).await.is_ok() {
        moves(&cx, NAME, &[250], |source| load(source, LONG)).await?;
    }
    moves(&cx, PARTIAL, &[250], |source| load_partial(source, LONG)).await?;
    if crowd(&cx, "parallel::load", parallel::load).await.is_ok() {
        crowd(&cx, NAME, |source| load(source, LONG)).await?;
    }
    crowd(&cx, PARTIAL, |source| load_partial(source, LONG)).await
}

pub async fn cuts_at_the_limit(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for limit in [700, 1500, draw.between(1601..=60_000)] {
        let fake = Fake::new(&cx).with(Section::Users, Step::Hangs);
        begins(&cx, &format!("limit {limit} ms; it is first polled 70 ms after it was made"));
        let made = load(fake.source(), ms(limit));
        sleep(ms(70)).await;
        first_poll(&cx);
        let call = cx.call(NAME, made).await?;
        let observed = failed(call.value, "users never answers")?;
        ensure!(shown(&observed) == elapsed(ms(limit)), "the error does not say that the limit passed";
            expected = elapsed(ms(limit)), observed = shown(&observed));
        returned_at(
            call.took,
            limit,
            "the limit of the whole load, from its first poll",
            "tokio::time::timeout(limit, the load), made when the load is polled",
        )?;
    }
    begins(&cx, "limit 450 ms; sales needs 500 and low-stock 600 ms");
    let fake = Fake::new(&cx);
    let call = cx.call(NAME, load(fake.source(), ms(450))).await?;
    let observed = failed(call.value, "two sources need longer than the limit")?;
    ensure!(shown(&observed) == elapsed(ms(450)), "the error does not say that the limit passed";
        expected = elapsed(ms(450)), observed = shown(&observed));
    Ok(())
}

pub async fn stops_the_work(cx: Cx) -> Outcome {
    for hangs in Section::ALL {
        for limit in [150, 650] {
            begins(&cx, &format!("{hangs} hangs, limit {limit} ms"));
            let fake = Fake::new(&cx).with(hangs, Step::Hangs);
            let mut made = Box::pin(load(fake.source(), ms(limit)));
            cx.call(NAME, made.as_mut()).await?.value.ok();
            nothing_kept(&cx, &fake, made, &format!("after the limit of {limit} ms")).await?;
        }
    }
    Ok(())
}

/// Every report of `settled` says what its section did within `limit`.
fn reports(settled: &Settled, fake: &Fake, latencies: [u64; 5], limit: Duration) -> Outcome {
    for (section, after) in Section::ALL.into_iter().zip(latencies) {
        let Some(report) =
            settled.reports().iter().find(|r| plain::same_section(r.section, section))
        else {
            let there: Vec<_> = settled.reports().iter().map(plain::report).collect();
            return Err(Fail::new(format!("there is no report on {section}"))
                .expected("one report for each of the five sections")
                .observed(format!("the reports: {}", plain::items(&there)))
                .help(
                    "put the limit around each call: a timeout around all of them drops what has arrived, and a call \
                     that is cut has a report too, TimedOut",
                ));
        };
        let expected = if ms(after) < limit {
            plain::data(&fake.data(section))
        } else {
            format!("{section}: {}", plain::failure(&SectionFailure::TimedOut { limit }))
        };
        let help = match &report.result {
            Err(SectionFailure::TimedOut { limit: stated }) if *stated != limit => {
                "TimedOut carries the limit of the whole load, as the caller gave it: not the time that was left of it, nor \
                 another limit"
            }
            _ => {
                "put the limit around each call: a timeout around all of them drops what has arrived"
            }
        };
        ensure!(plain::report(report) == expected,
            "the partial page does not hold exactly what arrived in time";
            expected = format!("{expected} (it answers after {after} ms, the limit is {})",
                plain::time(limit)),
            observed = plain::report(report), help = help);
        let took = ms(after).min(limit);
        ensure!(report.took == took, "the report on {section} says {}", plain::time(report.took);
            expected = format!("{}, from its call to its outcome", plain::time(took)),
            help = "read the clock when this section has its outcome");
    }
    Ok(())
}

pub async fn partial_at_the_limit(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let drawn = latencies(&mut draw);
    for (latencies, limit) in [(ASSIGNED, 450), (drawn, 370), (drawn, 550)] {
        let fake = shop(&cx, &mut draw, latencies);
        begins(&cx, &format!("limit {limit} ms; it is first polled 70 ms after it was made"));
        let mut made = Box::pin(load_partial(fake.source(), ms(limit)));
        sleep(ms(70)).await;
        first_poll(&cx);
        let call = cx.call(PARTIAL, made.as_mut()).await?;
        returned_at(
            call.took,
            limit,
            "the limit of the whole load, with some sections on their way",
            "one limit for all, from the first poll",
        )?;
        reports(&call.value, &fake, latencies, ms(limit))?;
        states_time(call.value.took, limit)?;
        nothing_kept(&cx, &fake, made, "after the limit").await?;
    }
    begins(&cx, "orders fails at 100 ms, limit 450 ms");
    let fake = Fake::new(&cx).with(Section::Orders, Step::Fails(100, refused(Section::Orders)));
    let settled = cx.call(PARTIAL, load_partial(fake.source(), ms(450))).await?.value;
    let expected = format!("orders: {}", plain::source_error(&refused(Section::Orders)));
    let observed: Vec<_> = settled.reports().iter().map(plain::report).collect();
    ensure!(observed.contains(&expected), "a failure before the limit is not reported as it is";
        expected = expected, observed = plain::items(&observed));
    Ok(())
}

pub async fn partial_waits_no_longer(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let drawn = latencies(&mut draw);
    for latencies in [ASSIGNED, drawn] {
        let last = latencies.into_iter().max().unwrap_or_default();
        let fake = shop(&cx, &mut draw, latencies);
        let made = load_partial(fake.source(), LONG);
        sleep(ms(70)).await;
        first_poll(&cx);
        let call = cx.call(PARTIAL, made).await?;
        returned_at(
            call.took,
            last,
            "every section has its outcome, long before the limit",
            "the limit is the latest moment to return, not the only one",
        )?;
        reports(&call.value, &fake, latencies, LONG)?;
        states_time(call.value.took, last)?;
    }
    for tie in ties(&mut draw) {
        let fake = shop(&cx, &mut draw, tie);
        begins(&cx, "several sources answer at the same millisecond");
        let call = cx.call(PARTIAL, load_partial(fake.source(), LONG)).await?;
        let last = tie.into_iter().max().unwrap_or_default();
        returned_at(call.took, last, "the last sources answer, at the same millisecond", TIE)?;
        reports(&call.value, &fake, tie, LONG)?;
    }
    let made = load_partial(Fake::new(&cx).source(), LONG);
    let (whole, took) = with_odd_time(&cx, PARTIAL, made).await?;
    let part = took.saturating_sub(ms(600));
    for report in whole.reports() {
        let passed = ms(latency(report.section)) + part;
        is_exact(report.took, passed, &format!("the report on {}", report.section))?;
    }
    is_exact(whole.took, took, "`took`")?;
    for (section, error) in Section::ALL.into_iter().zip(errors(&mut draw).iter().cycle()) {
        let fake = Fake::new(&cx).with(section, Step::Fails(draw.below(500), copy(error)));
        let settled = cx.call(PARTIAL, load_partial(fake.source(), LONG)).await?.value;
        let expected = format!("{section}: {}", plain::source_error(error));
        let observed: Vec<_> = settled.errors().iter().map(plain::error).collect();
        ensure!(observed == [expected.as_str()], "a failure before the limit is not reported as it is";
            expected = expected, observed = plain::items(&observed));
        asked_once(&fake, &format!("{section} fails"))?;
    }
    any_figures(&cx, PARTIAL, &Section::ALL, async |source| {
        load_partial(source, LONG).await.reports().iter().map(plain::report).collect()
    })
    .await?;
    any_number_of_failures(&cx, &mut draw).await
}

/// Every choice of sections that fail before the limit, all five included: a failure is an outcome like any other.
async fn any_number_of_failures(cx: &Cx, draw: &mut Draw) -> Outcome {
    for bits in 1..32_u32 {
        let drawn = latencies(draw);
        let last = drawn.into_iter().max().unwrap_or_default();
        let failing: Vec<_> =
            Section::ALL.into_iter().filter(|section| bits & (1 << *section as u32) != 0).collect();
        let fake = failing.iter().fold(shop(cx, draw, drawn), |fake, section| {
            fake.fails(*section, drawn[*section as usize])
        });
        let case = format!("these fail before the limit: {}", names(&failing));
        begins(cx, &case);
        let call = cx.call(PARTIAL, load_partial(fake.source(), LONG)).await?;
        returned_at(
            call.took,
            last,
            &format!("every section has its outcome; {case}"),
            "a failure is an outcome: return when the last one is there, and do not wait for the limit",
        )?;
        for (section, after) in Section::ALL.into_iter().zip(drawn) {
            let Some(report) =
                call.value.reports().iter().find(|r| plain::same_section(r.section, section))
            else {
                return Err(Fail::new(format!("there is no report on {section}"))
                    .expected(format!("one report for each of the five sections ({case})")));
            };
            let expected = if failing.contains(&section) {
                format!("{section}: {}", plain::source_error(&down(section)))
            } else {
                plain::data(&fake.data(section))
            };
            ensure!(plain::report(report) == expected, "the report on {section} is not what its source said";
                expected = format!("{expected} ({case})"), observed = plain::report(report),
                help = "each report has the outcome of its own call, whatever becomes of the others");
            is_exact(report.took, ms(after), &format!("the report on {section}"))?;
        }
        states_time(call.value.took, last)?;
    }
    Ok(())
}

pub async fn takes_any_limit(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for limit in endless(&mut draw) {
        // A failure shows its own case.
        cx.timeline().restart();
        begins(&cx, &format!("{NAME} with the limit {}", plain::time(limit)));
        let call = cx.call(NAME, load(Fake::new(&cx).source(), limit)).await?;
        succeeded(
            call.value,
            &format!("every source answered long before the limit, {}", plain::time(limit)),
        )?;
        begins(&cx, &format!("{PARTIAL} with the limit {}", plain::time(limit)));
        let fake = Fake::new(&cx);
        let call = cx.call(PARTIAL, load_partial(fake.source(), limit)).await?;
        returned_at(call.took, 600, "the last source answers", "a very long limit is a limit")?;
        reports(&call.value, &fake, ASSIGNED, limit)?;
    }
    more_than_a_year(&cx).await?;
    no_limit_for_more_than_a_year(&cx).await?;
    let limit = odd(&mut draw, ms(450));
    cx.timeline().restart();
    begins(&cx, &format!("limit {}", plain::time(limit)));
    let call = cx.call(NAME, load(Fake::new(&cx).source(), limit)).await?;
    let observed = failed(call.value, "two sources need longer than the limit")?;
    ensure!(shown(&observed) == elapsed(limit), "the error does not carry the caller's limit";
        expected = elapsed(limit), observed = shown(&observed),
        help = "keep the limit as it is: a conversion to milliseconds loses a part of it");
    let settled = cx.call(PARTIAL, load_partial(Fake::new(&cx).source(), limit)).await?.value;
    let expected = format!("sales: {}", plain::failure(&SectionFailure::TimedOut { limit }));
    let observed: Vec<_> = settled.reports().iter().map(plain::report).collect();
    ensure!(observed.contains(&expected), "the report does not carry the caller's limit";
        expected = expected, observed = plain::items(&observed),
        help = "keep the limit as it is: a conversion to milliseconds loses a part of it");
    for limit in [0, 1] {
        begins(&cx, &format!("limit {limit} ms"));
        let call = cx.call(NAME, load(Fake::new(&cx).source(), ms(limit))).await?;
        let observed = failed(call.value, &format!("no source answers within {limit} ms"))?;
        ensure!(shown(&observed) == elapsed(ms(limit)), "the error does not say that the limit passed";
            expected = elapsed(ms(limit)), observed = shown(&observed));
        returned_at(
            call.took,
            limit,
            "the limit",
            "a limit of zero leaves no time; it does not mean \"no limit\"",
        )?;
        let fake = Fake::new(&cx);
        let call = cx.call(PARTIAL, load_partial(fake.source(), ms(limit))).await?;
        returned_at(
            call.took,
            limit,
            "the limit",
            "a limit of zero leaves no time; it does not mean \"no limit\"",
        )?;
        reports(&call.value, &fake, ASSIGNED, ms(limit))?;
    }
    Ok(())
}

/// Limits of more than a year are limits: a source that hangs is cut there, and one that answers before is not.
async fn more_than_a_year(cx: &Cx) -> Outcome {
    let limit = ms(A_YEAR);
    begins(cx, "limits of more than a year; users hangs, and orders answers a little earlier");
    let fake = Fake::new(cx)
        .with(Section::Users, Step::Hangs)
        .with(Section::Orders, Step::Answers(A_YEAR - 100));
    let partial = fake.twin();
    // What `parallel::load` makes of a source that hangs is its own criterion's business.
    let own = timeout(limit - ms(1), parallel::load(fake.twin().source()));
    let all =
        join3(timed(load(fake.source(), limit)), timed(load_partial(partial.source(), limit)), own);
    let ((whole, took), (partial_page, partial_took), own) =
        cx.call_within(YEARS, NAME, all).await?.value;
    if own.is_ok() {
        return Ok(());
    }
    for took in [took, partial_took] {
        returned_at(took, A_YEAR, "the limit is over", "a limit may be of any length")?;
    }
    let observed = failed(whole, "users never answers")?;
    ensure!(shown(&observed) == elapsed(limit), "the error does not say that the limit passed";
        expected = elapsed(limit), observed = shown(&observed));
    reports(&partial_page, &partial, [500, u64::MAX, A_YEAR - 100, 600, 200], limit)
}

/// A limit that no clock reaches is none, however long the sources take.
async fn no_limit_for_more_than_a_year(cx: &Cx) -> Outcome {
    begins(cx, "limits of Duration::MAX; orders takes more than a year");
    let fake = Fake::new(cx).with(Section::Orders, Step::Answers(A_YEAR));
    let (partial, own) = (fake.twin(), fake.twin());
    let all = join3(
        timed(load(fake.source(), Duration::MAX)),
        timed(load_partial(partial.source(), Duration::MAX)),
        parallel::load(own.source()),
    );
    let ((whole, took), (partial_page, partial_took), own) =
        cx.call_within(YEARS, NAME, all).await?.value;
    // A limit that `parallel::load` has is its own criterion's business.
    if own.is_ok() {
        succeeded(whole, "every source answered, and the limit is Duration::MAX")?;
        returned_at(took, A_YEAR, "orders answers", "a limit of Duration::MAX never ends")?;
    }
    returned_at(partial_took, A_YEAR, "orders answers", "a limit of Duration::MAX never ends")?;
    reports(&partial_page, &partial, [500, 300, A_YEAR, 600, 200], Duration::MAX)
}

/// What a future returns, and after how long.
async fn timed<F: Future>(future: F) -> (F::Output, Duration) {
    let began = Instant::now();
    let output = future.await;
    (output, began.elapsed())
}

pub async fn passes_panics_on(cx: Cx) -> Outcome {
    succeeded(cx.call(NAME, load(Fake::new(&cx).source(), LONG)).await?.value, "all answered")?;
    cx.call(PARTIAL, load_partial(Fake::new(&cx).source(), LONG)).await?;
    for (section, step, text, at) in panics(&mut cx.draw()) {
        let case = format!("{section} panics in {PARTIAL}");
        begins(&cx, &case);
        let fake = Fake::new(&cx).with(section, step);
        passed_on(
            catching(&cx, PARTIAL, load_partial(fake.source(), LONG)).await?,
            &text,
            at,
            &case,
        )?;
        let twin = fake.twin();
        let own = catching(&cx, "parallel::load", parallel::load(twin.source())).await?;
        // A panic that `parallel::load` keeps is its own criterion's business.
        if own.0.is_err() {
            let at = u64::try_from(own.1.as_millis()).unwrap_or_default();
            let twin = fake.twin();
            let case = format!("{section} panics in {NAME}");
            // A failure of `load` is not shown what the others kept.
            begins(&cx, &case);
            passed_on(catching(&cx, NAME, load(twin.source(), LONG)).await?, &text, at, &case)?;
        }
    }
    Ok(())
}

pub async fn leaves_nothing_behind(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    let moments = [0, 150, 250, 350, 450, 550];
    leaves_nothing_when_dropped(&cx, PARTIAL, &fake, &moments, |source| load_partial(source, LONG))
        .await?;
    cx.call(NAME, load(fake.source(), LONG)).await?;
    // What `parallel::load` leaves behind is its own criterion's business. It would spoil the next part.
    let own = parallel::load;
    if leaves_nothing_when_dropped(&cx, "parallel::load", &fake, &moments, own).await.is_err() {
        return Ok(());
    }
    leaves_nothing_when_dropped(&cx, NAME, &fake, &moments, |source| load(source, LONG)).await
}

/// What the report shows of it.
pub mod scenes {
    use grader_kit::{Cx, Outcome, ms};

    use super::{Fake, load_partial};
    use crate::shown::{settled, shows};

    pub async fn partial_page(cx: Cx) -> Outcome {
        let made = load_partial(Fake::new(&cx).source(), ms(450));
        shows(&cx, "deadline::load_partial", made, async |result| settled(&result)).await
    }
}
