//! Shutdown, drops, panics, and what is left afterwards.

use std::num::NonZeroU32;
use std::pin::pin;

use futures::FutureExt as _;
use futures::future::join;
use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms, scarce};
use level5::event_processor::retry::Backoff;
use level5::event_processor::{Ack, Config, End, EventId, Rejected};
use level5::priority_queue::Priority;
use tokio::time::sleep;

use super::fakes::{Answer, Book, Services};
use super::{
    INGEST, REDRIVE, SHUTDOWN, accept, accept_all, event, figures, ids, keyed, nz, one_by_one,
    start,
};

pub async fn shuts_down_in_order(cx: Cx) -> Outcome {
    const HELP: &str = "refuse events, send what is queued without waiting for full batches, let retries keep their waits, and stop at the deadline";
    for deadline in [10_000, 3000, 500, 0] {
        let (services, book) = (Services::new(&cx, 200), Book::new(&cx));
        // The first waits for a retry, due 1 s after its answer; the second takes 2 s.
        services.next(
            "one",
            [(0, Answer::Acks(vec![Ack::Retry("busy".to_owned())])), (2000, Answer::All)],
        );
        let config =
            Config { batch_size: nz(1), flush: ms(0), batches_in_flight: nz(1), ..one_by_one() };
        let processor = start(&cx, config, &services, &book).await?;
        accept(&cx, &processor, event("retry", "one", Priority::Low)).await?;
        sleep(ms(1)).await;
        accept(&cx, &processor, event("flies", "one", Priority::Low)).await?;
        sleep(ms(1)).await;
        accept_all(&cx, &processor, ids("e", 5), "one", Priority::Low).await?;
        sleep(ms(1)).await;
        // It flies until 2001 ms; six events of 200 ms follow.
        let call = cx.call(SHUTDOWN, processor.shutdown(ms(deadline))).await?;
        let (report, took) = (call.value, call.took.as_millis());
        let all = ms(2001 + 6 * 200 - 3).as_millis();
        let expected = all.min(u128::from(deadline));
        ensure!(took.abs_diff(expected) <= 3, "5 events are queued, one is on its way and one waits for another attempt; a shutdown with a deadline of {deadline} ms takes {took} ms"; expected = format!("{expected} ms: until all has ended, or until the deadline"), help = HELP);
        let left: Vec<_> = report.left.iter().map(ToString::to_string).collect();
        let mut reported = left.clone();
        reported.sort();
        let mut pending = book.pending();
        pending.sort();
        ensure!(reported == pending && report.metrics.delivered as usize + left.len() == 7, "a shutdown with a deadline of {deadline} ms reports {} delivered, and left {left:?}; the journal holds {:?}", report.metrics.delivered, book.pending(); expected = "each of 7 events is delivered or left, and those left are in the journal", help = HELP);
        ensure_eq!(
            left,
            book.pending(),
            "the events that a shutdown has left, in the order in which they were accepted"
        );
        ensure!(deadline != 10_000 || left.is_empty(), "there is time for everything, and {left:?} are left"; expected = "none", help = HELP);
        let before = services.count();
        cx.pass(ms(86_400_000)).await;
        ensure!(services.count() == before && services.running() == 0, "a day after a shutdown {} batches more were sent, and {} are on their way", services.count() - before, services.running(); expected = "none", help = HELP);
    }
    // Events that wait for a full batch go at once.
    let (services, book) = (Services::new(&cx, 10), Book::new(&cx));
    let config = Config { batch_size: nz(100), flush: ms(5000), ..one_by_one() };
    let processor = start(&cx, config, &services, &book).await?;
    accept_all(&cx, &processor, ids("e", 7), "one", Priority::Low).await?;
    let call = cx.call(SHUTDOWN, processor.shutdown(ms(60_000))).await?;
    ensure!(call.took <= ms(12) && call.value.metrics.delivered == 7, "a shutdown with 7 events that wait for a full batch takes {} ms, and {} are delivered", call.took.as_millis(), call.value.metrics.delivered; expected = "10 ms, the time of one batch, and 7", help = HELP);
    // An event that is being written to the journal meanwhile.
    let (services, book) = (Services::new(&cx, 10), Book::new(&cx));
    let processor = start(&cx, one_by_one(), &services, &book).await?;
    book.takes(100, 0);
    let late = async {
        sleep(ms(10)).await;
        processor.shutdown(ms(60_000)).await
    };
    let both = join(processor.ingest(event("written", "one", Priority::Low)), late);
    let (answer, report) = cx.call(SHUTDOWN, both).await?.value;
    sleep(ms(1000)).await;
    let (times, left) = (services.times("written"), report.left.len());
    ensure!(times == usize::from(answer.is_ok()) && left == 0 && !book.holds("written"), "a shutdown with time for everything begins while the journal writes an event: ingest returns {answer:?}, the event was sent {times} times, and the report leaves {left} events";
        expected = "an event that is accepted is delivered: there is time", help = "the shutdown has ended when no place is taken: an event that is written to the journal has one");
    keeps_the_waits(&cx).await?;
    names_what_is_being_written(&cx).await?;
    super::closes::a_dropped_call_stops_nothing(&cx).await?;
    super::closes::the_earliest_deadline_counts(&cx).await
}

/// Events that wait for another attempt when the shutdown begins, with time for it and without.
async fn keeps_the_waits(cx: &Cx) -> Outcome {
    const HELP: &str = "a shutdown takes no pause away from a service: what waits for another attempt goes at its time, and what has its time after the deadline is left";
    let mut draw = cx.draw();
    for keyed_too in [false, true] {
        let (wait, begins) = (draw.between(400..=20_000), draw.between(10..=300));
        for (deadline, attempts) in [(4 * wait, 3), (wait + wait / 2, 2), ((wait - begins) / 2, 1)]
        {
            let (services, book) = (Services::new(cx, 0), Book::new(cx));
            let busy = || Answer::Acks(vec![Ack::Retry("busy".to_owned())]);
            services.next("one", [(0, busy()), (0, Answer::unavailable())]);
            let retry =
                Backoff::new(ms(wait), 2.0, ms(2 * wait), NonZeroU32::MIN.saturating_add(2));
            let config = Config { retry: retry.unwrap_or_default(), ..one_by_one() };
            let processor = start(cx, config, &services, &book).await?;
            let began = cx.timeline().now_ms();
            accept(cx, &processor, keyed("again", "one", Priority::High, "k")).await?;
            sleep(ms(begins)).await;
            if keyed_too {
                accept(cx, &processor, keyed("behind", "two", Priority::High, "k")).await?;
            }
            let call = cx.call(SHUTDOWN, processor.shutdown(ms(deadline))).await?;
            let sent: Vec<_> = services.to("one").iter().map(|(at, _)| at - began).collect();
            let expected = &[0, wait, 3 * wait][..attempts];
            let what = format!(
                "an event whose attempts fail twice waits {wait} ms and then {} ms, and {begins} ms after the first attempt a shutdown begins, with a deadline of {deadline} ms",
                2 * wait
            );
            ensure_eq!(sent, expected, "{what}: its attempts, in ms"; help = HELP);
            let all: &[&str] = if keyed_too { &["again", "behind"] } else { &["again"] };
            let left: Vec<_> = call.value.left.iter().map(ToString::to_string).collect();
            let expected = if attempts == 3 { &[][..] } else { all };
            ensure_eq!(left, expected, "{what}: the events that are left"; help = HELP);
            let dead = call.value.metrics.dead;
            ensure_eq!(dead, 0, "{what}: the dead letters"; help = HELP);
        }
    }
    Ok(())
}

/// A shutdown whose deadline passes while the journal writes.
async fn names_what_is_being_written(cx: &Cx) -> Outcome {
    const HELP: &str = "keep what is being written where the report finds it, from its admission until the journal has answered: a process that ends now may leave it in the journal";
    let (services, book) = (Services::new(cx, 10), Book::new(cx));
    services.next("hangs", [(0, Answer::Hang)]);
    let processor = start(cx, one_by_one(), &services, &book).await?;
    // Neither is there any more: the journal refuses one, and has forgotten the other.
    book.fails(1, 0);
    drop(cx.call(INGEST, processor.ingest(event("refused", "one", Priority::Low))).await?);
    book.takes(100, 0);
    let call = processor.ingest(event("withdrawn", "one", Priority::Low));
    drop(cx.call(INGEST, tokio::time::timeout(ms(50), call)).await?);
    sleep(ms(50)).await;
    book.takes(0, 0);
    accept(cx, &processor, event("hangs", "hangs", Priority::Low)).await?;
    let deadline = cx.draw().between(100..=900);
    book.takes(1000, 0);
    let writes = async {
        let writes = processor.ingest(event("first", "one", Priority::Low));
        let second = async {
            sleep(ms(10)).await;
            processor.ingest(event("second", "one", Priority::Critical)).await
        };
        join(writes, second).await
    };
    let closes = async {
        sleep(ms(20)).await;
        let report = processor.shutdown(ms(deadline)).await;
        report.left.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let ((first, second), left) = cx.call(SHUTDOWN, join(writes, closes)).await?.value;
    let accepted = ["first", "second"].into_iter().zip([first.is_ok(), second.is_ok()]);
    let accepted = accepted.filter_map(|(id, ok)| ok.then_some(id));
    let expected: Vec<_> = ["hangs"].into_iter().chain(accepted).collect();
    ensure_eq!(left, expected, "one event hangs, and the journal writes two others for a second, when a shutdown has its deadline after {deadline} ms; their calls return {first:?} and {second:?}: the events that the report names"; help = HELP);
    Ok(())
}

pub async fn refuses_after_shutdown(cx: Cx) -> Outcome {
    const HELP: &str =
        "close first, then end what is there; a call that waits for room is refused too";
    let before = cx.alive_tasks();
    let (services, book) = (Services::new(&cx, 100), Book::new(&cx));
    let config = Config { threshold: nz(1), critical_reserve: 0, ..one_by_one() };
    services.next("one", [(0, Answer::Acks(vec![Ack::Reject("no".to_owned())]))]);
    let processor = start(&cx, config, &services, &book).await?;
    accept(&cx, &processor, event("dead", "one", Priority::Low)).await?;
    sleep(ms(10)).await;
    services.next("one", [(0, Answer::Hang)]);
    accept(&cx, &processor, event("hangs", "one", Priority::Low)).await?;
    let waits = processor.ingest(event("waits", "one", Priority::Critical));
    let both = join(waits, async {
        sleep(ms(5)).await;
        let mut closing = pin!(processor.shutdown(ms(1000)));
        let early = (&mut closing).now_or_never().is_some();
        let mut answers = Vec::new();
        for priority in Priority::ALL {
            answers.push(processor.ingest(event("new", "one", priority)).await);
        }
        let ids = [EventId::new("dead")];
        let redriven = [processor.redrive(&ids).await, processor.redrive(&[]).await];
        (early, answers, redriven, closing.await)
    });
    let (waited, (early, answers, redriven, _)) = cx.call(SHUTDOWN, both).await?.value;
    ensure!(waited == Err(Rejected::Closed), "a critical event waits for room, and the processor is shut down: {waited:?}"; expected = "Closed", help = HELP);
    ensure!(!early, "a shutdown with a deadline of 1 s returns at once, while an event is on its way"; expected = "it waits");
    ensure!(answers.iter().all(|it| *it == Err(Rejected::Closed)), "events come while the processor shuts down: {answers:?}"; expected = "Closed", help = HELP);
    ensure!(redriven.iter().all(|it| *it == Err(Rejected::Closed)), "a dead letter is to be sent again while the processor shuts down, and then none: {redriven:?}"; expected = "Closed, both times", help = HELP);
    for again in 0..2 {
        let call = cx.call(SHUTDOWN, processor.shutdown(ms(5000))).await?;
        let left: Vec<_> = call.value.left.iter().map(ToString::to_string).collect();
        ensure!(call.took == ms(0) && left == ["hangs"], "shutdown is called {} times: it takes {} ms and leaves {left:?}", again + 2, call.took.as_millis(); expected = "0 ms, and the same report");
    }
    let late = cx.call(INGEST, processor.ingest(event("late", "one", Priority::Low))).await?.value;
    ensure!(late == Err(Rejected::Closed), "an event comes after the shutdown: {late:?}"; expected = "Closed", help = HELP);
    let redriven = cx.call(REDRIVE, processor.redrive(&[EventId::new("dead")])).await?.value;
    ensure!(redriven == Err(Rejected::Closed), "a dead letter is to be sent again after the shutdown: {redriven:?}"; expected = "Closed");
    cx.settle().await;
    let alive = cx.alive_tasks().saturating_sub(before);
    ensure!(alive == 0, "the processor is shut down, and {alive} of its tasks are left"; expected = "none");
    ensure!(services.running() == 0, "the processor is shut down, and {} batches are on their way", services.running(); expected = "none: their futures are dropped");
    Ok(())
}

pub async fn dropping_it_stops_everything(cx: Cx) -> Outcome {
    const HELP: &str = "the processor owns its tasks: its destructor stops them, and with them all that they have started";
    let before = cx.alive_tasks();
    let (services, book) = (Services::new(&cx, 5000), Book::new(&cx));
    services.next("two", [(0, Answer::Hang)]);
    services.next("three", [(0, Answer::Acks(vec![Ack::Retry("busy".to_owned())]))]);
    let processor = start(&cx, Config { flush: ms(100), ..one_by_one() }, &services, &book).await?;
    for to in ["one", "two", "three"] {
        accept_all(&cx, &processor, ids(to, 4), to, Priority::Medium).await?;
    }
    sleep(ms(500)).await;
    let metrics = processor.metrics();
    cx.call_fn("drop", move || drop(processor)).await?;
    cx.settle().await;
    let alive = cx.alive_tasks().saturating_sub(before);
    ensure!(alive == 0 && services.running() == 0, "the processor is dropped: {alive} of its tasks are left, and {} batches are on their way", services.running(); expected = "none", help = HELP);
    let count = services.count();
    cx.pass(ms(86_400_000)).await;
    ensure!(services.count() == count, "a day after the processor was dropped {} batches more were sent", services.count() - count; expected = "none", help = HELP);
    ensure!(book.pending().len() == 12 - usize::try_from(metrics.borrow().delivered).unwrap_or_default(), "12 events were accepted and the processor was dropped: the journal holds {:?}", book.pending(); expected = "all that were not delivered");
    Ok(())
}

pub async fn a_panic_stays_local(cx: Cx) -> Outcome {
    const HELP: &str = "catch a panic of the sink where it is called, also before it has returned its future: the attempt has failed";
    let (services, book) = (Services::new(&cx, 10), Book::new(&cx));
    services.next("one", [(0, Answer::Panic), (20, Answer::Panic)]);
    // Acknowledgements that do not fit.
    services.next("short", [(0, Answer::Acks(Vec::new())), (0, Answer::Acks(vec![Ack::Ok]))]);
    services.next("long", [(0, Answer::Acks(vec![Ack::Ok; 9]))]);
    let config = Config { batch_size: nz(2), ..one_by_one() };
    let processor = start(&cx, config, &services, &book).await?;
    for to in ["one", "two", "short", "long"] {
        accept_all(&cx, &processor, ids(to, 2), to, Priority::High).await?;
    }
    sleep(ms(5)).await;
    ensure!(services.times("two0") == 1, "the sink panics for one service, and the event of another one was sent {} times", services.times("two0"); expected = "once", help = HELP);
    sleep(ms(20_000)).await;
    for (id, times, why) in [
        ("one0", 3, "the sink panics twice"),
        ("short1", 3, "a service acknowledges none of two events, and then one"),
        ("long1", 1, "a service has 9 acknowledgements for two events"),
    ] {
        let ends = book.ends_of(id);
        ensure!(services.times(id) == times && matches!(ends.as_slice(), [(_, End::Delivered)]), "{why}: event {id} was sent {} times, and its ends are {ends:?}", services.times(id); expected = format!("{times} times, and Delivered"), help = HELP);
    }
    ensure!(figures(&processor).delivered == 8 && figures(&processor).pending() == 0, "after panics of the sink {} of 8 events are delivered, and {} pending", figures(&processor).delivered, figures(&processor).pending(); expected = "8, and none", help = HELP);
    Ok(())
}

pub async fn a_dropped_ingest_is_withdrawn(cx: Cx) -> Outcome {
    const HELP: &str = "a guard with a destructor holds the place and the id from the admission to the acceptance; the journal is told `Withdrawn` later, by the processor's task";
    let (services, book) = (Services::new(&cx, 0), Book::new(&cx));
    let config = Config { threshold: nz(2), critical_reserve: 0, ..one_by_one() };
    let processor = start(&cx, config, &services, &book).await?;
    drop(processor.ingest(event("never", "one", Priority::Low)));
    for (round, dropped_at) in [40_u64, 1, 99].into_iter().enumerate() {
        book.takes(100, 0);
        let id = format!("e{round}");
        let gone = async {
            let call = processor.ingest(event(&id, "one", Priority::High));
            tokio::time::timeout(ms(dropped_at), call).await.is_err()
        };
        let gone = cx.call(INGEST, gone).await?.value;
        ensure!(gone, "the journal takes 100 ms, and ingest is ready before {dropped_at} ms");
        sleep(ms(1000)).await;
        ensure!(services.times(&id) == 0 && figures(&processor).accepted == round as u64 * 2, "a call of ingest was dropped while the journal wrote: its event was sent {} times, and {} are accepted", services.times(&id), figures(&processor).accepted; expected = "it is neither sent nor counted", help = HELP);
        ensure!(!book.holds(&id), "a call of ingest was dropped while the journal wrote, and the journal holds its event"; expected = "it is asked to forget it", help = HELP);
        ensure!(matches!(book.ends_of(&id).as_slice(), [(_, End::Withdrawn)]), "a call of ingest was dropped while the journal wrote, and the journal was told {:?}", book.ends_of(&id); expected = "Withdrawn", help = HELP);
        // Its place and its id are free.
        book.takes(0, 0);
        for id in [id, format!("f{round}")] {
            accept(&cx, &processor, event(&id, "one", Priority::Low)).await?;
        }
        sleep(ms(50)).await;
    }
    ensure!(services.times("e0") == 1 && services.times("never") == 0, "events that came again after a dropped call were sent {} times", services.times("e0"); expected = "once");
    // While the journal records it, from 40 to 240 ms, the id is taken: the end would be recorded for another event.
    book.takes(100, 200);
    let call = processor.ingest(event("slow", "one", Priority::Low));
    let gone = cx.call(INGEST, tokio::time::timeout(ms(40), call)).await?.value.is_err();
    sleep(ms(50)).await;
    let early = cx.call(INGEST, processor.ingest(event("slow", "one", Priority::Low))).await?.value;
    ensure!(gone && early == Err(Rejected::Duplicate), "a call of ingest was dropped, the journal is being told `Withdrawn`, and the event comes again: {early:?}"; expected = "Duplicate, until the journal was told", help = "give place and id back when `done` has returned");
    sleep(ms(1000)).await;
    accept(&cx, &processor, event("slow", "one", Priority::Low)).await?;
    sleep(ms(1000)).await;
    ensure_eq!(services.times("slow"), 1, "how often the event was sent that came again when the journal was told"; help = HELP);
    Ok(())
}

pub async fn idle_costs_nothing(cx: Cx) -> Outcome {
    let (services, book) = (Services::new(&cx, 10), Book::new(&cx));
    let processor = start(&cx, Config::default(), &services, &book).await?;
    accept(&cx, &processor, event("e", "one", Priority::Low)).await?;
    // A loop that looks every ten seconds looks twelve million times in this time.
    cx.pass(ms(200 * 7 * 86_400_000)).await;
    ensure!(
        figures(&processor).delivered == 1,
        "an event came four years ago and is not delivered"
    );
    accept(&cx, &processor, event("f", "one", Priority::Low)).await?;
    sleep(ms(6000)).await;
    ensure!(
        figures(&processor).delivered == 2,
        "after four years without events a new one is not delivered"
    );
    Ok(())
}

pub async fn keeps_nothing_of_what_has_ended(cx: Cx) -> Outcome {
    let (services, book) = (
        Services::scripted(&cx, |to, events| {
            // Services of which each is called once, and of which some fail.
            if ["20", "40", "80", "00"].iter().any(|end| to.ends_with(end)) {
                return (1, Answer::unavailable());
            }
            let acks = events.iter().map(|event| {
                if event.id.as_str().ends_with('7') {
                    Ack::Reject("no".to_owned())
                } else {
                    Ack::Ok
                }
            });
            (1, Answer::Acks(acks.collect()))
        }),
        Book::new(&cx),
    );
    let config =
        Config { dead_letters: 10, remembered_ids: 30, batch_size: nz(10), ..one_by_one() };
    // A failed event is dead at once.
    let config = Config {
        retry: Backoff::new(ms(1), 1.0, ms(1), NonZeroU32::MIN).unwrap_or_default(),
        ..config
    };
    let processor = start(&cx, config, &services, &book).await?;
    services.forget();
    book.forget();
    let send = async |round: u64| {
        for number in 0..200 {
            let id = format!("{round}.{number}");
            // Keys and services of which each is there once.
            let to = if number % 20 == 0 { format!("s{id}") } else { "one".to_owned() };
            let _ = processor.ingest(keyed(&id, &to, Priority::Low, &format!("key {id}"))).await;
            let _ = processor.ingest(event("", "one", Priority::Low)).await;
            let _ = processor.ingest(event(&id, "one", Priority::Low)).now_or_never();
        }
        sleep(ms(200)).await;
    };
    for round in 0..10 {
        cx.call(INGEST, send(round)).await?;
    }
    services.only_counts();
    let _scarce = scarce(1 << 19);
    for round in 10..170 {
        cx.call(INGEST, send(round)).await?;
    }
    let figures = figures(&processor);
    ensure!(figures.pending() == 0 && figures.delivered + figures.dead + figures.left_in_journal == 34_000, "of 34 000 events {} are pending", figures.pending(); expected = "none");
    Ok(())
}
