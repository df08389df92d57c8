//! `conflict`: stamps, the newest record of each source, and what follows from them.

mod converges;
mod merges;
mod prints;
mod wins;

use std::collections::BTreeMap;
use std::time::Duration;

use grader_kit::{Cx, Draw, Outcome, ensure, ensure_eq};
use jiff::Timestamp;
use level5::conflict::{
    Fields, Latest, Offer, Record, Resolution, Resolved, SourceId, Stamp, Standing, Standings,
    Strategy, resolve,
};
use serde_json::{Value, json};

pub use converges::{grouping_does_not_matter, order_does_not_matter};
pub use merges::{a_merge_follows_its_sources, deletions_are_not_undone, merges_field_by_field};
pub use prints::fingerprints_cover_the_whole;
pub use wins::{a_person_decides, the_newest_wins, the_priority_wins, the_trust_wins};

const RESOLVE: &str = "conflict::resolve";
const OFFER: &str = "Latest::offer";

const STRATEGIES: [Strategy; 5] =
    [Strategy::Newest, Strategy::Priority, Strategy::Trust, Strategy::Merge, Strategy::Manual];

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or_default()
}

fn stamp(millis: i64, version: u64, source: &str) -> Stamp {
    Stamp { at: at(millis), version, source: SourceId::new(source) }
}

fn fields(json: &Value) -> Fields {
    json.as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn record(stamp: Stamp, json: &Value) -> Record {
    Record { stamp, content: Some(fields(json)) }
}

fn deleted(stamp: Stamp) -> Record {
    Record { stamp, content: None }
}

/// `5 v1 of a`.
fn shown_stamp(stamp: &Stamp) -> String {
    format!("{} v{} of {}", stamp.at.as_millisecond(), stamp.version, stamp.source)
}

/// `{"name":"A"} at 5 v1 of a`.
fn shown(record: &Record) -> String {
    format!("{} at {}", json(record.content.as_ref()), shown_stamp(&record.stamp))
}

fn json(content: Option<&Fields>) -> String {
    content.map_or_else(|| "deleted".to_owned(), |fields| json!(fields).to_string())
}

fn shown_all<'a>(records: impl IntoIterator<Item = &'a Record>) -> String {
    records.into_iter().map(shown).collect::<Vec<_>>().join("; ")
}

fn shown_offer(offer: &Offer<Record>) -> String {
    match offer {
        Offer::First => "First".to_owned(),
        Offer::Replaces(older) => format!("Replaces {}", shown(older)),
        Offer::Known => "Known".to_owned(),
        Offer::Older => "Older".to_owned(),
    }
}

/// The content and the stamp of a decision.
fn shown_resolution(resolution: &Resolution) -> String {
    match resolution {
        Resolution::Empty => "nothing".to_owned(),
        Resolution::Open(records) => format!("open: {}", shown_all(records)),
        Resolution::Decided(resolved) => shown_resolved(resolved),
    }
}

fn shown_resolved(resolved: &Resolved) -> String {
    format!("{} at {}", json(resolved.content.as_ref()), shown_stamp(&resolved.stamp))
}

fn latest(records: impl IntoIterator<Item = Record>) -> Latest<Record> {
    let mut latest = Latest::new();
    for record in records {
        latest.offer(record);
    }
    latest
}

fn standings(of: &[(&str, u8, u8)]) -> Standings {
    let standing = |&(source, priority, trust): &(&str, u8, u8)| {
        (SourceId::new(source), Standing { priority, trust })
    };
    of.iter().map(standing).collect()
}

/// The orders in which records are offered: every one of up to four records, and eight drawn ones of more.
fn orders(draw: &mut Draw, records: &[Record]) -> Vec<Vec<Record>> {
    if records.len() > 4 {
        let shuffled = |draw: &mut Draw| {
            let mut records = records.to_vec();
            draw.shuffle(&mut records);
            records
        };
        return (0..8).map(|_| shuffled(draw)).collect();
    }
    let mut orders = vec![Vec::new()];
    for record in records {
        let longer = |order: Vec<Record>| {
            (0..=order.len()).map(move |place| {
                let mut longer = order.clone();
                longer.insert(place, record.clone());
                longer
            })
        };
        orders = orders.into_iter().flat_map(longer).collect();
    }
    orders
}

/// Resolves records that are offered in this order.
async fn decide(
    cx: &Cx,
    records: &[Record],
    strategy: Strategy,
    standings: &Standings,
) -> Result<Resolution, grader_kit::Fail> {
    let records = records.to_vec();
    cx.call_fn(RESOLVE, || resolve(&latest(records), strategy, standings)).await
}

/// What a decision must be, in whatever order the records are offered.
struct Decision<'a> {
    strategy: Strategy,
    standings: &'a Standings,
    /// As [`shown_resolution`] shows it.
    expected: &'a str,
    what: &'a str,
    help: &'a str,
}

impl Decision<'_> {
    /// Offers the records in all [`orders`]. Returns what was decided in the last one.
    async fn ensure(
        &self,
        cx: &Cx,
        draw: &mut Draw,
        records: &[Record],
    ) -> Result<Resolution, grader_kit::Fail> {
        let mut decided = Resolution::Empty;
        for records in orders(draw, records) {
            decided = decide(cx, &records, self.strategy, self.standings).await?;
            ensure_eq!(shown_resolution(&decided), self.expected, "{}, of [{}]", self.what, shown_all(&records); help = self.help);
        }
        Ok(decided)
    }
}

/// One record of each of up to six sources, with few different times, versions and ranks, so that ties are frequent. Some
/// sources have no standing.
fn tied(draw: &mut Draw, deleted_percent: u64) -> (Vec<Record>, Standings) {
    let names = ["a", "b", "c", "d", "e", "f"];
    let (mut records, mut standings) = (Vec::new(), Standings::new());
    for name in names.iter().take(2 + draw.index(5)) {
        let millis = i64::try_from(draw.below(3)).unwrap_or_default();
        let stamp = stamp(millis, draw.below(2), name);
        let content: serde_json::Map<_, _> = ["x", "y", "z"]
            .into_iter()
            .filter(|_| draw.chance(60))
            .map(|field| (field.to_owned(), json!(name)))
            .collect();
        let gone = draw.chance(deleted_percent);
        records.push(if gone { deleted(stamp) } else { record(stamp, &content.into()) });
        let small = |draw: &mut Draw| u8::try_from(draw.below(3)).unwrap_or_default();
        let standing = Standing { priority: small(draw), trust: small(draw) };
        if draw.chance(80) {
            standings.insert(SourceId::new(name), standing);
        }
    }
    (records, standings)
}

/// What the contract says of one record of each source, under a strategy that decides. Its origins are left out.
fn counts(records: &[Record], strategy: Strategy, standings: &Standings) -> Option<Resolved> {
    let rank = |record: &Record| {
        let standing = standings.get(&record.stamp.source);
        match strategy {
            Strategy::Priority | Strategy::Merge => standing.map(|standing| standing.priority),
            Strategy::Trust => standing.map(|standing| standing.trust),
            Strategy::Newest | Strategy::Manual => None,
        }
    };
    let key = |record: &&Record| (rank(record), record.stamp.clone());
    let newest = records.iter().max_by_key(|record| record.stamp.clone())?;
    if strategy != Strategy::Merge {
        let winner = records.iter().max_by_key(key)?;
        let (content, stamp) = (winner.content.clone(), winner.stamp.clone());
        return Some(Resolved { content, stamp, origins: BTreeMap::new() });
    }
    let gone = records.iter().filter(|record| record.content.is_none());
    let gone = gone.map(|record| &record.stamp).max();
    let mut left: Vec<_> =
        records.iter().filter(|record| gone.is_none_or(|gone| record.stamp > *gone)).collect();
    // The best comes last, and replaces what the others have.
    left.sort_by_key(key);
    let mut content = None;
    for record in left {
        content.get_or_insert_with(Fields::new).extend(record.content.clone().unwrap_or_default());
    }
    let (stamp, origins) = (newest.stamp.clone(), BTreeMap::new());
    Some(Resolved { content, stamp, origins })
}

/// Resolves drawn records, and compares with [`counts`]. With deletions all times differ, no source has a standing, and
/// each has a field of its own: ranks and ties are the business of other criteria.
async fn decides_as_the_contract_says(
    cx: &Cx,
    strategies: &[Strategy],
    with_deletions: bool,
    help: &'static str,
) -> Outcome {
    let mut draw = cx.draw();
    for _ in 0..60 {
        let (mut records, mut standings) = tied(&mut draw, if with_deletions { 35 } else { 0 });
        if with_deletions {
            standings.clear();
            let mut times: Vec<_> = (0..10).collect();
            draw.shuffle(&mut times);
            for (record, millis) in records.iter_mut().zip(times) {
                record.stamp.at = at(millis);
                if let Some(content) = &mut record.content {
                    *content = fields(&json!({ record.stamp.source.as_str(): 1 }));
                }
            }
        }
        for strategy in strategies {
            draw.shuffle(&mut records);
            let decided = decide(cx, &records, *strategy, &standings).await?;
            let expected = counts(&records, *strategy, &standings);
            let expected = expected.map_or(Resolution::Empty, Resolution::Decided);
            let what = format!(
                "{strategy:?} with the standings {}, of [{}]",
                wins::listed(&standings),
                shown_all(&records)
            );
            ensure_eq!(shown_resolution(&decided), shown_resolution(&expected), "{what}"; help = help);
        }
    }
    Ok(())
}

pub async fn stamps_have_a_total_order(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let times = [0, 1, 999, 1_700_000_000_000, -5].map(at);
    let nanos = Timestamp::from_nanosecond(1).unwrap_or_default();
    let many = draw.between(2..=u64::MAX - 2);
    let word = draw.word();
    let versions = [0, 1, 2, 10, many, u64::from(u32::MAX) + 1, u64::MAX];
    let sources = ["", "a", "aa", "b", "B", "ä", &word];
    let mut stamps = Vec::new();
    for at in times.into_iter().chain([nanos]) {
        for version in versions {
            stamps.extend(sources.map(|source| Stamp {
                at,
                version,
                source: SourceId::new(source),
            }));
        }
    }
    cx.call_fn("Stamp::cmp", || {
        for a in &stamps {
            for b in &stamps {
                let key = |s: &Stamp| (s.at, s.version, s.source.as_str().to_owned());
                let expected = key(a).cmp(&key(b));
                ensure_eq!(a.cmp(b), expected, "the comparison of {} ({} ns) with {} ({} ns)", shown_stamp(a), a.at.as_nanosecond(), shown_stamp(b), b.at.as_nanosecond();
                    help = "the time decides, of equal times the version, of equal versions the text of the source");
                ensure_eq!(a.partial_cmp(b), Some(expected), "`partial_cmp` of {} and {}", shown_stamp(a), shown_stamp(b));
            }
        }
        Ok(())
    })
    .await?
}

pub async fn the_newest_of_a_source_counts(cx: Cx) -> Outcome {
    const HELP: &str = "the stamp decides, and not the arrival: an answer may be late";
    let mut draw = cx.draw();
    for _ in 0..200 {
        let mut script = Vec::new();
        for _ in 0..draw.between(1..=12) {
            let source = *draw.pick(&["a", "b", "c"]);
            let (millis, version) = (draw.below(4), draw.below(3));
            let stamp = stamp(i64::try_from(millis).unwrap_or_default(), version, source);
            // The content follows from the stamp: equal stamps are the same record.
            let content = json!({ "of": shown_stamp(&stamp) });
            script.push(record(stamp, &content));
        }
        cx.call_fn(OFFER, || {
            let mut latest = Latest::new();
            let mut model: Vec<Record> = Vec::new();
            for (number, record) in script.iter().enumerate() {
                let before = || shown_all(&script[..number]);
                let of = |known: &&mut Record| known.stamp.source == record.stamp.source;
                let (expected, fresh) = match model.iter_mut().find(of) {
                    None => ("First".to_owned(), Some(record.clone())),
                    Some(known) if record.stamp > known.stamp => {
                        let older = std::mem::replace(known, record.clone());
                        (format!("Replaces {}", shown(&older)), None)
                    }
                    Some(known) if record.stamp == known.stamp => ("Known".to_owned(), None),
                    Some(_) => ("Older".to_owned(), None),
                };
                model.extend(fresh);
                let offer = shown_offer(&latest.offer(record.clone()));
                ensure_eq!(offer, expected, "after [{}] the offer of {}", before(), shown(record); help = HELP);
            }
            for known in &model {
                let kept = latest.get(&known.stamp.source).map(shown);
                ensure_eq!(kept, Some(shown(known)), "after [{}] the record of {}", shown_all(&script), known.stamp.source; help = HELP);
            }
            ensure_eq!(latest.len(), model.len(), "after [{}], `len`", shown_all(&script));
            model.sort_by(|a, b| a.stamp.cmp(&b.stamp));
            ensure_eq!(shown_all(latest.in_order()), shown_all(&model), "after [{}], `in_order`", shown_all(&script);
                help = "one record for each source, the oldest stamp first");
            Ok(())
        })
        .await??;
    }
    let mut empty = Latest::<Record>::new();
    ensure!(
        empty.is_empty() && empty.newest().is_none(),
        "a `Latest` without records is not empty"
    );
    empty.offer(deleted(stamp(1, 1, "a")));
    let gone = empty.remove(&SourceId::new("a"));
    ensure!(
        gone.is_some() && empty.is_empty(),
        "the only source was removed, and its record is still there"
    );
    let offer = cx.call_fn(OFFER, || empty.offer(deleted(stamp(0, 1, "a")))).await?;
    ensure_eq!(shown_offer(&offer), "First", "the only source was removed, and offers a record that is older than its last one"; help = "what was removed is not remembered");
    Ok(())
}

pub async fn a_conflict_is_a_difference(cx: Cx) -> Outcome {
    const HELP: &str =
        "compare the contents of all sources; stamps and versions say nothing about them";
    let one = json!({"a": 1, "z": {"k": 1, "l": 2}});
    let same = json!({"z": {"l": 2, "k": 1}, "a": 1});
    let other = json!({"b": 1});
    let of =
        |source: &str, millis, version, json: &Value| record(stamp(millis, version, source), json);
    for (records, expected, what) in [
        (vec![], false, "no record"),
        (vec![of("a", 1, 1, &one)], false, "one source"),
        (
            vec![of("a", 1, 1, &one), of("a", 2, 2, &other)],
            false,
            "one source with a newer record: an update",
        ),
        (
            vec![of("a", 1, 1, &one), of("b", 9, 7, &same)],
            false,
            "equal contents, with other stamps and another order of members",
        ),
        (
            vec![of("a", 1, 1, &one), of("b", 1, 1, &other)],
            true,
            "different contents with the same time and version",
        ),
        (
            vec![of("a", 1, 1, &one), of("b", 2, 1, &same), of("c", 3, 1, &other)],
            true,
            "the third of three sources differs",
        ),
        (
            vec![of("a", 3, 1, &other), of("b", 2, 1, &same), of("c", 1, 1, &one)],
            true,
            "the first of three sources differs",
        ),
        (
            vec![of("a", 1, 1, &one), deleted(stamp(1, 1, "b"))],
            true,
            "one of two sources has deleted the record",
        ),
        (
            vec![deleted(stamp(1, 1, "a")), deleted(stamp(2, 2, "b"))],
            false,
            "two sources have deleted the record",
        ),
        (
            vec![deleted(stamp(1, 1, "a")), of("b", 2, 2, &json!({}))],
            true,
            "deleted in one source, without fields in another one",
        ),
        (
            vec![of("a", 1, 1, &one), of("b", 1, 1, &other), of("b", 2, 2, &one)],
            false,
            "a source has come to agree with the other one",
        ),
    ] {
        let conflict = cx.call_fn("Latest::in_conflict", || latest(records).in_conflict()).await?;
        ensure_eq!(conflict, expected, "{what}: whether there is a conflict"; help = HELP);
    }
    Ok(())
}

pub async fn holds_stamps_of_the_future(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let now = 1_000_000;
    let drawn = i64::try_from(draw.between(2..=500_000)).unwrap_or(2);
    for skew in [300_000, 1, drawn] {
        for (ahead, held) in [
            (-1_000_000, false),
            (-1, false),
            (0, false),
            (skew - 1, false),
            (skew, false),
            (skew + 1, true),
            (10 * skew, true),
            (86_400_000_000, true),
        ] {
            let given = stamp(now + ahead, 7, "a");
            let expected = (if held { stamp(now, 7, "a") } else { given.clone() }, held);
            let max = Duration::from_millis(skew.unsigned_abs());
            let (result, was) = cx.call_fn("Stamp::held", || given.held(at(now), max)).await?;
            ensure_eq!((shown_stamp(&result), was), (shown_stamp(&expected.0), expected.1), "a stamp {ahead} ms ahead, with a `max_skew` of {skew} ms";
                help = "a stamp more than `max_skew` ahead is held at now; its version and source stay");
        }
    }
    for (given, max, held) in [
        (Timestamp::MAX, Duration::MAX, false),
        (Timestamp::MIN, Duration::ZERO, false),
        (Timestamp::MAX, Duration::ZERO, true),
    ] {
        let given = Stamp { at: given, version: 0, source: SourceId::new("a") };
        let (_, was) = cx.call_fn("Stamp::held", || given.clone().held(at(now), max)).await?;
        ensure_eq!(was, held, "a stamp of {}, with a `max_skew` of {max:?}: whether it is held", given.at;
            help = "`now + max_skew` may be later than every timestamp: compare the difference");
    }
    Ok(())
}
