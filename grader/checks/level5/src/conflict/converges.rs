//! Every order and every grouping of the same records.

use std::cmp::Ordering;

use grader_kit::{Cx, Draw, Outcome, ensure_eq};
use level5::conflict::{Fingerprint, Offer, Record, SourceId, Standing, Standings, resolve};
use serde_json::json;

use super::{
    OFFER, RESOLVE, STRATEGIES, deleted, latest, record, shown, shown_all, shown_offer,
    shown_resolution, shown_stamp, stamp,
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
    the_greater_fingerprint_is_kept(&cx).await
}

/// Two records of a source with equal stamps: another node, which has met them in another order, keeps the same one.
async fn the_greater_fingerprint_is_kept(cx: &Cx) -> Outcome {
    const HELP: &str = "compare the fingerprints of the contents; a deletion has one too. A rule of one's own converges on this node, and with no other one";
    let mut draw = cx.draw();
    for number in 0..TRIES {
        let stamp = stamp(i64::from(u8::from(draw.chance(50))), draw.below(2), "a");
        let mut drawn = |may_be_gone| {
            if may_be_gone {
                return deleted(stamp.clone());
            }
            let field = *draw.pick(&["x", "y"]);
            let content = json!({ field: draw.word() });
            record(stamp.clone(), &content)
        };
        let (one, other) = (drawn(number % 3 == 0), drawn(number % 6 == 1));
        let print = |record: &Record| Fingerprint::of(record.content.as_ref());
        for (first, second) in [(&one, &other), (&other, &one)] {
            let call = || {
                let mut kept = latest([first.clone()]);
                let offer = kept.offer(second.clone());
                let kept = kept.get(&stamp.source).cloned();
                (offer, kept, print(first).cmp(&print(second)))
            };
            let (offer, kept, order) = cx.call_fn(OFFER, call).await?;
            let (expected, greater) = match order {
                Ordering::Less => (Offer::Replaces(first.clone()), second),
                Ordering::Greater => (Offer::Older, first),
                // The same content was drawn twice.
                Ordering::Equal => continue,
            };
            let kept = kept.as_ref().map_or_else(|| "none".to_owned(), shown);
            ensure_eq!(kept, shown(greater), "{}, and then {} with an equal stamp: the record that is kept", shown(first), shown(second); help = HELP);
            let offer = shown_offer(&offer);
            ensure_eq!(offer, shown_offer(&expected), "{}, and then {} with an equal stamp: what `offer` returns", shown(first), shown(second); help = HELP);
        }
    }
    Ok(())
}

pub async fn grouping_does_not_matter(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for number in 0..TRIES {
        // Replicas that have got two contents with one stamp too.
        let (records, standings) = drawn(&mut draw, number % 2 == 1);
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
                    // The other way round: the groups of the end first, each of which takes in what there is.
                    let mut back = latest([]);
                    for group in groups.iter().rev() {
                        let mut next = latest(group.clone());
                        next.join(back);
                        back = next;
                    }
                    let of = |latest| resolve(latest, strategy, &standings);
                    (of(&all), [of(&joined), of(&back)])
                })
                .await?;
            let shown: Vec<_> =
                groups.iter().map(|group| format!("[{}]", shown_all(group))).collect();
            for joined in joined {
                ensure_eq!(shown_resolution(&joined), shown_resolution(&all), "{strategy:?} of {} groups that were joined: {}", groups.len(), shown.join(" and ");
                    help = "expected is the result of all records in one group: `join` keeps of each source the newest record of both sides, and of equal stamps the one that `offer` keeps");
            }
        }
    }
    Ok(())
}
