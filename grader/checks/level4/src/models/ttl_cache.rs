//! `ttl_cache::TtlCache` against its model.

use std::collections::BTreeMap;

use futures::future::join_all;
use grader_kit::{Cx, Draw, Fail, Outcome, ensure_eq, ms};
use level4::ttl_cache::{Config, Hit, TtlCache};
use tokio::time::{sleep, timeout};

use crate::fetches::{Ends, Fetches};
use crate::ops::nz;

const SCRIPTS: usize = 300;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// `get_or_fetch` with a fetch of this length, by a caller that leaves at this time.
    Ask {
        length: u64,
        fails: bool,
        leaves: Option<u64>,
    },
    Get,
    Put,
    Invalidate,
}

#[derive(Debug)]
struct Script {
    capacity: usize,
    ttl: u64,
    stale_for: u64,
    /// Each with its time and its key.
    steps: Vec<(u64, u8, Step)>,
}

/// No two events of a script meet in one millisecond: steps begin at multiples of 50, one at each. The fetch of step
/// 7 ends 7 ms after a multiple, and its caller leaves 32 ms after one.
///
/// Either room is scarce or time is, never both: which of two values goes first, one that is gone by its age or one
/// that was not used for longer, is not asked.
fn script(draw: &mut Draw, count: usize) -> Script {
    let scarce = draw.chance(40);
    let (capacity, ttl, stale_for) = if scarce {
        (1 + draw.index(3), 1_000_000, 0)
    } else {
        (10, draw.between(25..=750), *draw.pick(&[0, 1, 200, 500]))
    };
    let mut at = 0;
    let steps = (1..=count.min(24) as u64).map(|number| {
        at += 50 * draw.between(1..=6);
        let step = match draw.below(10) {
            0..=5 => Step::Ask {
                length: 50 * draw.below(12) + number,
                fails: draw.chance(20),
                leaves: draw.chance(30).then(|| at + 50 * draw.below(10) + 25 + number),
            },
            6 | 7 => Step::Get,
            8 => Step::Put,
            _ => Step::Invalidate,
        };
        (at, u8::try_from(draw.below(if scarce { 5 } else { 2 })).unwrap_or_default(), step)
    });
    Script { capacity, ttl, stale_for, steps: steps.collect() }
}

struct Value {
    text: String,
    arrived: u64,
    used: u64,
}

struct Run {
    key: u8,
    over: u64,
    fails: bool,
    callers: Vec<usize>,
    ended: bool,
    obsolete: bool,
}

#[derive(Default)]
struct Model {
    values: BTreeMap<u8, Value>,
    runs: Vec<Run>,
    uses: u64,
}

impl Model {
    fn keep(&mut self, key: u8, text: String, now: u64, capacity: usize) {
        self.uses += 1;
        self.values.insert(key, Value { text, arrived: now, used: self.uses });
        if self.values.len() > capacity {
            let oldest =
                self.values.iter().min_by_key(|(_, value)| value.used).map(|(key, _)| *key);
            oldest.and_then(|key| self.values.remove(&key));
        }
    }

    fn changed(&mut self, key: u8) {
        self.runs.iter_mut().filter(|run| run.key == key).for_each(|run| run.obsolete = true);
    }

    /// The text of a value that is younger than `limit`. A use of it.
    fn read(&mut self, key: u8, now: u64, limit: u64, ttl: u64) -> Option<String> {
        let value = self.values.get_mut(&key)?;
        let age = now - value.arrived;
        if age >= limit {
            return None;
        }
        self.uses += 1;
        value.used = self.uses;
        let fresh = if age < ttl { "fresh" } else { "stale" };
        Some(format!("{}, {age} ms old, {fresh}", value.text))
    }
}

/// What each step yields, and when. Nothing for a caller that leaves.
type Yields = Vec<Option<(u64, String)>>;

fn model(script: &Script) -> Yields {
    let mut yields: Yields = vec![None; script.steps.len()];
    let mut model = Model::default();
    let (ttl, readable) = (script.ttl, script.ttl + script.stale_for);
    for now in 0..9_000 {
        for number in 0..model.runs.len() {
            let run = &mut model.runs[number];
            if run.ended {
                continue;
            }
            run.callers.retain(|caller| {
                !matches!(script.steps[*caller].2, Step::Ask { leaves: Some(leaves), .. } if leaves == now)
            });
            run.ended = run.callers.is_empty() || run.over == now;
            if run.over != now || run.callers.is_empty() {
                continue;
            }
            let text = format!("run {}", number + 1);
            let shown = if run.fails {
                format!("the error of {text}")
            } else {
                format!("{text}, 0 ms old, fresh")
            };
            for caller in &run.callers {
                yields[*caller] = Some((now, shown.clone()));
            }
            let (key, wanted) = (run.key, !run.fails && !run.obsolete);
            if wanted {
                model.keep(key, text, now, script.capacity);
            }
        }
        let Some(number) = script.steps.iter().position(|(at, ..)| *at == now) else { continue };
        let (_, key, step) = script.steps[number];
        yields[number] = match step {
            Step::Get => {
                let found = model.read(key, now, readable, ttl);
                Some((now, found.unwrap_or_else(|| "nothing".to_owned())))
            }
            Step::Put => {
                model.changed(key);
                model.keep(key, format!("put {number}"), now, script.capacity);
                Some((now, String::new()))
            }
            Step::Invalidate => {
                model.changed(key);
                model.values.remove(&key);
                Some((now, String::new()))
            }
            Step::Ask { length, fails, .. } => {
                let found = model.read(key, now, ttl, ttl);
                if found.is_none() {
                    let open = |run: &&mut Run| run.key == key && !run.ended && !run.obsolete;
                    match model.runs.iter_mut().find(open) {
                        Some(run) => run.callers.push(number),
                        None => model.runs.push(Run {
                            key,
                            over: now + length,
                            fails,
                            callers: vec![number],
                            ended: false,
                            obsolete: false,
                        }),
                    }
                }
                found.map(|text| (now, text))
            }
        };
    }
    yields
}

fn shown(hit: &Hit<String>) -> String {
    let fresh = if hit.fresh { "fresh" } else { "stale" };
    format!("{}, {} ms old, {fresh}", hit.value, hit.age.as_millis())
}

pub async fn ttl_cache(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let seed = draw.seed();
    for number in 0..SCRIPTS {
        let script = script(&mut draw, 1 + number / 15);
        let config = Config {
            capacity: nz(script.capacity),
            ttl: ms(script.ttl),
            stale_for: ms(script.stale_for),
        };
        let cache: TtlCache<u8, String, String> = TtlCache::new(config)
            .map_err(|error| Fail::new(format!("{config:?} is refused: {error:?}")))?;
        let record = Fetches::new();
        let steps = script.steps.iter().enumerate().map(|(number, (at, key, step))| {
            let (cache, record) = (&cache, &record);
            async move {
                sleep(ms(*at)).await;
                let text = match step {
                    Step::Get => {
                        cache.get(key).as_ref().map_or_else(|| "nothing".to_owned(), shown)
                    }
                    Step::Put => {
                        cache.put(*key, format!("put {number}"));
                        String::new()
                    }
                    Step::Invalidate => {
                        cache.invalidate(key);
                        String::new()
                    }
                    Step::Ask { length, fails, leaves } => {
                        let ends = if *fails { Ends::Error } else { Ends::Value };
                        let asked = cache.get_or_fetch(*key, record.work(*length, ends));
                        let patience = leaves.map_or(5_000, |leaves| leaves - at);
                        match timeout(ms(patience), asked).await.ok()? {
                            Ok(hit) => shown(&hit),
                            Err(error) => format!("the error of {error}"),
                        }
                    }
                };
                Some((record.now(), text))
            }
        });
        let observed = cx.call("TtlCache", join_all(steps)).await?.value;
        ensure_eq!(observed, model(&script), "script {number} of seed {seed}: what each step yields, and when, of {script:?}";
            help = "at each step: what is kept, how old is it, which fetches are on their way, and is their value still wanted?");
    }
    Ok(())
}
