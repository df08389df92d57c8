//! `progressive::load`.

use futures::StreamExt as _;
use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, failed, ms};
use level2::all_settled::Timeouts;
use level2::error::{SectionError, SectionFailure};
use level2::model::Section;
use level2::progressive::{FirstPhase, load};
use tokio::time::timeout;

use crate::fake::{Fake, Step, down, refused};
use crate::support::{dropped_at, names, nothing_left, returned_at, states_time, succeeded};

const NAME: &str = "progressive::load";
const LIMITS: Timeouts = Timeouts {
    sales: ms(5000),
    users: ms(3000),
    orders: ms(3000),
    low_stock: ms(5000),
    reviews: ms(3000),
};
const SECOND: [Section; 3] = [Section::Users, Section::LowStock, Section::Reviews];

async fn first_phase(cx: &Cx, fake: &Fake) -> Result<(FirstPhase, std::time::Duration), Fail> {
    let call = cx.call(NAME, load(fake.source(), LIMITS)).await?;
    Ok((succeeded(call.value, "sales and orders answered")?, call.took))
}

pub async fn shows_the_critical_first(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx).named("shop");
    let (first, took) = first_phase(&cx, &fake).await?;
    returned_at(took, 500, "sales and orders are loaded together, 500 and 400 ms", "join the two")?;
    states_time(first.took, 500)?;
    ensure_eq!(
        (first.sales, first.orders),
        (fake.page().sales, fake.page().orders),
        "the first phase does not show what the sources answered"
    );
    Ok(())
}

pub async fn holds_the_others_back(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    let (first, _) = first_phase(&cx, &fake).await?;
    cx.call("`rest`", first.rest.collect::<Vec<_>>()).await?;
    let early: Vec<_> =
        fake.seen().iter().filter(|s| s.at < 500 && SECOND.contains(&s.section)).copied().collect();
    ensure!(early.is_empty(), "{} call(s) of the second phase began in the first", early.len();
        expected = "users, low-stock and reviews are called at 500 ms or later",
        observed = names(early.iter().map(|seen| &seen.section)),
        help = "start the second phase when the first is over, so that the services have sales and \
                orders alone to answer");
    Ok(())
}

pub async fn hands_over_the_second_phase(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx)
        .named("shop")
        .with(Section::Users, Step::Fails(300, refused(Section::Users)));
    let (mut first, _) = first_phase(&cx, &fake).await?;
    let returned = cx.timeline().now_ms();
    let mut there = Vec::new();
    loop {
        let next = cx.call("the next item of `rest`", first.rest.next()).await?;
        let Some(report) = next.value else { break };
        let now = cx.timeline().now_ms();
        let section = report.section;
        let over = fake.over(section).unwrap_or(now).max(returned);
        ensure!(now == over, "{section} is handed over at {now} ms";
            expected = format!("at {over} ms, when its outcome was there"),
            help = "hand over each section by itself: waiting for all three holds back the fast");
        let expected = match section {
            Section::Users => Err(SectionFailure::Source(refused(section))),
            _ => Ok(fake.data(section)),
        };
        ensure_eq!(report.result, expected, "the report on {section} is not what its source said");
        there.push(section);
        ensure!(there.len() <= 5, "`rest` does not end"; expected = "three items and then the end");
    }
    there.sort_unstable();
    ensure!(there == SECOND, "`rest` does not report on each section of the second phase once";
        expected = names(&SECOND), observed = names(&there));
    Ok(())
}

pub async fn a_critical_failure_ends_it(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx).fails(Section::Orders, 100);
    let call = cx.call(NAME, load(fake.source(), LIMITS)).await?;
    let observed = failed(call.value, "orders failed")?;
    returned_at(
        call.took,
        100,
        "orders fails, and without it there is no page",
        "fail as soon as one of the two fails, as try_join! does",
    )?;
    ensure_eq!(
        observed,
        SectionError::new(Section::Orders, down(Section::Orders)),
        "the error is not that of the critical section"
    );
    nothing_left(&cx, &fake, "after the load has failed").await
}

pub async fn leaves_nothing_behind(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    dropped_at(&cx, NAME, load(fake.twin().source(), LIMITS), 250, load(fake.source(), LIMITS))
        .await?;
    nothing_left(&cx, &fake, "after the load was dropped").await?;
    let fake = Fake::new(&cx).named("second");
    let (mut first, _) = first_phase(&cx, &fake).await?;
    // A stream may start its work at the first poll.
    timeout(ms(50), first.rest.next()).await.ok();
    cx.timeline().record("the grader", "drops `rest`");
    drop(first);
    nothing_left(&cx, &fake, "after `rest` was dropped").await
}
