//! `sequential::load`.

use grader_kit::{Cx, Outcome, ensure, failed, ms};
use level2::model::Section;
use level2::sequential::load;
use tokio::time::sleep;

use crate::fake::{Fake, Payload, Step};
use crate::plain;
use crate::support::{
    begins, carries_its_own_answers, copy, errors, latencies, leaves_nothing_when_dropped, names,
    nothing_left, passes_each_panic_on, returned_at, shop, states_time, succeeded,
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
        drawn[slow] = 120_000;
        drawn[(slow + 1) % 5] = 0;
        let sum = drawn.iter().sum();
        let fake = shop(&cx, &mut draw, drawn);
        begins(&cx, &format!("it is first polled 70 ms after it was made; {section} takes 120 s"));
        let made = load(fake.source());
        sleep(ms(70)).await;
        let call = cx.call(NAME, made).await?;
        returned_at(
            call.took,
            sum,
            &format!("the sum of other latencies, {section} with 120 s and one with 0"),
            "the load has no limit and no pause of its own: it waits for each answer",
        )?;
        states_time(succeeded(call.value, "every source answered")?.took, sum)?;
    }
    Ok(())
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
    for (index, section) in Section::ALL.into_iter().enumerate() {
        let mut drawn = latencies(&mut draw);
        // Two of them fail at their first poll.
        drawn[index] *= index as u64 % 2;
        let step = Step::Fails(drawn[index], copy(&errors[index % 4]));
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
    let mut draw = cx.draw();
    let text = format!("row {} is missing", draw.below(1_000_000));
    let cases = [
        (
            Section::Sales,
            Step::PanicsWith(500, Payload::Literal("a row is missing")),
            "a row is missing",
            500,
        ),
        (Section::Users, Step::PanicsWith(300, Payload::Text(text.clone())), text.as_str(), 800),
        (Section::Orders, Step::PanicsAtOnce, "orders: a bug before the future", 800),
        (Section::Orders, Step::PanicsWith(0, Payload::Text(text.clone())), text.as_str(), 800),
    ];
    let fake = Fake::new(&cx);
    succeeded(cx.call(NAME, load(fake.source())).await?.value, "every source answered")?;
    passes_each_panic_on(&cx, NAME, "panics", cases, load).await
}

pub async fn leaves_nothing_behind(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    let moments = [0, 250, 650, 1050, 1450, 1900];
    leaves_nothing_when_dropped(&cx, NAME, &fake, &moments, load).await
}
