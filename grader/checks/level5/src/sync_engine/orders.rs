//! Stamps, and every order of arrival.

use grader_kit::{Cx, Draw, Fail, Outcome, ensure_eq, list, ms};
use jiff::Timestamp;
use level5::conflict::{Standing, Strategy};
use level5::sync_engine::{Engine, Incoming, MemoryStore, Rule, SourceMeta};
use level5::wall_clock::WallClock as _;
use serde_json::json;
use tokio::time::sleep;

use super::fakes::{Fake, deleted, record, written};
use super::{
    BASE, GET, LIMIT, NEWEST, RARELY, SKEW, add, add_all, config, fetch, get, history, lasting,
    meta, started, started_at, started_on, wall,
};

pub async fn stamps_decide(cx: Cx) -> Outcome {
    const HELP: &str = "the stamp of the source says what is newer, and not the moment of arrival";
    let engine =
        started(&cx, level5::sync_engine::Config { fetch_timeout: ms(5000), ..lasting(NEWEST) })
            .await?;
    let source = Fake::new(&cx, "a").with([written("x", 1, "old")]);
    source.takes(900);
    add(&cx, &engine, &source, meta(1, RARELY)).await?;
    sleep(ms(100)).await;
    source.has(written("x", 2, "new"));
    source.takes(100);
    let read = fetch(&cx, &engine, "x").await?;
    ensure_eq!(read, "fresh v=new", "a fetch of 100 ms, while a poll of 900 ms is on its way");
    sleep(ms(1000)).await;
    let read = get(&cx, &engine, "x").await?;
    ensure_eq!(read, "fresh v=new", "the poll has ended, with a record from before the fetch: what counts"; help = HELP);
    // Random deliveries of one source and of several.
    let mut draw = cx.draw();
    for names in [&["a"][..], &["a", "b", "c"]] {
        let engine = started(&cx, lasting(NEWEST)).await?;
        let sources: Vec<_> = names.iter().map(|name| Fake::new(&cx, name)).collect();
        add_all(&cx, &engine, &sources.iter().collect::<Vec<_>>()).await?;
        let mut stamps: Vec<i64> = (1..=12).collect();
        draw.shuffle(&mut stamps);
        let mut greatest = 0;
        for at in &stamps {
            draw.pick(&sources).has(written("x", *at, &format!("t{at}")));
            fetch(&cx, &engine, "x").await?;
            greatest = greatest.max(*at);
            let read = get(&cx, &engine, "x").await?;
            ensure_eq!(read, format!("fresh v=t{greatest}"), "{} sources deliver records of the times {} in this order, and now t{at}: what counts", names.len(), list(&stamps); help = HELP);
        }
    }
    Ok(())
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const IDS: [&str; 3] = ["x", "y", "z"];

/// Records of two to four sources with few different times: ties are frequent. A stamp of a source has one content.
fn drawn(draw: &mut Draw) -> (Vec<SourceMeta>, Vec<(usize, Incoming)>) {
    let count = 2 + draw.index(3);
    let small = |draw: &mut Draw| u8::try_from(draw.below(3)).unwrap_or_default();
    let metas = (0..count)
        .map(|_| SourceMeta {
            standing: Standing { priority: small(draw), trust: small(draw) },
            ..meta(0, RARELY)
        })
        .collect();
    let records = (0..draw.between(4..=12)).map(|_| {
        let (source, at, id) = (draw.index(count), draw.between(1..=3), *draw.pick(&IDS));
        let (written_at, name) = (i64::try_from(at).unwrap_or_default(), NAMES[source]);
        let record = match (source + IDS.iter().position(|of| *of == id).unwrap_or_default()) % 4 {
            0 if at == 2 => deleted(id, written_at),
            1 => record(id, written_at, &json!({ "v": format!("{name}{at}") })),
            // Sources that agree, with stamps of their own.
            2 => record(id, written_at, &json!({ "v": "same" })),
            _ => record(id, written_at, &json!({ "v": at, name: at })),
        };
        (source, record)
    });
    (metas, records.collect())
}

/// Plays the records to an engine, in groups and in this order, and returns what counts at the end.
async fn played(
    cx: &Cx,
    rule: Rule,
    metas: &[SourceMeta],
    order: &[usize],
    groups: &[Vec<(usize, Incoming)>],
) -> Result<String, Fail> {
    let engine: Engine = started(cx, lasting(rule)).await?;
    let sources: Vec<_> = NAMES.iter().take(metas.len()).map(|name| Fake::new(cx, name)).collect();
    for number in order {
        add(cx, &engine, &sources[*number], metas[*number]).await?;
    }
    for group in groups {
        for source in &sources {
            source.has_nothing();
        }
        for (source, record) in group {
            sources[*source].has_too(record.clone());
        }
        let ids = IDS.map(level5::sync_engine::RecordId::new);
        cx.call(GET, engine.get_many(&ids, Some(ms(0)))).await?;
    }
    let mut reads = Vec::new();
    for id in IDS {
        let last = engine.history(&level5::sync_engine::RecordId::new(id));
        let stamp = last.last().map(|record| {
            let at = record.stamp.at.as_millisecond() - BASE;
            format!("{at} of {}", record.stamp.source)
        });
        reads.push(format!("{id} {} {stamp:?}", get(cx, &engine, id).await?));
    }
    Ok(reads.join("; "))
}

pub async fn converges_in_any_order(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for _ in 0..30 {
        let (metas, records) = drawn(&mut draw);
        let mut order: Vec<_> = (0..metas.len()).collect();
        for strategy in [Strategy::Newest, Strategy::Priority, Strategy::Trust, Strategy::Merge] {
            let one =
                played(&cx, Rule::By(strategy), &metas, &order, std::slice::from_ref(&records))
                    .await?;
            let mut shuffled = records.clone();
            draw.shuffle(&mut shuffled);
            draw.shuffle(&mut order);
            let mut groups = vec![Vec::new(); 1 + draw.index(4)];
            for record in shuffled {
                let group = draw.index(groups.len());
                groups[group].push(record.clone());
                if draw.chance(20) {
                    let group = draw.index(groups.len());
                    groups[group].push(record);
                }
            }
            let other = played(&cx, Rule::By(strategy), &metas, &order, &groups).await?;
            ensure_eq!(other, one, "{strategy:?}: the same {} records of {} sources in another order and in {} groups", records.len(), metas.len(), groups.len();
                help = "expected is what the first engine shows. Keep the newest record of each source, and decide from all of them each time");
        }
    }
    Ok(())
}

pub async fn holds_stamps_of_the_future(cx: Cx) -> Outcome {
    const HELP: &str = "`Stamp::held` with the wall clock, for every record before it is offered";
    let mut draw = cx.draw();
    for ahead in [0, 1, draw.between(2..=1_000_000)] {
        let store = MemoryStore::new();
        let engine = started_on(&cx, config(NEWEST), store.clone()).await?;
        let clock = wall();
        sleep(ms(draw.below(1000))).await;
        let at = |ahead: u64| {
            let at = clock.now().as_millisecond() + i64::try_from(ahead).unwrap_or_default();
            Timestamp::from_millisecond(at).unwrap_or_default()
        };
        let (fast, right) = (Fake::new(&cx, "fast"), Fake::new(&cx, "right"));
        fast.has(Incoming { at: at(SKEW + ahead), ..written("x", 0, "fast") });
        // One millisecond after now: newer than a stamp that is held, and older than one that is not.
        right.has(Incoming { at: at(1), ..written("x", 0, "right") });
        add_all(&cx, &engine, &[&fast, &right]).await?;
        let expected = if ahead == 0 { "fast" } else { "right" };
        let read = get(&cx, &engine, "x").await?;
        ensure_eq!(read, format!("fresh v={expected}"), "a source is {} ms ahead, with a `max_skew` of {SKEW} ms, and another one 1 ms: what counts", SKEW + ahead; help = HELP);
        let held = engine.metrics().borrow().held;
        ensure_eq!(held, u64::from(ahead > 0), "`held` after this"; help = HELP);
        // The same record again: soon, when the skew is over, and after a restart.
        let expected = if ahead == 0 { "v=fast" } else { "v=fast, v=right" };
        for later in [LIMIT, SKEW + ahead] {
            sleep(ms(later)).await;
            fetch(&cx, &engine, "x").await?;
            ensure_eq!(history(&engine, "x"), expected, "the versions, when both records have come again {later} ms later";
                help = "a record that was held keeps the moment of its first arrival: remember the stamp that its source has written");
        }
        let flushed = cx.call("Engine::flush", engine.flush()).await?.value;
        ensure_eq!(flushed, Ok(()), "a flush");
        drop(engine);
        let engine = started_at(&cx, config(NEWEST), store, clock).await?;
        add_all(&cx, &engine, &[&fast, &right]).await?;
        fetch(&cx, &engine, "x").await?;
        ensure_eq!(history(&engine, "x"), expected, "the versions, when both records have come again after a restart";
            help = "save the stamps that were held, too");
    }
    Ok(())
}
