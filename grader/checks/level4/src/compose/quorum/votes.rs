//! Votes that are drawn: how they have to end is counted by hand.

use std::fmt;

use grader_kit::{Cx, Draw, Fail, Outcome, ensure, list, ms};
use level4::compose::{Agreement, Ratio, quorum};

use super::{of, ratio, shown};
use crate::compose::{Does, QUORUM, after, err, numbered, ok};

/// Operations that end one by one, from 10 ms on, with `needed` that have to agree.
struct Votes {
    list: Vec<(u64, Does)>,
    needed: usize,
}

impl Votes {
    /// Up to seven operations; two of three succeed, with one of three values.
    fn drawn(draw: &mut Draw) -> Self {
        let count = draw.index(5) + 3;
        let mut times: Vec<_> = (1..=count as u64).map(|place| place * 10).collect();
        draw.shuffle(&mut times);
        let does = |draw: &mut Draw| {
            if draw.chance(67) { ok(draw.pick(&["a", "b", "c"])) } else { err("no") }
        };
        let list = times.into_iter().map(|at| (at, does(draw))).collect();
        Self { list, needed: draw.index(count) + 1 }
    }

    fn need(&self) -> Result<Ratio, Fail> {
        ratio(self.needed as u32, self.list.len() as u32)
    }

    /// The operations. They are not noted: there are many votes.
    fn ops(&self) -> Vec<impl Future<Output = Result<String, String>>> {
        self.list.iter().map(|(at, does)| after(*at, does.clone())).collect()
    }

    /// How it has to end, and when, by hand: after each outcome, count those that agree and those that still run.
    fn decided(&self, mode: Agreement) -> (Option<Vec<(usize, String)>>, u64) {
        let mut order: Vec<_> = (0..self.list.len()).collect();
        order.sort_by_key(|place| self.list[*place].0);
        let mut succeeded = Vec::new();
        let mut at = 0;
        for (ended, place) in (1..).zip(order) {
            let (time, does) = &self.list[place];
            at = *time;
            if let Does::Succeeds(value) = does {
                succeeded.push((place, value.clone()));
            }
            let alike = |value: &String| {
                let agrees =
                    |(_, other): &&(usize, String)| mode == Agreement::Count || value == other;
                succeeded.iter().filter(agrees).cloned().collect::<Vec<_>>()
            };
            let largest = succeeded.iter().map(|(_, value)| alike(value)).max_by_key(Vec::len);
            let mut largest = largest.unwrap_or_default();
            if largest.len() == self.needed {
                largest.sort_unstable();
                return (Some(largest), at);
            }
            if largest.len() + self.list.len() - ended < self.needed {
                break;
            }
        }
        (None, at)
    }
}

/// `a at 20 ms, an error at 10 ms`, in the order of the operations.
impl fmt::Display for Votes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ends = self.list.iter().map(|(at, does)| match does {
            Does::Succeeds(value) => format!("{value} at {at} ms"),
            Does::Fails(_) => format!("an error at {at} ms"),
        });
        f.write_str(&list(ends))
    }
}

/// Votes that are drawn and end with an agreement, or without one, are decided in time.
pub async fn drawn_votes(cx: &Cx, mode: Agreement, agree: bool, help: &str) -> Outcome {
    let mut draw = cx.draw();
    for _ in 0..200 {
        let votes = Votes::drawn(&mut draw);
        let (decided, at) = votes.decided(mode);
        if decided.is_some() != agree {
            continue;
        }
        let call = cx.call(QUORUM, quorum(votes.ops(), votes.need()?, mode)).await?;
        // What the error says is another criterion.
        let (expected, observed) = match decided {
            Some(agreed) => (format!("agreed: {}", numbered(&agreed)), shown(call.value)),
            None if call.value.is_ok() => ("no quorum".to_owned(), "a quorum".to_owned()),
            None => ("no quorum".to_owned(), "no quorum".to_owned()),
        };
        ensure!(observed == expected && call.took == ms(at), "a quorum {} of which {} have to agree, of operations that end with {}", of(mode), votes.needed, votes;
            expected = format!("{expected}; at {at} ms"), observed = format!("{observed}; at {} ms", call.took.as_millis()),
            help = help);
    }
    Ok(())
}
