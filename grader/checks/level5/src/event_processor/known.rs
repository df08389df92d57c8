//! Which ids are known, however many other events have ended.

use grader_kit::{Cx, Outcome, ensure, ms};
use level5::event_processor::{Ack, Config, Rejected};
use level5::priority_queue::Priority;
use tokio::time::sleep;

use super::fakes::{Answer, Book, Services};
use super::{INGEST, Running, accept, event, keyed, nz, one_by_one, start};

const HELP: &str = "three kinds of ids are known: those of pending events and of dead letters as long as they are that, and apart from them those of the last `remembered_ids` that have ended";

/// Dead letters, pending events and events that have ended, with so many further ends.
pub async fn however_many_end(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    for remembered in [0, 1, 2 + draw.index(9)] {
        let (services, book) = (Services::new(cx, 0), Book::new(cx));
        services.next("dies", [(0, Answer::Acks(vec![Ack::Reject("no".to_owned())]))]);
        services.next("hangs", [(0, Answer::Hang)]);
        let send_timeout = ms(86_400_000);
        let settings = || Config { remembered_ids: remembered, send_timeout, ..one_by_one() };
        let processor = start(cx, settings(), &services, &book).await?;
        accept(cx, &processor, event("dead", "dies", Priority::Low)).await?;
        accept(cx, &processor, keyed("flies", "hangs", Priority::Low, "k")).await?;
        accept(cx, &processor, keyed("behind", "one", Priority::Low, "k")).await?;
        sleep(ms(10)).await;
        let count = remembered + 2 + draw.index(20);
        for number in 0..count {
            accept(cx, &processor, event(&format!("e{number}"), "one", Priority::High)).await?;
            sleep(ms(2)).await;
        }
        let after = format!("with {remembered} remembered ids, {count} further events have ended");
        known(cx, &processor, "dead", &format!("it is a dead letter, and {after}")).await?;
        known(cx, &processor, "flies", &format!("it is on its way, and {after}")).await?;
        known(cx, &processor, "behind", &format!("it waits for its key, and {after}")).await?;
        for number in count - remembered..count {
            let why = format!("it is one of the last that were delivered: {after}");
            known(cx, &processor, &format!("e{number}"), &why).await?;
        }
        let forgotten = format!("e{}", count - remembered - 1);
        let call = processor.ingest(event(&forgotten, "one", Priority::Low));
        let answer = cx.call(INGEST, call).await?.value;
        ensure!(answer == Ok(()), "event {forgotten} was delivered, {remembered} others were after it, and with {remembered} remembered ids it comes again: {answer:?}"; expected = "Ok: its id is forgotten", help = HELP);
        // The next processor has the dead letter from the journal.
        cx.call_fn("drop", move || drop(processor)).await?;
        let processor = start(cx, settings(), &services, &book).await?;
        for number in 0..=remembered {
            accept(cx, &processor, event(&format!("n{number}"), "one", Priority::High)).await?;
            sleep(ms(2)).await;
        }
        let why = format!(
            "the journal had it as a dead letter at the start, and with {remembered} remembered ids {} events have ended since",
            remembered + 1
        );
        known(cx, &processor, "dead", &why).await?;
    }
    Ok(())
}

async fn known(cx: &Cx, processor: &Running, id: &str, why: &str) -> Outcome {
    for priority in [Priority::Low, Priority::Critical] {
        let answer = cx.call(INGEST, processor.ingest(event(id, "other", priority))).await?.value;
        ensure!(answer == Err(Rejected::Duplicate), "event {id} comes again as {priority:?}; {why}: {answer:?}"; expected = "Duplicate", help = HELP);
    }
    Ok(())
}

/// The watch of a processor that starts with a journal.
pub async fn shows_what_the_journal_had(cx: &Cx) -> Outcome {
    use level5::event_processor::Journal as _;
    let mut draw = cx.draw();
    for threshold in [1, 10, 2 + draw.index(40)] {
        for pending in [threshold - 1, threshold, threshold + 1 + draw.index(5)] {
            let (services, book) = (Services::new(cx, 100), Book::new(cx));
            let old = super::ids("old", pending);
            let old = old.iter().map(|id| std::sync::Arc::new(event(id, "one", Priority::Low)));
            let written = book.append(&old.collect::<Vec<_>>()).await;
            ensure!(written.is_ok(), "the journal of this criterion fails: {written:?}");
            let config = Config { threshold: nz(threshold), ..one_by_one() };
            let processor = start(cx, config, &services, &book).await?;
            cx.settle().await;
            let mut watch = processor.backpressure();
            let (at_first, left) = (*watch.borrow_and_update(), threshold * 8 / 10);
            ensure!(at_first == (pending >= threshold), "a processor with a threshold of {threshold} starts with {pending} pending events, and the backpressure is {at_first}"; expected = format!("{}", pending >= threshold), help = "what the journal has is pending from the start");
            let begin = cx.timeline().now_ms();
            let changed = tokio::time::timeout(ms(60_000), watch.changed()).await.is_ok();
            let seen = changed.then(|| cx.timeline().now_ms() - begin);
            let expected = at_first.then(|| (pending - left) as u64 * 100);
            ensure!(seen == expected && !*watch.borrow(), "a processor with a threshold of {threshold} starts with {pending} pending events, of which one ends every 100 ms: the backpressure changes after {seen:?} ms, and is {} in the end", *watch.borrow();
                expected = format!("{expected:?}: when {left} are left"), help = "look at the number of pending events whenever it changes, also when events end");
        }
    }
    Ok(())
}
