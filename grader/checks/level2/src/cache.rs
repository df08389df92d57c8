//! `cache::CachedDashboard`.

use std::cell::OnceCell;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use futures::future::{join, join_all};
use grader_kit::{Cx, Draw, Fail, Outcome, dropped_at, ensure, ensure_eq, ms, short};
use level2::cache::{Answer, CacheError, CachedDashboard, DEFAULT_TTL};
use level2::error::{SectionError, SourceError};
use level2::model::{Dashboard, Section};
use level2::parallel;
use tokio::time::{Instant, sleep, timeout};

use crate::endings::passes_a_panic_on;
use crate::fake::{Fake, Figures, Payload, Step, latency, refused};
use crate::moves::moves;
use crate::plain::{self, same, same_page};
use crate::support::{
    A_YEAR, crowd, endless, errors, names, nothing_left, odd, side_by_side, succeeded,
};

pub const NAME: &str = "CachedDashboard::load";

/// Longer than any time to live that a solution makes up, in years.
const CENTURIES: u64 = 1000;

/// Sources that do the same thing in each load: the first load does the first of `loads`, and so on; the last
/// one repeats. Whatever the order in which a load looks at its sources, it fails at that moment. The timeline begins
/// with them: a failure shows its own case.
pub fn sources(cx: &Cx, loads: &[Does]) -> Fake {
    cx.timeline().restart();
    Section::ALL.into_iter().fold(Fake::new(cx), |fake, section| {
        let steps = loads.iter().map(|does| match does {
            Does::Answers => Step::Answers(latency(section)),
            Does::AnswersAt(at) => Step::Answers(*at),
            Does::Fails(at) => Step::Fails(*at, refused(section)),
        });
        fake.script(section, steps.collect())
    })
}

/// What all sources do in one load.
#[derive(Debug, Clone, Copy)]
pub enum Does {
    /// Answers after the usual latency.
    Answers,
    /// Answers after so many milliseconds.
    AnswersAt(u64),
    /// Fails after so many milliseconds.
    Fails(u64),
}

use Does::{Answers, AnswersAt, Fails};

pub async fn load(cx: &Cx, cache: &CachedDashboard) -> Result<Result<Answer, CacheError>, Fail> {
    Ok(cx.call(NAME, cache.load()).await?.value)
}

/// The `nth` load of a cache in front of these sources, counted from 1.
async fn nth(
    cx: &Cx,
    fake: &Fake,
    cache: &CachedDashboard,
    number: u32,
) -> Result<Result<Answer, CacheError>, Fail> {
    fake.in_load(number);
    load(cx, cache).await
}

/// An outcome as the learner reads it, without the page.
fn said(outcome: &Result<Answer, CacheError>) -> String {
    let cause =
        |cause: &SectionError| format!("{}: {}", cause.section, plain::failure(&cause.failure));
    match outcome {
        Ok(Answer::Live(_)) => "Answer::Live".to_owned(),
        Ok(Answer::Cached { age, cause: why, .. }) => {
            format!("Answer::Cached, {} old, because {}", plain::time(*age), cause(why))
        }
        Err(CacheError::Empty { cause: why }) => {
            format!("CacheError::Empty, because {}", cause(why))
        }
        Err(CacheError::Expired { age, cause: why }) => {
            format!("CacheError::Expired, {} old, because {}", plain::time(*age), cause(why))
        }
    }
}

fn live(outcome: Result<Answer, CacheError>, when: &str) -> Result<Dashboard, Fail> {
    match outcome {
        Ok(Answer::Live(page)) => Ok(page),
        other => Err(Fail::new(format!("{when}: a load whose sources all answered is not `Live`"))
            .expected("Answer::Live")
            .observed(said(&other))),
    }
}

fn cached(outcome: Result<Answer, CacheError>, when: &str) -> Result<(Dashboard, Duration), Fail> {
    match outcome {
        Ok(Answer::Cached { dashboard, age, .. }) => Ok((dashboard, age)),
        other => {
            Err(Fail::new(format!("{when}: the last page is not returned when the sources fail"))
                .expected("Answer::Cached")
                .observed(said(&other))
                .help("a page that was loaded is remembered until a newer one replaces it"))
        }
    }
}

/// The age of a page that was there at `loaded` and is handed out now.
fn is_old(age: Duration, loaded: Instant, when: &str) -> Outcome {
    let expected = loaded.elapsed();
    let help = match age {
        age if age == Duration::ZERO => {
            "note tokio::time::Instant::now() when the page has arrived: std's clock does not see virtual time"
        }
        age if age > expected => "remember the time after the load, not before it",
        _ => {
            "the age counts from the load that brought the page: returning it does not make it younger"
        }
    };
    ensure!(age == expected, "{when}: the reported age is {}", plain::time(age);
        expected = format!("{}, from the moment the page arrived to the moment it is returned",
            plain::time(expected)),
        help = help);
    Ok(())
}

pub async fn asks_every_time(cx: Cx) -> Outcome {
    let fake = sources(&cx, &[Answers, Answers, Fails(0), Answers]);
    // What `parallel::load` makes of the same answers: its faults are another criterion's.
    let twin = fake.twin();
    let cache = CachedDashboard::new(fake.source());
    for number in 1..=5 {
        let before = fake.called().len();
        twin.in_load(number);
        let alone = cx.call("parallel::load", parallel::load(twin.source())).await?.value;
        let outcome = nth(&cx, &fake, &cache, number).await?;
        let mut asked = fake.called().split_off(before);
        asked.sort_unstable();
        // A load that fails may end before it has asked all of them.
        let mut once = asked.clone();
        once.dedup();
        let right = match number {
            3 => !asked.is_empty() && once == asked,
            _ => asked == Section::ALL,
        };
        ensure!(right, "load {number} does not return the page that the sources have just answered: it \
                asks for {} section(s)", asked.len();
            expected = "each section once, in every load", observed = names(&asked),
            help = "ask the sources every time: the remembered page is for the case that they fail");
        if let Ok(expected) = alone {
            let page = live(outcome, &format!("load {number}"))?;
            same_page(
                &page,
                &expected.dashboard,
                |section| {
                    format!(
                        "load {number} does not return the page that the sources have just answered: {section} differs"
                    )
                },
                "the remembered page is for the case that the sources fail",
            )?;
        }
        sleep(ms(1000)).await;
    }
    Ok(())
}

pub async fn falls_back(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let (wait, at) = (draw.between(5_000..=9_000), draw.between(1..=900));
    let fake = sources(&cx, &[Answers, Fails(0), Fails(at), Fails(0), Answers, Fails(at)]);
    let cache = CachedDashboard::new(fake.source());
    let first = live(nth(&cx, &fake, &cache, 1).await?, "the first load")?;
    let loaded = Instant::now();
    for (number, when) in [
        (2, "the first failing load"),
        (3, "the second failing load"),
        (4, "the third failing load"),
    ] {
        sleep(ms(wait)).await;
        let (page, age) = cached(nth(&cx, &fake, &cache, number).await?, when)?;
        same_page(
            &page,
            &first,
            |section| {
                format!("{when}: the page is not the last one that was loaded: {section} differs")
            },
            "a page that was loaded is remembered until a newer one replaces it",
        )?;
        is_old(age, loaded, when)?;
    }
    sleep(ms(wait)).await;
    let second = live(nth(&cx, &fake, &cache, 5).await?, "the load after the outage")?;
    let loaded = Instant::now();
    sleep(ms(wait)).await;
    let when = "a failing load after two good ones";
    let (page, age) = cached(nth(&cx, &fake, &cache, 6).await?, when)?;
    same_page(
        &page,
        &second,
        |section| {
            format!("{when}: the page is not the last one that was loaded: {section} differs")
        },
        "a newer page replaces the remembered one",
    )?;
    is_old(age, loaded, when)?;
    keeps_any_page(&cx).await?;
    whatever_fails(&cx, &mut draw).await?;
    keeps_the_newest(&cx).await
}

/// Whatever the sources say when they fail, a refusal included, the remembered page is returned.
async fn whatever_fails(cx: &Cx, draw: &mut Draw) -> Outcome {
    for section in Section::ALL {
        for error in errors(draw) {
            let said = short(&plain::source_error(&error));
            let fails = Step::Fails(draw.below(150), error);
            let fake = Fake::new(cx).script(section, vec![Step::Answers(latency(section)), fails]);
            let cache = CachedDashboard::new(fake.source());
            let first = live(nth(cx, &fake, &cache, 1).await?, "the first load")?;
            let when = format!("a load in which {section} fails ({said})");
            let (page, _) = cached(nth(cx, &fake, &cache, 2).await?, &when)?;
            same_page(
                &page,
                &first,
                |section| {
                    format!(
                        "{when}: the page is not the last one that was loaded: {section} differs"
                    )
                },
                "any failure of the sources leaves the page that was loaded before",
            )?;
        }
    }
    Ok(())
}

/// A page of zeros is a page, and so is one of the largest numbers. What `parallel::load` makes of them is another
/// criterion's business.
async fn keeps_any_page(cx: &Cx) -> Outcome {
    for (figures, what) in [(Figures::Zeros, "zeros"), (Figures::Largest, "the largest numbers")] {
        let fake = sources(cx, &[Answers, Fails(0)]).answering(figures);
        let own = fake.twin();
        let own = cx.call("parallel::load", parallel::load(own.source())).await?.value;
        let Ok(own) = own else { continue };
        let cache = CachedDashboard::new(fake.source());
        let first = live(nth(cx, &fake, &cache, 1).await?, "the first load")?;
        let when = "a failing load";
        let (second, _) = cached(nth(cx, &fake, &cache, 2).await?, when)?;
        for (page, when) in [(&first, "the first load"), (&second, when)] {
            same_page(
                page,
                &own.dashboard,
                |section| {
                    format!(
                        "{when}: the page is not that of the sources, which answer with {what}: {section} differs"
                    )
                },
                "what the sources answer is a page, whatever the numbers are",
            )?;
        }
    }
    Ok(())
}

/// Pages that a cache could take for the one that it has: one that is equal to it, and one that arrives at the
/// same instant. The age is no whole number of milliseconds.
async fn keeps_the_newest(cx: &Cx) -> Outcome {
    let fake = sources(cx, &[Answers, Fails(0)]);
    let cache = CachedDashboard::new(fake.source());
    for when in ["the first load", "a load that brings an equal page"] {
        live(nth(cx, &fake, &cache, 1).await?, when)?;
        sleep(ms(3000)).await;
    }
    let loaded = Instant::now() - ms(3000);
    let part = odd(&mut cx.draw(), Duration::ZERO);
    cx.skip(part);
    let when = "a failing load after two that brought equal pages";
    is_old(cached(nth(cx, &fake, &cache, 2).await?, when)?.1, loaded, when)?;
    // Later times are whole again.
    cx.skip(ms(1) - part);

    let fake = sources(cx, &[AnswersAt(0), AnswersAt(0), Fails(0)]);
    let cache = CachedDashboard::new(fake.source());
    live(nth(cx, &fake, &cache, 1).await?, "the first load")?;
    let newest = live(nth(cx, &fake, &cache, 2).await?, "a load at the same instant")?;
    let when = "a failing load after two that succeeded at one instant, one after the other";
    same_page(
        &cached(nth(cx, &fake, &cache, 3).await?, when)?.0,
        &newest,
        |section| format!("{when}: the page is not that of the second load: {section} differs"),
        "a page that arrives replaces the remembered one, also at the same instant",
    )
}

pub async fn names_the_cause(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for section in Section::ALL {
        let text = draw.text(0..=12);
        // Another error each time: the cause is that of this load.
        let errors = [
            SourceError::Unavailable(text.clone()),
            SourceError::Rejected(text.clone()),
            SourceError::Unavailable(format!("  spaces \n and {text}")),
        ];
        let mut steps = vec![Step::Answers(latency(section))];
        steps.extend(errors.iter().map(|error| Step::Fails(100, error.clone())));
        let fake = Fake::new(&cx).script(section, steps);
        let cache = CachedDashboard::with_ttl(fake.source(), ms(3000));
        succeeded(nth(&cx, &fake, &cache, 1).await?, "every source answered")?;
        let mut outcomes = vec![("within the time to live", nth(&cx, &fake, &cache, 2).await?)];
        sleep(ms(10_000)).await;
        outcomes.push(("after the time to live", nth(&cx, &fake, &cache, 3).await?));
        let never = CachedDashboard::new(fake.source());
        outcomes.push(("without a page", nth(&cx, &fake, &never, 4).await?));
        for ((when, outcome), error) in outcomes.iter().zip(&errors) {
            let observed = match outcome {
                Ok(Answer::Live(_)) => "no cause: Answer::Live".to_owned(),
                Ok(Answer::Cached { cause, .. })
                | Err(CacheError::Empty { cause } | CacheError::Expired { cause, .. }) => {
                    format!("{}: {}", cause.section, plain::failure(&cause.failure))
                }
            };
            same(
                observed,
                format!("{section}: {}", plain::source_error(error)),
                || format!("{when}, the outcome hides why the sources failed"),
                "keep the error of this load as it is: all three variants have a `cause`",
            )?;
        }
    }
    Ok(())
}

/// What a failing load makes of a page that was there at `loaded`, with this time to live.
fn judged(
    outcome: &Result<Answer, CacheError>,
    loaded: Instant,
    ttl: Duration,
    what: &str,
) -> Outcome {
    let age = loaded.elapsed();
    let fresh = age < ttl;
    let expected = if fresh { "Answer::Cached" } else { "CacheError::Expired, with the age" };
    let at = format!(
        "at an age of {} ms with {what} time to live of {}",
        age.as_millis(),
        plain::time(ttl)
    );
    let (headline, help) = match outcome {
        Ok(Answer::Cached { .. }) if fresh => return Ok(()),
        Err(CacheError::Expired { age: stated, .. }) if !fresh => {
            ensure!(*stated == age, "wrong {at}: the error says {} ms", stated.as_millis();
                expected = format!("an age of {} ms", age.as_millis()),
                help = "the age counts from the load that brought the page, to the end of this one");
            return Ok(());
        }
        Err(CacheError::Empty { .. }) => (
            format!("there is no page {at}, although one was loaded"),
            "a page that was loaded is remembered until a newer one replaces it, also when it is too \
             old to be shown",
        ),
        Ok(Answer::Live(_)) => (
            format!("the page is called live {at}, although the sources failed"),
            "only a page that was loaded by this very load is `Live`",
        ),
        Err(CacheError::Expired { .. }) => (
            format!("wrong {at}: the page is refused"),
            "a page may be shown while it is younger than the time to live",
        ),
        Ok(Answer::Cached { .. }) => (
            format!("wrong {at}: the page is shown"),
            "a page may be shown while it is younger than the time to live; at that age it is too old, and returning it does not make it younger",
        ),
    };
    Err(Fail::new(headline).expected(expected).observed(said(outcome)).help(help))
}

pub async fn expires(cx: Cx) -> Outcome {
    ensure_eq!(DEFAULT_TTL, ms(60_000), "the default time to live is not 60 s");
    let drawn = cx.draw().between(2000..=8000);
    for (ttl, what) in [(60_000, "the default"), (drawn, "a given")] {
        // Failing loads at these ages, each list with a cache of its own.
        for ages in [&[ttl - 1][..], &[ttl], &[ttl / 2, ttl - 1, ttl], &[ttl, 2 * ttl]] {
            let fake = sources(&cx, &[Answers, Fails(0)]);
            let cache = match what {
                "the default" => CachedDashboard::new(fake.source()),
                _ => CachedDashboard::with_ttl(fake.source(), ms(ttl)),
            };
            live(load(&cx, &cache).await?, "the first load")?;
            let loaded = Instant::now();
            for age in ages {
                sleep(ms(*age).saturating_sub(loaded.elapsed())).await;
                judged(&load(&cx, &cache).await?, loaded, ms(ttl), what)?;
            }
        }
    }
    // The load itself makes the page older: it was young enough when this load began.
    let fake = sources(&cx, &[Answers, Fails(300)]);
    let cache = CachedDashboard::with_ttl(fake.source(), ms(1000));
    live(load(&cx, &cache).await?, "the first load")?;
    let loaded = Instant::now();
    sleep(ms(800)).await;
    judged(&load(&cx, &cache).await?, loaded, ms(1000), "a given")
}

pub async fn takes_any_time_to_live(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let short = [Duration::ZERO, Duration::from_nanos(1), odd(&mut draw, ms(1))];
    for ttl in short.into_iter().chain(endless(&mut draw)) {
        let fake = sources(&cx, &[Answers, Fails(0)]);
        let cache = CachedDashboard::with_ttl(fake.source(), ttl);
        live(load(&cx, &cache).await?, "the first load")?;
        let loaded = Instant::now();
        for wait in [0, 1, 1, 100_000] {
            sleep(ms(wait)).await;
            judged(&load(&cx, &cache).await?, loaded, ttl, "a given")?;
        }
    }
    // Pages that are days and more than a year old.
    let caches: Vec<_> = [Duration::MAX, odd(&mut draw, ms(A_YEAR)), ms(A_YEAR)]
        .into_iter()
        .map(|ttl| {
            let fake = sources(&cx, &[Answers, Fails(0)]);
            (CachedDashboard::with_ttl(fake.source(), ttl), ttl)
        })
        .collect();
    // All at once: whether caches are kept apart is a criterion of its own.
    for outcome in join_all(caches.iter().map(|(cache, _)| load(&cx, cache))).await {
        live(outcome?, "the first load")?;
    }
    let loaded = Instant::now();
    for age in [A_YEAR / 300, A_YEAR / 2, A_YEAR - 1, A_YEAR + 1] {
        for (cache, ttl) in &caches {
            cx.pass(ms(age).saturating_sub(loaded.elapsed())).await;
            judged(&load(&cx, cache).await?, loaded, *ttl, "a given")?;
        }
    }
    // A page that is centuries old. No timer of the cache has to reach that far, and none of tokio's does.
    for _ in 0..CENTURIES {
        cx.pass(ms(A_YEAR)).await;
    }
    let (cache, ttl) = &caches[0];
    judged(&load(&cx, cache).await?, loaded, *ttl, "a given")
}

pub async fn has_nothing_at_first(cx: Cx) -> Outcome {
    let fake = sources(&cx, &[Fails(100), Fails(0), Answers, Fails(0)]);
    let cache = CachedDashboard::new(fake.source());
    for nth in 1..=2 {
        let outcome = load(&cx, &cache).await?;
        ensure!(matches!(outcome, Err(CacheError::Empty { .. })),
            "a cache without a page does not say that it is empty (load {nth})";
            expected = "CacheError::Empty", observed = said(&outcome),
            help = "CacheError::Expired is for a page that is too old. Keep the last page in an Option");
        sleep(ms(100_000)).await;
    }
    Ok(())
}

pub async fn keeps_caches_apart(cx: Cx) -> Outcome {
    let [ours, theirs] =
        ["our shop", "their shop"].map(|shop| sources(&cx, &[Answers, Fails(0)]).named(shop));
    let bad = sources(&cx, &[Fails(0)]).named("a third shop");
    let (our_cache, their_cache) = (
        CachedDashboard::with_ttl(ours.source(), ms(30_000)),
        CachedDashboard::with_ttl(theirs.source(), ms(10_000)),
    );
    let our_page = live(load(&cx, &our_cache).await?, "the load of our shop")?;
    let ours_loaded = Instant::now();
    // A cache that has loaded nothing has nothing, whatever others have.
    for (what, other) in [
        ("a cache of another shop", CachedDashboard::new(bad.source())),
        ("another cache of the same shop", CachedDashboard::new(ours.source())),
    ] {
        let outcome = load(&cx, &other).await?;
        ensure!(matches!(outcome, Err(CacheError::Empty { .. })),
            "{what} has a page that it never loaded";
            expected = "CacheError::Empty", observed = said(&outcome),
            help = "each CachedDashboard remembers its own page: keep it in a field, not in a static");
    }
    sleep(ms(5000)).await;
    let their_page = live(load(&cx, &their_cache).await?, "the load of their shop")?;
    let theirs_loaded = Instant::now();
    sleep(ms(5000)).await;
    for (shop, cache, page, loaded) in [
        ("our shop", &our_cache, &our_page, ours_loaded),
        ("their shop", &their_cache, &their_page, theirs_loaded),
    ] {
        let when = format!("a failing load of {shop}");
        let (there, age) = cached(load(&cx, cache).await?, &when)?;
        same_page(
            &there,
            page,
            |section| format!("{when}: the page is another shop's: {section} differs"),
            "each CachedDashboard remembers its own page: keep it in a field, not in a static",
        )?;
        is_old(age, loaded, &when)?;
    }
    Ok(())
}

pub async fn loads_run_side_by_side(cx: Cx) -> Outcome {
    // The first load hangs, the second succeeds beside it, the third fails.
    let fake = Section::ALL.into_iter().fold(Fake::new(&cx), |fake, section| {
        let steps =
            vec![Step::Hangs, Step::Answers(latency(section)), Step::Fails(0, refused(section))];
        fake.script(section, steps)
    });
    let cache = CachedDashboard::new(fake.source());
    fake.in_load(1);
    let mut hung = Box::pin(cache.load());
    poll_fn(|cx| Poll::Ready(hung.as_mut().poll(cx).is_pending())).await;
    // Tasks that it may have spawned begin their calls.
    cx.settle().await;
    let mut page = None;
    for (nth, what) in [(2, "succeed"), (3, "fall back")] {
        fake.in_load(nth);
        let load = timeout(ms(10_000), cache.load());
        let Ok(outcome) = cx.call(NAME, load).await?.value else {
            return Err(Fail::new(format!("while one load hangs, load {nth} cannot {what}"))
                .expected("loads run side by side: one that hangs does not delay the others")
                .observed("no answer within 10 s")
                .help(
                    "await first, lock after: a lock that is held across the load's .await makes \
                       every other load wait",
                ));
        };
        match page.take() {
            None => page = Some(live(outcome, "a load beside one that hangs")?),
            Some(loaded) => {
                let when = "a failing load beside one that hangs";
                let (there, _) = cached(outcome, when)?;
                same_page(
                    &there,
                    &loaded,
                    |section| {
                        format!(
                            "{when}: the page is not the last one that was loaded: {section} differs"
                        )
                    },
                    "a page that was loaded is remembered until a newer one replaces it",
                )?;
            }
        }
    }
    drop(hung);
    keeps_the_last_to_arrive(&cx).await?;
    falls_back_on_what_arrived_meanwhile(&cx).await?;
    moves(&cx, NAME, &[250], |source| async {
        let cache = CachedDashboard::new(source);
        cache.load().await.is_ok()
    })
    .await?;
    // What `parallel::load` makes of two loads at once is another criterion's business.
    if side_by_side(&cx, "parallel::load", parallel::load).await.is_ok() {
        let cache = OnceCell::new();
        side_by_side(&cx, NAME, |source| cache.get_or_init(|| CachedDashboard::new(source)).load())
            .await?;
    }
    // Thousands of loads of one cache.
    let cache = OnceCell::new();
    crowd(&cx, NAME, |source| cache.get_or_init(|| CachedDashboard::new(source)).load()).await
}

/// A load begins, another one succeeds, and then the first one fails: it falls back on the page of the other one.
async fn falls_back_on_what_arrived_meanwhile(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    for (an_older_page, between) in [(false, 0), (true, 0), (true, draw.between(1..=100))] {
        let (fast, slow) = (draw.between(1..=400), draw.between(600..=900));
        let fake = sources(cx, &[AnswersAt(10), Fails(slow), AnswersAt(fast)]);
        let cache = CachedDashboard::new(fake.source());
        if an_older_page {
            live(nth(cx, &fake, &cache, 1).await?, "the first load")?;
        }
        fake.in_load(2);
        let mut fails = Box::pin(cache.load());
        poll_fn(|cx| Poll::Ready(fails.as_mut().poll(cx).is_pending())).await;
        cx.settle().await;
        sleep(ms(between)).await;
        let newest = live(nth(cx, &fake, &cache, 3).await?, "a load beside one that will fail")?;
        let loaded = Instant::now();
        let when = "a load that fails after a page has arrived that was not there when it began";
        let (page, age) = cached(cx.call(NAME, fails).await?.value, when)?;
        same_page(
            &page,
            &newest,
            |section| {
                format!("{when}: the page is not the last one that was loaded: {section} differs")
            },
            "look for the remembered page when the sources have failed, not before they are asked",
        )?;
        is_old(age, loaded, when)?;
    }
    Ok(())
}

/// Of two loads at once, the one that succeeds last brings the page that is remembered, whichever began first.
async fn keeps_the_last_to_arrive(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    // They begin at the same instant, or one after the other.
    for (first_is_slow, between) in [(true, false), (true, true), (false, false), (false, true)] {
        let between = if between { draw.between(1..=100) } else { 0 };
        let (fast, slow) = (draw.between(1..=400), draw.between(600..=900));
        let (one, other) = if first_is_slow { (slow, fast) } else { (fast, slow) };
        let fake = sources(cx, &[AnswersAt(one), AnswersAt(other), Fails(0)]);
        let cache = CachedDashboard::new(fake.source());
        fake.in_load(1);
        let mut first = Box::pin(cache.load());
        poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx).is_pending())).await;
        cx.settle().await;
        sleep(ms(between)).await;
        fake.in_load(2);
        let (one, other) = cx.call(NAME, join(first, cache.load())).await?.value;
        let pages = [live(one, "the first of two loads")?, live(other, "the second of two loads")?];
        let loaded = Instant::now();
        sleep(ms(draw.between(1..=500))).await;
        let when = "a failing load after two that ran at once";
        let (page, age) = cached(nth(cx, &fake, &cache, 3).await?, when)?;
        same_page(
            &page,
            &pages[usize::from(!first_is_slow)],
            |section| {
                format!("{when}: the page is not the one that arrived last: {section} differs")
            },
            "a page that arrives replaces the remembered one, whenever its load began",
        )?;
        is_old(age, loaded, when)?;
    }
    Ok(())
}

pub async fn survives_a_dropped_load(cx: Cx) -> Outcome {
    for at in [None, Some(0), Some(100), Some(250), Some(450), Some(599)] {
        let fake = sources(&cx, &[Answers, Answers, Fails(0)]);
        let cache = CachedDashboard::new(fake.source());
        let page = live(nth(&cx, &fake, &cache, 1).await?, "the first load")?;
        let loaded = Instant::now();
        sleep(ms(1000)).await;
        let when = match at {
            None => {
                let calls = fake.seen().len();
                drop(cache.load());
                cx.settle().await;
                ensure!(fake.seen().len() == calls, "{NAME} calls sources before it is polled";
                    expected = "a future does nothing until it is polled",
                    help = "make the calls inside the future, not before it is returned");
                // The dropped load asked for nothing, so the next one would answer.
                continue;
            }
            Some(at) => {
                fake.in_load(2);
                dropped_at(&cx, NAME, at, cache.load()).await?;
                format!("after a load was dropped at {at} ms")
            }
        };
        nothing_left(&cx, &fake, &when).await?;
        sleep(ms(1000)).await;
        let (there, age) = cached(nth(&cx, &fake, &cache, 3).await?, &when)?;
        same_page(
            &there,
            &page,
            |section| {
                format!("{when}, the page is not the last one that was loaded: {section} differs")
            },
            "a load that is dropped leaves the remembered page as it is",
        )?;
        is_old(age, loaded, &when)?;
    }
    Ok(())
}

pub async fn survives_a_panic(cx: Cx) -> Outcome {
    let payload = Payload::Text(cx.draw().text(1..=12));
    for section in Section::ALL {
        // The first load answers, the second panics, the third fails, the fourth answers.
        let fake = Section::ALL.into_iter().fold(Fake::new(&cx), |fake, other| {
            let second = match other == section {
                true => Step::PanicsWith(100, payload.clone()),
                false => Step::Answers(latency(other)),
            };
            let answers = Step::Answers(latency(other));
            let steps = vec![answers.clone(), second, Step::Fails(0, refused(other)), answers];
            fake.script(other, steps)
        });
        let cache = CachedDashboard::new(fake.source());
        let page = live(nth(&cx, &fake, &cache, 1).await?, "the first load")?;
        let loaded = Instant::now();
        fake.in_load(2);
        passes_a_panic_on(&cx, NAME, &fake, (&payload, 100), cache.load()).await?;
        let when = "after a load has panicked";
        let (there, age) = cached(nth(&cx, &fake, &cache, 3).await?, when)?;
        same_page(
            &there,
            &page,
            |section| {
                format!("{when}, the page is not the last one that was loaded: {section} differs")
            },
            "a load that panics leaves the remembered page as it is",
        )?;
        is_old(age, loaded, when)?;
        live(nth(&cx, &fake, &cache, 4).await?, when)?;
    }
    Ok(())
}

pub async fn keeps_one_page(cx: Cx) -> Outcome {
    /// A page of this size, so often: much more than there is memory for.
    const PAGE: usize = 256 << 10;
    const LOADS: usize = 100;
    let loads: Vec<Does> =
        (0..LOADS).map(|nth| if nth % 2 == 0 { AnswersAt(1) } else { Fails(0) }).collect();
    let fake = sources(&cx, &loads).weighing(PAGE);
    let cache = CachedDashboard::new(fake.source());
    let _scarce = grader_kit::scarce(6 << 20);
    for (number, turn) in (1..).zip(0..LOADS) {
        let outcome = nth(&cx, &fake, &cache, number).await?;
        match turn % 2 {
            0 => drop(live(outcome, "a load")?),
            _ => drop(cached(outcome, "a failing load")?),
        }
    }
    Ok(())
}
