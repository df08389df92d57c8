//! Slots, priorities, the limit and its task.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use grader_kit::{Cx, Outcome, ensure, ensure_eq, list, ms};
use level5::orchestrator::retry::NoJitter;
use level5::orchestrator::{Settings, Spec};
use tokio::time::sleep;

use super::fakes::{Ends, Server};
use super::{BATCH, Orchestrator, RUN, made, register, run, shown, spec, url, with};

fn nz(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN)
}

/// So many slots, now and later.
pub fn fixed(limit: usize) -> Settings {
    Settings { limit: nz(limit), lowest: nz(limit), highest: nz(limit), ..Settings::default() }
}

pub async fn never_more_than_the_limit(cx: Cx) -> Outcome {
    const HELP: &str = "every request takes a slot of the same line, whichever way it is asked for";
    let drawn = usize::try_from(cx.draw().between(2..=5)).unwrap_or(2);
    for (settings, limit) in [(Settings::default(), 6), (fixed(drawn), drawn), (fixed(300), 300)] {
        let server = Server::new(100);
        let orchestrator = with(&cx, &server, settings).await?;
        let count = limit * 3 + 2;
        let ids: Vec<String> = (0..count).map(|number| format!("r{number}")).collect();
        for id in &ids {
            register(&cx, &orchestrator, id, spec(id)).await?;
        }
        let (single, batch) = ids.split_at(count - limit.min(4));
        let all = async {
            let singles = join_all(single.iter().map(|id| orchestrator.run(id)));
            futures::join!(singles, orchestrator.run_batch(batch))
        };
        let call = cx.call(RUN, all).await?;
        ensure_eq!(server.most(), limit, "{count} requests, the limit is {limit}: how many were on their way at once"; help = HELP);
        ensure!(call.took == ms(400), "{count} requests of 100 ms took {} ms", call.took.as_millis(); expected = "400 ms", help = "who leaves a slot passes it on at once");
    }
    Ok(())
}

pub async fn priority_decides_who_is_next(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let server = Server::new(100);
    let orchestrator = with(&cx, &server, fixed(1)).await?;
    let mut line: Vec<(u8, String)> = Vec::new();
    // Three of each, so that both orders are always seen, wherever the first one is from.
    let mut priorities = [0, 1, 7, 200, 255].repeat(3);
    draw.shuffle(&mut priorities);
    for (number, priority) in priorities.into_iter().enumerate() {
        let id = format!("r{number}");
        register(&cx, &orchestrator, &id, Spec { priority, ..spec(&id) }).await?;
        line.push((priority, id));
    }
    cx.call(RUN, join_all(line.iter().map(|(_, id)| orchestrator.run(id)))).await?;
    // The first one finds a free slot.
    line[1..].sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
    let show = |line: &[(u8, String)]| {
        list(line.iter().map(|(priority, id)| format!("{id} of {priority}")))
    };
    let observed: Vec<_> = server
        .order()
        .into_iter()
        .map(|id| (line.iter().find(|it| it.1 == id).map_or(0, |it| it.0), id))
        .collect();
    ensure_eq!(show(&observed), show(&line), "one slot: in which order requests were sent"; help = "the highest priority first, and within it the first to arrive");
    a_shared_call_has_the_highest(&cx).await
}

/// A call that several callers wait for, of which the first has the lowest priority.
async fn a_shared_call_has_the_highest(cx: &Cx) -> Outcome {
    const HELP: &str = "a call has the highest priority of the callers that wait for it at the moment: tell the line when one comes or leaves";
    let mut draw = cx.draw();
    let (low, middle, high) = (draw.below(50), draw.between(60..=100), draw.between(110..=255));
    let priority = |number: u64| u8::try_from(number).unwrap_or(u8::MAX);
    // Whether the important caller stays, and whether another one as important stays.
    for (stays, another) in [(true, false), (false, false), (false, true)] {
        let server = Server::new(100);
        let orchestrator = with(cx, &server, fixed(1)).await?;
        for (id, of, rank) in [
            ("holds", "holds", high),
            ("low", "shared", low),
            ("middle", "middle", middle),
            ("high", "shared", high),
        ] {
            register(cx, &orchestrator, id, Spec { priority: priority(rank), ..spec(of) }).await?;
        }
        let later = async |at: u64, id: &str| {
            sleep(ms(at)).await;
            drop(orchestrator.run(id).await);
        };
        let callers = async {
            // Leaves before the slot is free.
            let leaves =
                tokio::time::timeout(ms(if stays { 10_000 } else { 50 }), later(30, "high"));
            let again = async {
                if another {
                    later(40, "high").await;
                }
            };
            let first = later(0, "holds");
            futures::join!(first, later(10, "low"), later(20, "middle"), leaves, again)
        };
        cx.call(RUN, callers).await?;
        let expected =
            if stays || another { "holds, shared, middle" } else { "holds, middle, shared" };
        let who = match (stays, another) {
            (true, _) => "joins its call",
            (false, true) => "joins its call and leaves, and another one stays",
            (false, false) => "joins its call and leaves it while both wait",
        };
        // That the callers share the call is what another criterion asks.
        let mut order = server.order();
        let mut seen = HashSet::new();
        order.retain(|id| seen.insert(id.clone()));
        ensure_eq!(list(order), expected, "one slot that is taken; a request of priority {low} waits, then another one of {middle}; then a caller of priority {high} {who}: what is sent in which order"; help = HELP);
    }
    ranks_between_two_attempts(cx).await
}

/// Callers that come and leave while a shared call waits for its next attempt, outside of the line.
async fn ranks_between_two_attempts(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    for stays in [true, false] {
        let server = Server::new(1000);
        let orchestrator = with(cx, &server, fixed(1)).await?;
        for (id, of, priority) in [
            ("low", "shared", 1),
            ("holds", "holds", 9),
            ("middle", "middle", 5),
            ("high", "shared", 9),
        ] {
            register(cx, &orchestrator, id, Spec { priority, ..spec(of) }).await?;
        }
        server.next(&url("shared"), [Ends::With(0, 503)]);
        let (comes, leaves) = (draw.between(300..=1400), draw.between(1450..=1490));
        let later = async |at: u64, id: &str| {
            sleep(ms(at)).await;
            drop(orchestrator.run(id).await);
        };
        let callers = async {
            // The wait of the shared call ends at 1500 ms; the slot is free at 2200 ms.
            let high =
                tokio::time::timeout(ms(if stays { 60_000 } else { leaves }), later(comes, "high"));
            futures::join!(later(0, "low"), later(1200, "holds"), later(1300, "middle"), high)
        };
        cx.call(RUN, callers).await?;
        if server.began(&url("shared")).iter().filter(|at| **at < 1200).count() != 1 {
            // That the callers share the call, and when it is sent again, is what other criteria ask.
            return Ok(());
        }
        let mut order = server.order();
        order.truncate(3);
        let third = if stays { "shared" } else { "middle" };
        ensure_eq!(order, ["shared", "holds", third], "one slot; a request of priority 1 fails at once and waits for 1500 ms; at {comes} ms a caller of priority 9 joins it{}; from 1200 ms on the slot is busy for a second, and from 1300 ms on a request of priority 5 waits: what is sent first", if stays { String::new() } else { format!(" and leaves at {leaves} ms") };
            help = "a call has the highest priority of the callers that wait for it, in each of its attempts");
    }
    Ok(())
}

pub async fn no_request_starves(cx: Cx) -> Outcome {
    let server = Server::new(1000);
    let orchestrator = with(&cx, &server, fixed(1)).await?;
    register(&cx, &orchestrator, "low", spec("low")).await?;
    for number in 0..40 {
        let id = format!("high{number}");
        register(&cx, &orchestrator, &id, Spec { priority: 9, ..spec(&id) }).await?;
    }
    // Before the low one, so that its slot is taken; then one more each 500 ms.
    let high = (0..40).map(|number| {
        let orchestrator = &orchestrator;
        async move {
            sleep(ms(500 * number)).await;
            drop(orchestrator.run(&format!("high{number}")).await);
        }
    });
    let low = async {
        sleep(ms(1)).await;
        drop(orchestrator.run("low").await);
    };
    cx.call(RUN, async { futures::join!(join_all(high), low) }).await?;
    let began = server.began(&url("low"));
    let ok = began.first().is_some_and(|at| (10_001..=11_001).contains(at));
    ensure!(ok, "one slot, always asked for by higher priorities; a request of priority 0 from 1 ms on was sent at {began:?}"; expected = "at the first free slot after 10 s of waiting: at 11000 ms", help = "the oldest goes first when it has waited for `most_wait`");
    keeps_its_age(&cx).await?;
    the_oldest_of_several(&cx).await
}

/// Callers that join and leave change the priority of a request that waits, and not since when it waits.
async fn keeps_its_age(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    for most_wait in [10_000, 1000 * draw.between(4..=20)] {
        let server = Server::new(1000);
        let settings = Settings { most_wait: ms(most_wait), ..fixed(1) };
        let orchestrator = with(cx, &server, settings).await?;
        let patient = |id: &str, priority| Spec { priority, timeout: ms(100_000), ..spec(id) };
        register(cx, &orchestrator, "low", patient("low", 0)).await?;
        // Other ids of the same request, each more important and less than the others.
        for (id, priority) in [("joins0", 2), ("joins1", 5), ("joins2", 8)] {
            register(cx, &orchestrator, id, patient("low", priority)).await?;
        }
        let count = most_wait / 500 + 20;
        for number in 0..count {
            let id = format!("high{number}");
            register(cx, &orchestrator, &id, patient(&id, 9)).await?;
        }
        let high = (0..count).map(|number| {
            let orchestrator = &orchestrator;
            async move {
                sleep(ms(500 * number)).await;
                drop(orchestrator.run(&format!("high{number}")).await);
            }
        });
        let mut moments: Vec<_> = (0..6).map(|_| draw.between(10..=most_wait - 100)).collect();
        moments.sort_unstable();
        let joins = (0..3_usize).map(|number| {
            let (orchestrator, comes) = (&orchestrator, moments[number]);
            let call = async move {
                sleep(ms(comes)).await;
                drop(orchestrator.run(&format!("joins{number}")).await);
            };
            tokio::time::timeout(ms(moments[5 - number]), call)
        });
        let low = async {
            sleep(ms(1)).await;
            drop(orchestrator.run("low").await);
        };
        let all = async { futures::join!(join_all(high), join_all(joins), low) };
        cx.call(RUN, all).await?;
        let began = server.began(&url("low"));
        let due = 1 + most_wait;
        let ok = began.first().is_some_and(|at| (due..=due + 1000).contains(at));
        ensure!(ok, "one slot, always asked for by requests of priority 9; a request of priority 0 waits from 1 ms on, with a `most_wait` of {most_wait} ms, and callers of the priorities 2, 5 and 8 join and leave its call at {moments:?} ms: it was sent at {began:?}"; expected = format!("at the first free slot from {due} ms on"), help = "a new rank is no new arrival: a member of the line keeps the moment since which it waits");
    }
    Ok(())
}

/// Requests of several priorities have all waited for too long.
async fn the_oldest_of_several(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    let server = Server::new(100);
    let orchestrator = with(cx, &server, Settings { most_wait: ms(3000), ..fixed(1) }).await?;
    let mut ids: Vec<(String, u8)> =
        (0..12_u8).map(|number| (format!("r{number}"), 20 * number)).collect();
    draw.shuffle(&mut ids);
    register(cx, &orchestrator, "holds", spec("holds")).await?;
    server.next(&url("holds"), [Ends::With(8000, 200)]);
    for (id, priority) in &ids {
        register(cx, &orchestrator, id, Spec { priority: *priority, ..spec(id) }).await?;
    }
    let waits = ids.iter().enumerate().map(|(number, (id, _))| {
        let orchestrator = &orchestrator;
        async move {
            sleep(ms(10 + number as u64)).await;
            drop(orchestrator.run(id).await);
        }
    });
    cx.call(RUN, async { futures::join!(orchestrator.run("holds"), join_all(waits)) }).await?;
    let expected: Vec<_> =
        ["holds"].into_iter().chain(ids.iter().map(|(id, _)| id.as_str())).collect();
    ensure_eq!(list(server.order()), list(expected), "one slot that is busy for 8 s, with a `most_wait` of 3 s; twelve requests of different priorities come one after the other within the first 22 ms: what is sent in which order"; help = "of those that have waited for `most_wait` the oldest goes first, whatever their priorities are");
    Ok(())
}

pub async fn adapts_the_limit(cx: Cx) -> Outcome {
    // How many requests in a minute, how many of them fail, their length, and the limit afterwards.
    let minutes: [(usize, usize, u64, usize); 13] = [
        (20, 0, 100, 7),
        (19, 0, 100, 7),
        (0, 0, 0, 7),
        (20, 5, 100, 6),
        (20, 1, 100, 6),
        (20, 0, 5001, 5),
        (25, 1, 100, 6),
        (12, 12, 100, 6),
        (12, 12, 100, 6),
        (20, 4, 100, 6),
        (20, 0, 2000, 6),
        (20, 0, 5000, 6),
        (20, 0, 1999, 7),
    ];
    for reads in [true, false] {
        follows_its_minutes(&cx, &minutes, reads).await?;
    }
    stays_within_its_bounds(&cx).await?;
    serves_the_line_at_once(&cx).await
}

/// A limit that is the lowest or the highest one already.
async fn stays_within_its_bounds(cx: &Cx) -> Outcome {
    for (limit, status) in [(2, 500), (10, 200)] {
        let server = Server::new(100);
        let orchestrator =
            with(cx, &server, Settings { limit: nz(limit), ..Settings::default() }).await?;
        for minute in 1..=2_u64 {
            let ids: Vec<String> = (0..20).map(|number| format!("m{minute}r{number}")).collect();
            for id in &ids {
                register(cx, &orchestrator, id, Spec { retryable: false, ..spec(id) }).await?;
                server.next(&url(id), [Ends::With(100, status)]);
            }
            cx.call(RUN, join_all(ids.iter().map(|id| orchestrator.run(id)))).await?;
            sleep(ms((minute * 60_000 + 1).saturating_sub(server.now()))).await;
            let seen = *orchestrator.limit().borrow();
            ensure_eq!(seen, limit, "the limit is {limit}, between 2 and 10, and a minute has 20 answers of status {status} after 100 ms each: the limit"; help = "`lowest` and `highest` are limits that may be reached, and not passed");
        }
    }
    Ok(())
}

/// With a reader of the limit from the start, and with none but for a moment at the end of each minute.
async fn follows_its_minutes(
    cx: &Cx,
    minutes: &[(usize, usize, u64, usize)],
    reads: bool,
) -> Outcome {
    let server = Server::new(100);
    let orchestrator = made(cx, &server).await?;
    let reader = reads.then(|| orchestrator.limit());
    let limit = || match &reader {
        Some(reader) => *reader.borrow(),
        None => *orchestrator.limit().borrow(),
    };
    let who = if reads { "with a reader from the start" } else { "read now and then" };
    ensure_eq!(limit(), 6, "the limit at first, {who}");
    for (minute, &(count, failures, length, expected)) in minutes.iter().enumerate() {
        sleep(ms(1)).await;
        let ids: Vec<String> = (0..count).map(|number| format!("m{minute}r{number}")).collect();
        for (number, id) in ids.iter().enumerate() {
            let once = Spec { retryable: false, ..spec(id) };
            register(cx, &orchestrator, id, once).await?;
            server.next(&url(id), [Ends::With(length, if number < failures { 500 } else { 200 })]);
        }
        cx.call(RUN, join_all(ids.iter().map(|id| orchestrator.run(id)))).await?;
        let at = u64::try_from(minute + 1).unwrap_or(1) * 60_000 + 1;
        sleep(ms(at.saturating_sub(server.now()))).await;
        ensure_eq!(limit(), expected, "a minute of {count} results, {failures} of them failures, {length} ms each: the limit, {who}"; help = "fewer than 20 results change nothing; one more above 95 % success and below 2 s, one less below 80 % or above 5 s. The limit changes whether it is read or not: `watch::Sender::send_replace`");
    }
    Ok(())
}

/// A limit that rises makes room for a request that waits.
async fn serves_the_line_at_once(cx: &Cx) -> Outcome {
    let server = Server::new(100);
    let orchestrator = made(cx, &server).await?;
    let ids: Vec<String> = (0..27).map(|number| format!("r{number}")).collect();
    let (before, across) = ids.split_at(20);
    for id in &ids {
        register(cx, &orchestrator, id, spec(id)).await?;
    }
    cx.call(RUN, join_all(before.iter().map(|id| orchestrator.run(id)))).await?;
    for id in across {
        server.next(&url(id), [Ends::With(20_000, 200)]);
    }
    sleep(ms(55_000 - server.now())).await;
    cx.call(RUN, join_all(across.iter().map(|id| orchestrator.run(id)))).await?;
    let began = across.last().map(|id| server.began(&url(id))).unwrap_or_default();
    let in_time = began.first().is_some_and(|at| (60_000..=60_010).contains(at));
    ensure!(in_time, "six requests of 20 s run from 55 s on, a seventh waits, and at 60 s the limit rises to 7: the seventh was sent at {began:?} ms"; expected = "at 60000 ms", help = "a limit that rises serves the line, as a slot does that becomes free");
    Ok(())
}

pub async fn refuses_bad_settings(cx: Cx) -> Outcome {
    let bad = [
        ("a limit below the lowest", Settings { limit: nz(1), ..Settings::default() }),
        ("a limit above the highest", Settings { limit: nz(11), ..Settings::default() }),
        ("a ttl of zero", Settings { ttl: Duration::ZERO, ..Settings::default() }),
    ];
    for (name, settings) in bad {
        let server = Server::new(1);
        let make = move || Orchestrator::new(server, settings, Arc::new(NoJitter)).is_err();
        let refused = cx.call_fn("Orchestrator::new", make).await?;
        ensure!(refused, "{name} is accepted"; expected = "an error");
    }
    let settings = Settings { capacity: nz(2), ..Settings::default() };
    let orchestrator = with(&cx, &Server::new(1), settings).await?;
    let zero = orchestrator.register("a", Spec { timeout: Duration::ZERO, ..spec("a") });
    ensure!(zero.is_err(), "a timeout of zero is accepted"; expected = "an error");
    for id in ["a", "b", "a"] {
        register(&cx, &orchestrator, id, spec(id)).await?;
    }
    ensure!(orchestrator.register("c", spec("c")).is_err(), "a third request is accepted with a capacity of 2"; expected = "an error");
    Ok(())
}

pub async fn a_panic_stays_local(cx: Cx) -> Outcome {
    let server = Server::new(10);
    let orchestrator = with(&cx, &server, fixed(1)).await?;
    for id in ["a", "b"] {
        register(&cx, &orchestrator, id, spec(id)).await?;
    }
    server.next(&url("a"), [Ends::Panic]);
    let ids = ["a", "b"].map(str::to_owned);
    let answers = cx.call(BATCH, orchestrator.run_batch(&ids)).await?.value;
    let answers: Vec<_> = answers.iter().map(|(_, answer)| shown(answer)).collect();
    ensure_eq!(answers, ["a panic", "answer 2 after 1 attempts"], "the transport panics for `a`, then answers for `b`; there is one slot"; help = "`catch_unwind` around a run; the slot is freed by a destructor");
    ensure_eq!(run(&cx, &orchestrator, "a").await?, "answer 3 after 1 attempts", "`a` again");
    // Beside its copy, which is old by now.
    sleep(ms(300_000)).await;
    server.next(&url("a"), [Ends::Panic]);
    ensure_eq!(run(&cx, &orchestrator, "a").await?, "a panic", "the transport panics for `a`, of which there is an old copy"; help = "an old copy stands in for a failure that may pass; a panic is a bug, which the caller has to see");
    Ok(())
}

pub async fn the_task_ends_with_the_last_handle(cx: Cx) -> Outcome {
    let before = cx.alive_tasks();
    let orchestrator = made(&cx, &Server::new(1)).await?;
    let clone = orchestrator.clone();
    drop(orchestrator);
    drop(clone);
    cx.settle().await;
    let left = cx.alive_tasks().saturating_sub(before);
    ensure!(left == 0, "{left} tasks run after the last handle is dropped"; expected = "none", help = "a task ends when its `AbortOnDropHandle` is dropped");
    // Before any attempt, and after some.
    let orchestrator = made(&cx, &Server::new(10)).await?;
    register(&cx, &orchestrator, "a", Spec { cacheable: false, ..spec("a") }).await?;
    for what in ["nothing was sent", "one request was sent", "two requests were sent"] {
        cx.pass(ms(120_000)).await;
        let before = cx.parks();
        cx.pass(ms(7 * 86_400_000)).await;
        let wakes = cx.parks() - before;
        ensure!(wakes < 100, "{what}, and then nothing happens for a week: the thread wakes up {wakes} times"; expected = "a few times, with the timers of the grader", help = "a minute without attempts changes no limit: let the task wait for the first attempt, and then for the end of its minute");
        run(&cx, &orchestrator, "a").await?;
    }
    Ok(())
}
