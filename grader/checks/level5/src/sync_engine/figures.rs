//! The figures.

use grader_kit::{Cx, Outcome, ensure_eq, ms};
use level5::conflict::Strategy;
use level5::multi_source_cache::{Failure, SourceError};
use level5::sync_engine::{Config, Pick, RecordId, Rule, SourceMetrics, SyncMetrics};
use tokio::time::{Instant, sleep};

use super::fakes::{Fake, Mode, deleted, written};
use super::{NEWEST, RARELY, add, add_all, fetch, lasting, meta, started};

pub async fn figures_add_up(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let engine = started(&cx, Config { fetch_timeout: ms(5000), ..lasting(NEWEST) }).await?;
    let mut receiver = cx.call_fn("Engine::metrics", || engine.metrics()).await?;
    ensure_eq!(*receiver.borrow(), SyncMetrics::default(), "the figures of a new engine");
    // Polls: two answers of different lengths, then two failures.
    let source = Fake::new(&cx, "a").with([written("x", 1, "one"), deleted("y", 1)]);
    let lengths = [2 * draw.between(1..=100), 2 * draw.between(101..=200)];
    source.takes(lengths[0]);
    add(&cx, &engine, &source, meta(0, ms(2000))).await?;
    let figures = |receiver: &mut tokio::sync::watch::Receiver<SyncMetrics>| {
        receiver.borrow_and_update().sources.get("a").cloned()
    };
    ensure_eq!(
        figures(&mut receiver),
        Some(SourceMetrics::default()),
        "the figures of a source before its first answer"
    );
    sleep(ms(500)).await;
    let answered = Instant::now() - ms(500 - lengths[0]);
    let mut expected = SourceMetrics {
        polls: 1,
        mean_poll: ms(lengths[0]),
        answered: Some(answered),
        ..SourceMetrics::default()
    };
    ensure_eq!(
        figures(&mut receiver),
        Some(expected.clone()),
        "the figures of a source after a poll of {} ms",
        lengths[0]
    );
    ensure_eq!(receiver.borrow().records, 2, "`records` after a poll of a record and a deletion");
    source.takes(lengths[1]);
    sleep(ms(1000)).await;
    expected.polls = 2;
    expected.mean_poll = ms(u64::midpoint(lengths[0], lengths[1]));
    expected.answered = Some(Instant::now() - ms(500 - lengths[1]));
    ensure_eq!(
        figures(&mut receiver),
        Some(expected.clone()),
        "the figures of a source after polls of {} and {} ms",
        lengths[0],
        lengths[1]
    );
    source.mode(Mode::Error("down"));
    sleep(ms(1000)).await;
    for failures in 1..=2 {
        expected.failed_polls = failures;
        expected.failed_in_a_row = u32::try_from(failures).unwrap_or_default();
        expected.failure = Some(Failure::Failed(SourceError("down".to_owned())));
        ensure_eq!(
            figures(&mut receiver),
            Some(expected.clone()),
            "the figures of a source after two answers and {failures} failures"
        );
        sleep(ms(2000 + lengths[1])).await;
    }
    // A removed source has none, and is another one when it comes back.
    engine.remove_source(&"a".into());
    ensure_eq!(figures(&mut receiver), None, "the figures of a source that was removed");
    source.mode(Mode::Answers);
    source.takes(0);
    add(&cx, &engine, &source, meta(0, RARELY)).await?;
    ensure_eq!(
        figures(&mut receiver).map(|figures| (figures.polls, figures.failed_polls)),
        Some((1, 0)),
        "the figures of a source that was added again: `polls` and `failed_polls`"
    );
    // Conflicts.
    let engine = started(&cx, lasting(NEWEST)).await?;
    let receiver = engine.metrics();
    let (a, b) = (Fake::new(&cx, "a"), Fake::new(&cx, "b"));
    add_all(&cx, &engine, &[&a, &b]).await?;
    let counts = || {
        let figures = receiver.borrow();
        (figures.conflicts, figures.resolved, figures.parked)
    };
    a.has(written("x", 1, "one"));
    b.has(written("x", 2, "two"));
    fetch(&cx, &engine, "x").await?;
    ensure_eq!(counts(), (1, 1, 0), "`conflicts`, `resolved` and `parked` after a conflict under Newest"; help = "a strategy decides a conflict when it is found");
    let set = engine.set_rule_of(&RecordId::new("y"), Some(Rule::By(Strategy::Manual)));
    ensure_eq!(set, Ok(()), "a rule of y");
    a.has(written("y", 1, "one"));
    fetch(&cx, &engine, "y").await?;
    b.has(written("y", 2, "two"));
    fetch(&cx, &engine, "y").await?;
    ensure_eq!(counts(), (2, 1, 1), "`conflicts`, `resolved` and `parked` after a manual conflict");
    b.has(written("y", 3, "three"));
    fetch(&cx, &engine, "y").await?;
    ensure_eq!(counts(), (3, 1, 1), "`conflicts`, `resolved` and `parked` after a change of a parked conflict"; help = "it is another conflict, and one is parked");
    if let Some(open) = engine.parked().pop() {
        ensure_eq!(engine.decide(&open, Pick::Record("a".into())), Ok(()), "a decision");
    }
    ensure_eq!(counts(), (3, 2, 0), "`conflicts`, `resolved` and `parked` after a decision");
    fetch(&cx, &engine, "x").await?;
    fetch(&cx, &engine, "y").await?;
    ensure_eq!(
        counts(),
        (3, 2, 0),
        "`conflicts`, `resolved` and `parked` after fetches that brought nothing new"
    );
    Ok(())
}
