//! `race::load`.

use futures::StreamExt as _;
use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, failed, ms};
use level2::error::SectionError;
use level2::model::{Section, SectionData};
use level2::race::{FirstThree, TooFew, load};
use tokio::time::{sleep, timeout};

use crate::fake::{Fake, Step, down, refused};
use crate::support::{dropped_at, names, nothing_left, returned_at, states_time, succeeded};

const NAME: &str = "race::load";

/// Runs a race in which three sections can arrive.
async fn won(cx: &Cx, fake: &Fake) -> Result<(FirstThree, std::time::Duration), Fail> {
    let call = cx.call(NAME, load(fake.source())).await?;
    Ok((succeeded(call.value, "three sources can answer")?, call.took))
}

pub async fn returns_at_the_third(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    let (first, took) = won(&cx, &fake).await?;
    returned_at(
        took,
        400,
        "reviews answers at 200, users at 300, orders at 400",
        "return as soon as three have answered; the other two are handed over, not waited for",
    )?;
    states_time(first.took, 400)
}

pub async fn hands_over_the_first_three(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx).named("shop");
    let (first, _) = won(&cx, &fake).await?;
    let expected = [Section::Reviews, Section::Users, Section::Orders].map(|s| fake.data(s));
    ensure_eq!(first.arrived, expected, "`arrived` is not the first three in the order of arrival");
    Ok(())
}

pub async fn a_failure_is_no_success(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx).fails(Section::Users, 300);
    let (first, took) = won(&cx, &fake).await?;
    let arrived: Vec<_> = first.arrived.iter().map(SectionData::section).collect();
    ensure!(arrived.len() == 3, "{} sections arrived, not 3", arrived.len();
        expected = "reviews, orders, sales", observed = names(&arrived),
        help = "users failed: the next success takes its place");
    returned_at(
        took,
        500,
        "users fails at 300, so sales is the third success",
        "count successes, not calls that have ended",
    )
}

pub async fn lists_early_failures(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx)
        .fails(Section::Users, 300)
        .with(Section::LowStock, Step::Fails(100, refused(Section::LowStock)));
    let (first, _) = won(&cx, &fake).await?;
    let expected = [
        SectionError::new(Section::LowStock, refused(Section::LowStock)),
        SectionError::new(Section::Users, down(Section::Users)),
    ];
    ensure_eq!(
        first.failed,
        expected,
        "`failed` does not list what failed before the third success, in the order of time"
    );
    Ok(())
}

pub async fn hands_over_the_rest(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx).named("shop");
    let (mut first, _) = won(&cx, &fake).await?;
    let mut rest = Vec::new();
    loop {
        let next = cx.call("the next item of `rest`", first.rest.next()).await?;
        let Some(outcome) = next.value else { break };
        rest.push((outcome.ok(), cx.timeline().now_ms()));
        ensure!(rest.len() <= 5, "`rest` does not end"; expected = "two items and then the end");
    }
    let expected =
        [(Some(fake.data(Section::Sales)), 500), (Some(fake.data(Section::LowStock)), 600)];
    let show = |items: &[(Option<SectionData>, u64)]| {
        let show = |(data, at): &(Option<SectionData>, u64)| match data {
            Some(data) => format!("{} at {at} ms", data.section()),
            None => format!("a failure at {at} ms"),
        };
        items.iter().map(show).collect::<Vec<_>>().join(", ")
    };
    ensure!(rest == expected, "`rest` does not hand over the other two as they come";
        expected = show(&expected), observed = show(&rest),
        help = "hand over the very calls that are still running, each on its own. Asking again costs \
                the time twice, and waiting for both holds sales back");
    Ok(())
}

pub async fn the_rest_carries_failures(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx).fails(Section::LowStock, 600);
    let (first, _) = won(&cx, &fake).await?;
    let rest = cx.call("`rest`", first.rest.collect::<Vec<_>>()).await?.value;
    let errors: Vec<_> = rest.into_iter().filter_map(Result::err).collect();
    ensure_eq!(
        errors,
        [SectionError::new(Section::LowStock, down(Section::LowStock))],
        "`rest` does not tell that low stock failed after the return"
    );
    Ok(())
}

pub async fn a_dropped_rest_stops(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    let (mut first, _) = won(&cx, &fake).await?;
    // A stream may start its work at the first poll.
    timeout(ms(50), first.rest.next()).await.ok();
    cx.timeline().record("the grader", "drops `rest`");
    drop(first);
    nothing_left(&cx, &fake, "after `rest` was dropped").await
}

pub async fn too_few_at_once(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx)
        .fails(Section::Sales, 50)
        .fails(Section::Users, 100)
        .fails(Section::LowStock, 250);
    let call = cx.call(NAME, load(fake.source())).await?;
    failed(call.value, "three sources failed")?;
    returned_at(
        call.took,
        250,
        "the third failure leaves only two sources",
        "waiting for the others cannot help: arrived and still running together are fewer than three",
    )
}

pub async fn too_few_tells_all(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx)
        .with(Section::Sales, Step::Fails(350, refused(Section::Sales)))
        .fails(Section::Users, 300)
        .fails(Section::LowStock, 250);
    let call = cx.call(NAME, load(fake.source())).await?;
    let observed = failed(call.value, "three sources failed")?;
    let expected = TooFew {
        arrived: vec![fake.data(Section::Reviews)],
        failed: vec![
            SectionError::new(Section::LowStock, down(Section::LowStock)),
            SectionError::new(Section::Users, down(Section::Users)),
            SectionError::new(Section::Sales, refused(Section::Sales)),
        ],
    };
    ensure_eq!(
        observed,
        expected,
        "the error does not tell what arrived and what failed, in the order of time"
    );
    Ok(())
}

pub async fn leaves_nothing_behind(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    dropped_at(&cx, NAME, load(fake.twin().source()), 250, load(fake.source())).await?;
    nothing_left(&cx, &fake, "after the load was dropped").await?;
    sleep(ms(1000)).await;
    let fake = Fake::new(&cx)
        .named("second")
        .fails(Section::Sales, 50)
        .fails(Section::Users, 100)
        .fails(Section::LowStock, 150);
    let call = cx.call(NAME, load(fake.source())).await?;
    failed(call.value, "three sources failed")?;
    nothing_left(&cx, &fake, "after the race was lost").await
}
