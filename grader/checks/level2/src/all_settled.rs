//! `all_settled::load` and what it is made of.

use std::collections::BTreeMap;

use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, ms};
use level2::all_settled::{Timeouts, load};
use level2::error::SectionFailure;
use level2::model::Section;
use level2::settled::{SectionReport, Settled};

use crate::fake::{Fake, Step, down, latency, refused};
use crate::support::{dropped_at, names, nothing_left, returned_at, states_time};

const NAME: &str = "all_settled::load";

/// The default limits, spelled out so that a wrong default costs only its own criterion.
const DEFAULTS: Timeouts = Timeouts {
    sales: ms(5000),
    users: ms(3000),
    orders: ms(3000),
    low_stock: ms(5000),
    reviews: ms(3000),
};

async fn settled(
    cx: &Cx,
    fake: &Fake,
    timeouts: Timeouts,
) -> Result<(Settled, std::time::Duration), Fail> {
    let call = cx.call(NAME, load(fake.source(), timeouts)).await?;
    Ok((call.value, call.took))
}

fn report(settled: &Settled, section: Section) -> Result<&SectionReport, Fail> {
    settled.get(section).ok_or_else(|| {
        Fail::new(format!("there is no report on {section}"))
            .expected("one report for each of the five sections")
    })
}

/// The sections of `settled` that carry exactly the data of their source are `expected`.
fn carries(settled: &Settled, fake: &Fake, expected: &[Section]) -> Outcome {
    let there: Vec<_> = settled
        .reports()
        .iter()
        .filter(|report| report.result == Ok(fake.data(report.section)))
        .map(|report| report.section)
        .collect();
    ensure!(there == expected, "data of {} sections instead of {}", there.len(), expected.len();
        expected = names(expected), observed = names(&there),
        help = "a section that cannot be loaded is no reason to lose another");
    Ok(())
}

pub async fn takes_600_ms(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    let (settled, took) = settled(&cx, &fake, DEFAULTS).await?;
    returned_at(
        took,
        600,
        "the slowest source, low stock, answers",
        "call all five at once and wait for all outcomes together (join_all, JoinSet)",
    )?;
    states_time(settled.took, 600)
}

pub async fn keeps_what_arrived(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx).named("shop").fails(Section::Users, 300).fails(Section::LowStock, 10);
    let (partial, _) = settled(&cx, &fake, DEFAULTS).await?;
    carries(&partial, &fake, &[Section::Sales, Section::Orders, Section::Reviews])?;
    let fake = Fake::new(&cx).named("whole");
    let (whole, _) = settled(&cx, &fake, DEFAULTS).await?;
    carries(&whole, &fake, &Section::ALL)
}

pub async fn names_each_failure(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx)
        .fails(Section::Users, 300)
        .with(Section::Orders, Step::Fails(350, refused(Section::Orders)));
    let (settled, _) = settled(&cx, &fake, DEFAULTS).await?;
    for error in
        [(Section::Users, down(Section::Users)), (Section::Orders, refused(Section::Orders))]
    {
        let (section, error) = error;
        let observed = report(&settled, section)?.result.as_ref().err();
        ensure_eq!(observed, Some(&SectionFailure::Source(error)),
            "the report on {section} does not carry its source's error";
            help = "keep the error as the source gave it: a caller decides by it what to do next");
    }
    Ok(())
}

pub async fn measures_each_section(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx).fails(Section::Users, 100);
    let (settled, _) = settled(&cx, &fake, DEFAULTS).await?;
    for section in Section::ALL {
        let expected = if section == Section::Users { ms(100) } else { ms(latency(section)) };
        let took = report(&settled, section)?.took;
        ensure!(took == expected, "the report on {section} says {} ms", took.as_millis();
            expected = format!("{} ms, from its call to its outcome", expected.as_millis()),
            help = "measure inside each call: after the join all of them have taken the longest");
    }
    Ok(())
}

pub async fn default_timeouts(cx: Cx) -> Outcome {
    let observed = cx.call("Timeouts::default", async { Timeouts::default() }).await?.value;
    ensure_eq!(observed, DEFAULTS, "the default timeouts are not the documented ones");
    let distinct = distinct_limits();
    for (section, limit) in [
        (Section::Sales, distinct.sales),
        (Section::Users, distinct.users),
        (Section::Orders, distinct.orders),
        (Section::LowStock, distinct.low_stock),
        (Section::Reviews, distinct.reviews),
    ] {
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
    let fake = Fake::new(&cx).with(Section::Users, Step::Hangs);
    let (settled, took) = settled(&cx, &fake, DEFAULTS).await?;
    returned_at(
        took,
        3000,
        "users never answers and is cut at its limit",
        "put a timeout around each call, not around the join",
    )?;
    ensure_eq!(
        report(&settled, Section::Users)?.result,
        Err(SectionFailure::TimedOut { limit: ms(3000) }),
        "the report on users does not say that it timed out"
    );
    carries(
        &settled,
        &fake,
        &[Section::Sales, Section::Orders, Section::LowStock, Section::Reviews],
    )
}

pub async fn each_source_has_its_own_limit(cx: Cx) -> Outcome {
    let limits = distinct_limits();
    let expected = BTreeMap::from([
        (Section::Sales, 700),
        (Section::Users, 1100),
        (Section::Orders, 900),
        (Section::LowStock, 1300),
        (Section::Reviews, 1000),
    ]);
    for (section, limit) in expected {
        let fake = Fake::new(&cx).with(section, Step::Hangs);
        let (_, took) = settled(&cx, &fake, limits).await?;
        returned_at(
            took,
            limit,
            &format!("only {section} hangs, and its limit is {limit} ms"),
            "each call is given the limit of its own section",
        )?;
    }
    Ok(())
}

pub async fn stops_what_it_cuts(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx).with(Section::Users, Step::Hangs);
    let limits = Timeouts { users: ms(100), ..DEFAULTS };
    settled(&cx, &fake, limits).await?;
    nothing_left(&cx, &fake, "after the load has returned").await
}

pub async fn contains_panics(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx).with(Section::Sales, Step::Panics(50));
    let (settled, _) = settled(&cx, &fake, DEFAULTS).await?;
    ensure_eq!(report(&settled, Section::Sales)?.result,
        Err(SectionFailure::Panicked { message: "sales: a bug".to_owned() }),
        "the report on sales does not say that its source panicked";
        help = "SectionFailure::from_panic takes what catch_unwind or JoinError::into_panic returns");
    carries(&settled, &fake, &Section::ALL[1..])
}

pub async fn contains_early_failures(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx)
        .with(Section::Orders, Step::Fails(0, down(Section::Orders)))
        .with(Section::Reviews, Step::PanicsAtOnce);
    let (settled, _) = settled(&cx, &fake, DEFAULTS).await?;
    let message = "reviews: a bug before the future".to_owned();
    ensure_eq!(report(&settled, Section::Reviews)?.result,
        Err(SectionFailure::Panicked { message }),
        "the report on reviews does not say that its source panicked";
        help = "the method itself may panic, before it has returned a future: call it within what \
                is caught");
    carries(&settled, &fake, &[Section::Sales, Section::Users, Section::LowStock])
}

pub async fn leaves_nothing_behind(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    dropped_at(&cx, NAME, load(fake.twin().source(), DEFAULTS), 250, load(fake.source(), DEFAULTS))
        .await?;
    nothing_left(&cx, &fake, "after the load was dropped").await
}
