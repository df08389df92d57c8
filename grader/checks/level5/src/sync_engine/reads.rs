//! What readers get, and when sources are asked for it.

use futures::future::{join, join_all};
use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use level5::sync_engine::{Config, RecordId};
use tokio::time::sleep;

use super::fakes::{Fake, Mode, written};
use super::{
    GET, LIMIT, MANY, NEWEST, TTL, add, add_all, config, get, meta, shown, started, within,
};

pub async fn a_fresh_record_needs_no_fetch(cx: Cx) -> Outcome {
    const HELP: &str =
        "a record is fresh while less than `ttl` has passed since its source delivered it";
    let drawn = cx.draw().between(2..=100_000);
    for ttl in [TTL, 1, drawn] {
        let engine = started(&cx, Config { ttl: ms(ttl), ..config(NEWEST) }).await?;
        let source = Fake::new(&cx, "a").with([written("x", 1, "one")]);
        add_all(&cx, &engine, &[&source]).await?;
        source.has(written("x", 2, "two"));
        sleep(ms(ttl - 1)).await;
        let read = get(&cx, &engine, "x").await?;
        ensure_eq!((read.as_str(), source.fetches()), ("fresh v=one", 0), "{} ms after the poll, with a ttl of {ttl} ms: what is read, and the fetches", ttl - 1; help = HELP);
        sleep(ms(1)).await;
        let read = get(&cx, &engine, "x").await?;
        ensure_eq!((read.as_str(), source.fetches()), ("fresh v=two", 1), "{ttl} ms after the poll, with a ttl of {ttl} ms: what is read, and the fetches"; help = HELP);
        sleep(ms(ttl - 1)).await;
        let read = get(&cx, &engine, "x").await?;
        ensure_eq!((read.as_str(), source.fetches()), ("fresh v=two", 1), "{} ms after the fetch, with a ttl of {ttl} ms: what is read, and the fetches in all", ttl - 1; help = "a fetch confirms a record like a poll");
    }
    // Polls that bring nothing new confirm what they deliver.
    let engine = started(&cx, config(NEWEST)).await?;
    let source = Fake::new(&cx, "a").with([written("x", 1, "one")]);
    add(&cx, &engine, &source, meta(0, ms(1200))).await?;
    sleep(ms(5 * TTL + 50)).await;
    let read = get(&cx, &engine, "x").await?;
    ensure_eq!((read.as_str(), source.fetches()), ("fresh v=one", 0), "a poll each 600 ms delivers an unchanged record: what is read after {} ms, and the fetches", 5 * TTL + 50; help = HELP);
    the_newest_of_equal_contents(&cx).await
}

/// Two sources agree. What counts is from the one with the newer stamp, whose polls confirm it.
async fn the_newest_of_equal_contents(cx: &Cx) -> Outcome {
    const HELP: &str = "a newer record with the same content is no change, but what counts is from it: its stamp, and so the source that confirms it";
    let engine = started(cx, config(NEWEST)).await?;
    let (old, new) = (Fake::new(cx, "old"), Fake::new(cx, "new"));
    old.has(written("x", 1, "same"));
    new.has(written("x", 2, "same"));
    add(cx, &engine, &old, meta(0, super::RARELY)).await?;
    add(cx, &engine, &new, meta(0, ms(1200))).await?;
    sleep(ms(5 * TTL + 50)).await;
    let last = engine.history(&RecordId::new("x")).pop();
    let from = last.map(|record| record.stamp.source.to_string()).unwrap_or_default();
    ensure_eq!(from, "new", "two sources have the same content of a record, and `new` has the newer stamp: the source of the stamp of what counts"; help = HELP);
    let read = get(cx, &engine, "x").await?;
    ensure_eq!((read.as_str(), new.fetches()), ("fresh v=same", 0), "two sources have the same content of a record, and `new`, which has the newer stamp, is polled each 600 ms: what is read after {} ms, and the fetches", 5 * TTL + 50; help = HELP);
    Ok(())
}

pub async fn readers_set_their_own_limit(cx: Cx) -> Outcome {
    let engine = started(&cx, config(NEWEST)).await?;
    let source = Fake::new(&cx, "a").with([written("x", 1, "one")]);
    add_all(&cx, &engine, &[&source]).await?;
    let limit = cx.draw().between(2..=10 * TTL);
    for limit in [100, 1, limit, 5 * TTL] {
        within(&cx, &engine, "x", Some(0)).await?;
        source.take_fetches();
        sleep(ms(limit - 1)).await;
        within(&cx, &engine, "x", Some(limit)).await?;
        ensure!(source.fetches() == 0, "a record was confirmed {} ms ago, and a reader accepts less than {limit} ms: a fetch", limit - 1; expected = "none: `max_age` replaces the ttl of {TTL} ms");
        sleep(ms(1)).await;
        within(&cx, &engine, "x", Some(limit)).await?;
        ensure!(source.fetches() == 1, "a record was confirmed {limit} ms ago, and a reader accepts less than {limit} ms: {} fetches", source.fetches(); expected = "one");
    }
    for _ in 0..3 {
        source.take_fetches();
        within(&cx, &engine, "x", Some(0)).await?;
        ensure!(source.fetches() == 1, "`Some(0)`: {} fetches", source.fetches(); expected = "one, each time");
    }
    Ok(())
}

pub async fn one_fetch_for_all_readers(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for count in [2, draw.index(28) + 3] {
        let engine = started(&cx, config(NEWEST)).await?;
        let sources = [Fake::new(&cx, "a"), Fake::new(&cx, "b")];
        add_all(&cx, &engine, &[&sources[0], &sources[1]]).await?;
        sources[0].has(written("x", 1, "one"));
        sources[0].takes(30);
        sources[1].takes(50);
        let id = RecordId::new("x");
        let times: Vec<_> =
            (0..count).map(|number| if number == 0 { 0 } else { draw.between(0..=49) }).collect();
        let read = async |at: u64, limit: Option<u64>| {
            sleep(ms(at)).await;
            shown(&engine.get(&id, limit.map(ms)).await)
        };
        // Those who come after the answer of the first source accept no record that is there.
        let reads = times.iter().map(|at| read(*at, Some(0)));
        let reads = cx.call(GET, join_all(reads)).await?.value;
        for source in &sources {
            ensure!(source.fetches() == 1, "{count} readers of a record, within a fetch of 50 ms: the source {} is asked {} times", source.name(), source.fetches();
                expected = "once, for all of them", help = "readers of a record join the fetch that is on its way");
        }
        for read in reads {
            ensure_eq!(
                read,
                "fresh v=one",
                "{count} readers share a fetch: what each of them gets"
            );
        }
        within(&cx, &engine, "x", Some(0)).await?;
        ensure!(sources[0].fetches() == 2, "another reader, after a fetch has ended: {} fetches in all", sources[0].fetches(); expected = "2");
    }
    Ok(())
}

pub async fn a_stale_record_says_why(cx: Cx) -> Outcome {
    const HELP: &str = "a fetch confirms a record if the source of what counts delivers it, or if all sources answer; otherwise say which have failed";
    let engine = started(&cx, config(NEWEST)).await?;
    let (first, second) = (Fake::new(&cx, "a"), Fake::new(&cx, "b"));
    let id = "x";
    first.has(written(id, 1, "one"));
    add_all(&cx, &engine, &[&second, &first]).await?;
    let cases = [
        (Mode::Error("down"), Mode::Error("broken"), "stale v=one (a: down; b: broken)"),
        (Mode::Error("down"), Mode::Answers, "stale v=one (a: down)"),
        (Mode::Answers, Mode::Error("down"), "fresh v=one"),
        (Mode::Hangs, Mode::Error("broken"), "stale v=one (a: timed out after 500 ms; b: broken)"),
        (Mode::Answers, Mode::Answers, "fresh v=one"),
    ];
    for (of_first, of_second, expected) in cases {
        first.mode(of_first);
        second.mode(of_second);
        sleep(ms(TTL)).await;
        let began = cx.timeline().now_ms();
        let read = get(&cx, &engine, id).await?;
        let took = cx.timeline().now_ms() - began;
        ensure_eq!(read, expected, "a stale record that a had: a now {of_first:?}, b {of_second:?}, which has nothing"; help = HELP);
        let limit = if of_first == Mode::Hangs { LIMIT } else { 0 };
        ensure_eq!(took, limit, "the time of a read when a {of_first:?} and b {of_second:?}"; help = "ask all sources at the same time, each within the `fetch_timeout`");
    }
    // What counts is from b, and a has an older one.
    second.has(written(id, 2, "two"));
    super::fetch(&cx, &engine, id).await?;
    second.mode(Mode::Error("broken"));
    sleep(ms(TTL)).await;
    let read = get(&cx, &engine, id).await?;
    ensure_eq!(read, "stale v=two (b: broken)", "a stale record that is from b: a delivers its older one, and b fails"; help = "the source of what counts has to confirm it");
    second.mode(Mode::Answers);
    second.has_nothing();
    // All answer, and none has it: what is known is confirmed.
    first.has_nothing();
    sleep(ms(TTL)).await;
    ensure_eq!(get(&cx, &engine, id).await?, "fresh v=two", "all sources answer, and none delivers a record that is known"; help = "a record that is left out is as it was");
    engine.remove_source(&"a".into());
    engine.remove_source(&"b".into());
    sleep(ms(TTL)).await;
    ensure_eq!(get(&cx, &engine, id).await?, "stale v=two (no source)", "a stale record, and there is no source"; help = HELP);
    Ok(())
}

pub async fn an_unknown_record_is_fetched(cx: Cx) -> Outcome {
    const HELP: &str = "`Missing` needs an answer of every source";
    let engine = started(&cx, config(NEWEST)).await?;
    ensure_eq!(
        get(&cx, &engine, "x").await?,
        "unknown (no source)",
        "a record, and there is no source"
    );
    let (first, second) = (Fake::new(&cx, "a"), Fake::new(&cx, "b"));
    add_all(&cx, &engine, &[&first, &second]).await?;
    for round in 1..=3 {
        ensure_eq!(get(&cx, &engine, "x").await?, "missing", "a record that no source has"; help = HELP);
        ensure_eq!((first.fetches(), second.fetches()), (round, round), "the fetches for {round} reads of a record that is missing"; help = "it is not remembered that a record is missing");
    }
    first.mode(Mode::Error("down"));
    ensure_eq!(get(&cx, &engine, "x").await?, "unknown (a: down)", "one source fails, and the other one does not have the record"; help = HELP);
    second.has(written("x", 1, "one"));
    ensure_eq!(
        get(&cx, &engine, "x").await?,
        "fresh v=one",
        "one source fails, and the other one has a record that was not known"
    );
    second.take_fetches();
    ensure_eq!(
        get(&cx, &engine, "x").await?,
        "fresh v=one",
        "a record that was fetched is read again"
    );
    ensure_eq!(second.take_fetches(), "none", "the fetches of a record that is fresh");
    Ok(())
}

pub async fn many_records_are_one_fetch(cx: Cx) -> Outcome {
    const HELP: &str = "one fetch for all records of the list that need one and are in none";
    let engine = started(&cx, config(NEWEST)).await?;
    let (first, second) = (Fake::new(&cx, "a"), Fake::new(&cx, "b"));
    first.has(written("x", 1, "x1"));
    first.has(written("y", 1, "y1"));
    add_all(&cx, &engine, &[&first, &second]).await?;
    sleep(ms(TTL)).await;
    get(&cx, &engine, "x").await?;
    second.has(written("z", 1, "z1"));
    for source in [&first, &second] {
        source.take_fetches();
    }
    let now = cx.timeline().now_ms();
    let mut names = ["x", "y", "z", "none", "y", "x"];
    cx.draw().shuffle(&mut names);
    let ids = names.map(RecordId::new);
    let reads = cx.call(MANY, engine.get_many(&ids, None)).await?.value;
    let reads: Vec<_> = reads.iter().map(shown).collect();
    let expected = names.map(|name| match name {
        "none" => "missing".to_owned(),
        name => format!("fresh v={name}1"),
    });
    ensure_eq!(reads, expected, "`get_many` of {names:?}: x is fresh, y is stale, z is not known yet, and no source has `none`"; help = "an answer for each id, in the order of the list");
    for source in [&first, &second] {
        ensure_eq!(source.take_fetches(), format!("{now} [none y z]"), "the fetches of the source {} for this list", source.name(); help = HELP);
    }
    // One of them is in a fetch.
    for source in [&first, &second] {
        source.takes(50);
    }
    sleep(ms(TTL)).await;
    let now = cx.timeline().now_ms();
    let y = RecordId::new("y");
    let later = async {
        sleep(ms(20)).await;
        engine.get_many(&["y", "z"].map(RecordId::new), None).await
    };
    let (one, both) = cx.call(MANY, join(engine.get(&y, None), later)).await?.value;
    let both: Vec<_> = both.iter().map(shown).collect();
    ensure_eq!(
        (shown(&one), both.join(", ")),
        ("fresh v=y1".to_owned(), "fresh v=y1, fresh v=z1".to_owned()),
        "a read of y, and 20 ms later one of y and z"
    );
    ensure_eq!(first.take_fetches(), format!("{now} [y], {} [z]", now + 20), "a read of y, and 20 ms later one of y and z: the fetches"; help = HELP);
    let none = cx.call(MANY, engine.get_many(&[], Some(ms(0)))).await?.value;
    ensure!(none.is_empty() && first.fetches() == 0, "`get_many` of no records: {} answers and {} fetches", none.len(), first.fetches(); expected = "none");
    Ok(())
}
