//! `sequential::load`.

use grader_kit::{Cx, Outcome, ensure, ensure_eq, failed, ms};
use level2::error::SectionError;
use level2::model::{Loaded, Section};
use level2::sequential::load;

use crate::fake::{Fake, Step, refused};
use crate::support::{dropped_at, names, nothing_left, returned_at, states_time, succeeded};

const NAME: &str = "sequential::load";

pub async fn takes_2000_ms(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    let call = cx.call(NAME, load(fake.source())).await?;
    returned_at(
        call.took,
        2000,
        "500 + 300 + 400 + 600 + 200",
        "one call after another, and nothing in between",
    )?;
    states_time(succeeded(call.value, "every source answered")?.took, 2000)
}

pub async fn asks_in_order(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    cx.call(NAME, load(fake.source())).await?;
    ensure!(fake.called() == Section::ALL, "asked for the sections in another order";
        expected = names(&Section::ALL), observed = names(&fake.called()),
        help = "the page is loaded from top to bottom, each section once");
    Ok(())
}

pub async fn carries_every_section(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx).named("shop");
    let call = cx.call(NAME, load(fake.source())).await?;
    let Loaded { dashboard, .. } = succeeded(call.value, "every source answered")?;
    ensure_eq!(dashboard, fake.page(), "the page does not show what the sources answered");
    Ok(())
}

pub async fn stops_at_the_first_failure(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx).fails(Section::Users, 300);
    let call = cx.call(NAME, load(fake.source())).await?;
    failed(call.value, "users failed")?;
    ensure!(fake.called() == [Section::Sales, Section::Users],
        "asked for more after the failure of users";
        expected = "sales, users", observed = names(&fake.called()),
        help = "the first failure ends the load: leave it with `?`, before the next call begins");
    returned_at(call.took, 800, "sales took 500, users failed 300 later", "return at the failure")
}

pub async fn names_the_failure(cx: Cx) -> Outcome {
    let error = refused(Section::Orders);
    let fake = Fake::new(&cx).with(Section::Orders, Step::Fails(400, error.clone()));
    let call = cx.call(NAME, load(fake.source())).await?;
    let observed = failed(call.value, "orders failed")?;
    ensure_eq!(
        observed,
        SectionError::new(Section::Orders, error),
        "the error does not name the section and its cause"
    );
    Ok(())
}

pub async fn leaves_nothing_behind(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    dropped_at(&cx, NAME, load(fake.twin().source()), 550, load(fake.source())).await?;
    let dropped = cx.timeline().now_ms();
    nothing_left(&cx, &fake, "after the load was dropped").await?;
    tokio::time::sleep(ms(5000)).await;
    let later: Vec<_> = fake.seen().into_iter().filter(|seen| seen.at > dropped).collect();
    ensure!(later.is_empty(), "{} call(s) began after the load was dropped", later.len();
        expected = "no call", observed = names(later.iter().map(|seen| &seen.section)));
    Ok(())
}
