//! `critical::load`.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use futures::future::join;
use futures::{FutureExt as _, poll};
use grader_kit::{Cx, Draw, Fail, Outcome, ensure, failed, ms};
use level2::all_settled::{Timeouts, settle};
use level2::critical::{CRITICAL, load};
use level2::error::{SectionError, SectionFailure};
use level2::model::Section;
use level2::settled::{SectionReport, Settled};
use tokio::time::{sleep, timeout};

use crate::fake::{Fake, Payload, Step};
use crate::moves::moves;
use crate::plain;
use crate::settles::{LIMITS, agrees, alone, limits, set, set_limit, settled_right};
use crate::support::{
    A_YEAR, AN_HOUR, ASSIGNED, HOURS, MOST_OF_AN_HOUR, TIE, YEARS, any_figures, asked_once, begins,
    copy, crowd, endless, errors, first_poll, is_exact, latencies, leaves_nothing_when_dropped,
    names, nothing_kept, odd, of_several_lines, returned_at, shop, side_by_side, states_time,
    stopped_at, succeeded, ties, with_odd_time,
};

const NAME: &str = "critical::load";
const SALES_AND_ORDERS: [Section; 2] = [Section::Sales, Section::Orders];

/// The load of `fake` has to end with the failure of `section`, when it happens. What `settle` makes of
/// that section alone is what it has to say.
async fn ends_with(
    cx: &Cx,
    fake: &Fake,
    critical: &[Section],
    section: Section,
    own: Timeouts,
    why: &str,
) -> Outcome {
    let alone = alone(cx, fake, section, own).await;
    begins(cx, why);
    let made = load(fake.source(), critical, own);
    sleep(ms(70)).await;
    first_poll(cx);
    let limit = plain::time(own.of(section));
    let Some(alone) = alone else { return without_settle(cx, made, section, why).await };
    let call = cx.call(NAME, made).await?;
    let error: SectionError = failed(call.value, why).map_err(of_the_list)?;
    let help = if matches!(alone.report.result, Err(SectionFailure::TimedOut { .. })) {
        "each call has the limit that the caller's `timeouts` gives its section, also if that is not the default; look at each \
         outcome when it comes, not after all have come"
    } else {
        "look at each outcome when it comes, not after all have come"
    };
    returned_at(
        call.took,
        alone.at,
        &match alone.report.result {
            Err(SectionFailure::TimedOut { .. }) => {
                format!(
                    "the limit of {section} ({limit}) is over, and without {section} there is no page"
                )
            }
            _ => format!("{section} fails, and without it there is no page"),
        },
        help,
    )?;
    ensure!(plain::error(&error) == alone.shown, "the error is not that of the critical section";
        expected = alone.shown, observed = plain::error(&error),
        help = "SectionError { section, failure } with the failure of the section's report");
    asked_once(fake, why)
}

/// `settle` makes no failure of what the source of `section` does. The load may do without it, and still has to
/// fail.
async fn without_settle<F>(cx: &Cx, made: F, section: Section, why: &str) -> Outcome
where
    F: Future<Output = Result<Settled, SectionError>>,
{
    cx.note(SETTLE);
    let call = cx.call(NAME, made).await.map_err(of_settle)?;
    let error = failed(call.value, why).map_err(of_settle)?;
    ensure!(plain::same_section(error.section, section), "the error names another section";
        expected = plain::section(section), observed = plain::error(&error));
    Ok(())
}

/// What is said when `settle` is at fault.
const SETTLE: &str = "`all_settled::settle`, called for the section by itself, does not turn this into a failure either. Repair it first: \
                      cargo grade level2/all-settled/settles-one-section";

/// A failure for which `settle` is at fault.
fn of_settle(fail: Fail) -> Fail {
    fail.help(SETTLE).first("level2/all-settled/settles-one-section")
}

/// A load went on although a section failed that its caller calls critical.
fn of_the_list(fail: Fail) -> Fail {
    fail.help("the list that the caller passes decides which sections are critical, and not the constant CRITICAL; each kind of failure counts")
}

/// A load in which nothing fails.
async fn healthy(cx: &Cx) -> Outcome {
    let fake = Fake::new(cx);
    let call = cx.call(NAME, load(fake.source(), &SALES_AND_ORDERS, limits(LIMITS))).await?;
    succeeded(call.value, "every source answered").map(drop)
}

/// The report on a section.
fn report(settled: &Settled, section: Section) -> Result<&SectionReport, Fail> {
    settled.reports().iter().find(|r| plain::same_section(r.section, section)).ok_or_else(|| {
        Fail::new(format!("there is no report on {section}"))
            .expected("one report for each of the five sections")
    })
}

pub async fn ends_at_a_critical_failure(cx: Cx) -> Outcome {
    healthy(&cx).await?;
    let mut draw = cx.draw();
    // Each of the two fails with each kind of error.
    for (case, error) in errors(&mut draw).iter().cycle().take(8).enumerate() {
        let section = SALES_AND_ORDERS[(case + case / 4) % 2];
        let at = [draw.between(100..=180), draw.between(210..=290), 0, 390][case % 4];
        // The other critical section fails after it.
        let fake = Fake::new(&cx)
            .fails(SALES_AND_ORDERS[(case + case / 4 + 1) % 2], 450)
            .with(section, Step::Fails(at, copy(error)));
        let why = format!("{section} is critical and fails at {at} ms");
        ends_with(&cx, &fake, &SALES_AND_ORDERS, section, limits(LIMITS), &why).await?;
    }
    Ok(())
}

pub async fn timeouts_and_panics_count(cx: Cx) -> Outcome {
    healthy(&cx).await?;
    let mut draw = cx.draw();
    let text = of_several_lines(&mut draw, "a table");
    for (case, step) in [
        Step::Hangs,
        Step::PanicsWith(350, Payload::Text(text)),
        Step::PanicsWith(250, Payload::Literal("a row is missing")),
        Step::PanicsAtOnce,
    ]
    .into_iter()
    .enumerate()
    {
        for section in SALES_AND_ORDERS {
            let fake = Fake::new(&cx).with(section, step.clone());
            let what = ["hangs", "panics at 350 ms", "panics at 250 ms", "panics at once"][case];
            let why = format!("{section} is critical and {what}");
            ends_with(&cx, &fake, &SALES_AND_ORDERS, section, limits(LIMITS), &why).await?;
        }
    }
    // Limits that are no whole number of milliseconds.
    for section in SALES_AND_ORDERS {
        let limit = odd(&mut draw, ms(800));
        let mut own = limits(LIMITS);
        set(&mut own, section, limit);
        let fake = Fake::new(&cx).with(section, Step::Hangs);
        let why = format!("{section} is critical and hangs; its limit is {}", plain::time(limit));
        ends_with(&cx, &fake, &SALES_AND_ORDERS, section, own, &why).await?;
    }
    Ok(())
}

pub async fn tolerates_optional_failures(cx: Cx) -> Outcome {
    healthy(&cx).await?;
    let mut draw = cx.draw();
    let text = of_several_lines(&mut draw, "a table");
    let errors = errors(&mut draw);
    let drawn = latencies(&mut draw);
    let scripts = [
        (ASSIGNED, Step::Fails(50, copy(&errors[1])), Step::Fails(150, copy(&errors[0]))),
        (drawn, Step::Fails(0, copy(&errors[2])), Step::Fails(150, copy(&errors[3]))),
        (drawn, Step::Hangs, Step::PanicsWith(120, Payload::Text(text.clone()))),
        // Two panics, in the order of the page and against it.
        (ASSIGNED, Step::Panics(70), Step::PanicsWith(120, Payload::Text(text.clone()))),
        (ASSIGNED, Step::PanicsWith(120, Payload::Text(text)), Step::Panics(70)),
    ];
    for (latencies, users, reviews) in scripts {
        let fake = shop(&cx, &mut draw, latencies)
            .with(Section::Users, users)
            .with(Section::Reviews, reviews);
        let mut settled_alone = Vec::new();
        for section in Section::ALL {
            settled_alone.extend(alone(&cx, &fake, section, limits(LIMITS)).await);
        }
        if settled_alone.len() < 5 {
            begins(&cx, "users and reviews, both optional, fail");
            cx.note(SETTLE);
            let made = load(fake.source(), &SALES_AND_ORDERS, limits(LIMITS));
            let call = cx.call(NAME, made).await.map_err(of_settle)?;
            let settled = succeeded(call.value, "only optional sections failed");
            settled.map_err(of_settle)?;
            continue;
        }
        begins(&cx, "users and reviews, both optional, fail");
        let made = load(fake.source(), &SALES_AND_ORDERS, limits(LIMITS));
        sleep(ms(70)).await;
        first_poll(&cx);
        let start = cx.timeline().now_ms();
        let call = cx.call(NAME, made).await?;
        let settled = succeeded(call.value, "only optional sections failed")?;
        let early: Vec<_> =
            fake.seen().iter().filter(|seen| seen.at == start).map(|seen| seen.section).collect();
        ensure!(early.len() == 5, "{} of 5 calls begin at 0 ms", early.len();
            expected = "all five sources are called at once", observed = names(&early));
        let mut last = 0;
        for alone in &settled_alone {
            let section = alone.report.section;
            last = last.max(alone.at);
            let calls = fake.called().iter().filter(|&&called| called == section).count();
            ensure!(calls == alone.calls, "{section} was called {calls} times";
                expected = format!("{} call", alone.calls),
                help = "a failure of an optional section is reported, not repaired: ask each source once");
            let report = report(&settled, section).map_err(|fail| {
                fail.help("keep the report of each section, also of one that failed")
            })?;
            agrees(report, alone, "users and reviews are optional")?;
        }
        returned_at(call.took, last, "the last section has its outcome", "load all at once")?;
        states_time(settled.took, last)?;
    }
    of_one_millisecond(&cx, &mut draw).await?;
    waits_for_the_optional(&cx).await?;
    let made = load(Fake::new(&cx).source(), &SALES_AND_ORDERS, limits(LIMITS));
    let (whole, took) = with_odd_time(&cx, NAME, made).await?;
    is_exact(succeeded(whole, "every source answered")?.took, took, "`took`")
}

/// Several sections have their outcome at the same millisecond. What `settle` makes of one of them is another
/// criterion's business.
async fn of_one_millisecond(cx: &Cx, draw: &mut Draw) -> Outcome {
    for tie in ties(draw) {
        let fake = shop(cx, draw, tie).fails(Section::Users, tie[Section::Users as usize]);
        let mut last = Some(0);
        for section in Section::ALL {
            let alone = alone(cx, &fake, section, limits(LIMITS)).await;
            last = last.zip(alone).map(|(last, alone)| last.max(alone.at));
        }
        let Some(last) = last else { continue };
        begins(cx, "several sections have their outcome at the same millisecond; users fails");
        let call = cx.call(NAME, load(fake.source(), &SALES_AND_ORDERS, limits(LIMITS))).await?;
        succeeded(call.value, "only users, which is optional, failed")?;
        returned_at(
            call.took,
            last,
            "the last sections have their outcome, at the same millisecond",
            TIE,
        )?;
    }
    Ok(())
}

/// Every choice of sections that fail, all five included, where none of them is critical. What their reports say is
/// another criterion's business.
async fn any_number_of_failures(cx: &Cx, draw: &mut Draw) -> Outcome {
    for bits in 1..32_u32 {
        let drawn = latencies(draw);
        let (failing, others): (Vec<_>, Vec<_>) =
            Section::ALL.into_iter().partition(|section| bits & (1 << *section as u32) != 0);
        for critical in [&others[..], &[]] {
            let fake = failing.iter().fold(shop(cx, draw, drawn), |fake, section| {
                fake.fails(*section, drawn[*section as usize])
            });
            begins(cx, &format!("these fail, and none of them is critical: {}", names(&failing)));
            let call = cx.call(NAME, load(fake.source(), critical, limits(LIMITS))).await?;
            succeeded(call.value, "no critical section failed")?;
        }
    }
    Ok(())
}

/// The critical sections are there, and an optional one takes most of an hour. What `settle` itself makes of that is
/// another criterion's business, and so are longer times.
async fn waits_for_the_optional(cx: &Cx) -> Outcome {
    let fake = Fake::new(cx).with(Section::Users, Step::Answers(MOST_OF_AN_HOUR));
    let own = limits([AN_HOUR; 5]);
    let alone = settle(Section::Users, fake.twin().source(), own.users);
    if cx.call_within(HOURS, "all_settled::settle", alone).await?.value.result.is_err() {
        return Ok(());
    }
    begins(cx, "users, which is optional, takes most of an hour, and has the time");
    let call = cx.call_within(HOURS, NAME, load(fake.source(), &SALES_AND_ORDERS, own)).await?;
    let settled = succeeded(call.value, "every source answered")?;
    let (observed, expected) =
        (plain::report(report(&settled, Section::Users)?), plain::data(&fake.data(Section::Users)));
    ensure!(observed == expected, "the report on users is not what its source said";
        expected = format!("{expected}, long after the critical sections"), observed = observed,
        help = "an optional section has the limit that `timeouts` gives it: the load waits for it when the \
                critical ones are there");
    returned_at(
        call.took,
        MOST_OF_AN_HOUR,
        "users answers",
        "wait until every section has its outcome",
    )
}

pub async fn heeds_the_list(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    ensure!(plain::sections(&CRITICAL) == "sales, orders", "CRITICAL is not sales and orders";
        expected = "sales, orders", observed = plain::sections(&CRITICAL));
    let mut shuffled = Section::ALL;
    draw.shuffle(&mut shuffled);
    // The last section of a list counts as the first does, however long the list is.
    let repeated = [shuffled[0], shuffled[0], shuffled[0], shuffled[1], shuffled[2], shuffled[3]];
    let many: Vec<_> = [shuffled[0]; 300].into_iter().chain([shuffled[1]]).collect();
    let mut backwards = Section::ALL;
    backwards.reverse();
    for list in [
        &[Section::Reviews][..],
        &backwards[..2],
        &backwards[2..],
        &[],
        &[Section::Users, Section::Users],
        &[Section::Orders, Section::LowStock],
        &shuffled[..3],
        &shuffled,
        &repeated,
        &many,
    ] {
        for section in Section::ALL {
            let listed = match list.len() {
                0 => "the caller's list is empty".to_owned(),
                1 => format!("the caller's list names only {}", names(list)),
                2..=6 => format!("the caller's list names {}", names(list)),
                _ => {
                    format!("the caller's list names {} 300 times, and then {}", list[0], list[300])
                }
            };
            // A failure shows its own case.
            cx.timeline().restart();
            let fake = Fake::new(&cx).fails(section, 100);
            let call = cx.call(NAME, load(fake.source(), list, limits(LIMITS))).await?;
            if list.contains(&section) {
                let observed = failed(call.value, &format!("{section} has failed, and {listed}"))
                    .map_err(of_the_list)?;
                ensure!(plain::same_section(observed.section, section),
                    "the error names another section";
                    expected = plain::section(section), observed = plain::error(&observed));
            } else {
                call.value.map_err(|error| {
                    of_the_list(Fail::new(format!(
                        "returned an error: only {section} has failed, and {listed}"
                    )))
                    .expected(format!("a success: {section} is not critical in this load"))
                    .observed(plain::error(&error))
                })?;
            }
        }
    }
    let apart = [shuffled[0], shuffled[1], shuffled[0], shuffled[2], shuffled[1]];
    for list in [&[Section::Users, Section::Users][..], &repeated, &many, &apart] {
        asked_as_often(&cx, list).await?;
    }
    any_number_of_failures(&cx, &mut draw).await
}

/// A list that names a section again means what the list does that names it once: each source is asked as often.
async fn asked_as_often(cx: &Cx, list: &[Section]) -> Outcome {
    let once: Vec<_> = Section::ALL.into_iter().filter(|section| list.contains(section)).collect();
    let calls = async |list: &[Section]| -> Result<usize, Fail> {
        cx.timeline().restart();
        let fake = Fake::new(cx);
        cx.call(NAME, load(fake.source(), list, limits(LIMITS))).await?;
        Ok(fake.called().len())
    };
    // How often a source is asked at all is another criterion's business.
    let (expected, observed) = (calls(&once).await?, calls(list).await?);
    ensure!(observed == expected, "a list that names sections more than once leads to {observed} calls";
        expected = format!("{expected}, as with the list {}", names(&once)),
        help = "make one call for each section of the page, and look each of them up in the list");
    Ok(())
}

pub async fn stops_the_rest(cx: Cx) -> Outcome {
    for section in SALES_AND_ORDERS {
        for step in [
            Step::Fails(0, crate::fake::down(section)),
            Step::Fails(100, crate::fake::down(section)),
            Step::Fails(450, crate::fake::refused(section)),
        ] {
            let fake = Fake::new(&cx).with(section, step);
            begins(&cx, &format!("{section} is critical and fails"));
            let mut made = Box::pin(load(fake.source(), &SALES_AND_ORDERS, limits(LIMITS)));
            let call = cx.call(NAME, made.as_mut()).await?;
            failed(call.value, &format!("{section} is critical and failed"))?;
            let when = format!("after the load has failed: {section} is critical");
            nothing_kept(&cx, &fake, made, &when).await?;
        }
        // What `settle` itself leaves of a call that it cuts, or that panics, is another criterion's business.
        for (step, what) in [(Step::Hangs, "hangs"), (Step::Panics(150), "panics")] {
            let fake = Fake::new(&cx).with(section, step);
            let mut own = limits(LIMITS);
            set_limit(&mut own, section, 350);
            if !alone(&cx, &fake, section, own).await.is_some_and(|alone| alone.clean) {
                continue;
            }
            begins(&cx, &format!("{section} is critical and {what}; its limit is 350 ms"));
            let mut made = Box::pin(load(fake.source(), &SALES_AND_ORDERS, own));
            // Whether that ends the load is another criterion's business.
            let over = timeout(ms(60_000), AssertUnwindSafe(made.as_mut()).catch_unwind());
            if let Ok(Ok(Err(_))) = cx.call(NAME, over).await?.value {
                let when = format!("after the load has failed: {section} is critical and {what}");
                nothing_kept(&cx, &fake, made, &when).await?;
            }
        }
    }
    Ok(())
}

pub async fn limits_each_section(cx: Cx) -> Outcome {
    healthy(&cx).await?;
    let mut draw = cx.draw();
    let mut own = [0, 1, 2, 3, 4].map(|slot| 1000 + slot * 500 + draw.below(400));
    draw.shuffle(&mut own);
    for section in Section::ALL {
        for zero in [false, true] {
            if zero {
                own[section as usize] = 0;
            }
            let fake = Fake::new(&cx).with(section, Step::Hangs);
            let why = format!(
                "{section} hangs and has a limit of {} ms; the caller's list names all five sections",
                own[section as usize]
            );
            ends_with(&cx, &fake, &Section::ALL, section, limits(own), &why).await?;
            own[section as usize] = 5000;
        }
    }
    // The limits of the optional sections are their own as well: longer and shorter ones than those of the
    // critical sections, not in whole milliseconds, and none.
    for turn in 0..9 {
        let (long, short) = (odd(&mut draw, ms(2500)), odd(&mut draw, ms(300)));
        let mut own = limits([1500; 5]);
        let optional = [Section::Users, Section::LowStock, Section::Reviews][turn % 3];
        let limit = [long, short, Duration::ZERO][turn / 3];
        set(&mut own, optional, limit);
        let last = (limit.as_millis() as u64).saturating_sub(50).max(20);
        for step in [Step::Hangs, Step::Answers(last)] {
            let hangs = matches!(step, Step::Hangs);
            let fake = Fake::new(&cx).with(optional, step);
            let Some(alone) = alone(&cx, &fake, optional, own).await else {
                return takes_any_limit(&cx).await;
            };
            let case = format!("{optional} is optional, and its limit is {}", plain::time(limit));
            begins(&cx, &case);
            let start = cx.timeline().now_ms();
            let call = cx.call(NAME, load(fake.source(), &SALES_AND_ORDERS, own)).await?;
            let settled = succeeded(call.value, "the critical sections answered")?;
            agrees(report(&settled, optional)?, &alone, &case)?;
            if hangs && alone.clean {
                stopped_at(&fake, optional, start + alone.at, &case)?;
            }
        }
    }
    takes_any_limit(&cx).await
}

/// Limits that no clock reaches, and sources that take more than a year. What `settle` itself makes of such a limit
/// is another criterion's business.
async fn takes_any_limit(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    for limit in endless(&mut draw) {
        let fake = Fake::new(cx);
        let mut endless = limits(LIMITS);
        endless.sales = limit;
        endless.low_stock = limit;
        if let Some(alone) = alone(cx, &fake, Section::LowStock, endless).await {
            let case = format!("limits of {}", plain::time(limit));
            begins(cx, &case);
            let call = cx.call(NAME, load(fake.source(), &SALES_AND_ORDERS, endless)).await?;
            let settled = succeeded(call.value, "every source answered")?;
            agrees(report(&settled, Section::LowStock)?, &alone, &case)?;
        }
    }
    let fake = Fake::new(cx)
        .with(Section::Users, Step::Answers(A_YEAR))
        .with(Section::Sales, Step::Answers(A_YEAR + 100));
    let mut own = limits([A_YEAR + 1000; 5]);
    own.users = Duration::MAX;
    let both = join(
        settle(Section::Sales, fake.twin().source(), own.sales),
        settle(Section::Users, fake.twin().source(), own.users),
    );
    let (sales, users) = cx.call_within(YEARS, "all_settled::settle", both).await?.value;
    if sales.result.is_err() || users.result.is_err() {
        return Ok(());
    }
    begins(cx, "users and sales take more than a year, and have the time");
    let call = cx.call_within(YEARS, NAME, load(fake.source(), &SALES_AND_ORDERS, own)).await?;
    let settled = succeeded(call.value, "every source answered")?;
    for section in [Section::Users, Section::Sales] {
        let (observed, expected) =
            (plain::report(report(&settled, section)?), plain::data(&fake.data(section)));
        ensure!(observed == expected, "the report on {section} is not what its source said";
            expected = format!("{expected}, after more than a year"), observed = observed,
            help = "each call has the limit of its section in `timeouts`, and no other");
    }
    Ok(())
}

pub async fn shares_nothing(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let (first, second) = (latencies(&mut draw), latencies(&mut draw));
    let shops = [
        shop(&cx, &mut draw, first).named("shop"),
        shop(&cx, &mut draw, second).named("branch"),
        Fake::new(&cx).named("stuck").with(Section::Users, Step::Hangs),
    ];
    begins(&cx, "three at a time: a shop, its branch, and one that is stuck");
    let run = |fake: &Fake| load(fake.source(), &SALES_AND_ORDERS, limits([400_000; 5]));
    let mut stuck = pin!(run(&shops[2]));
    let both = async {
        let _ = poll!(&mut stuck);
        timeout(ms(60_000), join(run(&shops[0]), run(&shops[1]))).await
    };
    let Ok((one, other)) = cx.call(NAME, both).await?.value else {
        return Err(Fail::new("a load waits because another one is stuck")
            .help("loads share nothing: no lock and no memory outside of the load itself"));
    };
    for (settled, fake, case) in [(one, &shops[0], "the shop"), (other, &shops[1], "its branch")] {
        let settled = succeeded(settled, "every source answered")?;
        for section in Section::ALL {
            let observed = plain::report(report(&settled, section)?);
            let expected = plain::data(&fake.data(section));
            ensure!(observed == expected, "the report on {section} is not what its source said";
                expected = expected, observed = format!("{observed} ({case})"),
                help = "a load keeps nothing for the next one, and shares nothing with another");
        }
    }
    let run = |source| load(source, &SALES_AND_ORDERS, limits(LIMITS));
    // A section of which `settle` says something else is another criterion's business.
    let right = settled_right(&cx, &Section::ALL).await;
    any_figures(&cx, NAME, &right, async |source| match run(source).await {
        Ok(settled) => settled.reports().iter().map(plain::report).collect(),
        Err(error) => vec![plain::error(&error)],
    })
    .await?;
    side_by_side(&cx, NAME, run).await?;
    moves(&cx, NAME, &[250], run).await?;
    crowd(&cx, NAME, run).await
}

pub async fn leaves_nothing_behind(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    leaves_nothing_when_dropped(&cx, NAME, &fake, &[0, 150, 250, 350, 450, 550], |source| {
        load(source, &SALES_AND_ORDERS, limits(LIMITS))
    })
    .await
}
