//! Every order and every grouping of the same records.

use grader_kit::{Cx, Draw, Outcome, ensure_eq};
use level5::conflict::{Record, SourceId, Standing, Standings, resolve};
use serde_json::json;

use super::{
    OFFER, RESOLVE, STRATEGIES, deleted, latest, record, shown_all, shown_resolution, shown_stamp,
    stamp,
};

const TRIES: usize = 120;

/// Records of two to five sources, and now and then of dozens, with few different times, versions and ranks: ties are
/// frequent.
fn drawn(draw: &mut Draw, equal_stamps: bool) -> (Vec<Record>, Standings) {
    let (most, count) = if draw.chance(5) { (50, 120) } else { (5, 9) };
    let sources: Vec<String> = (0..draw.between(2..=most)).map(|n| format!("s{n}")).collect();
    let mut records = Vec::new();
    for _ in 0..draw.between(2..=count) {
        let source = draw.pick(&sources).clone();
        let millis = i64::try_from(draw.below(3)).unwrap_or_default();
        let stamp = stamp(millis, draw.below(2), &source);
        let what = if equal_stamps { draw.word() } else { shown_stamp(&stamp) };
        let field = *draw.pick(&["x", "y", "z"]);
        // Whether a record is deleted follows from its stamp, unless equal stamps may differ.
        let gone = if equal_stamps { draw.chance(15) } else { what.contains("2 v1") };
        let content = if equal_stamps {
            json!({ field: what, "all": draw.below(3) })
        } else {
            json!({ "x": what, "all": stamp.version })
        };
        records.push(if gone { deleted(stamp) } else { record(stamp, &content) });
    }
    let ranks = sources.iter().filter(|_| draw.chance(80)).collect::<Vec<_>>();
    let standing = |source: &String, draw: &mut Draw| {
        let small = |draw: &mut Draw| u8::try_from(draw.below(3)).unwrap_or_default();
        (SourceId::new(source), Standing { priority: small(draw), trust: small(draw) })
    };
    let standings = ranks.into_iter().map(|source| standing(source, draw)).collect();
    (records, standings)
}

pub async fn order_does_not_matter(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for try_number in 0..TRIES {
        let (records, standings) = drawn(&mut draw, try_number % 2 == 0);
        let mut other = records.clone();
        draw.shuffle(&mut other);
        // Offered again, which changes nothing.
        other.extend(records.iter().filter(|_| draw.chance(30)).cloned());
        for strategy in STRATEGIES {
            let (one, two) = cx
                .call_fn(RESOLVE, || {
                    let of = |records: &[Record]| {
                        resolve(&latest(records.to_vec()), strategy, &standings)
                    };
                    (of(&records), of(&other))
                })
                .await?;
            ensure_eq!(shown_resolution(&two), shown_resolution(&one), "{strategy:?} of [{}], offered in the order [{}]", shown_all(&records), shown_all(&other);
                help = "expected is the result of the first order. Break every tie: equal times, equal versions, and of equal stamps with different contents the fingerprints");
        }
    }
    Ok(())
}

pub async fn grouping_does_not_matter(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for _ in 0..TRIES {
        let (records, standings) = drawn(&mut draw, false);
        let mut groups = vec![Vec::new(); 1 + draw.index(4)];
        for record in &records {
            // A record may reach several replicas.
            for _ in 0..draw.between(1..=2) {
                let group = draw.index(groups.len());
                groups[group].push(record.clone());
            }
        }
        for strategy in STRATEGIES {
            let (all, joined) = cx
                .call_fn(OFFER, || {
                    let all = latest(records.clone());
                    let mut joined = latest([]);
                    for group in &groups {
                        joined.join(latest(group.clone()));
                    }
                    let twice = joined.clone();
                    joined.join(twice);
                    (resolve(&all, strategy, &standings), resolve(&joined, strategy, &standings))
                })
                .await?;
            let shown: Vec<_> =
                groups.iter().map(|group| format!("[{}]", shown_all(group))).collect();
            ensure_eq!(shown_resolution(&joined), shown_resolution(&all), "{strategy:?} of the groups {} that were joined", shown.join(" and ");
                help = "expected is the result of all records in one group: `join` keeps of each source the newest record of both sides");
        }
    }
    Ok(())
}
