use std::cell::RefCell;
use std::num::NonZeroU32;

use proptest::prelude::*;
use tokio::time::timeout;

use super::*;
use crate::retry::{NoJitter, SeededJitter};

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn policy(attempts: u32, min_attempt: u64) -> RetryPolicy {
    let attempts = NonZeroU32::new(attempts).expect("some attempts");
    let backoff = Backoff::new(ms(1000), 2.0, ms(10_000), attempts).expect("a valid schedule");
    RetryPolicy { backoff, min_attempt: ms(min_attempt) }
}

/// What an attempt does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Works,
    Fails(Disposition),
}

/// Runs a script in which every attempt takes `length`, and notes when the attempts began.
async fn run(
    policy: &RetryPolicy,
    deadline: Deadline,
    length: u64,
    script: &[Step],
) -> (Result<Retried<u32>, RetryError<Disposition>>, Vec<u64>) {
    let began = Instant::now();
    let starts = RefCell::new(Vec::new());
    let result = retry(
        policy,
        &NoJitter,
        deadline,
        |&error| error,
        |attempt| {
            starts.borrow_mut().push(began.elapsed().as_millis() as u64);
            let step = script[attempt.number as usize - 1];
            async move {
                sleep(ms(length)).await;
                match step {
                    Step::Works => Ok(attempt.number),
                    Step::Fails(disposition) => Err(disposition),
                }
            }
        },
    )
    .await;
    (result, starts.into_inner())
}

const RETRY: Step = Step::Fails(Disposition::Retry);

#[tokio::test(start_paused = true)]
async fn attempts_are_calls() {
    let (result, starts) = run(&policy(3, 0), Deadline::never(), 0, &[RETRY; 3]).await;
    assert_eq!(starts, [0, 1000, 3000]);
    assert_eq!(
        result,
        Err(RetryError {
            last: Some(Disposition::Retry),
            attempts: 3,
            reason: Reason::Exhausted,
            backoff: ms(3000),
        })
    );
}

#[tokio::test(start_paused = true)]
async fn six_attempts_reach_the_cap() {
    let (result, starts) = run(&policy(6, 0), Deadline::never(), 0, &[RETRY; 6]).await;
    assert_eq!(starts, [0, 1000, 3000, 7000, 15_000, 25_000]);
    assert_eq!(result.map_err(|e| e.attempts), Err(6));
}

#[tokio::test(start_paused = true)]
async fn the_first_success_ends_it() {
    let began = Instant::now();
    let (result, starts) = run(&policy(3, 0), Deadline::never(), 0, &[RETRY, Step::Works]).await;
    assert_eq!(result, Ok(Retried { value: 2, attempts: 2, backoff: ms(1000) }));
    assert_eq!(starts, [0, 1000]);
    assert_eq!(began.elapsed(), ms(1000));
}

#[tokio::test(start_paused = true)]
async fn obeys_the_classifier() {
    let script = [RETRY, Step::Fails(Disposition::GiveUp)];
    let (result, starts) = run(&policy(3, 0), Deadline::never(), 0, &script).await;
    assert_eq!(starts, [0, 1000]);
    let error = result.expect_err("no success");
    assert_eq!((error.reason, error.attempts), (Reason::GivenUp, 2));
}

#[tokio::test(start_paused = true)]
async fn the_servers_wish_stands_above_the_schedule() {
    let script = [Step::Fails(Disposition::RetryAfter(ms(42_000))), Step::Works];
    let (_, starts) = run(&policy(3, 0), Deadline::never(), 0, &script).await;
    assert_eq!(starts, [0, 42_000]);
}

#[tokio::test(start_paused = true)]
async fn no_wait_begins_that_ends_past_the_deadline() {
    let deadline = Deadline::after(ms(1000));
    let (result, starts) = run(&policy(3, 0), deadline, 0, &[RETRY; 3]).await;
    assert_eq!(starts, [0], "an attempt at the deadline itself is too late");
    assert_eq!(result.map_err(|e| (e.reason, e.backoff)), Err((Reason::DeadlineTooClose, ms(0))));
    assert_eq!(deadline.remaining(), ms(1000), "it ends at once");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_needs_its_least_time() {
    // Exactly enough, and one millisecond less.
    for (limit, calls) in [(1200, 2), (1199, 1)] {
        let script = [RETRY, Step::Works];
        let (_, starts) = run(&policy(3, 200), Deadline::after(ms(limit)), 0, &script).await;
        assert_eq!(starts.len(), calls, "with {limit} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn too_late_from_the_start_makes_no_call() {
    let (result, starts) = run(&policy(3, 200), Deadline::after(ms(199)), 0, &[]).await;
    assert!(starts.is_empty());
    let error = result.expect_err("no attempt");
    assert_eq!((error.last, error.attempts, error.reason), (None, 0, Reason::DeadlineTooClose));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_retry_makes_no_further_call() {
    let calls = RefCell::new(0);
    let policy = policy(3, 0);
    let call = retry(
        &policy,
        &NoJitter,
        Deadline::never(),
        |_| Disposition::Retry,
        |_| {
            *calls.borrow_mut() += 1;
            async { Err::<(), _>(()) }
        },
    );
    assert!(timeout(ms(500), call).await.is_err());
    sleep(ms(100_000)).await;
    assert_eq!(*calls.borrow(), 1);
}

#[tokio::test(start_paused = true)]
async fn waits_are_those_of_the_schedule_and_the_jitter() {
    let (jitter, twin) = (SeededJitter::new(3), SeededJitter::new(3));
    let policy = policy(3, 0);
    let classify = |_: &()| Disposition::Retry;
    let began = Instant::now();
    let result =
        retry(&policy, &jitter, Deadline::never(), classify, |_| async { Err::<(), _>(()) });
    let error = result.await.expect_err("no success");
    let waits = policy.backoff.delay(1, twin.unit()) + policy.backoff.delay(2, twin.unit());
    assert_eq!((began.elapsed(), error.backoff), (waits, waits));
}

#[test]
fn errors_read_well() {
    let error =
        RetryError { last: Some(()), attempts: 3, reason: Reason::Exhausted, backoff: ms(0) };
    assert_eq!(error.to_string(), "failed after 3 attempts");
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(RETRY),
        2 => (0_u64..5000).prop_map(|wait| Step::Fails(Disposition::RetryAfter(ms(wait)))),
        1 => Just(Step::Fails(Disposition::GiveUp)),
        1 => Just(Step::Works),
    ];
    prop::collection::vec(step, 6)
}

/// What ought to happen, by plain arithmetic: when attempts begin, and how it ends.
fn model(
    script: &[Step],
    attempts: usize,
    length: u64,
    min_attempt: u64,
    limit: u64,
) -> (Vec<u64>, Result<(), Reason>) {
    let (mut now, mut starts) = (0, Vec::new());
    for number in 1.. {
        if now >= limit || limit - now < min_attempt {
            return (starts, Err(Reason::DeadlineTooClose));
        }
        starts.push(now);
        now += length;
        let wait = match script[number - 1] {
            Step::Works => return (starts, Ok(())),
            Step::Fails(Disposition::GiveUp) => return (starts, Err(Reason::GivenUp)),
            Step::Fails(Disposition::Retry) => (1000 << (number - 1)).min(10_000),
            Step::Fails(Disposition::RetryAfter(wait)) => wait.as_millis() as u64,
        };
        if number == attempts {
            return (starts, Err(Reason::Exhausted));
        }
        now += wait;
    }
    unreachable!()
}

proptest! {
    #[test]
    fn does_what_the_arithmetic_says(
        script in steps(),
        attempts in 1_usize..=6,
        length in 0_u64..2000,
        min_attempt in 0_u64..2000,
        limit in 0_u64..30_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let policy = policy(attempts as u32, min_attempt);
            let (result, starts) = run(&policy, Deadline::after(ms(limit)), length, &script).await;
            let (expected, end) = model(&script, attempts, length, min_attempt, limit);
            prop_assert_eq!(&starts, &expected);
            prop_assert_eq!(result.as_ref().map(|_| ()).map_err(|e| e.reason), end);
            let made = result.map_or_else(|e| e.attempts, |r| r.attempts);
            prop_assert_eq!(made as usize, starts.len());
            Ok(())
        })?;
    }
}
