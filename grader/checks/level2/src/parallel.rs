//! `parallel::load`.

use grader_kit::{Cx, Outcome, ensure, failed, ms};
use level2::model::Section;
use level2::parallel::load;
use tokio::time::sleep;

use crate::fake::{Fake, Payload, Step, down};
use crate::plain;
use crate::support::{
    A_YEAR, AN_HOUR, HOURS, TIE, YEARS, asked_once, begins, carries_its_own_answers, catching,
    copy, errors, first_poll, is_exact, latencies, leaves_nothing_when_dropped, names,
    nothing_kept, nothing_kept_by_a_panic, panics, passes_each_panic_on, returned_at, shop,
    states_time, succeeded, ties, with_odd_time,
};

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
    states_time(succeeded(call.value, "every source answered")?.took, 600)?;

    let mut draw = cx.draw();
    for (slow, section) in Section::ALL.into_iter().enumerate() {
        let mut drawn = latencies(&mut draw);
        drawn[slow] = AN_HOUR;
        drawn[(slow + 1) % 5] = 0;
        let fake = shop(&cx, &mut draw, drawn);
        begins(
            &cx,
            &format!(
                "it is first polled 70 ms after it was made; {section} takes more than an hour"
            ),
        );
        let made = load(fake.source());
        sleep(ms(70)).await;
        first_poll(&cx);
        let call = cx.call_within(HOURS, NAME, made).await?;
        returned_at(
            call.took,
            AN_HOUR,
            &format!("the slowest source, {section}, answers"),
            "the load has no limit and no pause of its own: it waits for the last answer",
        )?;
        states_time(succeeded(call.value, "every source answered")?.took, AN_HOUR)?;
    }

    let late = latencies(&mut draw).map(|after| A_YEAR + after);
    let last = late.into_iter().max().unwrap_or_default();
    let fake = shop(&cx, &mut draw, late);
    begins(&cx, "every source takes more than a year");
    let call = cx.call_within(YEARS, NAME, load(fake.source())).await?;
    returned_at(
        call.took,
        last,
        "the slowest source answers, after more than a year",
        "the load has no limit and no pause of its own: it waits for the last answer",
    )?;

    for tie in ties(&mut draw) {
        begins(&cx, "several sources answer at the same millisecond");
        let fake = shop(&cx, &mut draw, tie);
        let call = cx.call(NAME, load(fake.source())).await?;
        let last = tie.into_iter().max().unwrap_or_default();
        returned_at(call.took, last, "the last sources answer, at the same millisecond", TIE)?;
        states_time(succeeded(call.value, "every source answered")?.took, last)?;
    }

    let (whole, took) = with_odd_time(&cx, NAME, load(Fake::new(&cx).source())).await?;
    is_exact(succeeded(whole, "every source answered")?.took, took, "`took`")
}

pub async fn starts_all_at_once(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let drawn = latencies(&mut draw);
    for fake in [Fake::new(&cx), shop(&cx, &mut draw, drawn)] {
        let start = cx.timeline().now_ms();
        cx.call(NAME, load(fake.source())).await?;
        let mut first: Vec<Section> =
            fake.seen().iter().filter(|seen| seen.at == start).map(|seen| seen.section).collect();
        first.sort_unstable();
        ensure!(first == Section::ALL, "{} of 5 calls begin at 0 ms", first.len();
            expected = "all five sources are called at once",
            observed = format!("called at 0 ms: {}", names(&first)),
            help = "no call may wait for another");
        ensure!(fake.seen().len() == 5, "{} calls instead of 5", fake.seen().len();
            expected = "each source is called once", observed = names(&fake.called()));
    }
    Ok(())
}

pub async fn carries_every_section(cx: Cx) -> Outcome {
    carries_its_own_answers(&cx, NAME, load).await
}

pub async fn fails_at_the_first_failure(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let errors = errors(&mut draw);
    for case in 0..10 {
        let (index, section) = (case % 5, Section::ALL[case % 5]);
        // A section before and one after it on the page fail later; the other two answer.
        let (before, after) = (Section::ALL[(index + 4) % 5], Section::ALL[(index + 1) % 5]);
        let at = if index == 0 { 0 } else { draw.between(1..=400) };
        // Each section fails once with either kind of error.
        let error = &errors[(index + case / 5) % 4];
        let fake = Fake::new(&cx)
            .fails(before, 450)
            .fails(after, 420)
            .with(section, Step::Fails(at, copy(error)));
        begins(&cx, &format!("{section} fails at {at} ms, two others later"));
        let call = cx.call(NAME, load(fake.source())).await?;
        let observed = failed(call.value, "three sections failed")?;
        returned_at(
            call.took,
            at,
            &format!("{section} fails, and the page cannot be complete any more"),
            "awaiting the calls in the order of the page finds a failure only when its turn comes: \
             look at whichever call ends next",
        )?;
        let expected = format!("{section}: {}", plain::source_error(error));
        let headline = if plain::same_section(observed.section, section) {
            "the error does not carry what the source said"
        } else {
            "the error is not the failure that came first in time"
        };
        ensure!(plain::error(&observed) == expected, "{headline}";
            expected = expected, observed = plain::error(&observed),
            help = "attach its own section's name to each call, and return the first failure as it is");
        asked_once(&fake, &format!("{section} fails"))?;
    }
    begins(&cx, "the last call of all fails");
    let fake = Fake::new(&cx).fails(Section::LowStock, 600);
    let call = cx.call(NAME, load(fake.source())).await?;
    let observed = failed(call.value, "low-stock failed after the others had answered")?;
    ensure!(plain::same_section(observed.section, Section::LowStock),
        "the error is not the failure that came first in time";
        expected = "low-stock", observed = plain::error(&observed));
    Ok(())
}

pub async fn stops_the_rest(cx: Cx) -> Outcome {
    for section in Section::ALL {
        begins(&cx, &format!("{section} fails at 150 ms"));
        let fake = Fake::new(&cx).with(section, Step::Fails(150, down(section)));
        let mut made = Box::pin(load(fake.source()));
        let call = cx.call(NAME, made.as_mut()).await?;
        failed(call.value, &format!("{section} failed"))?;
        let when = format!("after the load has failed: {section} is down");
        nothing_kept(&cx, &fake, made, &when).await?;
    }
    // In the order of the page, and against it: the others run, or none has answered yet.
    for (section, at) in Section::ALL.into_iter().zip([450, 250, 0, 550, 150]) {
        let case = format!("{section} panics at {at} ms");
        begins(&cx, &case);
        let panic = Step::PanicsWith(at, Payload::Literal("a row is missing"));
        let fake = Fake::new(&cx).with(section, panic);
        let mut made = Box::pin(load(fake.source()));
        catching(&cx, NAME, made.as_mut()).await?.0.ok();
        nothing_kept_by_a_panic(&cx, &fake, made, &format!("after {section} has panicked")).await?;
    }
    Ok(())
}

pub async fn passes_panics_on(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    succeeded(cx.call(NAME, load(fake.source())).await?.value, "every source answered")?;
    passes_each_panic_on(&cx, NAME, "panics", panics(&mut cx.draw()), load).await
}

pub async fn leaves_nothing_behind(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    leaves_nothing_when_dropped(&cx, NAME, &fake, &[0, 150, 250, 350, 450, 550], load).await
}

/// What the report shows of it.
pub mod scenes {
    use grader_kit::{Cx, Outcome};

    use super::{Fake, NAME, load};
    use crate::shown::{page, shows};

    pub async fn page_of_five(cx: Cx) -> Outcome {
        shows(&cx, NAME, load(Fake::new(&cx).source()), async |result| page(&result)).await
    }
}
