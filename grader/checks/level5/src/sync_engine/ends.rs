//! Ends: of sources, readers and the engine; and panics.

use std::sync::Arc;

use futures::future::join;
use grader_kit::{Cx, Outcome, dropped_at, ensure, ensure_eq, failed, ms};
use level5::conflict::{Standing, Strategy};
use level5::sync_engine::{Config, ConfigError, MemoryStore, RecordId, Report, Rule, SourceMeta};
use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::{sleep, timeout};

use super::fakes::{Disk, Fake, Mode, Picks, Program, written};
use super::{
    ADD, DAY, GET, NEWEST, RARELY, SHUTDOWN, TTL, add, add_all, config, fetch, get, lasting, meta,
    parked, shown, started, started_on,
};

const REMOVE: &str = "Engine::remove_source";

pub async fn a_removed_source_is_gone(cx: Cx) -> Outcome {
    let slow = |rule| Config { fetch_timeout: ms(5000), ..lasting(rule) };
    let engine = started(&cx, slow(Rule::By(Strategy::Priority))).await?;
    let (high, low) = (Fake::new(&cx, "high"), Fake::new(&cx, "low"));
    for id in ["x", "alone"] {
        high.has(written(id, 9, "high"));
    }
    low.has(written("x", 1, "low"));
    add_all(&cx, &engine, &[&low]).await?;
    let tasks = cx.alive_tasks();
    add(&cx, &engine, &high, meta(10, ms(400))).await?;
    ensure_eq!(
        get(&cx, &engine, "x").await?,
        "fresh v=high",
        "Priority: what counts of two sources"
    );
    high.takes(300);
    sleep(ms(100)).await;
    // In the middle of a poll, which began at 100 ms.
    sleep(ms(150)).await;
    let removed = cx.call_fn(REMOVE, || engine.remove_source(&"high".into())).await?;
    ensure!(removed, "a source was removed: `remove_source` returns false"; expected = "true: there was one");
    cx.settle().await;
    ensure_eq!(high.running().0, 0, "a source was removed in the middle of a poll: the calls that run"; help = "the poll is dropped with the source");
    ensure!(
        cx.alive_tasks() <= tasks,
        "a source was removed: {} tasks are alive, and before it was added it were {tasks}",
        cx.alive_tasks()
    );
    ensure_eq!(get(&cx, &engine, "x").await?, "fresh v=low", "the source with the higher priority was removed: what counts"; help = "what it has delivered ranks below the records of all that are registered; decide again");
    ensure_eq!(get(&cx, &engine, "alone").await?, "fresh v=high", "a record that only the removed source had"; help = "what it has delivered stays");
    high.take_polls();
    high.take_fetches();
    fetch(&cx, &engine, "x").await?;
    sleep(ms(5000)).await;
    ensure_eq!(
        (high.take_polls(), high.take_fetches()),
        ("none".to_owned(), "none".to_owned()),
        "the polls and the fetches of a source after its removal"
    );
    let again = cx.call_fn(REMOVE, || engine.remove_source(&"high".into())).await?;
    ensure!(!again, "a source was removed twice: `remove_source` returns true"; expected = "false: there was none");
    // It comes back, and goes in the middle of a fetch.
    high.takes(0);
    add(&cx, &engine, &high, meta(10, RARELY)).await?;
    ensure_eq!(
        get(&cx, &engine, "x").await?,
        "fresh v=high",
        "a source that was removed is added again: what counts"
    );
    high.takes(100);
    high.has(written("x", 10, "late"));
    let (id, forced) = (RecordId::new("x"), Some(ms(0)));
    let removes = async {
        sleep(ms(50)).await;
        engine.remove_source(&"high".into());
    };
    cx.call(GET, join(engine.get(&id, forced), removes)).await?;
    low.has_nothing();
    engine.set_rule(NEWEST);
    ensure_eq!(get(&cx, &engine, "x").await?, "fresh v=high", "a source was removed while a fetch of it was on its way: what counts under Newest"; help = "what it answers afterwards is not kept");
    answers_nothing_afterwards(&cx).await?;
    is_another_one_afterwards(&cx).await?;
    ranks_below_zero(&cx).await
}

/// A source is removed while a fetch of it is on its way, and another one with its id is added before it answers.
async fn is_another_one_afterwards(cx: &Cx) -> Outcome {
    const HELP: &str = "a source that is added has a number of its own: an answer counts only for the registration that was asked";
    let mut draw = cx.draw();
    for at_once in [true, false] {
        let (gone, back) = (draw.between(1..=50), draw.between(51..=99));
        let engine = started(cx, Config { fetch_timeout: ms(5000), ..lasting(NEWEST) }).await?;
        let (old, new) = (Fake::new(cx, "a"), Fake::new(cx, "a"));
        add(cx, &engine, &old, meta(0, RARELY)).await?;
        old.takes(100);
        for id in ["x", "y"] {
            old.has(written(id, 9, "old"));
        }
        new.has(written("x", 1, "new"));
        let ids = ["x", "y"].map(RecordId::new);
        let again = async {
            sleep(ms(gone)).await;
            engine.remove_source(&"a".into());
            if !at_once {
                sleep(ms(back - gone)).await;
            }
            engine.add_source(new.clone(), meta(0, RARELY))
        };
        let both = join(engine.get_many(&ids, None), again);
        let (_, added) = cx.call(GET, both).await?.value;
        ensure_eq!(added, Ok(()), "a source with the id of one that was removed");
        cx.settle().await;
        let known = ids.each_ref().map(|id| super::history(&engine, id.as_str()));
        let back = if at_once { gone } else { back };
        ensure_eq!(known, ["v=new".to_owned(), "none".to_owned()], "a fetch takes 100 ms; its source is removed after {gone} ms, and after {back} ms another one is added with the same id, which has an older x and no y: the versions of x and y"; help = HELP);
        ensure_eq!(get(cx, &engine, "y").await?, "missing", "the same, and then y is read, which only the removed source had"; help = HELP);
    }
    Ok(())
}

/// The reader of a fetch learns nothing of a source that is removed before it answers.
async fn answers_nothing_afterwards(cx: &Cx) -> Outcome {
    for (others, expected) in [(false, "unknown (no source)"), (true, "missing")] {
        let engine = started(cx, Config { fetch_timeout: ms(5000), ..lasting(NEWEST) }).await?;
        let (goes, stays) = (Fake::new(cx, "goes"), Fake::new(cx, "stays"));
        add(cx, &engine, &goes, meta(0, RARELY)).await?;
        if others {
            add(cx, &engine, &stays, meta(0, RARELY)).await?;
        }
        goes.takes(100);
        goes.has(written("x", 1, "one"));
        let id = RecordId::new("x");
        let removes = async {
            sleep(ms(50)).await;
            engine.remove_source(&"goes".into());
        };
        let (read, ()) = cx.call(GET, join(engine.get(&id, None), removes)).await?.value;
        let beside = if others { ", beside one that has nothing" } else { "" };
        ensure_eq!(shown(&read), expected, "the only source that has a record is removed while a fetch of the record is on its way{beside}: what its reader gets"; help = "the answer of a removed source is none: as if it had not been asked");
    }
    Ok(())
}

/// The records of a removed source beside those of a source whose priority and trust are zero.
async fn ranks_below_zero(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    for strategy in [Strategy::Priority, Strategy::Trust, Strategy::Merge] {
        for back in [0, u8::try_from(draw.between(1..=10)).unwrap_or(1)] {
            let engine = started(cx, lasting(Rule::By(strategy))).await?;
            let (goes, stays) = (Fake::new(cx, "goes"), Fake::new(cx, "stays"));
            goes.has(written("x", 9, "goes"));
            stays.has(written("x", 1, "stays"));
            let of = |standing: u8| SourceMeta {
                standing: Standing { priority: standing, trust: standing },
                ..meta(0, RARELY)
            };
            add(cx, &engine, &goes, of(7)).await?;
            add(cx, &engine, &stays, of(0)).await?;
            let what = format!(
                "{strategy:?}: a source with priority and trust 7, whose record is newer, beside one with zeros"
            );
            ensure_eq!(get(cx, &engine, "x").await?, "fresh v=goes", "{what}: what counts");
            cx.call_fn(REMOVE, || engine.remove_source(&"goes".into())).await?;
            ensure_eq!(get(cx, &engine, "x").await?, "fresh v=stays", "{what}; the first one is removed: what counts"; help = "a source that is not registered has no standing, which is below one of zeros");
            // Equal standings again: the newest.
            add(cx, &engine, &goes, of(back)).await?;
            ensure_eq!(
                get(cx, &engine, "x").await?,
                "fresh v=goes",
                "{what}; the first one is removed and added again with {back}: what counts"
            );
        }
    }
    Ok(())
}

pub async fn shuts_down_in_order(cx: Cx) -> Outcome {
    let store = MemoryStore::new();
    let slow = || Config { fetch_timeout: ms(5000), ..config(NEWEST) };
    let engine = started_on(&cx, slow(), store.clone()).await?;
    let mut receiver = engine.changes();
    let mut conflicts = engine.conflicts();
    let mut metrics = engine.metrics();
    let before = cx.alive_tasks();
    let source = Fake::new(&cx, "a").with([written("x", 1, "one")]);
    let idle = Fake::new(&cx, "b");
    source.takes(300);
    add(&cx, &engine, &source, meta(0, ms(2000))).await?;
    add(&cx, &engine, &idle, meta(0, RARELY)).await?;
    sleep(ms(100)).await;
    let called = cx.call(SHUTDOWN, engine.shutdown(ms(1000))).await?;
    ensure_eq!((called.took, &called.value), (ms(200), &Report::default()), "a shutdown with a deadline of 1000 ms, while a poll needs 200 ms more: the time that it takes, and its report"; help = "wait for the polls that are on their way, and for nothing else");
    cx.settle().await;
    ensure!(cx.alive_tasks() < before + 1, "after a shutdown {} tasks are alive", cx.alive_tasks(); expected = "none of the engine");
    let first = receiver.try_recv().map(|change| super::content(&change.record));
    ensure_eq!(first, Ok("v=one".to_owned()), "the changes of a poll that ended during the shutdown"; help = "what was polled counts");
    ensure_eq!(receiver.try_recv(), Err(TryRecvError::Closed), "`changes` after the shutdown"; help = "the streams end with their senders");
    ensure_eq!(conflicts.try_recv(), Err(TryRecvError::Closed), "`conflicts` after the shutdown");
    ensure_eq!(
        engine.changes().try_recv(),
        Err(TryRecvError::Closed),
        "`changes` that is called after the shutdown"
    );
    metrics.borrow_and_update();
    let ended = timeout(ms(1000), metrics.changed()).await;
    ensure!(matches!(ended, Ok(Err(_))), "`metrics` after the shutdown: {ended:?}"; expected = "it has ended");
    ensure_eq!(engine.metrics().borrow().records, 1, "the figures after the shutdown");
    ensure_eq!(
        get(&cx, &engine, "x").await?,
        "fresh v=one",
        "a read of a fresh record after the shutdown"
    );
    source.take_polls();
    source.take_fetches();
    sleep(ms(10 * TTL)).await;
    ensure_eq!(
        get(&cx, &engine, "x").await?,
        "stale v=one (closed)",
        "a read of a stale record after the shutdown"
    );
    ensure_eq!(
        get(&cx, &engine, "y").await?,
        "unknown (closed)",
        "a read of an unknown record after the shutdown"
    );
    ensure_eq!(
        (source.take_polls(), source.take_fetches()),
        ("none".to_owned(), "none".to_owned()),
        "the polls and the fetches after the shutdown"
    );
    let added = cx.call_fn(ADD, || engine.add_source(Fake::new(&cx, "c"), meta(0, RARELY))).await?;
    ensure_eq!(
        failed(added, "the engine is shut down")?,
        ConfigError::Closed,
        "a source that is added after the shutdown"
    );
    let called = cx.call(SHUTDOWN, engine.shutdown(ms(1000))).await?;
    ensure_eq!(
        (called.took, &called.value),
        (ms(0), &Report::default()),
        "a second shutdown: the time that it takes, and its report"
    );
    let next = started_on(&cx, config(NEWEST), store).await?;
    ensure_eq!(super::history(&next, "x"), "v=one", "the versions of an engine on the same store"; help = "a shutdown saves");
    // Polls and questions that are not over at the deadline, and a fetch.
    let program = Program::new(&cx, 60_000);
    let engine =
        started(&cx, Config { rule: Rule::Ask(Arc::new(program.clone())), ..slow() }).await?;
    let (a, b) = (Fake::new(&cx, "a"), Fake::new(&cx, "b"));
    a.has(written("x", 1, "one"));
    add_all(&cx, &engine, &[&a, &b]).await?;
    b.has(written("x", 2, "two"));
    fetch(&cx, &engine, "x").await?;
    let hangs = Fake::new(&cx, "hangs");
    hangs.mode(Mode::Hangs);
    add_all(&cx, &engine, &[&hangs]).await?;
    let id = RecordId::new("y");
    let reads = async {
        let read = engine.get(&id, None).await;
        (shown(&read), cx.timeline().now_ms())
    };
    let shuts = async {
        sleep(ms(100)).await;
        let began = cx.timeline().now_ms();
        (engine.shutdown(ms(700)).await, began, cx.timeline().now_ms() - began)
    };
    let ((read, at), (report, began, took)) = cx.call(SHUTDOWN, join(reads, shuts)).await?.value;
    ensure_eq!((read.as_str(), at - began), ("unknown (closed)", 0), "a fetch that is on its way at the shutdown: what its reader gets, and how long after"; help = "it ends at once");
    let expected = Report { dropped_polls: vec!["hangs".into()], unanswered: 1, unsaved: 0 };
    ensure_eq!((took, report), (700, expected), "a shutdown with a deadline of 700 ms, a poll that hangs and a program that needs a minute: the time that it takes, and its report"; help = "drop at the deadline what is not over, and say so");
    cx.settle().await;
    ensure_eq!((hangs.running().0, program.running().0), (0, 0), "the calls and the questions that run after the deadline"; help = "drop them");
    asks_about_the_last_poll(&cx).await
}

/// A poll that ends during the shutdown brings a conflict, and there is time to decide it.
async fn asks_about_the_last_poll(cx: &Cx) -> Outcome {
    const HELP: &str =
        "end the questions when the polls have ended: the last of them may bring one";
    let mut draw = cx.draw();
    let (length, thinks) = (draw.between(20..=400), draw.between(4..=400));
    for deadline in [1000, length + thinks / 2] {
        let (store, program) = (MemoryStore::new(), Program::new(cx, thinks));
        let config =
            Config { fetch_timeout: ms(5000), ..lasting(Rule::Ask(Arc::new(program.clone()))) };
        let engine = started_on(cx, config, store.clone()).await?;
        let (a, b) = (Fake::new(cx, "a"), Fake::new(cx, "b"));
        a.has(written("x", 1, "one"));
        b.has(written("x", 2, "two"));
        b.takes(length);
        add_all(cx, &engine, &[&a, &b]).await?;
        let called = cx.call(SHUTDOWN, engine.shutdown(ms(deadline))).await?;
        let in_time = deadline >= length + thinks;
        let expected = Report { unanswered: usize::from(!in_time), ..Report::default() };
        let took = if in_time { length + thinks } else { deadline };
        let what = format!(
            "a shutdown with a deadline of {deadline} ms begins with a poll that needs {length} ms and brings a conflict, about which a program thinks for {thinks} ms"
        );
        ensure_eq!((called.took, &called.value), (ms(took), &expected), "{what}: the time that it takes, and its report"; help = HELP);
        let now = (get(cx, &engine, "x").await?, parked(&engine));
        if in_time {
            ensure_eq!(now, ("fresh v=two".to_owned(), "none".to_owned()), "{what}: what counts afterwards, and what is parked"; help = HELP);
            let next = started_on(cx, lasting(NEWEST), store).await?;
            ensure_eq!(super::history(&next, "x"), "v=one, v=two", "{what}: the versions of an engine on the same store"; help = "save when the questions have ended");
        }
    }
    asks_again_about_the_last_poll(cx).await?;
    reports_what_is_not_saved(cx).await
}

/// The last save fails, as those before it have.
async fn reports_what_is_not_saved(cx: &Cx) -> Outcome {
    const HELP: &str = "`unsaved` counts the records whose last state the store does not have: those of a save that has failed";
    let count = cx.draw().index(6) + 1;
    for (failures, unsaved) in [(usize::MAX, count), (1, 0), (0, 0)] {
        let disk = Disk::new(cx);
        let engine = started_on(cx, lasting(NEWEST), disk.clone()).await?;
        let source = Fake::new(cx, "a");
        for number in 0..count {
            source.has(written(&format!("r{number}"), 1, "one"));
        }
        disk.fails(failures);
        add_all(cx, &engine, &[&source]).await?;
        // The engine's own save is over, and has failed.
        sleep(ms(50)).await;
        let called = cx.call(SHUTDOWN, engine.shutdown(ms(3000))).await?;
        let what = format!(
            "a poll has delivered {count} records, {}, and 50 ms later a shutdown has a deadline of 3000 ms",
            match failures {
                0 => "which are saved",
                1 => "whose first save fails",
                _ => "all saves of which fail",
            }
        );
        ensure_eq!(called.value, Report { unsaved, ..Report::default() }, "{what}: its report"; help = HELP);
        ensure!(called.took <= ms(3000), "{what}: it takes {} ms", called.took.as_millis(); expected = "no longer than the deadline");
    }
    Ok(())
}

/// A poll that ends during the shutdown changes the records that a program is deciding about.
async fn asks_again_about_the_last_poll(cx: &Cx) -> Outcome {
    const HELP: &str = "an answer about records that have changed since leads to another question, also during a shutdown: end the questions with the last answer";
    let mut draw = cx.draw();
    let thinks = draw.between(200..=400);
    let length = draw.between(20..=150);
    let program = Program::new(cx, thinks);
    let config =
        Config { fetch_timeout: ms(5000), ..lasting(Rule::Ask(Arc::new(program.clone()))) };
    let engine = started(cx, config).await?;
    let (a, b, c) = (Fake::new(cx, "a"), Fake::new(cx, "b"), Fake::new(cx, "c"));
    a.has(written("x", 1, "one"));
    b.has(written("x", 2, "two"));
    c.has(written("x", 3, "three"));
    c.takes(length);
    add_all(cx, &engine, &[&a, &b, &c]).await?;
    let called = cx.call(SHUTDOWN, engine.shutdown(ms(1000))).await?;
    let what = format!(
        "a shutdown begins while a program thinks for {thinks} ms about two records, and a poll brings a third one {length} ms later"
    );
    ensure_eq!((called.took, &called.value), (ms(2 * thinks), &Report::default()), "{what}: the time that it takes, and its report"; help = HELP);
    let now = (get(cx, &engine, "x").await?, parked(&engine));
    ensure_eq!(now, ("fresh v=three".to_owned(), "none".to_owned()), "{what}: what counts afterwards, and what is parked"; help = HELP);
    Ok(())
}

pub async fn dropping_ends_all(cx: Cx) -> Outcome {
    const HELP: &str =
        "the engine owns its tasks: end them when it is dropped; they must not keep it alive";
    let tasks = cx.alive_tasks();
    let program = Arc::new(Program::new(&cx, 60_000));
    let slow = Config { fetch_timeout: ms(DAY), ..lasting(Rule::Ask(program.clone())) };
    let engine = started(&cx, slow).await?;
    let mut receiver = engine.changes();
    let (a, b) = (Fake::new(&cx, "a"), Fake::new(&cx, "b"));
    a.has(written("x", 1, "one"));
    b.has(written("x", 2, "two"));
    add(&cx, &engine, &a, meta(0, ms(2000))).await?;
    add(&cx, &engine, &b, meta(0, ms(4000))).await?;
    a.takes(500);
    sleep(ms(1100)).await;
    ensure_eq!(
        (a.running().0, program.running().0),
        (1, 1),
        "100 ms after a poll of 500 ms began: the calls and the questions that run"
    );
    cx.call_fn("dropping the engine", || drop(engine)).await?;
    cx.settle().await;
    ensure_eq!((a.running().0, program.running().0), (0, 0), "the engine was dropped in the middle of a poll and a question: those that run"; help = HELP);
    ensure!(cx.alive_tasks() <= tasks, "the engine was dropped: {} tasks are alive, and before it was started it were {tasks}", cx.alive_tasks(); help = HELP);
    ensure!(Arc::strong_count(&program) == 1, "the engine was dropped, and its rule is still held"; help = HELP);
    while receiver.try_recv().is_ok() {}
    ensure_eq!(receiver.try_recv(), Err(TryRecvError::Closed), "`changes` after the engine was dropped"; help = HELP);
    for source in [&a, &b] {
        source.take_polls();
    }
    cx.pass(ms(DAY)).await;
    ensure_eq!((a.polls(), b.polls()), (0, 0), "the polls of a day after the engine was dropped"; help = HELP);
    Ok(())
}

pub async fn a_panic_stays_local(cx: Cx) -> Outcome {
    const HELP: &str = "`catch_unwind` around each call of a source or a program";
    let (in_future, at_once) =
        ((Mode::Panics, Picks::Panics), (Mode::PanicsAtOnce, Picks::PanicsAtOnce));
    for (mode, panics) in [in_future, at_once] {
        let program = Program::new(&cx, 10);
        program.picks(panics);
        let engine = started(&cx, config(Rule::Ask(Arc::new(program.clone())))).await?;
        let (a, b) = (Fake::new(&cx, "a"), Fake::new(&cx, "b"));
        a.mode(mode);
        a.has(written("x", 1, "one"));
        add(&cx, &engine, &a, meta(0, ms(2000))).await?;
        add(&cx, &engine, &b, meta(1, RARELY)).await?;
        ensure_eq!(get(&cx, &engine, "x").await?, "unknown (a: panicked)", "a source has the mode {mode:?}, and the other one has nothing"; help = HELP);
        a.mode(Mode::Answers);
        sleep(ms(2050)).await;
        ensure_eq!(get(&cx, &engine, "x").await?, "fresh v=one", "the poll after one in which the source panicked"; help = HELP);
        for (id, picks) in [("x", panics), ("y", Picks::Newest)] {
            program.picks(picks);
            a.has(written(id, 1, "one"));
            fetch(&cx, &engine, id).await?;
            b.has(written(id, 2, "two"));
            fetch(&cx, &engine, id).await?;
            sleep(ms(20)).await;
        }
        ensure_eq!(parked(&engine), "x [a v=one | b v=two]", "a program panics about x ({panics:?}), and then decides y: what is parked"; help = HELP);
        ensure_eq!(get(&cx, &engine, "y").await?, "fresh v=two", "what counts of y, which the program has decided after a panic"; help = HELP);
    }
    Ok(())
}

pub async fn a_fetch_lives_as_long_as_its_readers(cx: Cx) -> Outcome {
    let engine = started(&cx, config(NEWEST)).await?;
    let source = Fake::new(&cx, "a");
    add_all(&cx, &engine, &[&source]).await?;
    source.takes(100);
    source.has(written("x", 1, "one"));
    let id = RecordId::new("x");
    dropped_at(&cx, GET, 50, engine.get(&id, None)).await?;
    cx.settle().await;
    ensure_eq!(source.running(), (0, 1), "the only reader was dropped at 50 ms of 100: the calls that run, and those that were dropped";
        help = "a fetch runs inside of its readers, and not in a task");
    let leaves = timeout(ms(50), engine.get(&id, None));
    let stays = timeout(ms(10_000), engine.get(&id, None));
    let (left, stayed) = cx.call(GET, join(leaves, stays)).await?.value;
    ensure!(left.is_err(), "a fetch of 100 ms was over at 50 ms");
    let stayed = stayed.map_or_else(|_| "no answer".to_owned(), |read| shown(&read));
    ensure_eq!((stayed.as_str(), source.fetches()), ("fresh v=one", 2), "the first of two readers was dropped: what the other one gets, and the fetches in all";
        help = "a fetch is shared by its readers and goes on for the last one");
    drop(engine.get(&id, Some(ms(0))));
    ensure!(source.fetches() == 2, "a future of `get` was made and not polled, and it has asked a source"; expected = "it has done nothing");
    Ok(())
}

pub async fn waits_without_looking(cx: Cx) -> Outcome {
    let engine = started(&cx, lasting(NEWEST)).await?;
    let source = Fake::new(&cx, "a").with([written("x", 1, "one")]);
    add(&cx, &engine, &source, meta(0, ms(DAY))).await?;
    // A loop that looks every 10 ms would need minutes of CPU time for it.
    cx.pass(ms(28 * DAY)).await;
    let polls = source.polls();
    ensure!((56..=57).contains(&polls), "a poll every half day: {polls} polls in four weeks"; expected = "57");
    Ok(())
}
