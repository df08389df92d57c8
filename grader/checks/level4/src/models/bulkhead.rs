//! `bulkhead::Bulkheads` against its model.

use std::collections::VecDeque;

use futures::future::join_all;
use grader_kit::{Cx, Draw, Fail, Outcome, ensure_eq, ms};
use level4::bulkhead::{Bulkheads, PoolConfig, PoolError};
use tokio::time::{Instant, sleep, timeout};

use crate::ops::nz;

const SCRIPTS: u64 = 300;
const LIMIT: u64 = 2000;

/// One call. Times in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Caller {
    arrives: u64,
    /// How long its operation takes.
    length: u64,
    /// How long after its arrival the call is dropped.
    patience: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    max: usize,
    queued: usize,
    timeout: Option<u64>,
}

fn script(draw: &mut Draw, count: u64) -> Vec<Caller> {
    let callers = (0..count).map(|_| Caller {
        arrives: draw.between(0..=40 * count),
        length: draw.between(1..=150),
        patience: draw.chance(25).then(|| draw.between(1..=200)),
    });
    callers.collect()
}

/// How each call ends, and when its operation began. `None` if two things happen in one millisecond: their order is
/// not promised.
fn model(settings: Settings, callers: &[Caller]) -> Option<Vec<String>> {
    let mut ends = vec![String::new(); callers.len()];
    let mut running: Vec<(usize, u64)> = Vec::new();
    let mut queue: VecDeque<usize> = VecDeque::new();
    for now in 0..=LIMIT {
        let mut events = 0;
        let mut free = 0;
        for (number, caller) in callers.iter().enumerate() {
            let since = |wait: Option<u64>| wait.is_some_and(|wait| caller.arrives + wait == now);
            let (runs, waits) = (
                running.iter().position(|it| it.0 == number),
                queue.iter().position(|it| *it == number),
            );
            let is_over = runs.is_some_and(|at| running[at].1 == now);
            let is_dropped = (runs.is_some() || waits.is_some()) && since(caller.patience);
            let is_late = waits.is_some() && since(settings.timeout);
            let end = match (is_over, is_dropped, is_late) {
                (false, false, false) => None,
                (true, false, false) => Some("value"),
                (false, true, false) => Some("dropped"),
                (false, false, true) => Some("no slot"),
                _ => return None,
            };
            if let Some(end) = end {
                events += 1;
                ends[number] += &format!("{end} at {now}");
                if let Some(at) = runs {
                    running.remove(at);
                    free += 1;
                } else {
                    queue.retain(|it| *it != number);
                }
            }
            if caller.arrives == now {
                events += 1;
                if running.len() < settings.max {
                    running.push((number, now + caller.length));
                    ends[number] = format!("began at {now}, ");
                } else if queue.len() < settings.queued {
                    queue.push_back(number);
                } else {
                    ends[number] = format!("full at {now}");
                }
            }
        }
        if events > 1 {
            return None;
        }
        if free > 0
            && let Some(next) = queue.pop_front()
        {
            running.push((next, now + callers[next].length));
            ends[next] = format!("began at {now}, ");
        }
    }
    Some(ends)
}

async fn play(pools: &Bulkheads, caller: Caller) -> String {
    let start = Instant::now();
    let now = || start.elapsed().as_millis();
    let began = std::cell::RefCell::new(String::new());
    sleep(ms(caller.arrives)).await;
    let op = || async {
        began.replace(format!("began at {}, ", now()));
        sleep(ms(caller.length)).await;
        Ok::<_, ()>(())
    };
    let run = timeout(ms(caller.patience.unwrap_or(LIMIT * 2)), pools.run("a", op));
    let end = match run.await {
        Ok(Ok(())) => "value".to_owned(),
        Ok(Err(PoolError::QueueFull { .. })) => "full".to_owned(),
        Ok(Err(PoolError::QueueTimeout(_))) => "no slot".to_owned(),
        Ok(Err(other)) => format!("{other:?}"),
        Err(_) => "dropped".to_owned(),
    };
    format!("{}{end} at {}", began.take(), now())
}

pub async fn bulkhead(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let seed = draw.seed();
    for number in 0..SCRIPTS {
        let settings = Settings {
            max: draw.index(3) + 1,
            queued: draw.index(4),
            timeout: draw.chance(50).then(|| draw.between(1..=120)),
        };
        let callers = script(&mut draw, 2 + number / 40);
        let Some(expected) = model(settings, &callers) else { continue };
        let pools = Bulkheads::new();
        let config = PoolConfig {
            max_concurrent: nz(settings.max),
            max_queued: settings.queued,
            queue_timeout: settings.timeout.map(ms),
        };
        pools
            .add("a", config)
            .map_err(|error| Fail::new(format!("{config:?} is refused: {error:?}")))?;
        let all = join_all(callers.iter().map(|caller| play(&pools, *caller)));
        let observed = cx.call("Bulkheads::run", all).await?.value;
        let headline = format!("script {number} of seed {seed}: {settings:?}, {callers:?}");
        ensure_eq!(observed.join("; "), expected.join("; "), "{headline}";
            help = "play it by hand: at each time, who runs, who waits, and who is the head of the queue?");
        let status = pools.status("a").map(|it| (it.running, it.queued));
        ensure_eq!(
            format!("{status:?}"),
            "Some((0, 0))",
            "{headline}: who runs and who waits at the end"
        );
    }
    Ok(())
}
