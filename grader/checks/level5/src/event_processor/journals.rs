//! The journal, and what it is told.

use std::io;
use std::sync::Arc;

use futures::future::join;
use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use level5::event_processor::retry::Backoff;
use level5::event_processor::{
    Ack, Config, DeadLetter, End, EventId, Journal, JournalError, MemoryJournal, Rejected, Service,
};
use level5::priority_queue::Priority;
use tokio::time::sleep;

use super::fakes::{Answer, Book, Services};
use super::{INGEST, accept, accept_all, dead, event, figures, ids, names, one_by_one, start};

pub async fn memory_journal_keeps(cx: Cx) -> Outcome {
    const CALL: &str = "MemoryJournal";
    let journal = MemoryJournal::default();
    let events: Vec<_> =
        ids("e", 300).iter().map(|id| Arc::new(event(id, "mail", Priority::Low))).collect();
    let empty = cx.call(CALL, journal.load()).await?.value;
    ensure!(empty.as_ref().is_ok_and(|it| it.pending.is_empty() && it.dead.is_empty()), "a new journal holds {empty:?}"; expected = "nothing");
    let letter = |number: usize| DeadLetter {
        event: Arc::clone(&events[number]),
        service: Service::new("mail"),
        attempts: 4,
        reason: format!("reason {number}"),
    };
    let id = |number: usize| EventId::new(format!("e{number}"));
    let all = async {
        journal.append(&events[..1]).await?;
        journal.append(&events[1..]).await?;
        let delivered: Vec<_> =
            (0..300).filter(|it| it % 3 == 0).map(|it| (id(it), End::Delivered)).collect();
        journal.done(&delivered).await?;
        journal.done(&[(id(5), End::Dead(letter(5))), (id(2), End::Dead(letter(2)))]).await?;
        journal.done(&[(id(1), End::Withdrawn), (EventId::new("unknown"), End::Delivered)]).await?;
        // Another handle, and a call that is repeated.
        let other = journal.clone();
        other.done(&delivered).await?;
        other.load().await
    };
    let loaded = cx.call(CALL, all).await?.value;
    let Ok(loaded) = loaded else {
        ensure!(false, "a call of the memory journal fails: {loaded:?}");
        return Ok(());
    };
    let gone = [1, 2, 5];
    let left: Vec<_> = (0..300)
        .filter(|it| it % 3 != 0 && !gone.contains(it))
        .map(|it| format!("e{it}"))
        .collect();
    ensure!(names(&loaded.pending) == left, "300 events, of which 103 have ended: {} are pending, or their order is another one", loaded.pending.len();
        expected = "those that have not ended, in the order in which they were appended", help = "number the records, and keep them sorted by their numbers");
    ensure_eq!(loaded.dead, [letter(5), letter(2)], "two events that died"; help = "keep dead letters in the order in which they died");
    // A dead letter that is sent again, and an event that is appended twice, are pending once, at the end.
    let again = async {
        journal.append(&[Arc::clone(&events[5]), Arc::clone(&events[7])]).await?;
        journal.append(&events[5..6]).await?;
        journal.load().await
    };
    let loaded = cx.call(CALL, again).await?.value.unwrap_or_default();
    let end: Vec<_> = names(&loaded.pending).into_iter().rev().take(2).collect();
    ensure!(loaded.pending.len() == left.len() + 1 && end == ["e5", "e7"], "a dead letter and a pending event are appended again: {} events are pending, the last ones {end:?}", loaded.pending.len(); expected = "each once, at the end", help = "an append of a known id replaces its record");
    ensure_eq!(loaded.dead, [letter(2)], "one of two dead letters was appended again");
    Ok(())
}

pub async fn journal_first(cx: Cx) -> Outcome {
    const HELP: &str = "await `append` before anything else happens to the event; an error of it is `Rejected::Journal`, and the event is as if it had not come";
    let (services, book) = (Services::new(&cx, 10), Book::new(&cx));
    let processor = start(&cx, one_by_one(), &services, &book).await?;
    for priority in Priority::ALL {
        book.takes(70, 0);
        let id = format!("{priority:?}");
        let call = cx.call(INGEST, processor.ingest(event(&id, "mail", priority))).await?;
        let held = book.holds(&id);
        ensure!(call.value.is_ok() && held, "ingest returns {:?} for a {id} event after {} ms, and the journal, which takes 70 ms, {}", call.value, call.took.as_millis(), if held { "has it" } else { "does not have it" };
            expected = "Ok when the journal has it", help = HELP);
        ensure!(call.took == ms(70), "ingest takes {} ms with a journal that takes 70 ms", call.took.as_millis(); expected = "70 ms");
        ensure!(services.times(&id) == 0, "the event was sent before the journal had it"; expected = "it is sent later", help = HELP);
        sleep(ms(100)).await;
        ensure!(services.times(&id) == 1, "an accepted event was sent {} times", services.times(&id); expected = "once");
    }
    // A journal that fails.
    book.takes(20, 0);
    book.fails(2, 0);
    let before = figures(&processor).accepted;
    for (index, id) in ["x", "y"].into_iter().enumerate() {
        let priority = [Priority::Critical, Priority::Low][index];
        let answer = cx.call(INGEST, processor.ingest(event(id, "mail", priority))).await?.value;
        let cause = match &answer {
            Err(Rejected::Journal(error @ JournalError::Full(_))) => error.cause::<io::Error>(),
            _ => None,
        };
        ensure!(cause.is_some_and(|it| it.kind() == io::ErrorKind::StorageFull), "the journal fails with `JournalError::Full` and an `io::Error` in it, and ingest returns {answer:?}"; expected = "Rejected::Journal, with its error", help = HELP);
    }
    sleep(ms(60_000)).await;
    ensure!(services.times("x") + services.times("y") == 0 && figures(&processor).accepted == before, "the journal did not take two events; sent: {}", services.shown(); expected = "neither is sent or counted", help = HELP);
    // They may come again.
    accept(&cx, &processor, event("x", "mail", Priority::Low)).await?;
    sleep(ms(100)).await;
    ensure!(services.times("x") == 1, "an event that the journal had refused came again, and was sent {} times", services.times("x"); expected = "once");
    comes_again_at_once(&cx).await
}

/// A caller whose event the journal refuses tries again without a pause, in a processor with one place.
async fn comes_again_at_once(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    for priority in Priority::ALL {
        for takes in [0, draw.between(1..=90)] {
            let failures = 1 + draw.index(4);
            let (services, book) = (Services::new(cx, 10), Book::new(cx));
            let config = Config { threshold: super::nz(1), critical_reserve: 0, ..one_by_one() };
            let processor = start(cx, config, &services, &book).await?;
            // Whatever the journal records of it takes a while, too.
            book.takes(takes, 1000);
            book.fails(failures, 0);
            let tries = async {
                let mut answers = Vec::new();
                for _ in 0..=failures {
                    answers.push(processor.ingest(event("x", "mail", priority)).await);
                }
                answers
            };
            let answers = cx.call(INGEST, tries).await?.value;
            let (last, refused) =
                answers.split_last().map_or((None, &[][..]), |(last, rest)| (Some(last), rest));
            let right = refused.iter().all(|it| matches!(it, Err(Rejected::Journal(_))));
            ensure!(right && last == Some(&Ok(())), "the journal takes {takes} ms and fails {failures} times, and a caller tries again at once with the same {priority:?} event each time, in a processor with one place: the calls of ingest return {answers:?}";
                expected = format!("{failures} times Rejected::Journal, then Ok: an event that the journal refused is as if it had not come"), help = "an error of `append` says that nothing was kept: id and place are free before `ingest` returns, and there is nothing to withdraw");
            sleep(ms(3000)).await;
            ensure!(services.times("x") == 1, "the journal refused an event {failures} times and then took it, and it was sent {} times", services.times("x"); expected = "once");
        }
    }
    Ok(())
}

pub async fn goes_on_after_a_stop(cx: Cx) -> Outcome {
    const HELP: &str =
        "`start` loads the journal: what is pending goes into the queues, in its order";
    let (services, book) = (Services::new(&cx, 0), Book::new(&cx));
    let settings = || Config { flush: ms(200), ..one_by_one() };
    // Delivered, dead, waiting for a retry, on its way, in a queue, in the line of a key.
    services
        .next("mail", [(0, Answer::All), (0, Answer::Acks(vec![Ack::Reject("no".to_owned())]))]);
    services
        .next("mail", [(0, Answer::Acks(vec![Ack::Retry("later".to_owned())])), (0, Answer::Hang)]);
    let processor = start(&cx, settings(), &services, &book).await?;
    for id in ["delivered", "dead", "waits", "flies"] {
        accept(&cx, &processor, event(id, "mail", Priority::High)).await?;
        sleep(ms(250)).await;
    }
    for id in ["queued1", "queued2", "queued3"] {
        accept(&cx, &processor, super::keyed(id, "mail", Priority::High, "key")).await?;
    }
    accept(&cx, &processor, event("last", "mail", Priority::High)).await?;
    cx.call_fn("drop", move || drop(processor)).await?;
    cx.settle().await;
    let before = services.count();
    let next = Services::new(&cx, 0);
    let processor = start(&cx, settings(), &next, &book).await?;
    ensure_eq!(dead(&processor), ["dead"], "the dead letters after a stop"; help = "`Loaded::dead` has them");
    let twice =
        cx.call(INGEST, processor.ingest(event("queued2", "mail", Priority::High))).await?.value;
    ensure!(twice == Err(Rejected::Duplicate), "an event that the journal holds came again after a stop: {twice:?}"; expected = "Duplicate");
    sleep(ms(30_000)).await;
    let mut order = next.order("mail");
    let expected = ["waits", "flies", "queued1", "queued2", "queued3", "last"];
    // Those of a key go one after another, so that `last` may go between them.
    let keyed: Vec<_> = order.iter().filter(|id| id.starts_with("queued")).cloned().collect();
    ensure_eq!(keyed, ["queued1", "queued2", "queued3"], "the events of one key after a stop"; help = HELP);
    order.retain(|id| !["queued2", "queued3"].contains(&id.as_str()));
    ensure_eq!(order, ["waits", "flies", "queued1", "last"], "what was sent after a stop, of events that had not ended"; help = HELP);
    ensure!(next.count() == expected.len() && book.pending().is_empty(), "after a stop {} batches were sent, and the journal still holds {:?}", next.count(), book.pending(); expected = "each of 6 events once, and none is left");
    ensure!(services.count() == before, "a processor that was dropped sends on"; expected = "it is stopped");
    let figures = figures(&processor);
    ensure!((figures.accepted, figures.delivered, figures.dead, figures.pending()) == (7, 6, 1, 0), "after a stop with 6 pending events and a dead letter: {figures:?}"; expected = "accepted 7, delivered 6, dead 1, none pending");
    has_all_its_attempts_again(&cx).await
}

/// Attempts are not in the journal; what a dead letter says is.
async fn has_all_its_attempts_again(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    let attempts = u32::try_from(draw.between(2..=5)).unwrap_or(2);
    let made = draw.between(1..=u64::from(attempts) - 1);
    let services =
        Services::scripted(cx, |_, _| (0, Answer::Acks(vec![Ack::Retry("busy".to_owned())])));
    let book = Book::new(cx);
    services.next("mail", [(0, Answer::Acks(vec![Ack::Reject("no user".to_owned())]))]);
    let count = std::num::NonZeroU32::new(attempts).unwrap_or(std::num::NonZeroU32::MIN);
    let retry = Backoff::new(ms(1000), 1.0, ms(1000), count).unwrap_or_default();
    let settings = || Config { retry, ..one_by_one() };
    let processor = start(cx, settings(), &services, &book).await?;
    accept(cx, &processor, event("dead", "mail", Priority::High)).await?;
    accept(cx, &processor, event("again", "mail", Priority::High)).await?;
    sleep(ms(made * 1000 - 500)).await;
    let letters = processor.dead_letters();
    ensure_eq!(
        services.times("again"),
        usize::try_from(made).unwrap_or(1),
        "the attempts of an event before a stop, one each second"
    );
    cx.call_fn("drop", move || drop(processor)).await?;
    let processor = start(cx, settings(), &services, &book).await?;
    ensure_eq!(processor.dead_letters(), letters, "the dead letters of the next processor"; help = "`Loaded::dead` has whole letters: event, service, attempts and reason");
    sleep(ms(60_000)).await;
    let times = services.times("again") - usize::try_from(made).unwrap_or(1);
    let letter = processor.dead_letters().into_iter().find(|it| it.event.id.as_str() == "again");
    let seen = (times, letter.map(|it| it.attempts));
    ensure_eq!(seen, (usize::try_from(attempts).unwrap_or(2), Some(attempts)), "an event has {attempts} attempts, of which {made} have failed when its processor stops: how often the next one sends it, and the attempts of its dead letter"; help = "`start` makes what is pending pending, with all its attempts");
    Ok(())
}

pub async fn the_journal_learns_every_end(cx: Cx) -> Outcome {
    const HELP: &str = "call `done` when the service has acknowledged, with `Delivered`, or with `Dead` and the whole letter";
    let (services, book) = (Services::new(&cx, 50), Book::new(&cx));
    let config = Config { batch_size: super::nz(4), ..one_by_one() };
    let acks =
        [Ack::Ok, Ack::Reject("unknown user".to_owned()), Ack::Ok, Ack::Retry("busy".to_owned())];
    services.next("mail", [(50, Answer::Acks(acks.to_vec()))]);
    let config = Config { flush: ms(1000), ..config };
    let processor = start(&cx, config, &services, &book).await?;
    let begin = cx.timeline().now_ms();
    accept_all(&cx, &processor, ids("e", 4), "mail", Priority::Medium).await?;
    sleep(ms(49)).await;
    for id in ids("e", 4) {
        ensure!(book.ends_of(&id).is_empty() && book.holds(&id), "the service has not acknowledged event {id}, and the journal was told that it has ended"; expected = "not before the acknowledgement", help = HELP);
    }
    sleep(ms(151)).await;
    let end = |id: &str| book.ends_of(id);
    for id in ["e0", "e2"] {
        ensure_eq!(end(id), [(begin + 50, End::Delivered)], "the ends of event {id}, which was acknowledged at {} ms", begin + 50; help = HELP);
    }
    let letter = match end("e1").as_slice() {
        [(at, End::Dead(letter))] if *at == begin + 50 => Some(letter.clone()),
        _ => None,
    };
    let Some(letter) = letter else {
        ensure!(false, "event e1 was rejected at {} ms, and the journal has {:?} of its end", begin + 50, end("e1"); expected = "Dead, at once", help = HELP);
        return Ok(());
    };
    ensure!((letter.event.id.as_str(), letter.service.as_str(), letter.attempts, letter.reason.as_str()) == ("e1", "mail", 1, "unknown user"), "the letter of a rejected event: {letter:?}"; expected = "its event, its service, 1 attempt and the service's reason");
    ensure!(end("e3").is_empty() && book.holds("e3"), "event e3 is to be sent again, and the journal was told {:?}", end("e3"); expected = "nothing");
    sleep(ms(3000)).await;
    ensure!(matches!(end("e3").as_slice(), [(_, End::Delivered)]), "event e3 was acknowledged the second time, and the journal was told {:?}", end("e3"); expected = "Delivered, once");
    ensure!(
        book.pending().is_empty(),
        "everything has ended, and the journal holds {:?}",
        book.pending()
    );
    Ok(())
}

pub async fn a_failed_record_is_repeated(cx: Cx) -> Outcome {
    const HELP: &str = "an end that is not recorded would be sent again by the next processor: repeat `done` until it succeeds, and keep the event pending meanwhile";
    let (services, book) = (Services::new(&cx, 10), Book::new(&cx));
    let processor = start(&cx, one_by_one(), &services, &book).await?;
    for failures in [1, 3, 12] {
        book.fails(0, failures);
        let id = format!("e{failures}");
        let twice = async {
            let both = join(processor.ingest(event(&id, "mail", Priority::Low)), sleep(ms(500)));
            let (accepted, ()) = both.await;
            (accepted, figures(&processor).pending())
        };
        let (accepted, pending) = cx.call(INGEST, twice).await?.value;
        ensure!(accepted.is_ok() && pending == 1, "the journal fails to record the end of an event: ingest has returned {accepted:?}, and {pending} events are pending"; expected = "1, until the end is recorded", help = HELP);
        cx.pass(ms(900_000)).await;
        let ends = book.ends_of(&id);
        ensure!(matches!(ends.as_slice(), [(_, End::Delivered)]), "the journal failed {failures} times to record the end of an event. After 15 min it has {ends:?}"; expected = "Delivered, once", help = HELP);
        ensure!(services.times(&id) == 1 && figures(&processor).pending() == 0, "an event whose end could not be recorded was sent {} times, and {} are pending", services.times(&id), figures(&processor).pending(); expected = "it is sent once, and has ended", help = HELP);
    }
    Ok(())
}
