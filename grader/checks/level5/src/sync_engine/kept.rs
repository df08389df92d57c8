//! What an engine keeps, and where.

use std::sync::Arc;

use grader_kit::{Cx, Outcome, ensure, ensure_eq, list, ms};
use level5::conflict::Strategy;
use level5::sync_engine::{Config, Engine, MemoryStore, Pick, RecordId, Rule, StoreError};
use tokio::time::sleep;

use super::fakes::{Disk, Fake, Panics, Program, deleted, written};
use super::{
    NEWEST, add, add_all, changes, config, fetch, found, get, history, lasting, meta, nz, parked,
    started, started_on,
};

pub async fn an_unchanged_poll_is_silent(cx: Cx) -> Outcome {
    const HELP: &str = "compare the contents: an equal one is neither a change nor a version";
    let engine = started(&cx, lasting(NEWEST)).await?;
    let mut receiver = cx.call_fn("Engine::changes", || engine.changes()).await?;
    let (a, b) = (Fake::new(&cx, "a"), Fake::new(&cx, "b"));
    a.has(written("x", 1, "one"));
    add(&cx, &engine, &a, meta(0, ms(200))).await?;
    ensure_eq!(changes(&mut receiver), "x v=one", "the changes after the first poll");
    sleep(ms(10_050)).await;
    ensure_eq!((changes(&mut receiver), history(&engine, "x")), ("none".to_owned(), "v=one".to_owned()), "the changes and the versions after a hundred polls of an unchanged record"; help = HELP);
    // New stamps, and another source with the same content.
    for at in 2..=10 {
        a.has(written("x", at, "one"));
        sleep(ms(100)).await;
    }
    b.has(written("x", 50, "one"));
    add(&cx, &engine, &b, meta(1, ms(200))).await?;
    sleep(ms(500)).await;
    ensure_eq!((changes(&mut receiver), history(&engine, "x")), ("none".to_owned(), "v=one".to_owned()), "the changes and the versions after new stamps of the same content"; help = HELP);
    b.has(written("x", 60, "two"));
    sleep(ms(500)).await;
    ensure_eq!((changes(&mut receiver), history(&engine, "x")), ("x v=two".to_owned(), "v=one, v=two".to_owned()), "the changes and the versions after another content"; help = HELP);
    Ok(())
}

pub async fn keeps_the_newest_versions(cx: Cx) -> Outcome {
    let drawn = cx.draw().index(20) + 2;
    for versions in [10, 1, drawn] {
        let engine = started(&cx, Config { versions: nz(versions), ..lasting(NEWEST) }).await?;
        let source = Fake::new(&cx, "a");
        add_all(&cx, &engine, &[&source]).await?;
        ensure_eq!(history(&engine, "x"), "none", "the versions of a record that is not known");
        for change in 1..=versions + 2 {
            source.has(written(
                "x",
                i64::try_from(change).unwrap_or_default(),
                &change.to_string(),
            ));
            fetch(&cx, &engine, "x").await?;
            let first = (change + 1).saturating_sub(versions).max(1);
            let expected = list((first..=change).map(|version| format!("v={version}")));
            ensure_eq!(history(&engine, "x"), expected, "the versions after {change} changes, of which {versions} are kept"; help = "the newest ones, the oldest of them first");
        }
    }
    Ok(())
}

pub async fn a_deletion_is_not_undone(cx: Cx) -> Outcome {
    const HELP: &str = "keep the deletion as a record with a stamp";
    for strategy in [Strategy::Newest, Strategy::Merge] {
        let engine = started(&cx, lasting(Rule::By(strategy))).await?;
        let mut receiver = engine.changes();
        let (a, b) = (Fake::new(&cx, "a"), Fake::new(&cx, "b"));
        a.has(written("x", 1, "one"));
        a.has(deleted("never", 1));
        add_all(&cx, &engine, &[&a, &b]).await?;
        ensure_eq!(changes(&mut receiver), "x v=one", "{strategy:?}: the changes; of another record only the deletion was delivered"; help = "for the readers nothing has changed");
        a.has(deleted("x", 5));
        ensure_eq!(fetch(&cx, &engine, "x").await?, "missing", "{strategy:?}: a source deletes the record at t5"; help = HELP);
        ensure_eq!(
            changes(&mut receiver),
            "x deleted",
            "{strategy:?}: the changes after a deletion"
        );
        for source in [&a, &b] {
            source.has(written("x", 3, "older"));
            ensure_eq!(fetch(&cx, &engine, "x").await?, "missing", "{strategy:?}: after a deletion of t5 the source {} delivers a record of t3", source.name(); help = HELP);
            ensure_eq!(
                changes(&mut receiver),
                "none",
                "{strategy:?}: the changes after an older record"
            );
        }
        for source in [&a, &b] {
            source.take_fetches();
        }
        ensure_eq!(
            get(&cx, &engine, "x").await?,
            "missing",
            "{strategy:?}: a read of a deleted record"
        );
        ensure_eq!(
            b.take_fetches(),
            "none",
            "{strategy:?}: the fetches for a deletion that is fresh"
        );
        b.has(written("x", 7, "again"));
        ensure_eq!(
            fetch(&cx, &engine, "x").await?,
            "fresh v=again",
            "{strategy:?}: a record of t7 after a deletion of t5"
        );
        ensure_eq!(history(&engine, "x"), "v=one, deleted, v=again", "{strategy:?}: the versions");
        // What was not confirmed for long is said to be so.
        engine.remove_source(&"b".into());
        engine.remove_source(&"a".into());
    }
    Ok(())
}

pub async fn keeps_its_capacity(cx: Cx) -> Outcome {
    const HELP: &str = "count before a new record is kept; those that are kept go on";
    let drawn = cx.draw().index(20) + 2;
    for capacity in [5, 1, drawn] {
        let engine = started(&cx, Config { capacity: nz(capacity), ..lasting(NEWEST) }).await?;
        let source = Fake::new(&cx, "a");
        for number in 0..10 * capacity {
            source.has(written(&format!("r{number:03}"), 1, "one"));
        }
        // A deletion is a record too.
        source.has(deleted("r000", 1));
        add_all(&cx, &engine, &[&source]).await?;
        let figures = engine.metrics().borrow().clone();
        let expected = (capacity, 9 * u64::try_from(capacity).unwrap_or_default());
        ensure_eq!((figures.records, figures.refused), expected, "a poll of {} records, with a capacity of {capacity}: `records` and `refused`", 10 * capacity; help = HELP);
        source.has(written("r000", 2, "two"));
        ensure_eq!(fetch(&cx, &engine, "r000").await?, "fresh v=two", "a record that is kept is delivered again"; help = HELP);
        let beyond = format!("r{capacity:03}");
        ensure_eq!(
            fetch(&cx, &engine, &beyond).await?,
            "unknown (full)",
            "a read of a record that is refused"
        );
        for number in 0..=capacity {
            let id = RecordId::new(&format!("rule{number}"));
            let set = engine.set_rule_of(&id, Some(NEWEST));
            ensure_eq!(set.is_ok(), number < capacity, "whether rule number {} is accepted, with a capacity of {capacity}", number + 1; help = "the map of rules has the same bound");
        }
        changes_rules_when_full(&cx, capacity).await?;
    }
    Ok(())
}

/// As many records as the capacity have rules of their own: these rules can be replaced and taken away.
async fn changes_rules_when_full(cx: &Cx, capacity: usize) -> Outcome {
    const HELP: &str = "count the records that have rules: another rule for one of them needs no room, and one that is taken away leaves room";
    let mut draw = cx.draw();
    let engine = started(cx, Config { capacity: nz(capacity), ..lasting(NEWEST) }).await?;
    let id = |number: usize| RecordId::new(&format!("rule{number}"));
    let priority = || Some(Rule::By(Strategy::Priority));
    for number in 0..capacity {
        ensure_eq!(
            engine.set_rule_of(&id(number), Some(NEWEST)),
            Ok(()),
            "rule number {} of {capacity}",
            number + 1
        );
    }
    let of = draw.index(capacity);
    for number in [0, of, 0] {
        let set = cx
            .call_fn("Engine::set_rule_of", || engine.set_rule_of(&id(number), priority()))
            .await?;
        ensure_eq!(set, Ok(()), "{capacity} records have rules of their own, which is the capacity: another rule for record {} of them", number + 1; help = HELP);
    }
    ensure!(engine.set_rule_of(&id(capacity), priority()).is_err(), "{capacity} records have rules of their own, some were replaced, and a rule for one more is accepted"; expected = "TooManyRules");
    // Of a record that has none, nothing is taken away.
    for (number, room) in [(capacity + 1, false), (of, true)] {
        ensure_eq!(engine.set_rule_of(&id(number), None), Ok(()), "no rule of record {} any more", number + 1; help = HELP);
        let set = engine.set_rule_of(&id(capacity), priority());
        ensure_eq!(set.is_ok(), room, "{capacity} records have rules of their own, and then the rule of record {} is taken away: whether a rule of one more is accepted", number + 1; help = HELP);
    }
    Ok(())
}

pub async fn a_restart_goes_on(cx: Cx) -> Outcome {
    const HELP: &str =
        "save the newest record of every source, the versions, and whether a conflict is open";
    let manual = || lasting(Rule::By(Strategy::Manual));
    let store = MemoryStore::new();
    let (a, b) = (Fake::new(&cx, "a"), Fake::new(&cx, "b"));
    for id in ["open", "decided", "same"] {
        a.has(written(id, 1, "one"));
    }
    a.has(deleted("gone", 5));
    let engine = started_on(&cx, manual(), store.clone()).await?;
    add_all(&cx, &engine, &[&a]).await?;
    for id in ["open", "decided"] {
        b.has(written(id, 2, "two"));
    }
    b.has(written("same", 2, "one"));
    add_all(&cx, &engine, &[&b]).await?;
    let to_decide = engine.parked().into_iter().find(|open| open.id.as_str() == "decided");
    let Some(to_decide) = to_decide else {
        return Err(grader_kit::Fail::new(
            "two sources differ under `Manual`, and nothing is parked",
        ));
    };
    ensure_eq!(engine.decide(&to_decide, Pick::Record("b".into())), Ok(()), "a decision");
    let flushed = cx.call("Engine::flush", engine.flush()).await?.value;
    ensure_eq!(flushed, Ok(()), "a flush");
    cx.call_fn("dropping the engine", || drop(engine)).await?;
    let engine = started_on(&cx, manual(), store).await?;
    let mut conflicts = engine.conflicts();
    let known = async |cx: &Cx| {
        let mut all = Vec::new();
        for id in ["open", "decided", "same", "gone"] {
            all.push(format!("{id}: {}", history(&engine, id)));
        }
        cx.settle().await;
        all.join("; ")
    };
    let expected = "open: v=one; decided: v=one, v=two; same: v=one; gone: deleted";
    ensure_eq!(known(&cx).await, expected, "the versions after a restart"; help = HELP);
    ensure_eq!(parked(&engine), "open [a v=one | b v=two]", "what is parked after a restart; another conflict was decided"; help = HELP);
    ensure_eq!(engine.metrics().borrow().parked, 1, "`parked` in the metrics after a restart");
    ensure_eq!(get(&cx, &engine, "decided").await?, "stale v=two (no source)", "a read after a restart, before there is a source"; help = "what is loaded is not confirmed");
    // The same records again, and one that is older than the deletion.
    b.has(written("gone", 3, "older"));
    add_all(&cx, &engine, &[&a, &b]).await?;
    ensure_eq!(get(&cx, &engine, "decided").await?, "fresh v=two", "the same records are delivered after a restart: what counts where a person has decided"; help = HELP);
    ensure_eq!(parked(&engine), "gone [b v=older | a deleted], open [a v=one | b v=two]", "the same records are delivered after a restart, and one that is older than a deletion: what is parked"; help = HELP);
    ensure_eq!(found(&mut conflicts), "gone [b v=older | a deleted]", "the conflicts that were found after a restart"; help = "those of the records that were loaded are known");
    ensure_eq!(get(&cx, &engine, "gone").await?, "missing", "what counts of a record that was deleted before the restart"; help = HELP);
    a_written_decision_lasts(&cx).await?;
    a_flush_leaves_nothing(&cx).await
}

/// A person has written the content that counts, or has deleted the record: no source has it, and a restart keeps it.
async fn a_written_decision_lasts(cx: &Cx) -> Outcome {
    const HELP: &str = "what counts is the last version that was saved, whichever source has it: load it, and decide again only when a content changes";
    let manual = || lasting(Rule::By(Strategy::Manual));
    for v in [Some("three"), None] {
        let store = MemoryStore::new();
        let (a, b) = (Fake::new(cx, "a"), Fake::new(cx, "b"));
        a.has(written("x", 1, "one"));
        b.has(written("x", 2, "two"));
        let engine = started_on(cx, manual(), store.clone()).await?;
        add_all(cx, &engine, &[&a, &b]).await?;
        let content = v.map(|v| [("v".to_owned(), v.into())].into());
        // What is parked, and what a decision does, is the business of other criteria.
        let Some(open) = engine.parked().pop() else { return Ok(()) };
        ensure_eq!(engine.decide(&open, Pick::Content(content)), Ok(()), "a decision");
        ensure_eq!(cx.call("Engine::flush", engine.flush()).await?.value, Ok(()), "a flush");
        let of = |engine: &Engine| (history(engine, "x"), parked(engine));
        let before = of(&engine);
        drop(engine);
        let engine = started_on(cx, manual(), store).await?;
        let what = format!(
            "a person has decided that x is {}, which no source says, and the engine is started again",
            v.unwrap_or("deleted")
        );
        ensure_eq!(of(&engine), before, "{what}: the versions, and what is parked"; help = HELP);
        add_all(cx, &engine, &[&b, &a]).await?;
        fetch(cx, &engine, "x").await?;
        ensure_eq!(of(&engine), before, "{what}, and both sources deliver the same records again: the versions, and what is parked"; help = HELP);
    }
    Ok(())
}

/// A flush that is called while another save is on its way, which does not have the newest state.
async fn a_flush_leaves_nothing(cx: &Cx) -> Outcome {
    const HELP: &str = "wait until the save that is on its way has ended, and then save what has changed since it began";
    let drawn = cx.draw().between(1..=9);
    for (at, changes) in [(0, true), (5, true), (drawn, true), (5, false), (drawn, false)] {
        let disk = Disk::new(cx);
        let engine = started_on(cx, lasting(NEWEST), disk.clone()).await?;
        let source = Fake::new(cx, "a").with([written("x", 1, "one"), written("y", 1, "one")]);
        add_all(cx, &engine, &[&source]).await?;
        sleep(ms(at)).await;
        if changes {
            source.has(written("x", 2, "two"));
            fetch(cx, &engine, "x").await?;
        }
        let both = async { futures::join!(timed(&engine, &disk), timed(&engine, &disk)) };
        let (first, second) = cx.call("Engine::flush", both).await?.value;
        let what = format!(
            "{} {at} ms after a save began, which takes 10 ms, and two callers flush at once",
            if changes { "a record changes" } else { "nothing has changed" }
        );
        let expected = if changes { "x v=two, y v=one" } else { "x v=one, y v=one" };
        ensure_eq!(first, (Ok(()), expected.to_owned()), "{what}: the outcome of the first, with what is saved when it has it"; help = HELP);
        ensure_eq!((first.0, second), (Ok(()), (Ok(()), expected.to_owned())), "{what}: the outcome of the first, and that of the second with what is saved when it has it"; help = HELP);
        ensure_eq!(disk.most(), 1, "{what}: the most saves at once");
    }
    Ok(())
}

/// The outcome of a flush, and what is saved at that moment.
async fn timed(engine: &Engine, disk: &Disk) -> (Result<(), StoreError>, String) {
    let outcome = engine.flush().await;
    (outcome, disk.saved())
}

pub async fn a_failed_save_is_repeated(cx: Cx) -> Outcome {
    const HELP: &str = "put the records of a failed save back, and try again after 1 s, 2 s, 4 s and so on, at most 1 min";
    let disk = Disk::new(&cx);
    let engine = started_on(&cx, config(NEWEST), disk.clone()).await?;
    let source = Fake::new(&cx, "a").with([written("x", 1, "one")]);
    add_all(&cx, &engine, &[&source]).await?;
    sleep(ms(500)).await;
    ensure_eq!(disk.saved(), "x v=one", "half a second after a poll: what is saved"; help = "changes are saved soon, without a flush");
    sleep(ms(1000)).await;
    disk.take_saves();
    disk.fails(8);
    source.has(written("x", 2, "two"));
    fetch(&cx, &engine, "x").await?;
    sleep(ms(5000)).await;
    source.has(written("y", 2, "late"));
    source.has(written("x", 3, "three"));
    fetch(&cx, &engine, "x").await?;
    fetch(&cx, &engine, "y").await?;
    ensure_eq!(disk.saved(), "x v=one", "three saves have failed: what is saved");
    sleep(ms(240_000)).await;
    // From one beginning to the next: a save takes 10 ms. When the first one begins is not asked.
    let saves = disk.take_saves();
    let waits: Vec<_> = saves.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let expected = [1, 2, 4, 8, 16, 32, 60, 60].map(|seconds| seconds * 1000 + 10);
    ensure_eq!(waits, expected, "eight saves fail, after 10 ms each: the times between the saves"; help = HELP);
    ensure_eq!(disk.saved(), "x v=three, y v=late", "a save has succeeded after eight that failed: what is saved"; help = "the last state of each record that has changed");
    ensure_eq!(engine.metrics().borrow().failed_saves, 8, "`failed_saves`");
    disk.fails(1);
    source.has(written("x", 4, "four"));
    fetch(&cx, &engine, "x").await?;
    let flushed = cx.call("Engine::flush", engine.flush()).await?.value;
    let both = (flushed, disk.saved());
    // The engine's own save may be the one that fails: then the flush is the next one.
    let failed = (Err(StoreError("the disk is full".to_owned())), "x v=three, y v=late".to_owned());
    let repeated = (Ok(()), "x v=four, y v=late".to_owned());
    grader_kit::ensure!(both == failed || both == repeated, "a flush, and one save fails: {both:?}"; expected = "the error of the save, or success and a saved record");
    sleep(ms(5000)).await;
    ensure_eq!(disk.saved(), "x v=four, y v=late", "after a flush that failed: what is saved"; help = HELP);
    ensure_eq!(disk.most(), 1, "the most saves at once"; help = "one save at a time: an older state must not replace a newer one");
    saves_every_change(&cx).await?;
    a_panic_is_a_failed_save(&cx).await
}

/// Whatever changes what counts: it is saved soon, without a flush and without another change.
async fn saves_every_change(cx: &Cx) -> Outcome {
    const HELP: &str = "wake the task that saves wherever a record changes: a process that ends a second later must not lose the change";
    let disk = Disk::new(cx);
    let engine = started_on(cx, lasting(Rule::By(Strategy::Manual)), disk.clone()).await?;
    let (a, b) = (Fake::new(cx, "a"), Fake::new(cx, "b"));
    let x = RecordId::new("x");
    a.has(written("x", 1, "one"));
    b.has(written("x", 5, "two"));
    // What counts is the business of other criteria: here it is what the engine itself says.
    let saved = async |what: &str| {
        sleep(ms(500)).await;
        let counts = history(&engine, "x");
        let counts = counts.rsplit(", ").next().unwrap_or_default().to_owned();
        ensure_eq!(disk.saved(), format!("x {counts}"), "{what}: what is saved half a second later; expected is what counts"; help = HELP);
        Ok::<_, grader_kit::Fail>(())
    };
    add_all(cx, &engine, &[&a, &b]).await?;
    saved("two sources are added, and under Manual their conflict is open").await?;
    for pick in ["b", "a"] {
        // What is parked is the business of other criteria.
        let Some(open) = engine.parked().pop() else { return Ok(()) };
        let decide = || engine.decide(&open, Pick::Record(pick.into()));
        let decided = cx.call_fn("Engine::decide", decide).await?;
        ensure_eq!(decided, Ok(()), "the decision of a conflict that is parked");
        saved("a person has decided").await?;
        if pick == "b" {
            a.has(written("x", 3, "four"));
            fetch(cx, &engine, "x").await?;
            saved("another conflict is open").await?;
        }
    }
    for rule in [NEWEST, Rule::By(Strategy::Priority), NEWEST] {
        let what = format!("the rule of the record is {rule:?} now");
        ensure_eq!(engine.set_rule_of(&x, Some(rule)), Ok(()), "a rule of a record");
        saved(&what).await?;
    }
    engine.set_rule(Rule::By(Strategy::Priority));
    saved("the rule of all other records is another one").await?;
    ensure_eq!(engine.set_rule_of(&x, None), Ok(()), "no rule of a record");
    saved("the record has no rule of its own any more, and that of all is Priority").await?;
    for rule in [NEWEST, Rule::By(Strategy::Priority)] {
        let what = format!("the rule of all records is {rule:?} now");
        engine.set_rule(rule);
        saved(&what).await?;
    }
    cx.call_fn("Engine::remove_source", || engine.remove_source(&"a".into())).await?;
    saved("the source with the higher priority was removed").await?;
    // A program answers after the first save.
    let disk = Disk::new(cx);
    let rule = Rule::Ask(Arc::new(Program::new(cx, 700)));
    let engine = started_on(cx, lasting(rule), disk.clone()).await?;
    add_all(cx, &engine, &[&a, &b]).await?;
    for after in [600, 1200] {
        sleep(ms(600)).await;
        let counts = history(&engine, "x");
        let counts = counts.rsplit(", ").next().unwrap_or_default().to_owned();
        ensure_eq!(disk.saved(), format!("x {counts}"), "a program is asked and answers after 700 ms: what is saved {after} ms after the question; expected is what counts"; help = HELP);
    }
    Ok(())
}

async fn a_panic_is_a_failed_save(cx: &Cx) -> Outcome {
    for panics in [Panics::InFuture, Panics::AtOnce] {
        let disk = Disk::new(cx);
        let engine = started_on(cx, config(NEWEST), disk.clone()).await?;
        let source = Fake::new(cx, "a").with([written("x", 1, "one")]);
        disk.panics(panics);
        add_all(cx, &engine, &[&source]).await?;
        sleep(ms(100)).await;
        ensure_eq!(engine.metrics().borrow().failed_saves, 1, "the first save panics ({panics:?}): `failed_saves`"; help = "a panic of the store is a failed save, also one before there is a future");
        source.has(written("y", 1, "two"));
        fetch(cx, &engine, "y").await?;
        sleep(ms(5000)).await;
        ensure_eq!(disk.saved(), "x v=one, y v=two", "the first save has panicked ({panics:?}), and 5 s have gone by: what is saved"; help = "the engine goes on saving after a panic of the store");
    }
    Ok(())
}
