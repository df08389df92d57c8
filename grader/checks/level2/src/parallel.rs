//! `parallel::load`.

use grader_kit::{Cx, Outcome, ensure, ensure_eq, failed};
use level2::error::SectionError;
use level2::model::{Loaded, Section};
use level2::parallel::load;

use crate::fake::{Fake, Step, down, refused};
use crate::support::{dropped_at, names, nothing_left, returned_at, states_time, succeeded};

const NAME: &str = "parallel::load";

pub async fn takes_600_ms(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    let call = cx.call(NAME, load(fake.source())).await?;
    returned_at(
        call.took,
        600,
        "the slowest source, low stock, answers",
        "a future does nothing before it is polled: poll all five together (try_join!, \
         FuturesUnordered, JoinSet) instead of awaiting them one by one",
    )?;
    states_time(succeeded(call.value, "every source answered")?.took, 600)
}

pub async fn starts_all_at_once(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    cx.call(NAME, load(fake.source())).await?;
    let mut first: Vec<Section> =
        fake.seen().iter().filter(|seen| seen.at == 0).map(|seen| seen.section).collect();
    first.sort_unstable();
    ensure!(first == Section::ALL, "{} of 5 calls begin at 0 ms", first.len();
        expected = "all five sources are called at once",
        observed = format!("called at 0 ms: {}", names(&first)),
        help = "no call may wait for another");
    ensure!(fake.seen().len() == 5, "{} calls instead of 5", fake.seen().len();
        expected = "each source is called once", observed = names(&fake.called()));
    Ok(())
}

pub async fn carries_every_section(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx).named("shop");
    let call = cx.call(NAME, load(fake.source())).await?;
    let Loaded { dashboard, .. } = succeeded(call.value, "every source answered")?;
    ensure_eq!(dashboard, fake.page(), "the page does not show what the sources answered");
    Ok(())
}

pub async fn fails_at_the_first_failure(cx: Cx) -> Outcome {
    let error = refused(Section::LowStock);
    let fake = Fake::new(&cx)
        .fails(Section::Sales, 450)
        .with(Section::LowStock, Step::Fails(100, error.clone()));
    let call = cx.call(NAME, load(fake.source())).await?;
    let observed = failed(call.value, "sales and low stock failed")?;
    returned_at(
        call.took,
        100,
        "low stock fails, and the page cannot be complete any more",
        "awaiting the calls in the order of the page finds a failure only when its turn comes: \
         look at whichever call ends next",
    )?;
    ensure_eq!(
        observed,
        SectionError::new(Section::LowStock, error),
        "the error is not the failure that came first in time"
    );
    Ok(())
}

pub async fn stops_the_rest(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx).with(Section::Users, Step::Fails(300, down(Section::Users)));
    let call = cx.call(NAME, load(fake.source())).await?;
    failed(call.value, "users failed")?;
    nothing_left(&cx, &fake, "after the load has failed").await
}

pub async fn leaves_nothing_behind(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    dropped_at(&cx, NAME, load(fake.twin().source()), 250, load(fake.source())).await?;
    nothing_left(&cx, &fake, "after the load was dropped").await
}
