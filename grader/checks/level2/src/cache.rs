//! `cache::CachedDashboard`.

use std::sync::Arc;

use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, ms};
use level2::cache::{Answer, CacheError, CachedDashboard, DEFAULT_TTL};
use level2::error::SectionError;
use level2::model::Section;
use level2::parallel;
use tokio::time::sleep;

use crate::fake::{Fake, Step, down, latency, refused};
use crate::support::succeeded;

const NAME: &str = "CachedDashboard::load";

/// Sources of which every one answers once and then fails, at once: whatever the order in which a load
/// looks at them, it fails at that moment.
fn good_once(cx: &Cx) -> Fake {
    Section::ALL.into_iter().fold(Fake::new(cx), |fake, section| {
        let answers = Step::Answers(latency(section));
        fake.script(section, vec![answers, Step::Fails(0, refused(section))])
    })
}

async fn load(cx: &Cx, cache: &CachedDashboard) -> Result<Result<Answer, CacheError>, Fail> {
    Ok(cx.call(NAME, cache.load()).await?.value)
}

pub async fn asks_every_time(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    // What `parallel::load` makes of the same answers: its faults are another criterion's.
    let twin = fake.twin().source();
    let cache = CachedDashboard::new(fake.source());
    for nth in 1..=2 {
        let expected = cx.call("parallel::load", parallel::load(Arc::clone(&twin))).await?.value;
        let expected = succeeded(expected, "every source answered")?;
        let answer = succeeded(load(&cx, &cache).await?, "every source answered")?;
        ensure_eq!(answer, Answer::Live(expected.dashboard),
            "load {nth} does not return the page that the sources have just answered";
            help = "the remembered page is for the case that the sources fail");
        sleep(ms(1000)).await;
    }
    Ok(())
}

pub async fn falls_back(cx: Cx) -> Outcome {
    let fake = good_once(&cx);
    let cache = CachedDashboard::new(fake.source());
    let Answer::Live(loaded) = succeeded(load(&cx, &cache).await?, "every source answered")? else {
        return Err(Fail::new("the first page is said to be a remembered one"));
    };
    sleep(ms(20_000)).await;
    match load(&cx, &cache).await? {
        Ok(Answer::Cached { dashboard, age, .. }) => {
            ensure_eq!(dashboard, loaded, "the page is not the last one that was loaded");
            ensure!(age == ms(20_000), "the age is said to be {} ms", age.as_millis();
                expected = "20000 ms, from the moment the page was there to the moment it is handed out",
                help = "remember the time after the load, not before it");
            Ok(())
        }
        other => Err(Fail::new("the last page is not handed out when the sources fail")
            .expected("Answer::Cached")
            .observed(format!("{other:?}"))),
    }
}

pub async fn names_the_cause(cx: Cx) -> Outcome {
    let expected = SectionError::new(Section::Orders, refused(Section::Orders));
    let fails = Step::Fails(100, refused(Section::Orders));
    let fake = Fake::new(&cx).script(Section::Orders, vec![Step::Answers(400), fails]);
    let cache = CachedDashboard::with_ttl(fake.source(), ms(30_000));
    succeeded(load(&cx, &cache).await?, "every source answered")?;
    let mut causes = vec![("within the time to live", load(&cx, &cache).await?)];
    sleep(ms(100_000)).await;
    causes.push(("after the time to live", load(&cx, &cache).await?));
    let never = Fake::new(&cx).with(Section::Orders, Step::Fails(100, refused(Section::Orders)));
    causes.push(("without a page", load(&cx, &CachedDashboard::new(never.source())).await?));
    for (when, outcome) in causes {
        let cause = match outcome {
            Ok(Answer::Live(_)) => None,
            Ok(Answer::Cached { cause, .. })
            | Err(CacheError::Empty { cause } | CacheError::Expired { cause, .. }) => Some(cause),
        };
        ensure_eq!(
            cause.as_ref(),
            Some(&expected),
            "{when}, the outcome hides why the sources failed"
        );
    }
    Ok(())
}

pub async fn expires(cx: Cx) -> Outcome {
    ensure_eq!(DEFAULT_TTL, ms(60_000), "the default time to live is not 60 s");
    for (ttl, name) in [(60_000, "the default"), (5000, "a given")] {
        for (age, fresh) in [(ttl - 1, true), (ttl, false), (3 * ttl, false)] {
            let fake = good_once(&cx);
            let cache = if ttl == 60_000 {
                CachedDashboard::new(fake.source())
            } else {
                CachedDashboard::with_ttl(fake.source(), ms(ttl))
            };
            succeeded(load(&cx, &cache).await?, "every source answered")?;
            sleep(ms(age)).await;
            let outcome = load(&cx, &cache).await?;
            let expected =
                if fresh { "Answer::Cached" } else { "CacheError::Expired, with the age" };
            let right = match &outcome {
                Ok(Answer::Cached { .. }) => fresh,
                Err(CacheError::Expired { age: stated, .. }) => !fresh && *stated == ms(age),
                _ => false,
            };
            ensure!(right, "wrong at an age of {age} ms with {name} time to live of {ttl} ms";
                expected = expected, observed = format!("{outcome:?}"),
                help = "a page may be shown while it is younger than the time to live");
        }
    }
    Ok(())
}

pub async fn has_nothing_at_first(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx).fails(Section::Users, 100);
    let outcome = load(&cx, &CachedDashboard::new(fake.source())).await?;
    ensure!(matches!(outcome, Err(CacheError::Empty { .. })),
        "a cache without a page does not say that it is empty";
        expected = format!("CacheError::Empty, because {}", down(Section::Users)),
        observed = format!("{outcome:?}"));
    Ok(())
}
