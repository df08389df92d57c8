//! Nothing is lost and nothing is there twice, whatever the services do.

use std::collections::BTreeSet;

use grader_kit::{Cx, Outcome, ensure, ms};
use level5::event_processor::{Ack, Config, End, SendError};
use level5::priority_queue::Priority;
use tokio::time::sleep;

use super::fakes::{Answer, Book, Services};
use super::{INGEST, SHUTDOWN, accept_all, event, figures, ids, keyed, nz, one_by_one, start};

const EVENTS: usize = 10_000;

pub async fn conserves_every_event(cx: Cx) -> Outcome {
    const HELP: &str = "keep each accepted event in one place until it has ended, and move it between lists by its number";
    let mut script = cx.draw();
    let mut number = 0_u64;
    let services = Services::scripted(&cx, move |to, events| {
        number += 1;
        let takes = script.below(40);
        if to == "hangs" && number < 3000 {
            return (takes, Answer::Hang);
        }
        let answer = match script.below(20) {
            0 | 1 => Answer::unavailable(),
            2 => Answer::Error(SendError::Status(http::StatusCode::BAD_REQUEST, "bad".to_owned())),
            3 => Answer::Panic,
            // Fewer acknowledgements than events, and more.
            4 => Answer::Acks(vec![Ack::Ok; usize::try_from(script.below(40)).unwrap_or_default()]),
            5..12 => Answer::Acks(
                events
                    .iter()
                    .map(|_| match script.below(12) {
                        0 | 1 => Ack::Retry("busy".to_owned()),
                        2 => Ack::Reject("no".to_owned()),
                        _ => Ack::Ok,
                    })
                    .collect(),
            ),
            _ => Answer::All,
        };
        (takes, answer)
    });
    let book = Book::new(&cx);
    let config = Config {
        batch_size: nz(20),
        flush: ms(300),
        batches_in_flight: nz(3),
        send_timeout: ms(1000),
        threshold: nz(2000),
        critical_reserve: 50,
        dead_letters: usize::MAX,
        breaker: Config::default().breaker,
        ..one_by_one()
    };
    let processor = start(&cx, config, &services, &book).await?;
    let mut draw = cx.draw();
    let mut accepted = Vec::new();
    let mut metrics = processor.metrics();
    let mut looks = 0_u64;
    for number in 0..EVENTS {
        let id = format!("e{number}");
        let to = *draw.pick(&["one", "two", "three", "hangs"]);
        let priority = Priority::ALL[[0, 0, 1, 1, 2, 2, 3][draw.index(7)]];
        let next = if draw.chance(30) {
            keyed(&id, to, priority, &format!("key {}", draw.below(200)))
        } else {
            event(&id, to, priority)
        };
        let answer = tokio::time::timeout(ms(100_000), cx.call(INGEST, processor.ingest(next)));
        let answer = answer.await.map_or(Ok(None), |call| call.map(|call| Some(call.value)))?;
        if answer == Some(Ok(())) {
            accepted.push(id);
        }
        if draw.chance(5) {
            sleep(ms(draw.below(200))).await;
        }
        // A journal that takes a while to record ends, at times, or does not do it at once.
        if draw.chance(2) {
            book.takes(0, *draw.pick(&[0, 0, 1, 40, 400]));
            book.fails(0, draw.index(2));
        }
        // At every moment.
        let now = metrics.borrow_and_update().clone();
        let sum = now.delivered + now.dead + now.left_in_journal + now.pending();
        ensure!(now.accepted == sum, "accepted {}, but delivered {}, dead {} and pending {}", now.accepted, now.delivered, now.dead, now.pending(); expected = "the three are the first together, at every moment", help = HELP);
        ensure!(now.accepted <= accepted.len() as u64, "{} events were accepted, and the figure says {}", accepted.len(), now.accepted; expected = "each is counted once");
        looks += u64::from(now.pending() > 0);
    }
    ensure!(looks > 0, "10 000 events were sent to the processor, and none was ever pending");
    book.takes(0, 0);
    cx.pass(ms(86_400_000)).await;
    let report = cx.call(SHUTDOWN, processor.shutdown(ms(1000))).await?.value;
    let now = figures(&processor);
    ensure!(report.left.is_empty() && now.pending() == 0, "a day later {} of {} accepted events are pending, such as {:?}", now.pending(), accepted.len(), report.left.first(); expected = "none: each is delivered or a dead letter", help = HELP);
    let letters: BTreeSet<String> =
        processor.dead_letters().iter().map(|it| it.event.id.to_string()).collect();
    ensure!(letters.len() as u64 == now.dead && now.delivered + now.dead == accepted.len() as u64, "{} events were accepted; {} are delivered, {} dead, and there are {} dead letters", accepted.len(), now.delivered, now.dead, letters.len(); expected = "each in one of the two", help = HELP);
    let (all, sent) = (book.ends(), services.sent_ids());
    for id in &accepted {
        let ends = all.get(id).map(Vec::as_slice).unwrap_or_default();
        let died = letters.contains(id);
        ensure!(ends.len() == 1 && died == matches!(ends[0], End::Dead(_)), "event {id} was accepted; it is {}a dead letter, and the journal has the ends {ends:?}", if died { "" } else { "not " }; expected = "one end, the same", help = HELP);
        ensure!(sent.contains(id), "event {id} was accepted and has ended, and no service got it"; expected = "each is sent", help = HELP);
    }
    ensure!(book.pending().is_empty(), "everything has ended, and the journal still holds {} events", book.pending().len(); expected = "none");
    counts_each_event_once(&cx).await
}

/// The figures while the journal records how events have ended, and while it does not succeed.
async fn counts_each_event_once(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    let rejects = || Answer::Acks(vec![Ack::Reject("no".to_owned()); 3]);
    for (answer, letters) in [(Answer::All, 9), (rejects(), 9), (rejects(), 1)] {
        let (takes, fails) = (draw.between(20..=500), draw.index(2));
        let (services, book) = (Services::new(cx, 10), Book::new(cx));
        services.next("one", [(10, answer.clone())]);
        book.takes(0, takes);
        book.fails(0, fails);
        let config = Config { batch_size: nz(3), dead_letters: letters, ..one_by_one() };
        let config = Config { flush: ms(5000), ..config };
        let processor = start(cx, config, &services, &book).await?;
        let begin = cx.timeline().now_ms();
        accept_all(cx, &processor, ids("e", 3), "one", Priority::Low).await?;
        for at in [5, 15, 10 + takes - 5, 10 + takes + 500, 3000] {
            sleep(ms(at - (cx.timeline().now_ms() - begin))).await;
            let now = figures(&processor);
            let sum = now.delivered + now.dead + now.left_in_journal + now.pending();
            ensure!(now.accepted == 3 && sum == 3, "a service answers {answer:?} to a batch of 3 events after 10 ms, there is room for {letters} dead letters, and the journal fails {fails} times and takes {takes} ms to record the ends; at {at} ms accepted {}, delivered {}, dead {}, left in the journal {}, pending {}", now.accepted, now.delivered, now.dead, now.left_in_journal, now.pending();
                expected = "3 accepted, and the others are 3 together", help = "an event leaves the backlog in the step in which it counts as delivered or dead: that is when the journal has recorded it");
        }
    }
    Ok(())
}
