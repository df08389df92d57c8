//! Keys that are used again after their answer has expired.

use futures::future::join;
use grader_kit::{Cx, Fail, Outcome, ensure, ms};
use level3::idempotency::StoreConfig;
use tokio::time::sleep;

use super::{Bench, Seen, key, seen};
use crate::parts::nzu;

/// What makes a store look for keys that have expired.
#[derive(Debug, Clone, Copy)]
enum Look {
    Len,
    IsEmpty,
    Contains(&'static str),
    OtherKeys,
}

impl Look {
    const ALL: [Self; 5] =
        [Self::Len, Self::IsEmpty, Self::Contains("k"), Self::Contains("other"), Self::OtherKeys];

    async fn at(self, bench: &Bench) -> Outcome {
        match self {
            Self::Len => drop(bench.store.len()),
            Self::IsEmpty => drop(bench.store.is_empty()),
            Self::Contains(name) => drop(bench.store.contains(&key(name)?)),
            Self::OtherKeys => {
                for other in ["other", "a third one"] {
                    let _ = bench.ask(other, 1, 0, false).await?;
                }
            }
        }
        Ok(())
    }

    fn name(self) -> &'static str {
        match self {
            Self::Len => "len()",
            Self::IsEmpty => "is_empty()",
            Self::Contains("k") => "contains() of this key",
            Self::Contains(_) => "contains() of another key",
            Self::OtherKeys => "requests with other keys",
        }
    }
}

/// What a request gets, and a repeat of it after a look; the answer to the same key has expired just before, or there was
/// none.
async fn asked(
    cx: &Cx,
    look: Look,
    retention: u64,
    takes: u64,
    expired: bool,
) -> Result<[Seen; 2], Fail> {
    let bench = Bench::with(cx, StoreConfig { retention: ms(retention), capacity: nzu(2) });
    if expired {
        let _ = bench.ask("k", 1, 0, false).await?;
    }
    sleep(ms(retention + 1)).await;
    let repeat = async {
        sleep(ms(100)).await;
        look.at(&bench).await?;
        bench.ask("k", 1, 0, false).await
    };
    let (first, repeat) = join(bench.ask("k", 1, takes, false), repeat).await;
    Ok([seen(&first?), seen(&repeat?)])
}

/// A key whose answer has expired is a new key: its work runs once, whatever is left of the old answer.
pub async fn run_once_more(cx: &Cx) -> Outcome {
    let retention = cx.draw().between(1_000..=60_000);
    let is_replayed = |asked: &[Seen; 2]| match asked {
        [Seen::Stored(first, _), Seen::Stored(repeat, true)] => first == repeat,
        _ => false,
    };
    for look in Look::ALL {
        for takes in [0, 200] {
            // What a repeat gets of a key that was never used before is judged elsewhere.
            if !is_replayed(&asked(cx, look, retention, takes, false).await?) {
                continue;
            }
            let found = asked(cx, look, retention, takes, true).await?;
            let state = if takes == 0 { "it was answered again" } else { "its second work runs" };
            ensure!(
                is_replayed(&found),
                "the answer of a key has expired, {state}, and after {} a repeat makes a call of its own", look.name();
                expected = "the second answer, replayed: the customer pays once",
                observed = format!("the request got {:?}, the repeat {:?}", found[0], found[1]),
                help = "when a key is used again, its old time of expiry must not end the new entry: take it out, or compare the two"
            );
        }
    }
    Ok(())
}
