//! `cache::CachedDashboard` beside its model.

use grader_kit::{Cx, Draw, Fail, Outcome, dropped_at, ms};
use level2::cache::{Answer, CacheError, CachedDashboard};
use level2::model::Dashboard;
use tokio::time::sleep;

use crate::cache::Does::{self, AnswersAt, Fails};
use crate::cache::{NAME, load, sources};
use crate::plain;
use crate::scripts::{Difference, compare};

/// A step of a script: a wait, and then a load.
#[derive(Debug, Clone)]
struct Turn {
    wait: u64,
    does: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    /// Every source answers after so many milliseconds.
    Good(u64),
    /// Every source fails after so many milliseconds.
    Bad(u64),
    /// A load that would answer is dropped before.
    Dropped(u64),
}

const TTL: u64 = 100;

fn script(draw: &mut Draw) -> Vec<Turn> {
    let turn = |draw: &mut Draw| Turn {
        wait: *draw.pick(&[0, 1, 30, 49, 50, TTL - 1, TTL, TTL + 1, 3 * TTL]),
        does: match draw.below(8) {
            0..3 => What::Good(draw.between(1..=40)),
            3..7 => What::Bad(draw.below(40)),
            _ => What::Dropped(draw.between(1..=40)),
        },
    };
    (0..draw.between(1..=12)).map(|_| turn(draw)).collect()
}

/// What each load comes to: the number of the page's load, and its age.
fn model(turns: &[Turn]) -> Vec<String> {
    let mut now = 0;
    let mut last: Option<(usize, u64)> = None;
    let mut said = Vec::new();
    for (nth, turn) in turns.iter().enumerate() {
        now += turn.wait;
        match turn.does {
            What::Good(takes) => {
                now += takes;
                last = Some((nth + 1, now));
                said.push(format!("Live, the page of load {}", nth + 1));
            }
            What::Dropped(at) => {
                now += at;
                said.push("dropped".to_owned());
            }
            What::Bad(takes) => {
                now += takes;
                said.push(match last {
                    None => "Empty".to_owned(),
                    Some((page, at)) if now - at < TTL => {
                        format!("Cached, the page of load {page}, {} ms old", now - at)
                    }
                    Some((_, at)) => format!("Expired, {} ms old", now - at),
                });
            }
        }
    }
    said
}

/// Plays one script; `None` for a load that did not end.
async fn played(cx: &Cx, turns: &[Turn]) -> Result<Vec<String>, Fail> {
    let loads: Vec<Does> = turns
        .iter()
        .map(|turn| match turn.does {
            What::Good(takes) => AnswersAt(takes),
            What::Bad(takes) => Fails(takes),
            What::Dropped(at) => AnswersAt(at + 1000),
        })
        .collect();
    let fake = sources(cx, &loads);
    let cache = CachedDashboard::with_ttl(fake.source(), ms(TTL));
    let mut said = Vec::new();
    let pages: Vec<_> =
        (1..).zip(turns).map(|(number, _)| plain::page(&fake.page_of_call(number))).collect();
    let whose = |page: &Dashboard| {
        let page = plain::page(page);
        let place = pages.iter().position(|known| *known == page);
        place.map_or_else(
            || "a page that no load brought".to_owned(),
            |place| format!("the page of load {}", place + 1),
        )
    };
    for (number, turn) in (1..).zip(turns) {
        sleep(ms(turn.wait)).await;
        fake.in_load(number);
        if let What::Dropped(at) = turn.does {
            dropped_at(cx, NAME, at, cache.load()).await?;
            said.push("dropped".to_owned());
            continue;
        }
        said.push(match load(cx, &cache).await? {
            Ok(Answer::Live(page)) => format!("Live, {}", whose(&page)),
            Ok(Answer::Cached { dashboard, age, .. }) => {
                format!("Cached, {}, {} old", whose(&dashboard), plain::time(age))
            }
            Err(CacheError::Empty { .. }) => "Empty".to_owned(),
            Err(CacheError::Expired { age, .. }) => format!("Expired, {} old", plain::time(age)),
        });
    }
    Ok(said)
}

/// Agrees with the model of a cache.
pub async fn cache(cx: Cx) -> Outcome {
    let line = |turn: &Turn| {
        let does = match turn.does {
            What::Good(takes) => format!("a load that succeeds after {takes} ms"),
            What::Bad(takes) => format!("a load that fails after {takes} ms"),
            What::Dropped(at) => format!("a load that is dropped after {at} ms"),
        };
        format!("after a wait of {} ms: {does}", turn.wait)
    };
    let play = async |turns: &[Turn]| {
        let (wanted, found) = (model(turns), played(&cx, turns).await?);
        let differs = wanted.iter().zip(&found).position(|(wanted, found)| wanted != found);
        Ok(differs.map_or(Ok(()), |at| {
            Err(Difference {
                headline: format!("load {} is wrong (time to live {TTL} ms)", at + 1),
                expected: wanted[at].clone(),
                observed: found[at].clone(),
            })
        }))
    };
    compare(&cx, 50, script, play, line).await
}
