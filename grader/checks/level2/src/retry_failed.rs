//! `retry_failed::retry`.

use std::time::Duration;

use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use level2::all_settled::Timeouts;
use level2::error::{SectionError, SectionFailure};
use level2::model::Section;
use level2::retry_failed::retry;
use level2::settled::{SectionReport, Settled};

use crate::fake::{Fake, Step, down, refused};
use crate::support::{names, returned_at};

const NAME: &str = "retry_failed::retry";

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
        SectionReport { section, result, took: ms(650) }
    });
    Settled::new(reports, ms(650))
}

fn timed_out() -> SectionFailure {
    SectionFailure::TimedOut { limit: ms(650) }
}

pub async fn asks_only_for_the_failed(cx: Cx) -> Outcome {
    let first = Fake::new(&cx).named("first");
    let settled = first_load(
        &first,
        &[(Section::Users, down(Section::Users).into()), (Section::Reviews, timed_out())],
    );
    let fake = Fake::new(&cx);
    let call = cx.call(NAME, retry(fake.source(), settled, LIMITS)).await?;
    let mut called = fake.called();
    called.sort_unstable();
    ensure!(called == [Section::Users, Section::Reviews],
        "asked again for {} section(s), not for the 2 that failed", called.len();
        expected = "users, reviews", observed = names(&called),
        help = "a section that is there is not asked for again: it costs time, and may fail now");
    returned_at(call.took, 300, "users and reviews are asked at once, 300 and 200 ms", "join them")
}

pub async fn leaves_the_hopeless(cx: Cx) -> Outcome {
    let first = Fake::new(&cx).named("first");
    let hopeless = [
        (Section::Orders, SectionFailure::from(refused(Section::Orders))),
        (Section::Sales, SectionFailure::Panicked { message: "a bug".to_owned() }),
    ];
    let fake = Fake::new(&cx);
    let call = cx.call(NAME, retry(fake.source(), first_load(&first, &hopeless), LIMITS)).await?;
    for (section, failure) in hopeless {
        ensure!(!fake.called().contains(&section),
            "asked again for {section} although its source {failure}";
            expected = "no second call: the same request will fail again",
            help = "SectionFailure::is_transient tells what is worth another try");
        let report = call.value.get(section).map(|report| report.result.clone());
        ensure_eq!(report, Some(Err(failure)), "the failure of {section} has changed");
    }
    Ok(())
}

pub async fn takes_the_newer_outcome(cx: Cx) -> Outcome {
    let first = Fake::new(&cx).named("first");
    let settled = first_load(
        &first,
        &[
            (Section::Users, down(Section::Users).into()),
            (Section::Orders, down(Section::Orders).into()),
            (Section::LowStock, timed_out()),
        ],
    );
    let fake = Fake::new(&cx)
        .named("second")
        .with(Section::Orders, Step::Fails(400, refused(Section::Orders)))
        .with(Section::LowStock, Step::Hangs);
    let limits = Timeouts { low_stock: ms(900), ..LIMITS };
    let call = cx.call(NAME, retry(fake.source(), settled, limits)).await?;
    let settled = call.value;
    let expected = [
        SectionError::new(Section::Orders, refused(Section::Orders)),
        SectionError::new(Section::LowStock, SectionFailure::TimedOut { limit: ms(900) }),
    ];
    ensure_eq!(settled.errors(), expected, "the failures are not those of the second try");
    for (section, data, whose) in [
        (Section::Sales, first.data(Section::Sales), "first"),
        (Section::Users, fake.data(Section::Users), "second"),
        (Section::Reviews, first.data(Section::Reviews), "first"),
    ] {
        let result = settled.get(section).map(|report| report.result.clone());
        ensure_eq!(result, Some(Ok(data)), "{section} does not have the data of the {whose} load");
    }
    ensure!(settled.took == ms(650 + 900), "`took` says {} ms", settled.took.as_millis();
        expected = "1550 ms: 650 of the first load and 900 of the second try");
    Ok(())
}

pub async fn nothing_to_do(cx: Cx) -> Outcome {
    let first = Fake::new(&cx).named("first");
    let settled = first_load(&first, &[]);
    let fake = Fake::new(&cx);
    let call = cx.call(NAME, retry(fake.source(), settled.clone(), LIMITS)).await?;
    ensure!(call.took == Duration::ZERO && fake.seen().is_empty(),
        "a load without failures is not returned at once";
        expected = "0 ms, no calls",
        observed = format!("{} ms, {} calls", call.took.as_millis(), fake.seen().len()));
    ensure_eq!(call.value, settled, "a load without failures has changed");
    Ok(())
}
