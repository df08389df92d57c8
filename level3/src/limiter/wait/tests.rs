use std::cell::RefCell;

use futures::future::{join, join_all};
use proptest::prelude::*;
use tokio::time::{sleep, timeout};

use super::*;
use Priority::{Charge, Refund};

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn limiter(limit: usize) -> RateLimiter {
    let limit = NonZeroUsize::new(limit).expect("some calls");
    RateLimiter::new(limit, ms(1000)).expect("a window")
}

/// The millisecond in which each of `count` callers who come together may call.
async fn admissions(limiter: &RateLimiter, count: usize) -> Vec<u64> {
    let began = Instant::now();
    join_all((0..count).map(|_| async {
        limiter.admit(Charge, Deadline::never()).await.expect("no deadline");
        began.elapsed().as_millis() as u64
    }))
    .await
}

#[tokio::test(start_paused = true)]
async fn lets_the_limit_through_in_every_window() {
    let expected: Vec<u64> = (0..250).map(|n| n / 100 * 1000).collect();
    assert_eq!(admissions(&limiter(100), 250).await, expected);
}

#[tokio::test(start_paused = true)]
async fn the_window_slides() {
    let limiter = limiter(2);
    assert_eq!(admissions(&limiter, 1).await, [0]);
    sleep(ms(900)).await;
    assert_eq!(admissions(&limiter, 3).await, [0, 100, 1000]);
}

#[tokio::test(start_paused = true)]
async fn a_hopeless_wait_is_refused_at_once() {
    let limiter = limiter(2);
    admissions(&limiter, 2).await;
    sleep(ms(300)).await;
    let limited = |limit| limiter.admit(Charge, Deadline::after(ms(limit)));
    let refused = Err(LimitError::WouldMissDeadline { wait: ms(700) });
    let began = Instant::now();
    assert_eq!(limited(699).await, refused);
    assert_eq!(limited(700).await, refused, "a call at the deadline itself is too late");
    assert_eq!(began.elapsed(), ms(0));
    assert_eq!(limited(701).await, Ok(()));
    assert_eq!(began.elapsed(), ms(700));
    assert_eq!(limiter.usage().in_window, 1);
}

#[tokio::test(start_paused = true)]
async fn foresees_the_whole_queue() {
    let limiter = limiter(2);
    let waiting = admissions(&limiter, 6);
    let late = async {
        // Two went at 0, two will at 1000, two at 2000.
        sleep(ms(500)).await;
        let wait = ms(2500);
        let refused = limiter.admit(Charge, Deadline::after(ms(2000))).await;
        assert_eq!(refused, Err(LimitError::WouldMissDeadline { wait }));
        let refund = limiter.admit(Refund, Deadline::after(ms(501))).await;
        assert_eq!(refund, Ok(()), "no caller is before a refund");
    };
    let (admitted, ()) = join(waiting, late).await;
    assert_eq!(admitted, [0, 0, 1000, 2000, 2000, 3000]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_is_over_gets_no_slot() {
    let limiter = limiter(2);
    let refused = limiter.admit(Charge, Deadline::after(ms(0))).await;
    assert_eq!(refused, Err(LimitError::WouldMissDeadline { wait: ms(0) }));
    assert_eq!(limiter.usage().in_window, 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_overtaken_leaves_at_the_deadline() {
    let limiter = limiter(1);
    admissions(&limiter, 1).await;
    let charge = limiter.admit(Charge, Deadline::after(ms(1500)));
    let refund = async {
        sleep(ms(500)).await;
        limiter.admit(Refund, Deadline::never()).await
    };
    let began = Instant::now();
    let (charge, refund) = join(async { (charge.await, began.elapsed()) }, refund).await;
    assert_eq!(refund, Ok(()));
    assert_eq!(charge, (Err(LimitError::WouldMissDeadline { wait: ms(500) }), ms(1500)));
    assert_eq!(limiter.usage().waiting_charges, 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_left_blocks_no_other() {
    let limiter = limiter(1);
    admissions(&limiter, 1).await;
    let began = Instant::now();
    let leaves = |after| timeout(ms(after), limiter.admit(Charge, Deadline::never()));
    let stays = async {
        limiter.admit(Charge, Deadline::never()).await.expect("no deadline");
        began.elapsed()
    };
    let (first, (second, stayed)) = join(leaves(300), join(leaves(999), stays)).await;
    assert!(first.is_err() && second.is_err());
    assert_eq!(stayed, ms(1000));
}

#[tokio::test(start_paused = true)]
async fn an_unused_permit_releases_its_slot() {
    let limiter = limiter(1);
    let permit = limiter.acquire(Charge, Deadline::never()).await.expect("free");
    let began = Instant::now();
    let waits = async {
        limiter.admit(Charge, Deadline::never()).await.expect("no deadline");
        began.elapsed()
    };
    let gives_up = async {
        sleep(ms(200)).await;
        drop(permit);
    };
    assert_eq!(join(waits, gives_up).await.0, ms(200));
}

#[tokio::test(start_paused = true)]
async fn a_held_slot_counts_from_its_use() {
    let limiter = limiter(1);
    let permit = limiter.acquire(Charge, Deadline::never()).await.expect("free");
    assert_eq!(limiter.usage().held, 1);
    let began = Instant::now();
    let waits = async {
        limiter.admit(Charge, Deadline::never()).await.expect("no deadline");
        began.elapsed()
    };
    let calls_late = async {
        sleep(ms(5000)).await;
        permit.used();
    };
    assert_eq!(join(waits, calls_late).await.0, ms(6000));
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_before_the_server_allows_it() {
    let limiter = limiter(2);
    limiter.pause_for(ms(3000));
    limiter.pause_for(ms(100));
    let refused = limiter.admit(Charge, Deadline::after(ms(2000))).await;
    assert_eq!(refused, Err(LimitError::WouldMissDeadline { wait: ms(3000) }));
    assert_eq!(admissions(&limiter, 3).await, [3000, 3000, 4000]);
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_those_who_wait_already() {
    let limiter = limiter(1);
    let pause = async {
        sleep(ms(500)).await;
        limiter.pause_for(ms(2000));
    };
    assert_eq!(join(admissions(&limiter, 3), pause).await.0, [0, 2500, 3500]);
}

/// What the documentation of [`RateLimiter::acquire`] says about futures that are not polled.
#[tokio::test(start_paused = true)]
async fn a_future_that_is_no_longer_polled_holds_up_the_others_until_their_deadlines() {
    let limiter = limiter(1);
    admissions(&limiter, 1).await;
    let not_polled = limiter.acquire(Charge, Deadline::never());
    let mut parked = Box::pin(limiter.acquire(Charge, Deadline::never()));
    assert!(futures::poll!(&mut parked).is_pending());
    let began = Instant::now();
    assert!(limiter.admit(Charge, Deadline::after(ms(5000))).await.is_err());
    assert_eq!(began.elapsed(), ms(5000));
    // Dropped, it holds up no other; nor does one that was never polled.
    drop(parked);
    assert_eq!(admissions(&limiter, 1).await, [0]);
    drop(not_polled);
}

#[test]
fn refuses_a_window_of_zero() {
    let refused = RateLimiter::new(NonZeroUsize::MIN, ms(0)).map(|_| ());
    assert_eq!(refused, Err(LimiterConfigError::ZeroWindow));
}

/// A caller.
#[derive(Debug, Clone)]
struct Caller {
    comes: u64,
    refund: bool,
    // Leaves after this time, if it still waits.
    patience: Option<u64>,
    // Holds the permit for this time.
    holds: u64,
    uses: bool,
}

fn callers() -> impl Strategy<Value = Vec<Caller>> {
    let caller = (
        0_u64..3000,
        any::<bool>(),
        prop::option::weighted(0.2, 1_u64..2000),
        prop_oneof![3 => Just(0_u64), 1 => 1_u64..1500],
        prop::bool::weighted(0.8),
    );
    let caller = caller.prop_map(|(comes, refund, patience, holds, uses)| Caller {
        comes,
        refund,
        patience,
        holds,
        uses,
    });
    prop::collection::vec(caller, 0..40)
}

/// Which caller got a slot at which time, and when the calls were made.
#[derive(Debug, Default)]
struct Log {
    slots: Vec<(u64, usize)>,
    calls: Vec<u64>,
}

async fn simulate(limit: usize, callers: &[Caller]) -> Log {
    let (limiter, log) = (limiter(limit), RefCell::new(Log::default()));
    let began = Instant::now();
    let now = || began.elapsed().as_millis() as u64;
    join_all(callers.iter().enumerate().map(|(number, caller)| {
        let (limiter, log, now) = (&limiter, &log, &now);
        async move {
            sleep(ms(caller.comes)).await;
            let priority = if caller.refund { Refund } else { Charge };
            let patience = ms(caller.patience.unwrap_or(1_000_000));
            let slot = limiter.acquire(priority, Deadline::never());
            let Ok(Ok(permit)) = timeout(patience, slot).await else { return };
            log.borrow_mut().slots.push((now(), number));
            sleep(ms(caller.holds)).await;
            if caller.uses {
                permit.used();
                log.borrow_mut().calls.push(now());
            }
        }
    }))
    .await;
    assert_eq!((limiter.usage().held, limiter.usage().waiting_charges), (0, 0));
    log.into_inner()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn keeps_its_promises_whatever_happens(limit in 1_usize..4, callers in callers()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let log = runtime.block_on(simulate(limit, &callers));
        // Never more than the limit in any window.
        for pair in log.calls.windows(limit + 1) {
            prop_assert!(pair[limit] - pair[0] >= 1000, "{pair:?} in one window");
        }
        // Every caller with patience is served.
        let patient = callers.iter().filter(|caller| caller.patience.is_none()).count();
        prop_assert!(log.slots.len() >= patient);
        // Within a priority first come, first served.
        for refund in [true, false] {
            let came: Vec<_> = log
                .slots
                .iter()
                .filter(|(_, number)| callers[*number].refund == refund)
                .map(|(_, number)| callers[*number].comes)
                .collect();
            prop_assert!(came.is_sorted(), "came at {came:?}");
        }
        // No charge goes while a refund waits.
        for (at, number) in &log.slots {
            let overtaken = log.slots.iter().any(|(later, other)| {
                later > at && callers[*other].refund && callers[*other].comes < *at
            });
            prop_assert!(callers[*number].refund || !overtaken, "caller {number} at {at}");
        }
    }
}

#[test]
fn one_limiter_for_many_threads() {
    let limiter = Arc::new(
        RateLimiter::new(NonZeroUsize::new(50).expect("50 is not 0"), ms(20)).expect("a window"),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .expect("a runtime");
    let mut calls = runtime.block_on(async {
        let tasks: Vec<_> = (0..300)
            .map(|_| {
                let limiter = Arc::clone(&limiter);
                tokio::spawn(async move {
                    let permit = limiter.acquire(Charge, Deadline::never()).await;
                    let before = Instant::now();
                    permit.expect("no deadline").used();
                    (before, Instant::now())
                })
            })
            .collect();
        join_all(tasks).await.into_iter().map(|call| call.expect("no panic")).collect::<Vec<_>>()
    });
    calls.sort_unstable();
    for pair in calls.windows(51) {
        // The call counts from some instant between the two that were noted around it.
        assert!(pair[50].1 - pair[0].0 >= ms(20));
    }
}
