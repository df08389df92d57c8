//! What is refused.

use std::time::Duration;

use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use level5::multi_source_cache::{ConfigError, Rule, SyncMode};
use tokio::time::sleep;

use super::fakes::{Fake, value, written};
use super::{ADD, Cache, add, config, get, made, over};

pub async fn refuses_zeros(cx: Cx) -> Outcome {
    let make = |change: fn(&mut super::Config)| {
        let mut config = config(Rule::Newest);
        change(&mut config);
        cx.call_fn("MultiSourceCache::new", move || Cache::new(config).map(drop))
    };
    let refused = make(|config| config.ttl = Duration::ZERO).await?;
    ensure_eq!(refused, Err(ConfigError::ZeroTtl), "a ttl of zero");
    let refused = make(|config| config.load_timeout = Duration::ZERO).await?;
    ensure_eq!(refused, Err(ConfigError::ZeroLoadTimeout), "a `load_timeout` of zero");
    for change in [
        (|config| config.ttl = Duration::from_nanos(1)) as fn(&mut super::Config),
        |config| config.ttl = Duration::MAX,
        |config| config.load_timeout = Duration::MAX,
        |config| config.missing_ttl = Duration::ZERO,
        |config| config.missing_ttl = Duration::MAX,
    ] {
        ensure_eq!(make(change).await?, Ok(()), "a time that is not zero, or a `missing_ttl`"; help = "every other time is accepted");
    }
    let source = Fake::new(&cx, "a", 1).with_updates();
    let cache = made(&cx, config(Rule::Newest)).await?;
    let zero = Duration::ZERO;
    for mode in [SyncMode::Pull { every: zero }, SyncMode::Hybrid { every: zero }] {
        let refused = cx.call_fn(ADD, || cache.add_source(source.clone(), mode)).await?;
        ensure_eq!(refused, Err(ConfigError::ZeroInterval), "{mode:?}");
    }
    Ok(())
}

pub async fn accepts_every_other_time(cx: Cx) -> Outcome {
    let source = Fake::new(&cx, "a", 1).with_updates().otherwise(value(1, "one"));
    let mut longest = config(Rule::Newest);
    (longest.ttl, longest.load_timeout, longest.missing_ttl) =
        (Duration::MAX, Duration::MAX, Duration::MAX);
    let cache = made(&cx, longest).await?;
    add(&cx, &cache, &source, SyncMode::Hybrid { every: Duration::MAX }).await?;
    get(&cx, &cache, "x").await?;
    sleep(ms(1_000_000)).await;
    let answer = get(&cx, &cache, "x").await?;
    ensure_eq!(answer, "one, 1000000 ms old", "all times are `Duration::MAX`, after 1000 s"; help = "a time that far ahead overflows: `checked_add`, or compare ages");
    source.push("x", written(2, "two"));
    sleep(ms(1)).await;
    let answer = get(&cx, &cache, "x").await?;
    ensure_eq!(answer, "two, 1 ms old", "all times are `Duration::MAX`, the interval too, and an update came"; help = "the task of a source must survive an interval that no clock can hold");
    ensure!(source.count() == 1, "all times are `Duration::MAX`, and there were {} loads in 1000 s", source.count(); expected = "one");
    Ok(())
}

pub async fn follows_only_sources_with_updates(cx: Cx) -> Outcome {
    let source = Fake::new(&cx, "a", 1).otherwise(value(1, "one"));
    let cache = made(&cx, config(Rule::Newest)).await?;
    for mode in [SyncMode::Push, SyncMode::Hybrid { every: ms(100) }] {
        let refused = cx.call_fn(ADD, || cache.add_source(source.clone(), mode)).await?;
        ensure_eq!(refused, Err(ConfigError::NoUpdates(source.id())), "{mode:?} of a source without updates";
            help = "`updates` is `None`: such a source can only be pulled");
    }
    ensure_eq!(cache.status(&source.id()), None, "the status of a source that was refused"; help = "a refused source leaves no trace");
    add(&cx, &cache, &source, SyncMode::Pull { every: ms(100) }).await?;
    let answer = get(&cx, &cache, "x").await?;
    ensure_eq!(answer, "one, 0 ms old", "the same source is pulled");
    Ok(())
}

pub async fn refuses_a_second_source(cx: Cx) -> Outcome {
    let first = Fake::new(&cx, "same", 9).otherwise(value(1, "first"));
    let second = Fake::new(&cx, "same", 200).otherwise(value(2, "second"));
    let cache = over(&cx, config(Rule::Newest), &[&first]).await?;
    let refused = cx
        .call_fn(ADD, || cache.add_source(second.clone(), SyncMode::Pull { every: ms(100) }))
        .await?;
    ensure_eq!(
        refused,
        Err(ConfigError::DuplicateSource(first.id())),
        "a second source with the same id"
    );
    let answer = get(&cx, &cache, "x").await?;
    sleep(ms(1000 - 1)).await;
    ensure_eq!((answer.as_str(), second.calls().as_str()), ("first, 0 ms old", "none"), "what a caller gets then, and the loads of the refused source"; help = "the first source stays, and the second one is not asked");
    Ok(())
}
