//! `all_settled::load` and what it is made of.

use std::time::Duration;

use futures::future::join;
use grader_kit::{Cx, Draw, Fail, Outcome, dropped_at, ensure, ensure_eq, ms};
use level2::all_settled::{Timeouts, load, settle};
use level2::error::{SectionFailure, SourceError};
use level2::model::Section;
use level2::settled::{SectionReport, Settled};
use tokio::time::{sleep, timeout};

use crate::endings::dropped_everywhere;
use crate::fake::{Fake, Payload, Step, down, latency, refused};
use crate::moves::moves;
use crate::plain::{self, same};
use crate::settles::set_limit;
use crate::support::{
    A_YEAR, AN_HOUR, HOURS, MOST_OF_AN_HOUR, TIE, YEARS, any_figures, asked_once, begins, crowd,
    endless, is_exact, names, nothing_left, odd, of_several_lines, returned_at, shop, side_by_side,
    states_time, stopped_at, ties, with_odd_time,
};

const NAME: &str = "all_settled::load";
const SETTLE: &str = "all_settled::settle";

/// The default limits, spelled out so that a wrong default costs only its own criterion.
const DEFAULTS: Timeouts = Timeouts {
    sales: ms(5000),
    users: ms(3000),
    orders: ms(3000),
    low_stock: ms(5000),
    reviews: ms(3000),
};

async fn settled(cx: &Cx, fake: &Fake, timeouts: Timeouts) -> Result<(Settled, Duration), Fail> {
    let call = cx.call(NAME, load(fake.source(), timeouts)).await?;
    Ok((call.value, call.took))
}

fn report(settled: &Settled, section: Section) -> Result<&SectionReport, Fail> {
    let mut reports = settled.reports().iter().filter(|report| report.section == section);
    match (reports.next(), reports.next()) {
        (Some(report), None) => Ok(report),
        _ => Err(Fail::new(format!("there is not one report on {section}"))
            .expected("one report for each of the five sections")),
    }
}

/// The sections of `settled` that carry exactly the data of their source are `expected`.
fn carries(settled: &Settled, fake: &Fake, expected: &[Section]) -> Outcome {
    let wanted = |section| Ok(fake.data(section));
    let there: Vec<_> = settled
        .reports()
        .iter()
        .filter(|report| plain::result(&report.result) == plain::result(&wanted(report.section)))
        .map(|report| report.section)
        .collect();
    ensure!(there == expected, "data of {} sections instead of {}", there.len(), expected.len();
        expected = names(expected), observed = names(&there),
        help = "a section that cannot be loaded is no reason to lose another");
    Ok(())
}

/// The sections whose bit is set.
fn chosen(bits: u32) -> Vec<Section> {
    (0..5).filter(|bit| bits & (1 << bit) != 0).map(|bit| Section::ALL[bit]).collect()
}

pub async fn takes_600_ms(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    let (whole, took) = settled(&cx, &fake, DEFAULTS).await?;
    returned_at(
        took,
        600,
        "the slowest source, low stock, answers",
        "call all five at once and wait for all outcomes together (join_all, JoinSet)",
    )?;
    states_time(whole.took, 600)?;
    // Other latencies, and a load that was made long before it is polled.
    let mut draw = cx.draw();
    let mut times: Vec<u64> = (0..5).map(|nth| 100 * nth + draw.between(1..=99)).collect();
    draw.shuffle(&mut times);
    let fake = Section::ALL
        .into_iter()
        .zip(&times)
        .fold(Fake::new(&cx), |fake, (section, at)| fake.with(section, Step::Answers(*at)));
    let load = load(fake.source(), DEFAULTS);
    sleep(ms(draw.between(200..=900))).await;
    let call = cx.call(NAME, load).await?;
    let slowest = times.iter().max().copied().unwrap_or_default();
    returned_at(
        call.took,
        slowest,
        "the slowest source answers",
        "call all five at once and wait for all outcomes together (join_all, JoinSet)",
    )?;
    states_time(call.value.took, slowest)?;
    for tie in ties(&mut draw) {
        let fake = shop(&cx, &mut draw, tie);
        begins(&cx, "several sources answer at the same millisecond");
        let (whole, took) = settled(&cx, &fake, DEFAULTS).await?;
        let last = tie.into_iter().max().unwrap_or_default();
        returned_at(took, last, "the last sources answer, at the same millisecond", TIE)?;
        states_time(whole.took, last)?;
    }
    Ok(())
}

pub async fn keeps_what_arrived(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let (_, whole) = settled(&cx, &Fake::new(&cx), DEFAULTS).await?;
    // Every choice of sources that fail, none and all included.
    for bits in [0b1010].into_iter().chain(0..32) {
        let failed = chosen(bits);
        let mut times = Section::ALL.map(latency);
        let fake = failed.iter().fold(Fake::new(&cx), |fake, section| {
            times[*section as usize] = draw.between(0..=900);
            fake.fails(*section, times[*section as usize])
        });
        let (settled, took) = settled(&cx, &fake, DEFAULTS).await?;
        carries(&settled, &fake, &chosen(!bits))?;
        for section in Section::ALL {
            report(&settled, section)?;
        }
        asked_once(&fake, &format!("these fail: {}", names(&failed)))?;
        // The time of a load without a failure is another criterion's business.
        if whole == ms(600) {
            let last = times.into_iter().max().unwrap_or_default();
            returned_at(
                took,
                last,
                &format!("every section has its outcome; these failed: {}", names(&failed)),
                "a failure is an outcome: return when the last one is there, and wait for nothing else",
            )?;
        }
    }
    // Two shops at once, and one of them again.
    let shops =
        ["our shop", "their shop"].map(|name| Fake::new(&cx).named(name).fails(Section::Users, 30));
    let both = join(load(shops[0].source(), DEFAULTS), load(shops[1].source(), DEFAULTS));
    let (ours, theirs) = cx.call(NAME, both).await?.value;
    let rest = [Section::Sales, Section::Orders, Section::LowStock, Section::Reviews];
    carries(&ours, &shops[0], &rest)?;
    carries(&theirs, &shops[1], &rest)?;
    any_figures(&cx, NAME, &Section::ALL, async |source| {
        load(source, DEFAULTS).await.reports().iter().map(plain::report).collect()
    })
    .await?;
    moves(&cx, NAME, &[250], |source| load(source, DEFAULTS)).await?;
    side_by_side(&cx, NAME, |source| load(source, DEFAULTS)).await?;
    crowd(&cx, NAME, |source| load(source, DEFAULTS)).await?;
    if whole == ms(600) {
        waits_for_the_last(&cx).await?;
    }
    Ok(())
}

/// Four sections are there, and the last one takes most of an hour. What `settle` itself makes of that is another
/// criterion's business, and so are longer times.
async fn waits_for_the_last(cx: &Cx) -> Outcome {
    let section = *cx.draw().pick(&Section::ALL);
    let fake = Fake::new(cx).with(section, Step::Answers(MOST_OF_AN_HOUR));
    let alone = settle(section, fake.twin().source(), ms(AN_HOUR));
    if cx.call_within(HOURS, SETTLE, alone).await?.value.result.is_err() {
        return Ok(());
    }
    let hours = ms(AN_HOUR);
    let limits =
        Timeouts { sales: hours, users: hours, orders: hours, low_stock: hours, reviews: hours };
    let call = cx.call_within(HOURS, NAME, load(fake.source(), limits)).await?;
    carries(&call.value, &fake, &Section::ALL)?;
    let why = format!("{section} answers, long after the others");
    returned_at(call.took, MOST_OF_AN_HOUR, &why, "wait until every section has its outcome")
}

pub async fn names_each_failure(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let (long, text) = (draw.text(3000..=4000), draw.text(1..=12));
    for text in ["no luck", "", "  spaces \n and lines ", &draw.text(1..=12), &long] {
        for bits in [0b00110, 0b11001] {
            let failed = chosen(bits).into_iter().map(|section| {
                let error = match draw.chance(50) {
                    true => SourceError::Unavailable(text.to_owned()),
                    false => SourceError::Rejected(text.to_owned()),
                };
                (section, error)
            });
            let failed: Vec<_> = failed.collect();
            let fake = failed.iter().fold(Fake::new(&cx), |fake, (section, error)| {
                fake.with(*section, Step::Fails(100, error.clone()))
            });
            let (settled, _) = settled(&cx, &fake, DEFAULTS).await?;
            for (section, error) in failed {
                same(
                    plain::result(&report(&settled, section)?.result),
                    plain::source_error(&error),
                    || format!("the report on {section} does not carry its source's error"),
                    "keep the source's error unchanged: a caller decides by its variant what to do next",
                )?;
            }
        }
    }
    // All fail, each with its own words and at its own time.
    for times in orders(&mut draw) {
        let said = |section: Section| SourceError::Unavailable(format!("{section}: {text}"));
        let fake =
            Section::ALL.into_iter().zip(times).fold(Fake::new(&cx), |fake, (section, at)| {
                fake.with(section, Step::Fails(at, said(section)))
            });
        let (settled, _) = settled(&cx, &fake, DEFAULTS).await?;
        for section in Section::ALL {
            same(
                plain::result(&report(&settled, section)?.result),
                plain::source_error(&said(section)),
                || {
                    format!(
                        "the report on {section} does not carry its source's error when all five fail"
                    )
                },
                "each outcome belongs to the section of its call: let each call return its section too",
            )?;
        }
    }
    Ok(())
}

/// Times for the five sections, in milliseconds: in the order of the page, against it, and in a drawn one.
fn orders(draw: &mut Draw) -> [[u64; 5]; 3] {
    let mut drawn = [50, 110, 170, 230, 290].map(|at| at + draw.below(50));
    draw.shuffle(&mut drawn);
    [[50, 100, 150, 200, 250], [250, 200, 150, 100, 50], drawn]
}

pub async fn measures_each_section(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let fake = Fake::new(&cx)
        .fails(Section::Users, 100)
        .with(Section::Orders, Step::Answers(draw.between(1..=900)))
        .with(Section::Reviews, Step::Fails(0, down(Section::Reviews)));
    for section in Section::ALL {
        // One of the others panics, or is cut: its own time is that of its outcome as well.
        for (step, at) in
            [(Step::PanicsWith(70, Payload::Literal("a bug")), 70), (Step::Hangs, 1200)]
        {
            let fake = fake.twin().with(section, step);
            let limits = limits_of(section, 1200);
            let load = load(fake.source(), limits);
            sleep(ms(draw.between(1..=300))).await;
            let settled = cx.call(NAME, load).await?.value;
            for other in Section::ALL {
                let calls = fake.seen();
                let seen = calls.iter().find(|seen| seen.section == other);
                let expected = match (other == section, seen) {
                    (true, _) => at,
                    (_, Some(seen)) => seen.over.unwrap_or_default() - seen.at,
                    (_, None) => return Err(Fail::new(format!("{other} was never called"))),
                };
                let took = report(&settled, other)?.took;
                ensure!(took == ms(expected), "the report on {other} says {} ms", took.as_millis();
                    expected = format!("{expected} ms, from the first poll of its call to its outcome"),
                    help = "measure inside each call: after the join all of them have taken the longest");
            }
        }
    }
    // All but one panic, or all are cut, each at its own time.
    for times in orders(&mut draw) {
        for step in [Step::Panics, |_| Step::Hangs] {
            let mut limits = DEFAULTS;
            let mut fake = Fake::new(&cx);
            for (section, at) in Section::ALL.into_iter().zip(times) {
                let step = match step(at) {
                    Step::Panics(at) if section == Section::Orders => Step::Answers(at),
                    step => step,
                };
                if let Step::Hangs = step {
                    set_limit(&mut limits, section, at);
                }
                fake = fake.with(section, step);
            }
            let (whole, _) = settled(&cx, &fake, limits).await?;
            for (section, at) in Section::ALL.into_iter().zip(times) {
                let took = report(&whole, section)?.took;
                ensure!(took == ms(at), "the report on {section} says {} ms when others fail too", took.as_millis();
                    expected = format!("{at} ms, from the first poll of its call to its outcome"),
                    help = "each outcome belongs to the section of its call: measure inside each call");
            }
        }
    }
    let (whole, took) = with_odd_time(&cx, NAME, load(Fake::new(&cx).source(), DEFAULTS)).await?;
    let part = took.saturating_sub(ms(600));
    for section in Section::ALL {
        let report = report(&whole, section)?;
        is_exact(report.took, ms(latency(section)) + part, &format!("the report on {section}"))?;
    }
    is_exact(whole.took, took, "`took`")
}

/// The limit for one section, and much more for the others.
fn limits_of(section: Section, limit: u64) -> Timeouts {
    let mut limits = Timeouts {
        sales: ms(9000),
        users: ms(9000),
        orders: ms(9000),
        low_stock: ms(9000),
        reviews: ms(9000),
    };
    set_limit(&mut limits, section, limit);
    limits
}

fn by_section(limits: Timeouts) -> [(Section, Duration); 5] {
    let Timeouts { sales, users, orders, low_stock, reviews } = limits;
    [
        (Section::Sales, sales),
        (Section::Users, users),
        (Section::Orders, orders),
        (Section::LowStock, low_stock),
        (Section::Reviews, reviews),
    ]
}

pub async fn default_timeouts(cx: Cx) -> Outcome {
    let observed = cx.call("Timeouts::default", async { Timeouts::default() }).await?.value;
    for ((section, there), (_, wanted)) in
        by_section(observed).into_iter().zip(by_section(DEFAULTS))
    {
        same(
            plain::time(there),
            plain::time(wanted),
            || format!("the default timeouts are not the documented ones: {section} differs"),
            "the documentation of Timeouts has the figures",
        )?;
    }
    let distinct = distinct_limits();
    for (section, limit) in by_section(distinct) {
        ensure_eq!(
            distinct.of(section),
            limit,
            "Timeouts::of({section}) is another section's limit"
        );
    }
    Ok(())
}

/// Limits that no section could mistake for its own, all above the latencies.
fn distinct_limits() -> Timeouts {
    Timeouts {
        sales: ms(700),
        users: ms(1100),
        orders: ms(900),
        low_stock: ms(1300),
        reviews: ms(1000),
    }
}

pub async fn cuts_a_hung_source(cx: Cx) -> Outcome {
    for (section, limit) in by_section(DEFAULTS) {
        let fake = Fake::new(&cx).with(section, Step::Hangs);
        let (settled, took) = settled(&cx, &fake, DEFAULTS).await?;
        returned_at(
            took,
            limit.as_millis() as u64,
            &format!("{section} never answers and is cut at its limit"),
            "put a timeout around each call, not around the join",
        )?;
        same(
            plain::result(&report(&settled, section)?.result),
            plain::failure(&SectionFailure::TimedOut { limit }),
            || format!("the report on {section} does not say that it timed out"),
            "the end of a call's time is SectionFailure::TimedOut, with the limit that it had",
        )?;
        let others: Vec<_> = Section::ALL.into_iter().filter(|other| *other != section).collect();
        carries(&settled, &fake, &others)?;
    }
    Ok(())
}

pub async fn each_source_has_its_own_limit(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let mut drawn: Vec<u64> = (7..12).map(|hundreds| hundreds * 100 + draw.below(99)).collect();
    draw.shuffle(&mut drawn);
    let drawn = Timeouts {
        sales: ms(drawn[0]),
        users: ms(drawn[1]),
        orders: ms(drawn[2]),
        low_stock: ms(drawn[3]),
        reviews: ms(drawn[4]),
    };
    for limits in [distinct_limits(), drawn] {
        for (section, limit) in by_section(limits) {
            let fake = Fake::new(&cx).with(section, Step::Hangs);
            let (_, took) = settled(&cx, &fake, limits).await?;
            let limit = limit.as_millis() as u64;
            returned_at(
                took,
                limit,
                &format!("only {section} hangs, and its limit is {limit} ms"),
                "each call is given the limit of its own section",
            )?;
        }
        // All hang: the limits run at the same time. No limit is a whole number of milliseconds.
        let mut odd = |limit| odd(&mut draw, limit);
        let limits = Timeouts {
            sales: odd(limits.sales),
            users: odd(limits.users),
            orders: odd(limits.orders),
            low_stock: odd(limits.low_stock),
            reviews: odd(limits.reviews),
        };
        let fake = Section::ALL
            .into_iter()
            .fold(Fake::new(&cx), |fake, section| fake.with(section, Step::Hangs));
        let (settled, took) = settled(&cx, &fake, limits).await?;
        let longest = by_section(limits).iter().map(|(_, limit)| limit.as_millis() as u64).max();
        returned_at(
            took,
            // Tokio's timers end with the millisecond.
            longest.unwrap_or_default() + 1,
            "all five hang, and that is the longest limit",
            "the limits run at the same time",
        )?;
        for (section, limit) in by_section(limits) {
            same(
                plain::result(&report(&settled, section)?.result),
                plain::failure(&SectionFailure::TimedOut { limit }),
                || format!("the report on {section} has another limit when all five hang"),
                "each call is given the limit of its own section",
            )?;
        }
    }
    Ok(())
}

pub async fn takes_any_limit(cx: Cx) -> Outcome {
    let all = |limit| Timeouts {
        sales: limit,
        users: limit,
        orders: limit,
        low_stock: limit,
        reviews: limit,
    };
    let mut draw = cx.draw();
    // Limits that no clock reaches cut nothing.
    for limit in endless(&mut draw) {
        let fake = Fake::new(&cx);
        let (whole, took) = settled(&cx, &fake, all(limit)).await?;
        carries(&whole, &fake, &Section::ALL)?;
        let why = format!("no limit of {} is over", plain::time(limit));
        returned_at(took, 600, &why, "a limit may be of any length")?;
    }
    // Sources that take more than a year, without a limit and with a longer one.
    let late = [1, 2, 3, 4, 5].map(|nth| A_YEAR + 100 * nth + draw.below(100));
    let limits = Timeouts { orders: ms(A_YEAR + 1000), ..all(Duration::MAX) };
    let fake = Section::ALL
        .into_iter()
        .zip(late)
        .fold(Fake::new(&cx), |fake, (section, at)| fake.with(section, Step::Answers(at)));
    let call = cx.call_within(YEARS, NAME, load(fake.source(), limits)).await?;
    carries(&call.value, &fake, &Section::ALL)?;
    returned_at(call.took, late[4], "the last source answers", "a limit may be of any length")?;
    // They never answer, and their limits are as long.
    let fake = Section::ALL
        .into_iter()
        .fold(Fake::new(&cx), |fake, section| fake.with(section, Step::Hangs));
    let limit = odd(&mut draw, ms(A_YEAR));
    let call = cx.call_within(YEARS, NAME, load(fake.source(), all(limit))).await?;
    returned_at(call.took, A_YEAR + 1, "all limits are over", "a limit may be of any length")?;
    for section in Section::ALL {
        same(
            plain::result(&report(&call.value, section)?.result),
            plain::failure(&SectionFailure::TimedOut { limit }),
            || format!("the report on {section} does not carry the limit that it was given"),
            "report the limit as it is: a conversion to whole milliseconds loses a part of it",
        )?;
    }
    // A limit of zero is a limit: every call that has to wait is cut.
    // One millisecond is more than there is.
    let fake = Fake::new(&cx)
        .with(Section::Orders, Step::Hangs)
        .with(Section::Users, Step::Answers(1))
        .with(Section::Reviews, Step::Fails(1, down(Section::Reviews)));
    let load = timeout(ms(10_000), load(fake.source(), all(Duration::ZERO)));
    let call = cx.call(NAME, load).await?;
    let Ok(cut) = call.value else {
        return Err(Fail::new("with limits of 0 ms, the load has not returned after 10 s")
            .expected("at once: a limit of zero is a limit, not the lack of one")
            .help("zero does not mean \"no limit\""));
    };
    let took = call.took;
    ensure!(took <= ms(1), "with limits of 0 ms, returned at {} ms", took.as_millis();
        expected = "at once: a limit of zero is a limit, not the lack of one",
        help = "zero does not mean \"no limit\"");
    for section in Section::ALL {
        same(
            plain::result(&report(&cut, section)?.result),
            plain::failure(&SectionFailure::TimedOut { limit: Duration::ZERO }),
            || format!("the report on {section} does not say that its limit of 0 ms is over"),
            "zero does not mean \"no limit\"",
        )?;
    }
    Ok(())
}

pub async fn stops_what_it_cuts(cx: Cx) -> Outcome {
    for section in Section::ALL {
        let fake = Fake::new(&cx).with(section, Step::Hangs);
        let limits = limits_of(section, 100);
        let start = cx.timeline().now_ms();
        settled(&cx, &fake, limits).await?;
        nothing_left(&cx, &fake, "after the load has returned").await?;
        stopped_at(&fake, section, start + 100, "the other sections still run")?;
    }
    Ok(())
}

/// The report on `section` says that its source panicked, with this text.
fn says_panicked(settled: &Settled, section: Section, text: &str) -> Outcome {
    let result = &report(settled, section)?.result;
    let Err(SectionFailure::Panicked { message }) = result else {
        return Err(Fail::new(format!(
            "the report on {section} does not say that its source panicked"
        ))
        .expected(format!("panicked: {}", plain::quoted(text)))
        .observed(plain::result(result))
        .help(
            "SectionFailure::from_panic takes what catch_unwind or JoinError::into_panic returns",
        ));
    };
    ensure!(message == text, "the report on {section} has another text than the panic";
        expected = format!("panicked: {}", plain::quoted(text)),
        observed = format!("panicked: {}", plain::quoted(message)),
        help = "the text is in the payload of the panic: hand that to SectionFailure::from_panic. A payload is \
                a &str (panic!(\"a bug\")) or a String (panic!(\"row {{n}}\")); a JoinError has it in \
                into_panic()");
    Ok(())
}

/// Payloads of each kind, with a text that no solution knows.
fn payloads(draw: &mut Draw) -> [Payload; 4] {
    [
        Payload::Literal("a bug"),
        Payload::Text(of_several_lines(draw, "a table")),
        Payload::Text(draw.text(3000..=4000)),
        Payload::Number(7),
    ]
}

pub async fn contains_panics(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for section in Section::ALL {
        for payload in payloads(&mut draw) {
            let step = Step::PanicsWith(draw.between(1..=90), payload.clone());
            let fake = Fake::new(&cx).with(section, step);
            let (settled, _) = settled(&cx, &fake, DEFAULTS).await?;
            says_panicked(&settled, section, &payload.text())?;
            let others: Vec<_> =
                Section::ALL.into_iter().filter(|other| *other != section).collect();
            carries(&settled, &fake, &others)?;
            nothing_left(&cx, &fake, "after a source has panicked").await?;
        }
    }
    // All five, at once and one after the other; then some of them, while the others fail.
    for times in [[50; 5]].into_iter().chain(orders(&mut draw)) {
        for panicking in [chosen(0b11111), chosen(0b10011), chosen(0b01101)] {
            let fake =
                Section::ALL.into_iter().zip(times).fold(Fake::new(&cx), |fake, (section, at)| {
                    match panicking.contains(&section) {
                        true => fake.with(section, Step::Panics(at)),
                        false => fake.fails(section, at),
                    }
                });
            let (settled, _) = settled(&cx, &fake, DEFAULTS).await?;
            for &section in &panicking {
                says_panicked(&settled, section, &format!("{section}: a bug"))?;
            }
        }
    }
    Ok(())
}

pub async fn contains_early_failures(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for section in Section::ALL {
        let others: Vec<_> = Section::ALL.into_iter().filter(|other| *other != section).collect();
        let fake = Fake::new(&cx).with(section, Step::Fails(0, refused(section)));
        let (early, _) = settled(&cx, &fake, DEFAULTS).await?;
        same(
            plain::result(&report(&early, section)?.result),
            plain::source_error(&refused(section)),
            || format!("the report on {section} does not carry the error of its first poll"),
            "a source that fails at once fails as any other",
        )?;
        carries(&early, &fake, &others)?;
        let fake = Fake::new(&cx).with(section, Step::PanicsAtOnce);
        let (early, _) = settled(&cx, &fake, DEFAULTS).await?;
        says_panicked(&early, section, &format!("{section}: a bug before the future"))?;
        for payload in payloads(&mut draw) {
            for step in
                [Step::PanicsAtOnceWith(payload.clone()), Step::PanicsWith(0, payload.clone())]
            {
                let fake = Fake::new(&cx).with(section, step);
                let (early, _) = settled(&cx, &fake, DEFAULTS).await?;
                says_panicked(&early, section, &payload.text())?;
                carries(&early, &fake, &others)?;
            }
        }
    }
    Ok(())
}

pub async fn leaves_nothing_behind(cx: Cx) -> Outcome {
    let fakes = || Fake::new(&cx).with(Section::Orders, Step::Hangs);
    let load_all = |fake: &Fake| load(fake.source(), DEFAULTS);
    dropped_everywhere(&cx, NAME, &[0, 100, 250, 350, 450, 550, 2000], fakes, load_all).await?;
    // A second load of the same sources.
    let fake = Fake::new(&cx);
    settled(&cx, &fake, DEFAULTS).await?;
    nothing_left(&cx, &fake, "after the load has returned").await?;
    dropped_at(&cx, NAME, 250, load(fake.source(), DEFAULTS)).await?;
    nothing_left(&cx, &fake, "after a second load of the same sources was dropped").await
}

pub async fn settles_one_section(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let (text, limit) = (draw.text(1..=12), draw.between(700..=900));
    for section in Section::ALL {
        let answers = draw.between(1..=600);
        let cases = [
            (Step::Answers(answers), answers, None),
            (Step::Fails(40, down(section)), 40, Some(SectionFailure::from(down(section)))),
            (Step::Fails(0, refused(section)), 0, Some(refused(section).into())),
            (Step::Hangs, limit, Some(SectionFailure::TimedOut { limit: ms(limit) })),
            (
                Step::PanicsWith(30, Payload::Text(text.clone())),
                30,
                Some(SectionFailure::Panicked { message: text.clone() }),
            ),
            (
                Step::PanicsAtOnceWith(Payload::Literal("a bug")),
                0,
                Some(SectionFailure::Panicked { message: "a bug".to_owned() }),
            ),
        ];
        for (step, at, failure) in cases {
            let fake = Fake::new(&cx).with(section, step.clone());
            let made = settle(section, fake.source(), ms(limit));
            // A future that is not polled has not begun.
            sleep(ms(70)).await;
            let call = cx.call(SETTLE, made).await?;
            let case = format!("settle({section}) of a source that {}", said(&step));
            let others = fake.called().into_iter().filter(|called| *called != section).count();
            ensure!(call.value.section == section && others == 0, "{case} is about another section";
                expected = format!("one call of {section}, and the report on it"),
                observed = format!("a report on {}; called: {}", call.value.section, names(&fake.called())));
            let expected =
                failure.as_ref().map_or_else(|| plain::data(&fake.data(section)), plain::failure);
            same(
                plain::result(&call.value.result),
                expected,
                || format!("{case} reports something else"),
                "data, an error, the end of the limit and a panic are all outcomes of the section",
            )?;
            ensure!(call.took == ms(at) && call.value.took == ms(at),
                "{case} returns at {} ms and reports {} ms", call.took.as_millis(), call.value.took.as_millis();
                expected = format!("{at} ms, from its first poll to the outcome"));
            nothing_left(&cx, &fake, &format!("after {case}")).await?;
        }
        let fakes = || Fake::new(&cx).with(section, Step::Hangs);
        let one = |fake: &Fake| settle(section, fake.source(), ms(limit));
        dropped_everywhere(&cx, SETTLE, &[0, 50, 300], fakes, one).await?;
    }
    for section in Section::ALL {
        any_figures(&cx, SETTLE, &[section], async |source| {
            vec![plain::report(&settle(section, source, ms(limit)).await)]
        })
        .await?;
    }
    side_by_side(&cx, SETTLE, |source| settle(Section::Orders, source, ms(limit))).await?;
    moves(&cx, SETTLE, &[250], |source| settle(Section::Orders, source, ms(limit))).await
}

fn said(step: &Step) -> &'static str {
    match step {
        Step::Answers(_) => "answers",
        Step::Fails(0, _) => "fails at its first poll",
        Step::Fails(..) => "fails",
        Step::Hangs => "never answers",
        Step::PanicsAtOnce | Step::PanicsAtOnceWith(_) => "panics in its method",
        Step::Panics(_) | Step::PanicsWith(..) => "panics",
    }
}

/// What the report shows of it.
pub mod scenes {
    use grader_kit::{Cx, Outcome};

    use super::{NAME, Timeouts, load};
    use crate::shown::{settled, shows, troubled};

    pub async fn two_in_trouble(cx: Cx) -> Outcome {
        let made = load(troubled(&cx).source(), Timeouts::default());
        shows(&cx, NAME, made, async |result| settled(&result)).await
    }
}
