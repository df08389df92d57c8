//! `single_flight::SingleFlight`.

mod ends;
mod scale;

use futures::future::join_all;
use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use level4::single_flight::SingleFlight;
use tokio::time::sleep;

use crate::fetches::{Answer, Ends, Fetches};

pub use ends::{
    a_dropped_caller_stops_nothing, a_panic_ends_its_run_only, an_old_end_leaves_a_newer_run,
    an_unpolled_caller_delays_no_other, forget_lets_the_next_begin, without_callers_the_work_stops,
};
pub use scale::{
    begins_with_the_first_poll, keeps_nothing_of_what_has_ended, ten_thousand_callers_share_a_run,
    threads_share_runs,
};

const RUN: &str = "SingleFlight::run";
const LENGTH: u64 = 100;

type Flight = SingleFlight<String, String, String>;

/// A call at a time, with a record of when it returned.
async fn call(flight: &Flight, record: &Fetches, key: &str, at: u64, ends: Ends) -> (u64, Answer) {
    sleep(ms(at)).await;
    let answer = flight.run(key.to_owned(), record.work(LENGTH, ends)).await;
    (record.now(), answer)
}

fn value(number: usize) -> Answer {
    Ok(format!("run {number}"))
}

pub async fn one_run_for_all_callers(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for count in [2, 10, draw.index(30) + 3] {
        let (flight, record) = (Flight::new(), Fetches::new());
        // The first one at once, one in the last millisecond, the others between.
        let times = (0..count).map(|number| match number {
            0 => 0,
            1 => LENGTH - 1,
            _ => draw.between(0..=LENGTH - 1),
        });
        let times: Vec<_> = times.collect();
        // By two handles in turn.
        let other = flight.clone();
        let calls = times.iter().enumerate().map(|(number, at)| {
            let flight = if number % 2 == 0 { &flight } else { &other };
            call(flight, &record, "a", *at, Ends::Value)
        });
        let answers = cx.call(RUN, join_all(calls)).await?.value;
        ensure!(record.count() == 1, "{count} callers of one key at the same time: the work was run {} times", record.count();
            expected = "once: who asks while it runs joins it",
            help = "keep the run of each key in a map, and look there before you begin one");
        for (at, answer) in answers {
            ensure_eq!(
                answer,
                value(1),
                "a caller that joined a run got something else than its value"
            );
            ensure!(at == LENGTH, "work of {LENGTH} ms was over at {at} ms for one of its callers";
                expected = "all callers have the value when the work ends");
        }
    }
    Ok(())
}

pub async fn keys_are_apart(cx: Cx) -> Outcome {
    let word = cx.draw().word();
    let longer = format!("{word}s");
    let keys = ["", "a", "A", "ä", &word, &longer];
    let (flight, record) = (Flight::new(), Fetches::new());
    // Two callers for each key; each key's run ends at a time of its own.
    let calls = keys.iter().chain(&keys).enumerate().map(|(number, key)| {
        let (flight, record) = (&flight, &record);
        async move {
            let length = LENGTH + 10 * (number % keys.len()) as u64;
            let answer = flight.run((*key).to_owned(), record.work(length, Ends::Value)).await;
            (record.now(), answer)
        }
    });
    let answers = cx.call(RUN, join_all(calls)).await?.value;
    ensure!(record.count() == keys.len(), "callers of {} keys: the work was run {} times", keys.len(), record.count();
        expected = "once for each key");
    for (number, (at, answer)) in answers.into_iter().enumerate() {
        let key = number % keys.len();
        ensure_eq!(
            answer,
            value(key + 1),
            "a caller of the key {:?} got the answer of another key",
            keys[key]
        );
        ensure!(at == LENGTH + 10 * key as u64, "a caller of one key waited for the run of another";
            expected = "runs of different keys go on at the same time");
    }
    Ok(())
}

pub async fn an_end_lets_the_next_begin(cx: Cx) -> Outcome {
    let help = "it is no cache: when a run has ended, nothing of it is left";
    let (flight, record) = (Flight::new(), Fetches::new());
    // Each of them asks again in the same breath in which it has its answer.
    let again = |at| {
        let (flight, record) = (&flight, &record);
        async move {
            let mut answers = Vec::new();
            answers.push(call(flight, record, "a", at, Ends::Value).await);
            for _ in 0..2 {
                answers.push(call(flight, record, "a", 0, Ends::Value).await);
            }
            answers
        }
    };
    let all = cx.call(RUN, join_all([again(0), again(10), again(90)])).await?.value;
    for answers in all {
        let expected: Vec<_> = (1..=3).map(|run| (run as u64 * LENGTH, value(run))).collect();
        ensure_eq!(answers, expected, "three callers share a run, and each asks again when it has its answer";
            help = help);
    }
    sleep(ms(500)).await;
    let later = cx.call(RUN, call(&flight, &record, "a", 0, Ends::Value)).await?.value.1;
    ensure_eq!(later, value(4), "a caller came when the runs before had ended"; help = help);
    Ok(())
}

pub async fn an_error_reaches_all(cx: Cx) -> Outcome {
    let (flight, record) = (Flight::new(), Fetches::new());
    let calls = [0, 30, 90].map(|at| call(&flight, &record, "a", at, Ends::Error));
    let answers = cx.call(RUN, join_all(calls)).await?.value;
    for (_, answer) in answers {
        ensure_eq!(answer, Err("run 1".to_owned()), "three callers shared a run that ended with an error";
            help = "an error is the answer of all callers; to try again is the decision of each of them");
    }
    let next = cx.call(RUN, call(&flight, &record, "a", 0, Ends::Value)).await?.value.1;
    ensure_eq!(next, value(2), "a caller came after a run that ended with an error";
        help = "an error is not kept");
    Ok(())
}
