//! `deadline::load` and `deadline::load_partial`.

use grader_kit::{Cx, Outcome, ensure, ensure_eq, failed, ms};
use level2::deadline::{DeadlineError, load, load_partial};
use level2::error::{SectionError, SectionFailure};
use level2::model::Section;
use level2::parallel;

use crate::fake::{Fake, Step, refused};
use crate::support::{names, nothing_left, returned_at, states_time, succeeded};

const NAME: &str = "deadline::load";
const PARTIAL: &str = "deadline::load_partial";

pub async fn passes_results_on(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    let call = cx.call(NAME, load(fake.source(), ms(20_000))).await?;
    let loaded = succeeded(call.value, "every source answered within the limit")?;
    // What `parallel::load` makes of the same answers: its faults are another criterion's.
    let expected = cx.call("parallel::load", parallel::load(fake.twin().source())).await?.value;
    let expected = succeeded(expected, "every source answered")?;
    ensure_eq!(loaded.dashboard, expected.dashboard, "the page is not that of `parallel::load`");
    let error = refused(Section::Users);
    let fake = Fake::new(&cx).with(Section::Users, Step::Fails(300, error.clone()));
    let call = cx.call(NAME, load(fake.source(), ms(20_000))).await?;
    let observed = failed(call.value, "users failed")?;
    let expected = DeadlineError::Failed(SectionError::new(Section::Users, error));
    ensure_eq!(observed, expected, "a failure within the limit is not passed on as it is");
    Ok(())
}

pub async fn cuts_at_the_limit(cx: Cx) -> Outcome {
    for limit in [700, 1500] {
        let fake = Fake::new(&cx).with(Section::Users, Step::Hangs);
        let call = cx.call(NAME, load(fake.source(), ms(limit))).await?;
        let observed = failed(call.value, "users never answers")?;
        ensure_eq!(
            observed,
            DeadlineError::Elapsed { limit: ms(limit) },
            "the error does not say that the limit passed"
        );
        returned_at(call.took, limit, "the limit of the whole load", "tokio::time::timeout")?;
    }
    Ok(())
}

pub async fn stops_the_work(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx).with(Section::LowStock, Step::Hangs);
    cx.call(NAME, load(fake.source(), ms(450))).await?.value.ok();
    nothing_left(&cx, &fake, "after the limit").await
}

pub async fn partial_at_the_limit(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx).fails(Section::Orders, 100);
    let call = cx.call(PARTIAL, load_partial(fake.source(), ms(450))).await?;
    returned_at(call.took, 450, "the limit, with two sections on their way", "one limit for all")?;
    let settled = call.value;
    states_time(settled.took, 450)?;
    let missing = settled.partial().missing();
    ensure!(missing == [Section::Sales, Section::Orders, Section::LowStock],
        "the partial page does not hold exactly what arrived in time";
        expected = "users and reviews there; sales, orders, low-stock missing",
        observed = format!("missing: {}", names(&missing)));
    for section in [Section::Sales, Section::LowStock] {
        let result = settled.get(section).map(|report| report.result.clone());
        ensure_eq!(
            result,
            Some(Err(SectionFailure::TimedOut { limit: ms(450) })),
            "the report on {section} does not say that the limit passed"
        );
    }
    nothing_left(&cx, &fake, "after the limit").await
}

pub async fn partial_waits_no_longer(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx).with(Section::Sales, Step::Fails(500, refused(Section::Sales)));
    let call = cx.call(PARTIAL, load_partial(fake.source(), ms(20_000))).await?;
    returned_at(
        call.took,
        600,
        "every section has come to an outcome, long before the limit",
        "the limit is the latest moment to return, not the only one",
    )?;
    ensure_eq!(
        call.value.errors(),
        [SectionError::new(Section::Sales, refused(Section::Sales))],
        "a failure before the limit is not reported as it is"
    );
    for report in call.value.reports() {
        let expected = ms(crate::fake::latency(report.section));
        ensure!(report.took == expected,
            "the report on {} says {} ms", report.section, report.took.as_millis();
            expected = format!("{} ms, from its call to its outcome", expected.as_millis()));
    }
    Ok(())
}
