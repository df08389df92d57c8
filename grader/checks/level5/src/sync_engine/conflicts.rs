//! Conflicts, and who decides them.

use std::sync::Arc;

use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, failed, ms};
use level5::conflict::Strategy;
use level5::sync_engine::{Incoming, NotDecided, Pick, RecordId, Rule};
use serde_json::json;
use tokio::time::sleep;

use super::fakes::{Fake, Picks, Program, deleted, record, written};
use super::{
    NEWEST, RARELY, add, add_all, changes, fetch, found, get, history, lasting, meta, parked,
    started,
};

const MANUAL: Rule = Rule::By(Strategy::Manual);
const DECIDE: &str = "Engine::decide";

/// What happens, the record that a source has from then on, and the conflicts that are found.
type Step<'a> = (&'a str, Option<(&'a Fake, Incoming)>, &'a str);

pub async fn conflicts_are_found_once(cx: Cx) -> Outcome {
    const HELP: &str =
        "a conflict is a difference of contents between sources that was not there before";
    for rule in [NEWEST, Rule::By(Strategy::Merge), MANUAL] {
        let shown_rule = format!("{rule:?}");
        let engine = started(&cx, lasting(rule)).await?;
        let mut conflicts = cx.call_fn("Engine::conflicts", || engine.conflicts()).await?;
        let (a, b, c) = (Fake::new(&cx, "a"), Fake::new(&cx, "b"), Fake::new(&cx, "c"));
        add_all(&cx, &engine, &[&a, &b, &c]).await?;
        // Versions are the same throughout: they decide nothing here.
        let steps: [Step<'_>; 9] = [
            ("the first record", Some((&a, written("x", 1, "one"))), "none"),
            ("a newer record of the same source", Some((&a, written("x", 2, "two"))), "none"),
            (
                "another source with another content",
                Some((&b, written("x", 1, "three"))),
                "x [b v=three | a v=two]",
            ),
            ("nothing new", None, "none"),
            ("a newer stamp of the same content", Some((&b, written("x", 5, "three"))), "none"),
            (
                "another content of one of them",
                Some((&b, written("x", 6, "four"))),
                "x [a v=two | b v=four]",
            ),
            ("both agree", Some((&a, written("x", 7, "four"))), "none"),
            ("they differ as before", Some((&a, written("x", 8, "two"))), "x [b v=four | a v=two]"),
            ("one of them deletes it", Some((&a, deleted("x", 9))), "x [b v=four | a deleted]"),
        ];
        for (what, delivery, expected) in steps {
            if let Some((source, record)) = delivery {
                source.has(record);
            }
            fetch(&cx, &engine, "x").await?;
            ensure_eq!(found(&mut conflicts), expected, "{shown_rule}: {what}: the conflicts that were found"; help = HELP);
        }
        // Equal contents whose members came in another order.
        let one: serde_json::Value = json!({"k": {"p": 1, "q": 2}, "l": 3});
        let two = serde_json::from_str(r#"{"l": 3, "k": {"q": 2, "p": 1}}"#).unwrap_or_default();
        a.has(record("y", 1, &one));
        c.has(record("y", 2, &two));
        fetch(&cx, &engine, "y").await?;
        ensure_eq!(found(&mut conflicts), "none", "{shown_rule}: two sources agree, with members in another order"; help = HELP);
        // Of three sources one goes over from the first content to the second, and back.
        for (source, at, v) in [(&a, 1, "one"), (&b, 2, "two"), (&c, 3, "one")] {
            source.has(written("z", at, v));
            fetch(&cx, &engine, "z").await?;
        }
        drop(found(&mut conflicts));
        for (at, v, expected) in [
            (4, "two", "z [a v=one | b v=two | c v=two]"),
            (5, "two", "none"),
            (6, "one", "z [a v=one | b v=two | c v=one]"),
            (7, "three", "z [a v=one | b v=two | c v=three]"),
        ] {
            c.has(written("z", at, v));
            fetch(&cx, &engine, "z").await?;
            ensure_eq!(found(&mut conflicts), expected, "{shown_rule}: of three sources a has `one` and b `two`, and c, which had one of them, has `{v}` now: the conflicts that were found"; help = "the content of one source has changed, and they still differ: remember the content of each source, not the set of contents");
        }
    }
    Ok(())
}

pub async fn a_late_answer_undoes_nothing(cx: Cx) -> Outcome {
    const HELP: &str = "when the answer arrives, compare: is it about the records that are there now? If not, ask again";
    let mut draw = cx.draw();
    let late = draw.between(1..=99);
    for (source_of_news, at) in [("c", 50), ("b", 50), ("a", late)] {
        let program = Program::new(&cx, 100);
        let engine = started(&cx, lasting(Rule::Ask(Arc::new(program.clone())))).await?;
        let sources = [Fake::new(&cx, "a"), Fake::new(&cx, "b"), Fake::new(&cx, "c")];
        sources[0].has(written("x", 1, "t1"));
        add_all(&cx, &engine, &[&sources[0], &sources[1], &sources[2]]).await?;
        ensure_eq!(program.take_questions(), "none", "one source has a record: the questions"; help = "sources that agree need no decision");
        let began = cx.timeline().now_ms();
        sources[1].has(written("x", 5, "t5"));
        fetch(&cx, &engine, "x").await?;
        sleep(ms(at)).await;
        ensure_eq!(get(&cx, &engine, "x").await?, "fresh v=t1", "what counts while a program decides"; help = "what counted before");
        if let Some(source) = sources.iter().find(|source| source.name() == source_of_news) {
            source.has(written("x", 9, "t9"));
        }
        // A record of its own is not held up.
        sources[0].has(written("y", 1, "y1"));
        sources[1].has(written("y", 2, "y2"));
        fetch(&cx, &engine, "x").await?;
        fetch(&cx, &engine, "y").await?;
        sleep(ms(100)).await;
        cx.settle().await;
        ensure_eq!(get(&cx, &engine, "y").await?, "fresh v=y2", "a program was asked about x at {began} ms and about y at {} ms, and takes 100 ms: what counts of y then", began + at;
            help = "conflicts of different records are decided at the same time");
        sleep(ms(150)).await;
        ensure_eq!(get(&cx, &engine, "x").await?, "fresh v=t9", "a program takes 100 ms about records of t1 and t5, and {at} ms after the question {source_of_news} has a record of t9: what counts at the end"; help = HELP);
        ensure_eq!(program.running(), (0, 1), "the questions that are open at the end, and the most of one record at once"; help = "one question at a time for a record");
        ensure!(history(&engine, "x").ends_with("v=t9"), "the versions are {}", history(&engine, "x"); expected = "v=t9 as the last one");
        // Nothing new: no other question.
        program.take_questions();
        fetch(&cx, &engine, "x").await?;
        sleep(ms(500)).await;
        ensure_eq!(program.take_questions(), "none", "the questions after a fetch that brought nothing new"; help = "a decision holds until a content changes");
        ensure_eq!(
            get(&cx, &engine, "x").await?,
            "fresh v=t9",
            "what counts after a fetch that brought nothing new"
        );
    }
    // Sources that agree again need no answer.
    let program = Program::new(&cx, 100);
    let engine = started(&cx, lasting(Rule::Ask(Arc::new(program.clone())))).await?;
    let (a, b) = (Fake::new(&cx, "a"), Fake::new(&cx, "b"));
    a.has(written("x", 1, "one"));
    add_all(&cx, &engine, &[&a, &b]).await?;
    b.has(written("x", 5, "two"));
    fetch(&cx, &engine, "x").await?;
    sleep(ms(50)).await;
    b.has(written("x", 6, "one"));
    fetch(&cx, &engine, "x").await?;
    sleep(ms(500)).await;
    ensure_eq!((get(&cx, &engine, "x").await?, history(&engine, "x")), ("fresh v=one".to_owned(), "v=one".to_owned()), "the sources agree again before the program has answered: what counts, and the versions"; help = HELP);
    a_rule_comes_back_before_the_answer(&cx).await
}

/// While a program thinks, the rule is another one for a while.
async fn a_rule_comes_back_before_the_answer(cx: &Cx) -> Outcome {
    const HELP: &str = "the program has a question of the record already: it is asked about the next one after its answer";
    for between in [MANUAL, NEWEST] {
        let shown_rule = format!("{between:?}");
        let program = Program::new(cx, 100);
        let ask = || Rule::Ask(Arc::new(program.clone()));
        let engine = started(cx, lasting(ask())).await?;
        let (a, b) = (Fake::new(cx, "a"), Fake::new(cx, "b"));
        a.has(written("x", 1, "one"));
        add_all(cx, &engine, &[&a, &b]).await?;
        b.has(written("x", 5, "two"));
        fetch(cx, &engine, "x").await?;
        sleep(ms(20)).await;
        cx.call_fn("Engine::set_rule", || engine.set_rule(between)).await?;
        sleep(ms(20)).await;
        cx.call_fn("Engine::set_rule", || engine.set_rule(ask())).await?;
        cx.settle().await;
        let what = format!(
            "a program was asked, and after 20 ms the rule is {shown_rule} for 20 ms and the program again"
        );
        ensure_eq!(program.running(), (1, 1), "{what}: the questions that are open, and the most of the record at once"; help = HELP);
        // Another conflict before the answer.
        b.has(written("x", 9, "three"));
        fetch(cx, &engine, "x").await?;
        cx.settle().await;
        ensure_eq!(program.running().1, 1, "{what}; then one record changes: the most questions of the record at once"; help = HELP);
        sleep(ms(300)).await;
        let now = (get(cx, &engine, "x").await?, parked(&engine));
        ensure_eq!(now, ("fresh v=three".to_owned(), "none".to_owned()), "{what}; then one record changes: what counts at the end, and what is parked"; help = HELP);
        ensure_eq!(program.running(), (0, 1), "{what}; then one record changes: the questions that are open at the end, and the most at once"; help = HELP);
    }
    Ok(())
}

pub async fn a_conflict_waits_for_a_person(cx: Cx) -> Outcome {
    const HELP: &str = "a manual conflict is decided by `decide` and by nothing else";
    let program = Program::new(&cx, 10);
    program.picks(Picks::Nothing);
    for rule in [MANUAL, Rule::Ask(Arc::new(program))] {
        let shown_rule = format!("{rule:?}");
        let engine = started(&cx, lasting(rule)).await?;
        let (a, b) = (Fake::new(&cx, "a"), Fake::new(&cx, "b"));
        a.has(written("x", 1, "one"));
        add_all(&cx, &engine, &[&a, &b]).await?;
        let mut receiver = engine.changes();
        ensure_eq!(
            parked(&engine),
            "none",
            "{shown_rule}: one source has a record: what is parked"
        );
        b.has(written("x", 5, "two"));
        fetch(&cx, &engine, "x").await?;
        sleep(ms(20)).await;
        ensure_eq!(parked(&engine), "x [a v=one | b v=two]", "{shown_rule}: another source has a newer one: what is parked"; help = HELP);
        ensure_eq!((get(&cx, &engine, "x").await?, changes(&mut receiver)), ("fresh v=one".to_owned(), "none".to_owned()), "{shown_rule}: what counts while a conflict is parked, and the changes"; help = "what counted before");
        for (pick, expected) in [
            (Pick::Record("b".into()), "two"),
            (Pick::Content(serde_json::from_value(json!({"v": "three"})).ok()), "three"),
        ] {
            let Some(open) = engine.parked().pop() else { continue };
            let decided = cx.call_fn(DECIDE, || engine.decide(&open, pick.clone())).await?;
            ensure_eq!(decided, Ok(()), "{shown_rule}: the decision of a conflict that is parked");
            let now = (get(&cx, &engine, "x").await?, changes(&mut receiver), parked(&engine));
            ensure_eq!(
                now,
                (format!("fresh v={expected}"), format!("x v={expected}"), "none".to_owned()),
                "{shown_rule}: a person has picked {pick:?}: what counts, the changes, and what is parked"
            );
            fetch(&cx, &engine, "x").await?;
            // A new stamp is no new content.
            a.has(written("x", if expected == "two" { 7 } else { 17 }, "one"));
            fetch(&cx, &engine, "x").await?;
            sleep(ms(20)).await;
            let now = (get(&cx, &engine, "x").await?, parked(&engine));
            ensure_eq!(now, (format!("fresh v={expected}"), "none".to_owned()), "{shown_rule}: the same contents are delivered again: what counts, and what is parked"; help = "the decision holds until a content changes");
            b.has(written("x", if expected == "two" { 8 } else { 18 }, "other"));
            fetch(&cx, &engine, "x").await?;
            sleep(ms(20)).await;
            let expected_parked =
                if expected == "two" { "x [a v=one | b v=other]" } else { "none" };
            ensure_eq!(parked(&engine), expected_parked, "{shown_rule}: after the decision b has {}: what is parked", if expected == "two" { "another content" } else { "the same content" }; help = HELP);
        }
        a.has(written("x", 30, "other"));
        fetch(&cx, &engine, "x").await?;
        ensure_eq!(
            (get(&cx, &engine, "x").await?, parked(&engine)),
            ("fresh v=other".to_owned(), "none".to_owned()),
            "{shown_rule}: the sources agree: what counts, and what is parked"
        );
        // A decision about three sources, of which one goes over to the content of another one.
        let c = Fake::new(&cx, "c");
        add_all(&cx, &engine, &[&c]).await?;
        for (source, at, v) in [(&a, 31, "one"), (&b, 32, "two"), (&c, 33, "one")] {
            source.has(written("z", at, v));
        }
        fetch(&cx, &engine, "z").await?;
        sleep(ms(20)).await;
        let Some(open) = engine.parked().pop() else { continue };
        let decided = engine.decide(&open, Pick::Record("a".into()));
        ensure_eq!(decided, Ok(()), "{shown_rule}: the decision of a conflict of three sources");
        c.has(written("z", 34, "two"));
        fetch(&cx, &engine, "z").await?;
        sleep(ms(20)).await;
        ensure_eq!(parked(&engine), "z [a v=one | b v=two | c v=two]", "{shown_rule}: a has `one`, b `two` and c `one`, and a person has decided; now c has `two`: what is parked"; help = "the decision holds until a content changes: that of one source, also if another one has it already");
    }
    picks_a_deletion(&cx).await?;
    a_program_leaves_it_to_a_person(&cx).await
}

/// A person picks that the record is deleted, which no source says.
async fn picks_a_deletion(cx: &Cx) -> Outcome {
    const HELP: &str = "no content is a deletion: a person may pick it as any other content";
    let engine = started(cx, lasting(MANUAL)).await?;
    let (a, b) = (Fake::new(cx, "a"), Fake::new(cx, "b"));
    a.has(written("x", 1, "one"));
    add_all(cx, &engine, &[&a, &b]).await?;
    let mut receiver = engine.changes();
    b.has(written("x", 5, "two"));
    fetch(cx, &engine, "x").await?;
    let Some(open) = engine.parked().pop() else {
        return Err(Fail::new("two sources differ, and nothing is parked").help(HELP));
    };
    let decided = cx.call_fn(DECIDE, || engine.decide(&open, Pick::Content(None))).await?;
    ensure_eq!(decided, Ok(()), "a conflict is parked, and a person deletes the record: the decision"; help = HELP);
    for again in [false, true] {
        if again {
            fetch(cx, &engine, "x").await?;
        }
        let then = if again { ", and the same records are delivered again" } else { "" };
        let seen = (history(&engine, "x"), parked(&engine));
        ensure_eq!(seen, ("v=one, deleted".to_owned(), "none".to_owned()), "a conflict is parked, and a person deletes the record{then}: the versions, and what is parked"; help = HELP);
    }
    ensure_eq!(changes(&mut receiver), "x deleted", "a conflict is parked, and a person deletes the record: the changes"; help = HELP);
    Ok(())
}

/// A program has left a conflict open; then come stamps and sources, and no other content.
async fn a_program_leaves_it_to_a_person(cx: &Cx) -> Outcome {
    const HELP: &str = "a program that has left a conflict open is not asked about the same contents again: a person decides";
    let program = Program::new(cx, 100);
    program.picks(Picks::Nothing);
    let engine = started(cx, lasting(Rule::Ask(Arc::new(program.clone())))).await?;
    let (a, b, c) = (Fake::new(cx, "a"), Fake::new(cx, "b"), Fake::new(cx, "c"));
    a.has(written("x", 1, "one"));
    b.has(written("x", 5, "two"));
    add_all(cx, &engine, &[&a, &b]).await?;
    sleep(ms(200)).await;
    let Some(open) = engine.parked().pop() else {
        return Err(
            Fail::new("a program has left a conflict open, and nothing is parked").help(HELP)
        );
    };
    program.take_questions();
    a.has(written("x", 7, "one"));
    fetch(cx, &engine, "x").await?;
    add(cx, &engine, &c, meta(0, RARELY)).await?;
    cx.call_fn("Engine::remove_source", || engine.remove_source(&"c".into())).await?;
    cx.settle().await;
    let now = (program.take_questions(), engine.parked().len());
    ensure_eq!(now, ("none".to_owned(), 1), "a program has left a conflict open; then a stamp is new, and a source comes and goes: the questions, and how many conflicts are parked"; help = HELP);
    let decided = cx.call_fn(DECIDE, || engine.decide(&open, Pick::Record("b".into()))).await?;
    ensure_eq!(decided, Ok(()), "a program has left a conflict open; then a stamp is new, and a source comes and goes: the decision of a person"; help = HELP);
    its_own_rule_stays(cx).await
}

/// A program of one record has left its conflict open; then the rules of others change, and what the program would say.
async fn its_own_rule_stays(cx: &Cx) -> Outcome {
    const HELP: &str = "a record with a rule of its own is not concerned by the rule of all others, nor by that of another record: its program is not asked again, and what is open stays open";
    let program = Program::new(cx, 20);
    program.picks(Picks::Nothing);
    let engine = started(cx, lasting(MANUAL)).await?;
    let (x, y) = (RecordId::new("x"), RecordId::new("y"));
    let (a, b) = (Fake::new(cx, "a"), Fake::new(cx, "b"));
    for id in ["x", "y"] {
        a.has(written(id, 1, "one"));
        b.has(written(id, 5, "two"));
    }
    add_all(cx, &engine, &[&a, &b]).await?;
    let set = engine.set_rule_of(&x, Some(Rule::Ask(Arc::new(program.clone()))));
    ensure_eq!(set, Ok(()), "the rule of a record");
    // That the rule counts at once is the business of another criterion.
    fetch(cx, &engine, "x").await?;
    sleep(ms(50)).await;
    let open = || {
        let open: Vec<_> = engine.parked().into_iter().filter(|open| open.id == x).collect();
        grader_kit::list(open.iter().map(super::conflict))
    };
    let is_open = "x [a v=one | b v=two]";
    ensure_eq!(open(), is_open, "Manual, and for x a program, which has left the conflict open: what is parked of x"; help = HELP);
    program.take_questions();
    program.picks(Picks::Newest);
    let other = Program::new(cx, 20);
    let rules = [
        Rule::By(Strategy::Priority),
        NEWEST,
        Rule::Ask(Arc::new(other)),
        Rule::By(Strategy::Merge),
    ];
    for rule in rules {
        for of_all in [true, false] {
            let shown_rule = format!("{rule:?}");
            if of_all {
                cx.call_fn("Engine::set_rule", || engine.set_rule(rule.clone())).await?;
            } else {
                let set = || engine.set_rule_of(&y, Some(rule.clone()));
                let set = cx.call_fn("Engine::set_rule_of", set).await?;
                ensure_eq!(set, Ok(()), "a rule of another record");
            }
            sleep(ms(50)).await;
            fetch(cx, &engine, "x").await?;
            sleep(ms(50)).await;
            let now = (program.take_questions(), open());
            let of = if of_all { "of all other records" } else { "of y" };
            ensure_eq!(now, ("none".to_owned(), is_open.to_owned()), "x has a program as its own rule, which has left its conflict open; then the rule {of} is {shown_rule}: the questions to that program, and what is parked of x"; help = HELP);
        }
    }
    Ok(())
}

pub async fn an_outdated_decision_is_refused(cx: Cx) -> Outcome {
    const HELP: &str =
        "a person has decided about what they saw: refuse it when it is not what there is";
    let engine = started(&cx, lasting(MANUAL)).await?;
    let (a, b) = (Fake::new(&cx, "a"), Fake::new(&cx, "b"));
    a.has(written("x", 1, "one"));
    add_all(&cx, &engine, &[&a, &b]).await?;
    b.has(written("x", 5, "two"));
    fetch(&cx, &engine, "x").await?;
    let Some(old) = engine.parked().pop() else {
        return Err(grader_kit::Fail::new("two sources differ, and nothing is parked").help(HELP));
    };
    let pick = || Pick::Record("b".into());
    let outcome = engine.decide(&old, Pick::Record("z".into()));
    ensure_eq!(
        failed(outcome, "the source has no record")?,
        NotDecided::NoSuchSource("z".into()),
        "a pick of a source without a record"
    );
    b.has(written("x", 6, "three"));
    fetch(&cx, &engine, "x").await?;
    let outdated = NotDecided::Outdated { id: RecordId::new("x"), number: old.number };
    let outcome = cx.call_fn(DECIDE, || engine.decide(&old, pick())).await?;
    ensure_eq!(failed(outcome, "a record has changed")?, outdated, "a record has changed since the conflict was read"; help = HELP);
    ensure_eq!(
        (get(&cx, &engine, "x").await?, parked(&engine)),
        ("fresh v=one".to_owned(), "x [a v=one | b v=three]".to_owned()),
        "a decision was refused: what counts, and what is parked"
    );
    let Some(now) = engine.parked().pop() else { return Ok(()) };
    ensure!(now.number > old.number, "a later conflict has the number {}, and an earlier one {}", now.number, old.number; expected = "a higher number");
    ensure_eq!(engine.decide(&now, pick()), Ok(()), "a decision about what is parked");
    let outcome = engine.decide(&now, Pick::Record("a".into()));
    let outdated = NotDecided::Outdated { id: RecordId::new("x"), number: now.number };
    ensure_eq!(failed(outcome, "the conflict was decided")?, outdated, "a second decision of the same conflict"; help = HELP);
    ensure_eq!(get(&cx, &engine, "x").await?, "fresh v=three", "what counts after two decisions"; help = "the first one");
    is_not_outdated(&cx).await
}

/// What does not change the contents of a record leaves its open conflict as it is: the decision of a person who looks at
/// it is accepted.
async fn is_not_outdated(cx: &Cx) -> Outcome {
    const HELP: &str = "a decision is outdated when a content of the record has changed, or when the conflict is decided: another record, a source and a rule of others change neither";
    let mut draw = cx.draw();
    let events = [
        "another record has a conflict",
        "the conflict of another record is decided",
        "a source is added",
        "a source is removed",
        "another record has a rule of its own",
        "the rule of all others is set",
    ];
    for round in 0..7 {
        let engine = started(cx, lasting(MANUAL)).await?;
        let (a, b, c) = (Fake::new(cx, "a"), Fake::new(cx, "b"), Fake::new(cx, "c"));
        a.has(written("x", 1, "one"));
        b.has(written("x", 2, "two"));
        let set = engine.set_rule_of(&RecordId::new("x"), Some(MANUAL));
        ensure_eq!(set, Ok(()), "the rule of a record that is not known yet");
        add_all(cx, &engine, &[&a, &b]).await?;
        let Some(open) = engine.parked().pop() else {
            return Err(Fail::new("two sources differ, and nothing is parked").help(HELP));
        };
        // Each alone after another record's conflict, then drawn ones.
        let mut script: Vec<&str> = match events.get(round) {
            Some(event) if *event == "a source is removed" => vec![events[0], events[2], event],
            Some(event) => vec![events[0], event],
            None => events.to_vec(),
        };
        if round >= events.len() {
            draw.shuffle(&mut script);
        }
        let mut at = 10;
        for event in &script {
            at += 1;
            match *event {
                "another record has a conflict" => {
                    a.has(written("y", at, &format!("one {at}")));
                    b.has(written("y", at, &format!("two {at}")));
                    fetch(cx, &engine, "y").await?;
                }
                "the conflict of another record is decided" => {
                    let other = engine.parked().into_iter().find(|other| other.id != open.id);
                    drop(other.map(|other| engine.decide(&other, Pick::Record("a".into()))));
                }
                "a source is added" => add(cx, &engine, &c, meta(0, RARELY)).await?,
                "a source is removed" => {
                    engine.remove_source(&"c".into());
                }
                "another record has a rule of its own" => {
                    drop(engine.set_rule_of(&RecordId::new("y"), Some(NEWEST)));
                }
                _ => engine.set_rule(NEWEST),
            }
            fetch(cx, &engine, "x").await?;
        }
        let what = format!("a conflict of x is parked, and then: {}", grader_kit::list(&script));
        let now = parked(&engine);
        ensure!(now.contains("x [a v=one | b v=two]") || now.contains("x [b v=two | a v=one]"), "{what}: what is parked is {now}"; expected = "x with its two records, among what is parked", help = HELP);
        let decided = cx.call_fn(DECIDE, || engine.decide(&open, Pick::Record("b".into()))).await?;
        ensure_eq!(decided, Ok(()), "{what}: the decision of the person who has seen it before"; help = HELP);
        ensure_eq!(get(cx, &engine, "x").await?, "fresh v=two", "{what}, and a person picks b: what counts"; help = HELP);
    }
    Ok(())
}

pub async fn a_record_has_its_own_rule(cx: Cx) -> Outcome {
    const HELP: &str = "a new rule decides again, with the records that are there";
    let engine = started(&cx, lasting(NEWEST)).await?;
    let (high, low) = (Fake::new(&cx, "a"), Fake::new(&cx, "b"));
    let (x, late) = (RecordId::new("x"), RecordId::new("late"));
    for id in ["x", "y"] {
        high.has(written(id, 1, "high"));
        low.has(written(id, 2, "low"));
    }
    let priority = || Rule::By(Strategy::Priority);
    let set =
        cx.call_fn("Engine::set_rule_of", || engine.set_rule_of(&late, Some(priority()))).await?;
    ensure_eq!(set, Ok(()), "the rule of a record that is not known yet");
    // Set twice, and set and taken away, before the record is known.
    let (twice, taken) = (RecordId::new("twice"), RecordId::new("taken"));
    for (id, rule) in [
        (&twice, Some(NEWEST)),
        (&twice, Some(priority())),
        (&taken, Some(priority())),
        (&taken, None),
    ] {
        ensure_eq!(
            engine.set_rule_of(id, rule),
            Ok(()),
            "the rule of a record that is not known yet"
        );
    }
    add_all(&cx, &engine, &[&high, &low]).await?;
    let mut receiver = engine.changes();
    let both = async |cx: &Cx| Ok((get(cx, &engine, "x").await?, get(cx, &engine, "y").await?));
    let expect = |x: &str, y: &str| (format!("fresh v={x}"), format!("fresh v={y}"));
    ensure_eq!(both(&cx).await?, expect("low", "low"), "Newest: what counts of x and y");
    ensure_eq!(engine.set_rule_of(&x, Some(priority())), Ok(()), "a rule of x");
    ensure_eq!(both(&cx).await?, expect("high", "low"), "Newest, and Priority for x: what counts of x and y"; help = HELP);
    ensure_eq!(changes(&mut receiver), "x v=high", "the changes after x has got a rule"; help = HELP);
    cx.call_fn("Engine::set_rule", || engine.set_rule(priority())).await?;
    ensure_eq!(engine.set_rule_of(&x, Some(NEWEST)), Ok(()), "another rule of x");
    ensure_eq!(both(&cx).await?, expect("low", "high"), "Priority, and Newest for x: what counts of x and y"; help = HELP);
    ensure_eq!(engine.set_rule_of(&x, None), Ok(()), "no rule of x any more");
    ensure_eq!(both(&cx).await?, expect("high", "high"), "Priority, and no rule of x any more: what counts of x and y"; help = HELP);
    engine.set_rule(NEWEST);
    for (id, expected, what) in [
        ("late", "high", "the rule Priority was set before the record was known"),
        ("twice", "high", "Newest and then Priority were set before the record was known"),
        ("taken", "low", "Priority was set and taken away before the record was known"),
    ] {
        high.has(written(id, 1, "high"));
        low.has(written(id, 2, "low"));
        fetch(&cx, &engine, id).await?;
        let read = get(&cx, &engine, id).await?;
        ensure_eq!(read, format!("fresh v={expected}"), "{what}, and that of all others is Newest: what counts of it"; help = HELP);
    }
    Ok(())
}
