//! `single_flight::SingleFlight` against its model.

use futures::future::{join, join_all};
use grader_kit::{Cx, Draw, Outcome, ensure_eq, ms};
use level4::single_flight::SingleFlight;
use tokio::time::{sleep, timeout};

use crate::fetches::{Ends, Fetches};

const SCRIPTS: usize = 300;

/// A caller: when it comes, for which key, how long its work would take, whether it would fail, and when it
/// leaves, if it is not served before.
#[derive(Debug, Clone, Copy)]
struct Caller {
    at: u64,
    key: u64,
    length: u64,
    fails: bool,
    leaves: Option<u64>,
}

#[derive(Debug)]
struct Script {
    callers: Vec<Caller>,
    /// When which key is forgotten.
    forgets: Vec<(u64, u64)>,
}

/// Times are unique: the events of a script never meet in one millisecond. Comings are multiples of 10, ends of work
/// end with 1 to 3, leavings with 4 to 6 and forgettings with 8.
fn script(draw: &mut Draw, count: usize) -> Script {
    let mut callers = Vec::new();
    for number in 0..count {
        let at = 10 * (number as u64 + draw.below(2));
        let length = 10 * draw.below(20) + draw.between(1..=3);
        let leaves = draw.chance(40).then(|| at + 10 * draw.below(15) + draw.between(4..=6));
        let (key, fails) = (draw.below(2), draw.chance(25));
        callers.push(Caller { at, key, length, fails, leaves });
    }
    // Those that come in one millisecond are polled in the order of the list.
    callers.sort_by_key(|caller| caller.at);
    let forgets = (0..draw.below(3))
        .map(|_| (10 * draw.below(count as u64 + 5) + 8, draw.below(2)))
        .collect();
    Script { callers, forgets }
}

/// A run of the model.
#[derive(Debug, Clone)]
struct Run {
    key: u64,
    began: u64,
    over: u64,
    fails: bool,
    callers: Vec<usize>,
    ended: bool,
    forgotten: bool,
}

/// For each caller, when it got what, or nothing if it left.
type Got = Vec<Option<(u64, Result<String, String>)>>;

/// Millisecond by millisecond.
fn model(script: &Script) -> (Got, Vec<u64>) {
    let mut got: Got = vec![None; script.callers.len()];
    let mut runs: Vec<Run> = Vec::new();
    for now in 0..2_000 {
        for (number, run) in runs.iter_mut().enumerate() {
            if !run.ended && run.over == now {
                run.ended = true;
                let text = format!("run {}", number + 1);
                for caller in &run.callers {
                    got[*caller] =
                        Some((now, if run.fails { Err(text.clone()) } else { Ok(text.clone()) }));
                }
            }
            let callers = &script.callers;
            let left = |caller: usize| callers[caller].leaves == Some(now);
            if !run.ended {
                run.callers.retain(|caller| !left(*caller));
                run.ended = run.callers.is_empty();
            }
        }
        for (_, key) in script.forgets.iter().filter(|(at, _)| *at == now) {
            for run in runs.iter_mut().filter(|run| run.key == *key) {
                run.forgotten = true;
            }
        }
        for (number, caller) in script.callers.iter().enumerate().filter(|(_, it)| it.at == now) {
            let open = |run: &&mut Run| run.key == caller.key && !run.ended && !run.forgotten;
            match runs.iter_mut().find(open) {
                Some(run) => run.callers.push(number),
                None => runs.push(Run {
                    key: caller.key,
                    began: now,
                    over: now + caller.length,
                    fails: caller.fails,
                    callers: vec![number],
                    ended: false,
                    forgotten: false,
                }),
            }
        }
    }
    let began = runs.iter().map(|run| run.began).collect();
    (got, began)
}

pub async fn single_flight(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let seed = draw.seed();
    for number in 0..SCRIPTS {
        let script = script(&mut draw, 1 + number / 25);
        let flight: SingleFlight<u64, String, String> = SingleFlight::new();
        let record = Fetches::new();
        let calls = script.callers.iter().map(|caller| {
            let (flight, record) = (&flight, &record);
            async move {
                sleep(ms(caller.at)).await;
                let ends = if caller.fails { Ends::Error } else { Ends::Value };
                let call = flight.run(caller.key, record.work(caller.length, ends));
                let patience = caller.leaves.map_or(5_000, |leaves| leaves - caller.at);
                let answer = timeout(ms(patience), call).await.ok()?;
                Some((record.now(), answer))
            }
        });
        let forgets = join_all(script.forgets.iter().map(|(at, key)| {
            let flight = &flight;
            async move {
                sleep(ms(*at)).await;
                flight.forget(key);
            }
        }));
        let (observed, _) =
            cx.call("SingleFlight::run", join(join_all(calls), forgets)).await?.value;
        let (expected, began) = model(&script);
        let help = "which run does each caller join, who is left in it, and when is it over?";
        ensure_eq!(observed, expected, "script {number} of seed {seed}: what each caller gets, and when, of {script:?}";
            help = help);
        let called: Vec<_> = record.seen().iter().map(|run| run.called).collect();
        ensure_eq!(called, began, "script {number} of seed {seed}: when runs begin, of {script:?}"; help = help);
    }
    Ok(())
}
