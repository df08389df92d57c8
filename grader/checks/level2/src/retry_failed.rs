//! `retry_failed::retry`.

use std::time::Duration;

use grader_kit::{Cx, Draw, Fail, Outcome, ensure, ms};
use level2::all_settled::Timeouts;
use level2::error::{SectionFailure, SourceError};
use level2::model::Section;
use level2::retry_failed::retry;
use level2::settled::{SectionReport, Settled};
use tokio::time::sleep;

use crate::endings::dropped_everywhere;
use crate::fake::{Fake, Payload, Step, down, latency, refused};
use crate::moves::moves;
use crate::plain::{self, same};
use crate::settles::{set, set_limit};
use crate::support::{
    A_YEAR, TIE, YEARS, any_figures, asked_once, begins, crowd, is_exact, names, odd,
    of_several_lines, returned_at, shop, side_by_side, stopped_at, ties, with_odd_time,
};

const NAME: &str = "retry_failed::retry";

/// How long the first load took.
const FIRST: u64 = 650;

/// Spelled out, so that a wrong default does not matter here.
const LIMITS: Timeouts = Timeouts {
    sales: ms(5000),
    users: ms(5000),
    orders: ms(5000),
    low_stock: ms(5000),
    reviews: ms(5000),
};

/// A first load of 650 ms: the named sections failed, the others have the data of `first`.
fn first_load(first: &Fake, failures: &[(Section, SectionFailure)]) -> Settled {
    let reports = Section::ALL.map(|section| {
        let failure = failures.iter().find(|(failed, _)| *failed == section);
        let result = match failure {
            Some((_, failure)) => Err(failure.clone()),
            None => Ok(first.data(section)),
        };
        SectionReport { section, result, took: ms(latency(section)) }
    });
    Settled::new(reports, ms(FIRST))
}

fn timed_out() -> SectionFailure {
    SectionFailure::TimedOut { limit: ms(FIRST) }
}

fn panicked() -> SectionFailure {
    SectionFailure::Panicked { message: "a bug".to_owned() }
}

/// A failure that another try may end.
fn passing(draw: &mut Draw, section: Section) -> SectionFailure {
    if draw.chance(50) { down(section).into() } else { timed_out() }
}

/// What a section has now.
fn now(settled: &Settled, section: Section) -> Result<&SectionReport, Fail> {
    let mut reports = settled.reports().iter().filter(|report| report.section == section);
    match (reports.next(), reports.next()) {
        (Some(report), None) => Ok(report),
        _ => Err(Fail::new(format!("there is not one report on {section}"))
            .expected("one report for each of the five sections")),
    }
}

pub async fn asks_only_for_the_failed(cx: Cx) -> Outcome {
    let first = Fake::new(&cx).named("first");
    let mut draw = cx.draw();
    // Every choice of sections that failed, but none and all at the end.
    for chosen in (1..32_u32).chain([0b10010]) {
        let failed: Vec<Section> =
            (0..5).filter(|bit| chosen & (1 << bit) != 0).map(|bit| Section::ALL[bit]).collect();
        let failures: Vec<_> =
            failed.iter().map(|section| (*section, passing(&mut draw, *section))).collect();
        let fake = Fake::new(&cx);
        let load = retry(fake.source(), first_load(&first, &failures), LIMITS);
        let start = cx.timeline().now_ms();
        let call = cx.call(NAME, load).await?;
        let mut called = fake.called();
        called.sort_unstable();
        ensure!(called == failed,
            "asked again for {} section(s), not for the {} that failed", called.len(), failed.len();
            expected = names(&failed), observed = names(&called),
            help = "a section that is there is not asked for again: it costs time, and may fail now");
        let slowest = failed.iter().map(|section| latency(*section)).max().unwrap_or_default();
        returned_at(
            call.took,
            slowest,
            &format!("{} are asked at once", names(&failed)),
            "make the calls together (join_all) instead of one after the other",
        )?;
        let late: Vec<_> =
            fake.seen().iter().filter(|seen| seen.at != start).map(|seen| seen.section).collect();
        ensure!(late.is_empty(), "of {} calls of the second try, {} begin late", failed.len(), late.len();
            expected = format!("all at the first poll: {}", names(&failed)),
            observed = format!("later: {}", names(&late)),
            help = "make all calls together (join_all): no number of them is too large");
    }
    for times in ties(&mut draw) {
        let fake = shop(&cx, &mut draw, times);
        begins(&cx, "all five are asked for again, and several answer at the same millisecond");
        // Not `timed_out`: the answers may take longer than the limit that it names.
        let failures = Section::ALL.map(|section| (section, down(section).into()));
        let load = retry(fake.source(), first_load(&first, &failures), LIMITS);
        let last = times.into_iter().max().unwrap_or_default();
        let took = cx.call(NAME, load).await?.took;
        returned_at(took, last, "the last sources answer, at the same millisecond", TIE)?;
    }
    // Loads that report on some of the sections only: the others are not asked for, and get no report.
    for there in 0..32_u32 {
        let is_there = |section: Section| there & (1 << section as u32) != 0;
        let failed = Section::ALL.into_iter().find(|section| is_there(*section));
        let failures: Vec<_> =
            failed.map(|one| (one, passing(&mut draw, one))).into_iter().collect();
        let reports = first_load(&first, &failures).into_reports().into_iter();
        let settled = Settled::new(reports.filter(|one| is_there(one.section)), ms(FIRST));
        let fake = Fake::new(&cx);
        let call = cx.call(NAME, retry(fake.source(), settled, LIMITS)).await?;
        let (called, expected) = (fake.called(), failed.as_slice());
        ensure!(called == expected, "asked for {} section(s) after a load without some of the reports", called.len();
            expected = names(expected), observed = names(&called),
            help = "what is asked for again is what has a report with a failure: go through the reports, not through Section::ALL");
        let reported: Vec<_> = call.value.reports().iter().map(|report| report.section).collect();
        let expected: Vec<_> = Section::ALL.into_iter().filter(|one| is_there(*one)).collect();
        ensure!(reported == expected, "a section that had no report has one after the second try";
            expected = names(&expected), observed = names(&reported));
    }
    let again = |source| {
        let failures = Section::ALL.map(|section| (section, timed_out()));
        retry(source, first_load(&first, &failures), LIMITS)
    };
    moves(&cx, NAME, &[250], again).await?;
    side_by_side(&cx, NAME, again).await?;
    crowd(&cx, NAME, again).await
}

pub async fn leaves_permanent_failures(cx: Cx) -> Outcome {
    let first = Fake::new(&cx).named("first");
    for section in Section::ALL {
        let other = if section == Section::Sales { Section::Reviews } else { Section::Sales };
        for failure in [SectionFailure::from(refused(section)), panicked()] {
            // Beside one that is asked again, and alone.
            for failures in [
                vec![(section, failure.clone()), (other, timed_out())],
                vec![(section, failure.clone())],
            ] {
                let fake = Fake::new(&cx);
                let load = retry(fake.source(), first_load(&first, &failures), LIMITS);
                let call = cx.call(NAME, load).await?;
                ensure!(!fake.called().contains(&section),
                    "asked again for {section} although its source {}", match &failure {
                        SectionFailure::Panicked { .. } => "panicked",
                        _ => "refused",
                    };
                    expected = "no second call: the same request will fail again",
                    help = "SectionFailure::is_transient says what is worth another try");
                same(
                    plain::result(&now(&call.value, section)?.result),
                    plain::failure(&failure),
                    || format!("the failure of {section} has changed"),
                    "a report that is not asked for again stays as it is",
                )?;
            }
        }
    }
    Ok(())
}

pub async fn takes_the_newer_outcome(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let text = of_several_lines(&mut draw, "a table");
    let later = SourceError::Unavailable(format!("later: {text}"));
    let limit = draw.between(700..=900);
    let first_of_all = Fake::new(&cx).named("first");
    for section in Section::ALL {
        let first = Fake::new(&cx).named("first");
        let answers = draw.between(10..=600);
        let second = [
            (Step::Answers(answers), answers, None),
            (Step::Fails(20, later.clone()), 20, Some(SectionFailure::from(later.clone()))),
            (Step::Fails(0, refused(section)), 0, Some(refused(section).into())),
            (Step::Hangs, limit, Some(SectionFailure::TimedOut { limit: ms(limit) })),
            (
                Step::PanicsWith(30, Payload::Text(text.clone())),
                30,
                Some(SectionFailure::Panicked { message: text.clone() }),
            ),
        ];
        for (step, at, failure) in second {
            let fake = Fake::new(&cx).named("second").with(section, step);
            let failures = [(section, passing(&mut draw, section))];
            let limits = limits_of(section, limit);
            let call =
                cx.call(NAME, retry(fake.source(), first_load(&first, &failures), limits)).await?;
            let report = now(&call.value, section)?;
            let expected =
                failure.as_ref().map_or_else(|| plain::data(&fake.data(section)), plain::failure);
            same(
                plain::result(&report.result),
                expected,
                || format!("the report on {section} is not that of the second try"),
                "the outcome of the second try replaces the failure, whether it is data or another failure",
            )?;
            ensure!(report.took == ms(at), "the report on {section} says {} ms", report.took.as_millis();
                expected = format!("{at} ms: how long the second call took"),
                help = "the whole report of the second try replaces the first");
            stays(&call.value, &first, section)?;
            asked_once(&fake, &format!("the second try of {section} fails as well"))?;
            returned_at(
                call.took,
                at,
                &format!("the second call of {section} has its outcome"),
                "a second failure is an outcome too: return when the last one is there",
            )?;
        }
        // The second failure is equal to the first one.
        for (failure, step, at) in [
            (down(section).into(), Step::Fails(25, down(section)), 25),
            (timed_out(), Step::Hangs, FIRST),
        ] {
            let fake = Fake::new(&cx).named("second").with(section, step);
            let settled = first_load(&first, &[(section, failure)]);
            let call =
                cx.call(NAME, retry(fake.source(), settled, limits_of(section, FIRST))).await?;
            let report = now(&call.value, section)?;
            ensure!(report.took == ms(at), "the report on {section} says {} ms when it fails twice in the same way", report.took.as_millis();
                expected = format!("{at} ms: how long the second call took"),
                help = "the report of the second try replaces the first one, also when the failures are equal");
        }
        // Its old failure was a timeout, and had another limit; the new limit is no whole number of milliseconds.
        let fake = Fake::new(&cx).named("second").with(section, Step::Hangs);
        let mut limits = LIMITS;
        let limit = odd(&mut draw, ms(900));
        set(&mut limits, section, limit);
        let settled = first_load(&first, &[(section, timed_out())]);
        let call = cx.call(NAME, retry(fake.source(), settled, limits)).await?;
        same(
            plain::result(&now(&call.value, section)?.result),
            plain::failure(&SectionFailure::TimedOut { limit }),
            || format!("the report on {section} does not carry the limit of the second try"),
            "the limit is the one that `timeouts` gives the section, as it is",
        )?;
        // A limit of zero leaves no time, not even a millisecond.
        let fake = Fake::new(&cx).named("second").with(section, Step::Answers(1));
        let settled = first_load(&first, &[(section, timed_out())]);
        let call = cx.call(NAME, retry(fake.source(), settled, limits_of(section, 0))).await?;
        same(
            plain::result(&now(&call.value, section)?.result),
            plain::failure(&SectionFailure::TimedOut { limit: Duration::ZERO }),
            || {
                format!(
                    "with a limit of zero, the report on {section} does not say that its time is over"
                )
            },
            "zero is a limit that leaves no time",
        )?;
        // Its call is cut while that of another section still runs.
        let other = if section == Section::LowStock { Section::Sales } else { Section::LowStock };
        let fake = Fake::new(&cx).named("second").with(section, Step::Hangs);
        let failures = [(section, timed_out()), (other, timed_out())];
        let again = retry(fake.source(), first_load(&first, &failures), limits_of(section, 100));
        let start = cx.timeline().now_ms();
        cx.call(NAME, again).await?;
        stopped_at(&fake, section, start + 100, &format!("{other} still runs"))?;
    }
    // Several fail again, each in its own way: in the order of the page and against it.
    for times in [[50, 100, 150, 200, 250], [250, 200, 150, 100, 50]] {
        let said = |section: Section| SourceError::Unavailable(format!("{section}: {text}"));
        let (mut fake, mut expected) = (Fake::new(&cx).named("second"), Vec::new());
        for (section, at) in Section::ALL.into_iter().zip(times) {
            let (step, failure) = match section {
                Section::Users | Section::Reviews => (
                    Step::Panics(at),
                    SectionFailure::Panicked { message: format!("{section}: a bug") },
                ),
                _ => (Step::Fails(at, said(section)), said(section).into()),
            };
            fake = fake.with(section, step);
            expected.push((section, failure, at));
        }
        let failures = Section::ALL.map(|section| (section, timed_out()));
        let again = retry(fake.source(), first_load(&first_of_all, &failures), LIMITS);
        let settled = cx.call(NAME, again).await?.value;
        for (section, failure, at) in expected {
            let report = now(&settled, section)?;
            same(
                plain::result(&report.result),
                plain::failure(&failure),
                || {
                    format!(
                        "the report on {section} is not that of the second try, in which all five fail"
                    )
                },
                "each outcome belongs to the section of its call",
            )?;
            ensure!(report.took == ms(at), "the report on {section} says {} ms when all five fail again", report.took.as_millis();
                expected = format!("{at} ms: how long the second call took"),
                help = "each outcome belongs to the section of its call: measure inside each call");
        }
    }
    any_figures(&cx, NAME, &Section::ALL, async |source| {
        let failures = Section::ALL.map(|section| (section, timed_out()));
        let again = retry(source, first_load(&first_of_all, &failures), LIMITS);
        again.await.reports().iter().map(plain::report).collect()
    })
    .await?;
    more_than_a_year(&cx).await
}

/// A second try that takes more than a year, with limits that allow it.
async fn more_than_a_year(cx: &Cx) -> Outcome {
    let first = Fake::new(cx).named("first");
    let late = [1, 2, 3, 4, 5].map(|nth| A_YEAR - 100 * nth);
    let fake = Section::ALL
        .into_iter()
        .zip(late)
        .fold(Fake::new(cx).named("second"), |fake, (section, at)| {
            fake.with(section, Step::Answers(at))
        });
    let failures = Section::ALL.map(|section| (section, timed_out()));
    let limits = Timeouts {
        sales: Duration::MAX,
        users: ms(A_YEAR),
        orders: ms(A_YEAR),
        low_stock: ms(A_YEAR),
        reviews: ms(A_YEAR),
    };
    // All of them, and then one long after the others.
    let one = *cx.draw().pick(&Section::ALL);
    let alone = Fake::new(cx).named("second").with(one, Step::Answers(A_YEAR - 1000));
    for fake in [fake, alone] {
        let load = retry(fake.source(), first_load(&first, &failures), limits);
        let call = cx.call_within(YEARS, NAME, load).await?;
        for section in Section::ALL {
            same(
                plain::result(&now(&call.value, section)?.result),
                plain::data(&fake.data(section)),
                || format!("{section} takes about a year in the second try, and is lost"),
                "each call has the limit that `timeouts` gives its section, and no other",
            )?;
        }
    }
    Ok(())
}

/// Every section but one has what the first load brought.
fn stays(settled: &Settled, first: &Fake, but: Section) -> Outcome {
    for section in Section::ALL.into_iter().filter(|section| *section != but) {
        let report = now(settled, section)?;
        same(
            plain::result(&report.result),
            plain::data(&first.data(section)),
            || format!("{section} does not have the data of the first load"),
            "a report that is not asked for again stays as it is",
        )?;
        ensure!(report.took == ms(latency(section)),
            "the report on {section} says {} ms", report.took.as_millis();
            expected = format!("{} ms, as in the first load", latency(section)),
            help = "a report that is not asked for again stays as it is");
    }
    Ok(())
}

/// The result states the time of both loads.
fn states_both(settled: &Settled, second: u64) -> Outcome {
    ensure!(settled.took == ms(FIRST + second), "`took` says {} ms", settled.took.as_millis();
        expected = format!("{} ms: {FIRST} of the first load and {second} of the second try", FIRST + second),
        help = "add the time of the second try, from its first poll, to the `took` of the first load");
    Ok(())
}

/// The limit for one section, and much more for the others.
fn limits_of(section: Section, limit: u64) -> Timeouts {
    let mut limits = LIMITS;
    set_limit(&mut limits, section, limit);
    limits
}

pub async fn states_the_time_of_both(cx: Cx) -> Outcome {
    let first = Fake::new(&cx).named("first");
    let failures = [(Section::Users, down(Section::Users).into()), (Section::Orders, timed_out())];
    let fake = Fake::new(&cx).named("second");
    let load = retry(fake.source(), first_load(&first, &failures), LIMITS);
    // The caller's own business: a future does nothing until it is polled.
    sleep(ms(cx.draw().between(200..=900))).await;
    let call = cx.call(NAME, load).await?;
    states_both(&call.value, 400)?;
    // A third try adds its own time again.
    let again = Fake::new(&cx).named("third");
    let failures = [(Section::Reviews, down(Section::Reviews).into())];
    let settled = Settled::new(first_load(&first, &failures).into_reports(), call.value.took);
    let call = cx.call(NAME, retry(again.source(), settled, LIMITS)).await?;
    ensure!(call.value.took == ms(FIRST + 400 + 200), "`took` says {} ms after a third try", call.value.took.as_millis();
        expected = "1250 ms: 1050 of the loads before, and 200 of this one");
    // The time of the first load is no whole number of milliseconds.
    let took = odd(&mut cx.draw(), ms(FIRST));
    let settled = Settled::new(first_load(&first, &failures).into_reports(), took);
    let call = cx.call(NAME, retry(again.twin().source(), settled, LIMITS)).await?;
    let expected = took + ms(200);
    ensure!(call.value.took == expected, "`took` says {}", plain::time(call.value.took);
        expected = format!("{}: {} of the first load, and 200 ms of this one", plain::time(expected), plain::time(took)));
    // So is that of the second one.
    let made = retry(again.twin().source(), first_load(&first, &failures), LIMITS);
    let (whole, took) = with_odd_time(&cx, NAME, made).await?;
    is_exact(whole.took, ms(FIRST) + took, "`took`")?;
    is_exact(now(&whole, Section::Reviews)?.took, took, "the report on reviews")
}

pub async fn nothing_to_do(cx: Cx) -> Outcome {
    let first = Fake::new(&cx).named("first");
    let fake = Fake::new(&cx);
    let call = cx.call(NAME, retry(fake.source(), first_load(&first, &[]), LIMITS)).await?;
    ensure!(call.took == Duration::ZERO && fake.seen().is_empty(),
        "a load without failures is not returned at once";
        expected = "0 ms, no calls",
        observed = format!("{} ms, {} calls", call.took.as_millis(), fake.seen().len()));
    ensure!(call.value.took == ms(FIRST), "`took` of a load without failures has changed to {} ms",
        call.value.took.as_millis();
        expected = format!("{FIRST} ms, as before: the second try took no time"));
    for section in Section::ALL {
        let report = now(&call.value, section)?;
        same(
            plain::result(&report.result),
            plain::data(&first.data(section)),
            || format!("a load without failures has changed: {section}"),
            "a report that is not asked for again stays as it is",
        )?;
    }
    Ok(())
}

pub async fn leaves_nothing_behind(cx: Cx) -> Outcome {
    let first = Fake::new(&cx).named("first");
    let failures = Section::ALL.map(|section| (section, timed_out()));
    let fakes = || Fake::new(&cx).with(Section::Users, Step::Hangs);
    let load = |fake: &Fake| retry(fake.source(), first_load(&first, &failures), LIMITS);
    dropped_everywhere(&cx, NAME, &[0, 100, 250, 450, 550, 4000], fakes, load).await
}
