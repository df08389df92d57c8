//! `sequential::load`.

use grader_kit::{Cx, Outcome, ensure, failed, ms};
use level2::model::Section;
use level2::sequential::load;
use tokio::time::sleep;

use crate::fake::{Fake, Step, latency};
use crate::plain;
use crate::support::{
    A_YEAR, AN_HOUR, HOURS, YEARS, begins, carries_its_own_answers, catching, copy, errors,
    first_poll, is_exact, latencies, leaves_nothing_when_dropped, names, nothing_left, panics,
    passes_each_panic_on, returned_at, shop, states_time, succeeded, with_odd_time,
};

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
    states_time(succeeded(call.value, "every source answered")?.took, 2000)?;

    let mut draw = cx.draw();
    for (slow, section) in Section::ALL.into_iter().enumerate() {
        let mut drawn = latencies(&mut draw);
        drawn[slow] = AN_HOUR;
        drawn[(slow + 1) % 5] = 0;
        let sum = drawn.iter().sum();
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
            sum,
            &format!("the sum of other latencies, {section} with more than an hour and one with 0"),
            "the load has no limit and no pause of its own: it waits for each answer",
        )?;
        states_time(succeeded(call.value, "every source answered")?.took, sum)?;
    }

    // Each of them takes months, one more than a year.
    let mut months = [A_YEAR / 4; 5];
    months[draw.index(5)] = A_YEAR;
    let fake = shop(&cx, &mut draw, months);
    begins(&cx, "the sources take months, one of them more than a year");
    let call = cx.call_within(YEARS * 2, NAME, load(fake.source())).await?;
    returned_at(
        call.took,
        2 * A_YEAR,
        "the sum of the latencies, months and more than a year",
        "the load has no limit and no pause of its own: it waits for each answer",
    )?;

    let (whole, took) = with_odd_time(&cx, NAME, load(Fake::new(&cx).source())).await?;
    is_exact(succeeded(whole, "every source answered")?.took, took, "`took`")
}

pub async fn asks_in_order(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let drawn = latencies(&mut draw);
    for fake in [Fake::new(&cx), shop(&cx, &mut draw, drawn)] {
        cx.call(NAME, load(fake.source())).await?;
        ensure!(fake.called() == Section::ALL, "asked for the sections in another order";
            expected = names(&Section::ALL), observed = names(&fake.called()),
            help = "the page is loaded from top to bottom, each section once");
    }
    Ok(())
}

pub async fn carries_every_section(cx: Cx) -> Outcome {
    carries_its_own_answers(&cx, NAME, load).await
}

pub async fn stops_at_the_first_failure(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let errors = errors(&mut draw);
    for case in 0..10 {
        let (index, section) = (case % 5, Section::ALL[case % 5]);
        let mut drawn = latencies(&mut draw);
        // Every second one fails at its first poll; each section once with either kind of error.
        drawn[index] *= case as u64 % 2;
        let step = Step::Fails(drawn[index], copy(&errors[(index + case / 5) % 4]));
        let fake = shop(&cx, &mut draw, drawn).with(section, step);
        begins(&cx, &format!("{section} fails after {} ms", drawn[index]));
        let start = cx.timeline().now_ms();
        let call = cx.call(NAME, load(fake.source())).await?;
        failed(call.value, &format!("{section} failed"))?;
        let called = fake.called();
        let later: Vec<_> = called.iter().skip_while(|&&one| one != section).skip(1).collect();
        ensure!(later.is_empty(), "another source is called after the failure of {section}";
            expected = format!("{section} is the last one"), observed = names(&called),
            help = "the first failure ends the load: leave it with `?`, before the next call begins");
        returned_at(
            call.took,
            fake.over(section).unwrap_or_default().saturating_sub(start),
            &format!("the answers before {section}, then its failure"),
            "return at the failure",
        )?;
        nothing_left(&cx, &fake, "after the load has failed").await?;
    }
    // The methods of the sources behind the failing one have a bug, which shows when they are called. Which these
    // are in another order than that of the page is another criterion's business.
    let whole = Fake::new(&cx);
    cx.call(NAME, load(whole.source())).await?;
    let order = whole.called();
    for (place, &section) in order.iter().enumerate() {
        let fake = Fake::new(&cx).fails(section, 100);
        let fake = order[place + 1..]
            .iter()
            .fold(fake, |fake, later| fake.with(*later, Step::PanicsAtOnce));
        begins(&cx, &format!("{section} fails; the methods of the later sources panic"));
        let (outcome, _) = catching(&cx, NAME, load(fake.source())).await?;
        ensure!(outcome.is_ok(), "the method of a later source is called although {section} fails";
            expected = format!("{section} is the last one that is called"),
            help = "call each method when its turn has come: a source may begin its work in the method");
    }
    Ok(())
}

pub async fn names_the_failure(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for error in errors(&mut draw) {
        for section in Section::ALL {
            let fake = Fake::new(&cx).with(section, Step::Fails(draw.below(400), copy(&error)));
            let call = cx.call(NAME, load(fake.source())).await?;
            let observed = failed(call.value, &format!("{section} failed"))?;
            let expected = format!("{section}: {}", plain::source_error(&error));
            ensure!(plain::error(&observed) == expected,
                "the error does not name the section and its cause";
                expected = expected, observed = plain::error(&observed),
                help = "SectionError::new(section, error) with the source's own error");
        }
    }
    Ok(())
}

pub async fn passes_panics_on(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    succeeded(cx.call(NAME, load(fake.source())).await?.value, "every source answered")?;
    // The call of a section begins when those before it have answered, in whatever order that is.
    let order = fake.called();
    let began = |section| -> u64 {
        order.iter().take_while(|&&before| before != section).map(|&before| latency(before)).sum()
    };
    let cases = panics(&mut cx.draw()).into_iter();
    let cases = cases.map(|(section, step, text, at)| (section, step, text, began(section) + at));
    passes_each_panic_on(&cx, NAME, "panics", cases, load).await
}

pub async fn leaves_nothing_behind(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    let moments = [0, 250, 650, 1050, 1450, 1900];
    leaves_nothing_when_dropped(&cx, NAME, &fake, &moments, load).await
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
