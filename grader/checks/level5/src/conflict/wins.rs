//! Strategies that choose one record as a whole.

use grader_kit::{Cx, Fail, Outcome, ensure_eq};
use level5::conflict::{Record, Resolution, Resolved, SourceId, Standing, Standings, Strategy};
use serde_json::json;

use super::{
    Decision, decide, decides_as_the_contract_says, deleted, orders, record, shown, shown_all,
    shown_stamp, stamp, standings,
};

/// A record whose content names its stamp, with fields that differ from source to source.
fn of(millis: i64, version: u64, source: &str) -> Record {
    let stamp = stamp(millis, version, source);
    let content = json!({ "of": shown_stamp(&stamp), source: true });
    record(stamp, &content)
}

/// Whether a source has such a rank is what a test sets: priority or trust.
type Rank = fn(u8, u8) -> Standing;

pub async fn the_newest_wins(cx: Cx) -> Outcome {
    const HELP: &str = "the greatest stamp wins: time, then version, then source";
    let mut draw = cx.draw();
    // The ranks say the contrary.
    let standings = standings(&[("a", 9, 9), ("b", 5, 5), ("c", 0, 0)]);
    let big = i64::try_from(draw.between(10..=1_000_000_000_000)).unwrap_or(10);
    for (records, winner) in [
        (vec![of(1, 1, "a"), of(2, 1, "b")], 1),
        (vec![of(2, 1, "a"), of(1, 9, "b")], 0),
        (vec![of(big, 1, "a"), of(big - 1, 9, "b"), of(big - 2, 9, "c")], 0),
        (vec![of(5, 2, "a"), of(5, 1, "b"), of(5, 0, "c")], 0),
        (vec![of(5, 1, "a"), of(5, 1, "b"), of(5, 1, "c")], 2),
        (vec![of(5, 1, "a")], 0),
    ] {
        let decision = Decision {
            strategy: Strategy::Newest,
            standings: &standings,
            expected: &shown(&records[winner]),
            what: "the newest",
            help: HELP,
        };
        let result = decision.ensure(&cx, &mut draw, &records).await?;
        whole(&result, &records[winner])?;
    }
    let none = decide(&cx, &[], Strategy::Newest, &standings).await?;
    ensure_eq!(none, Resolution::Empty, "the newest of no records");
    decides_as_the_contract_says(&cx, &[Strategy::Newest], false, HELP).await
}

/// Each field of a record that won as a whole is from it.
fn whole(resolution: &Resolution, record: &Record) -> Outcome {
    let Resolution::Decided(resolved) = resolution else { return Ok(()) };
    let names = record
        .content
        .iter()
        .flatten()
        .map(|(name, _)| format!("{name} of {}", shown_stamp(&record.stamp)));
    ensure_eq!(origins(resolved), names.collect::<Vec<_>>(), "the origins of {}", shown(record);
        help = "a record that wins as a whole is the origin of each of its fields");
    Ok(())
}

fn origins(resolved: &Resolved) -> Vec<String> {
    resolved
        .origins
        .iter()
        .map(|(name, stamp)| format!("{name} of {}", shown_stamp(stamp)))
        .collect()
}

pub async fn the_priority_wins(cx: Cx) -> Outcome {
    ranks(&cx, Strategy::Priority, |rank, other| Standing { priority: rank, trust: other }).await
}

pub async fn the_trust_wins(cx: Cx) -> Outcome {
    ranks(&cx, Strategy::Trust, |rank, other| Standing { trust: rank, priority: other }).await
}

async fn ranks(cx: &Cx, strategy: Strategy, rank: Rank) -> Outcome {
    const HELP: &str = "the highest rank wins, of equal ones the newest; a source without a standing is below all others";
    let mut draw = cx.draw();
    let of_three = |a: u8, b: u8, c: u8| -> Standings {
        // The other rank says the contrary, and of equal ranks it is higher for the older records.
        [("a", a, 0), ("b", b, 1), ("c", c, 2)]
            .map(|(source, value, less)| {
                (SourceId::new(source), rank(value, (255 - value).saturating_sub(less)))
            })
            .into()
    };
    let middle = u8::try_from(draw.between(1..=254)).unwrap_or(1);
    let three = vec![of(1, 1, "a"), of(2, 1, "b"), of(3, 1, "c")];
    let same = vec![of(7, 1, "a"), of(7, 1, "b"), of(7, 1, "c")];
    let mut partial = of_three(0, 0, 0);
    partial.remove(&SourceId::new("c"));
    for (records, standings, winner) in [
        (&three, of_three(3, 2, 1), 0),
        (&three, of_three(1, 255, 254), 1),
        (&three, of_three(0, middle, middle - 1), 1),
        (&three, of_three(200, 100, 0), 0),
        (&three, of_three(5, 5, 1), 1),
        (&same, of_three(5, 5, 1), 1),
        (&same, of_three(5, 5, 5), 2),
        (&three, partial, 1),
        (&three, Standings::new(), 2),
    ] {
        let what = format!("{strategy:?} with the standings {}", listed(&standings));
        let expected = shown(&records[winner]);
        let decision = Decision {
            strategy,
            standings: &standings,
            expected: &expected,
            what: &what,
            help: HELP,
        };
        let result = decision.ensure(cx, &mut draw, records).await?;
        whole(&result, &records[winner])?;
    }
    decides_as_the_contract_says(cx, &[strategy], false, HELP).await
}

pub(super) fn listed(standings: &Standings) -> String {
    let one = |(source, standing): (&SourceId, &Standing)| {
        format!("{source}: priority {}, trust {}", standing.priority, standing.trust)
    };
    if standings.is_empty() {
        return "of no source".to_owned();
    }
    standings.iter().map(one).collect::<Vec<_>>().join("; ")
}

pub async fn a_person_decides(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let standings = standings(&[("a", 9, 9), ("b", 5, 5)]);
    let manual = Strategy::Manual;
    let (old, new) = (of(1, 1, "b"), of(2, 1, "a"));
    let third = of(3, 1, "c");
    let records = [old.clone(), new.clone(), third.clone()];
    for offered in orders(&mut draw, &records) {
        let result = decide(&cx, &offered, manual, &standings).await?;
        let Resolution::Open(open) = &result else {
            return Err(Fail::new(format!(
                "three sources differ, and the strategy is Manual: {result:?}"
            ))
            .expected("Resolution::Open: a person decides"));
        };
        ensure_eq!(shown_all(open), shown_all(&records), "the records of an open conflict, offered in the order [{}]", shown_all(&offered); help = "all of them, the oldest first");
    }
    // The sources agree: there is nothing to decide.
    let content = json!({"n": 1});
    let agree = [record(stamp(1, 1, "a"), &content), record(stamp(2, 1, "b"), &content)];
    let all_gone =
        [deleted(stamp(1, 1, "b")), deleted(stamp(3, 1, "a")), deleted(stamp(2, 1, "c"))];
    let single = [new];
    for (records, winner, what, help) in [
        (agree.as_slice(), &agree[1], "Manual, and the sources agree", "the newest record counts"),
        (single.as_slice(), &single[0], "Manual, with one source", "it counts"),
        (
            all_gone.as_slice(),
            &all_gone[1],
            "Manual, and all sources have deleted the record",
            "the newest record counts, also if it is a deletion",
        ),
    ] {
        let expected = shown(winner);
        let decision =
            Decision { strategy: manual, standings: &standings, expected: &expected, what, help };
        decision.ensure(&cx, &mut draw, records).await?;
    }
    // Two of three agree: a person sees all of them.
    let [one, other] = [json!({"n": 1}), json!({"n": 2})];
    let pair = [
        record(stamp(1, 1, "a"), &one),
        record(stamp(2, 1, "b"), &other),
        record(stamp(3, 1, "c"), &one),
    ];
    for offered in orders(&mut draw, &pair) {
        let result = decide(&cx, &offered, manual, &standings).await?;
        let open = match &result {
            Resolution::Open(open) => shown_all(open),
            other => format!("{other:?}"),
        };
        ensure_eq!(open, shown_all(&pair), "Manual, and two of three sources agree: the records that are open, offered in the order [{}]", shown_all(&offered); help = "all of them, the oldest first");
    }
    let gone = [deleted(stamp(1, 1, "a")), old];
    for gone in orders(&mut draw, &gone) {
        let result = decide(&cx, &gone, manual, &standings).await?;
        ensure_eq!(
            matches!(result, Resolution::Open(_)),
            true,
            "one source has deleted the record and another one has not, with Manual: whether it is open"
        );
    }
    let none = decide(&cx, &[], manual, &standings).await?;
    ensure_eq!(none, Resolution::Empty, "Manual of no records");
    Ok(())
}
