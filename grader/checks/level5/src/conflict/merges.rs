//! Merges field by field, and deletions.

use std::collections::{BTreeMap, BTreeSet};

use grader_kit::{Cx, Fail, Outcome, ensure_eq};
use level5::conflict::{
    Latest, Record, Resolution, Resolved, SourceId, Standing, Standings, Strategy, resolve,
};
use serde_json::{Value, json};

use super::{
    Decision, RESOLVE, decide, decides_as_the_contract_says, deleted, json as shown_json, latest,
    record, shown_all, shown_stamp, stamp, standings,
};

fn of(millis: i64, source: &str, content: &Value) -> Record {
    record(stamp(millis, 1, source), content)
}

pub async fn merges_field_by_field(cx: Cx) -> Outcome {
    const HELP: &str = "for each field the record of the highest priority that has it; of equal priorities the newest";
    let mut draw = cx.draw();
    // The trust says the contrary where priorities are equal: it is of no account.
    let standings = standings(&[("high", 9, 0), ("low", 1, 3), ("same", 1, 2), ("zero", 0, 0)]);
    let word = draw.word();
    let cases = [
        (
            vec![
                of(1, "high", &json!({"name": "H", "city": "H"})),
                of(9, "low", &json!({"name": "L", "mail": "L"})),
            ],
            json!({"name": "H", "city": "H", "mail": "L"}),
            "9 v1 of low",
        ),
        (
            vec![
                of(9, "high", &json!({"name": &word})),
                of(1, "low", &json!({"name": "L", "mail": "L", "zip": 1})),
                of(5, "zero", &json!({"mail": "Z", "zip": 2, "phone": 3})),
            ],
            json!({"name": &word, "mail": "L", "zip": 1, "phone": 3}),
            "9 v1 of high",
        ),
        (
            // Equal priorities: the newest.
            vec![
                of(4, "low", &json!({"a": "low", "b": "low"})),
                of(3, "same", &json!({"a": "same", "c": "same"})),
            ],
            json!({"a": "low", "b": "low", "c": "same"}),
            "4 v1 of low",
        ),
        (
            vec![of(4, "low", &json!({"a": "low"})), of(5, "same", &json!({"a": "same"}))],
            json!({"a": "same"}),
            "5 v1 of same",
        ),
        (
            vec![of(4, "low", &json!({"a": "low"})), of(4, "same", &json!({"a": "same"}))],
            json!({"a": "same"}),
            "4 v1 of same",
        ),
        (
            // `null` and `false` are values; an object is one value.
            vec![
                of(1, "high", &json!({"a": null, "b": false, "c": {"x": 1}})),
                of(2, "low", &json!({"a": 1, "b": true, "c": {"y": 2}})),
            ],
            json!({"a": null, "b": false, "c": {"x": 1}}),
            "2 v1 of low",
        ),
        (
            // A source that is not listed is below zero.
            vec![
                of(1, "zero", &json!({"a": "zero"})),
                of(9, "new", &json!({"a": "new", "b": "new"})),
            ],
            json!({"a": "zero", "b": "new"}),
            "9 v1 of new",
        ),
        (vec![of(1, "high", &json!({}))], json!({}), "1 v1 of high"),
    ];
    for (records, expected, newest) in cases {
        let decision = Decision {
            strategy: Strategy::Merge,
            standings: &standings,
            expected: &format!("{expected} at {newest}"),
            what: "a merge (high has priority 9, low and same 1, zero 0)",
            help: HELP,
        };
        decision.ensure(&cx, &mut draw, &records).await?;
    }
    let none = decide(&cx, &[], Strategy::Merge, &standings).await?;
    ensure_eq!(none, Resolution::Empty, "a merge of no records");
    decides_as_the_contract_says(&cx, &[Strategy::Merge], false, HELP).await?;
    merges_many(&cx, HELP).await
}

/// Dozens of sources with few priorities: a sort that keeps equal ones in their order is another one than one that
/// does not.
async fn merges_many(cx: &Cx, help: &'static str) -> Outcome {
    let mut draw = cx.draw();
    for count in [25, 60, 300, draw.index(100) + 21] {
        let names: Vec<_> = (0..count).map(|number| format!("s{number}")).collect();
        let mut records = Vec::new();
        let mut standings = Standings::new();
        for name in &names {
            let rank = draw.below(4);
            let priority = u8::try_from(rank).unwrap_or_default();
            if rank < 3 {
                let trust = u8::try_from(draw.below(4)).unwrap_or_default();
                standings.insert(SourceId::new(name), Standing { priority, trust });
            }
            let fields: Value = ["a", "b", "c", "d", "e"]
                .into_iter()
                .filter(|_| draw.chance(40))
                // And one that no other record has.
                .chain([name.as_str()])
                .map(|field| (field.to_owned(), json!(name)))
                .collect::<serde_json::Map<_, _>>()
                .into();
            let millis = i64::try_from(draw.below(20)).unwrap_or_default();
            records.push(of(millis, name, &fields));
        }
        // For each field the record of the highest priority, and of those the newest.
        let mut best: BTreeMap<&str, &Record> = BTreeMap::new();
        let rank = |record: &Record| {
            let priority = standings.get(&record.stamp.source).map(|standing| standing.priority);
            (priority, record.stamp.clone())
        };
        for record in &records {
            for name in record.content.iter().flatten().map(|(name, _)| name.as_str()) {
                let known = best.entry(name).or_insert(record);
                if rank(record) > rank(known) {
                    *known = record;
                }
            }
        }
        for _ in 0..2 {
            let mut offered = records.clone();
            draw.shuffle(&mut offered);
            let merged = decide(cx, &offered, Strategy::Merge, &standings).await?;
            let Resolution::Decided(Resolved { content: Some(merged), .. }) = merged else {
                return Err(Fail::new(format!("a merge of {count} sources: {merged:?}")));
            };
            let names = best.keys().copied().chain(merged.keys().map(String::as_str));
            for name in names.collect::<BTreeSet<_>>() {
                let expected = best.get(name).map(|record| shown_stamp(&record.stamp));
                let found = merged.get(name).and_then(Value::as_str);
                let found =
                    records.iter().find(|record| Some(record.stamp.source.as_str()) == found);
                let found = found.map(|record| shown_stamp(&record.stamp));
                ensure_eq!(found, expected, "a merge of {count} sources, of which some have no standing and the others have priorities from 0 to 2: the record that the field `{name}` is from"; help = help);
            }
        }
    }
    Ok(())
}

/// `{"a":1}; a of 1 v1 of high`.
fn with_origins(resolution: &Resolution) -> String {
    let Resolution::Decided(resolved) = resolution else { return format!("{resolution:?}") };
    let origins: Vec<_> = resolved
        .origins
        .iter()
        .map(|(name, stamp)| format!("{name} is {}", shown_stamp(stamp)))
        .collect();
    format!("{}; {}", shown_json(resolved.content.as_ref()), origins.join(", "))
}

pub async fn a_merge_follows_its_sources(cx: Cx) -> Outcome {
    const HELP: &str = "keep the records of the sources apart and merge when the result is asked for: a merged record has no source of its own";
    let standings = standings(&[("high", 9, 0), ("low", 1, 9)]);
    let steps = [
        (
            of(5, "low", &json!({"a": "L5", "b": "L5"})),
            r#"{"a":"L5","b":"L5"}; a is 5 v1 of low, b is 5 v1 of low"#,
        ),
        (
            of(4, "high", &json!({"a": "H4"})),
            r#"{"a":"H4","b":"L5"}; a is 4 v1 of high, b is 5 v1 of low"#,
        ),
        // Updates of the members, older than the newest stamp and of lower priority.
        (
            of(6, "low", &json!({"a": "L6", "b": "L6", "c": "L6"})),
            r#"{"a":"H4","b":"L6","c":"L6"}; a is 4 v1 of high, b is 6 v1 of low, c is 6 v1 of low"#,
        ),
        (
            of(5, "high", &json!({"a": "H5", "c": "H5"})),
            r#"{"a":"H5","b":"L6","c":"H5"}; a is 5 v1 of high, b is 6 v1 of low, c is 5 v1 of high"#,
        ),
        // A field that its source has no more.
        (
            of(7, "high", &json!({"c": "H7"})),
            r#"{"a":"L6","b":"L6","c":"H7"}; a is 6 v1 of low, b is 6 v1 of low, c is 7 v1 of high"#,
        ),
        (
            of(8, "low", &json!({"b": "L8"})),
            r#"{"b":"L8","c":"H7"}; b is 8 v1 of low, c is 7 v1 of high"#,
        ),
    ];
    let mut known: Latest<Record> = latest([]);
    let mut so_far = Vec::new();
    for (record, expected) in steps {
        so_far.push(record.clone());
        known.offer(record);
        let result = cx.call_fn(RESOLVE, || resolve(&known, Strategy::Merge, &standings)).await?;
        ensure_eq!(with_origins(&result), expected, "a merge (high has priority 9, low 1) after [{}]", shown_all(&so_far); help = HELP);
        let again = cx.call_fn(RESOLVE, || resolve(&known, Strategy::Merge, &standings)).await?;
        ensure_eq!(with_origins(&again), expected, "the same merge once more");
    }
    Ok(())
}

pub async fn deletions_are_not_undone(cx: Cx) -> Outcome {
    const HELP: &str = "a deletion is a record too: what is older than it does not count any more";
    let mut draw = cx.draw();
    let standings = standings(&[("high", 9, 0), ("low", 1, 9)]);
    let old = of(1, "low", &json!({"a": "L1", "b": "L1"}));
    let gone = deleted(stamp(5, 1, "low"));
    let other = deleted(stamp(5, 1, "high"));
    let cases = [
        (Strategy::Newest, vec![old.clone(), gone.clone()], "deleted at 5 v1 of low".to_owned()),
        (
            Strategy::Newest,
            vec![of(4, "high", &json!({"a": 1})), gone.clone()],
            "deleted at 5 v1 of low".to_owned(),
        ),
        (
            Strategy::Newest,
            vec![of(6, "high", &json!({"a": 1})), gone.clone()],
            r#"{"a":1} at 6 v1 of high"#.to_owned(),
        ),
        (
            Strategy::Priority,
            vec![of(1, "low", &json!({"a": 1})), other.clone()],
            "deleted at 5 v1 of high".to_owned(),
        ),
        (
            Strategy::Merge,
            vec![of(4, "high", &json!({"a": 1})), gone.clone()],
            "deleted at 5 v1 of low".to_owned(),
        ),
        (Strategy::Merge, vec![old, other.clone()], "deleted at 5 v1 of high".to_owned()),
        (
            Strategy::Merge,
            vec![of(6, "low", &json!({"b": 2})), other, of(4, "third", &json!({"c": 3}))],
            r#"{"b":2} at 6 v1 of low"#.to_owned(),
        ),
        (
            Strategy::Merge,
            vec![
                deleted(stamp(3, 1, "high")),
                gone,
                of(4, "third", &json!({"c": 3})),
                of(9, "fourth", &json!({"d": 4})),
            ],
            r#"{"d":4} at 9 v1 of fourth"#.to_owned(),
        ),
    ];
    for (strategy, records, expected) in cases {
        let what = format!("{strategy:?}");
        let decision = Decision {
            strategy,
            standings: &standings,
            expected: &expected,
            what: &what,
            help: HELP,
        };
        decision.ensure(&cx, &mut draw, &records).await?;
    }
    deletes_by_the_whole_stamp(&cx).await?;
    // Several deletions, in every place of the order.
    let strategies = [Strategy::Newest, Strategy::Priority, Strategy::Trust, Strategy::Merge];
    decides_as_the_contract_says(&cx, &strategies, true, HELP).await
}

/// Records of the very moment of a deletion: the version decides, and of equal versions the source.
async fn deletes_by_the_whole_stamp(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    let version = draw.between(2..=1_000_000);
    let millis = i64::try_from(draw.between(2..=1_000_000)).unwrap_or(2);
    let gone = deleted(stamp(millis, version, "m"));
    for (at, of_version, source, stays) in [
        (millis, version - 1, "a", false),
        (millis, version - 1, "z", false),
        (millis, version, "a", false),
        (millis, version, "z", true),
        (millis, version + 1, "a", true),
        (millis - 1, version + 1, "z", false),
        (millis + 1, 0, "a", true),
    ] {
        // The source of the record has the higher priority, or the lower one: that is of no account.
        for (of_record, of_deletion) in [(9, 1), (1, 9)] {
            let standings = standings(&[(source, of_record, 0), ("m", of_deletion, 0)]);
            let kept = record(stamp(at, of_version, source), &json!({ "a": 1 }));
            let expected = if stays {
                format!(r#"{{"a":1}} at {}"#, shown_stamp(&kept.stamp))
            } else {
                format!("deleted at {}", shown_stamp(&gone.stamp))
            };
            let decision = Decision {
                strategy: Strategy::Merge,
                standings: &standings,
                expected: &expected,
                what: "a merge of a record and a deletion",
                help: "a record is older than a deletion if its whole stamp is less: time, version, source",
            };
            decision.ensure(cx, &mut draw, &[kept, gone.clone()]).await?;
        }
    }
    Ok(())
}
