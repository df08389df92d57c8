//! One limiter and several threads.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::poll_immediate;
use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq};
use level3::deadline::Deadline;
use level3::limiter::{Priority, RateLimiter, Usage};
use tokio::runtime::{Builder, Runtime};

use super::bench::NAME;
use crate::parts::{linger, nzu};

/// How often each thread asks.
const ROUNDS: usize = 4000;

const THREADS: usize = 4;

/// So long that no call is ever a window old.
const WINDOW: Duration = Duration::from_secs(1_000_000);

/// For the timers of a caller that waits; none of them ever ends.
fn runtime() -> Option<Runtime> {
    Builder::new_current_thread().enable_time().build().ok()
}

pub async fn threads_share_one_limit(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let limit = draw.between(2..=3) as usize;
    // Made by the first thread: the clock there is not the paused one.
    let limiter = Arc::new(OnceLock::<Option<RateLimiter>>::new());
    let make = move || RateLimiter::new(nzu(limit), WINDOW).ok();
    let (inside, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let (shared, seen) = (Arc::clone(&limiter), Arc::clone(&most));
    cx.on_threads(NAME, THREADS, move |thread| {
        let (Some(limiter), Some(runtime)) = (shared.get_or_init(make), runtime()) else { return };
        let priority = if thread % 2 == 0 { Priority::Charge } else { Priority::Refund };
        let deadline = Deadline::after(WINDOW / 2);
        runtime.block_on(async {
            for _ in 0..ROUNDS {
                // Who has to wait goes away at once.
                let Some(Ok(permit)) = poll_immediate(limiter.acquire(priority, deadline)).await
                else {
                    continue;
                };
                seen.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                linger();
                // Others come meanwhile, also where the threads have one core.
                std::thread::yield_now();
                inside.fetch_sub(1, SeqCst);
                drop(permit);
            }
        });
    })?;
    let most = most.load(SeqCst);
    ensure!(most <= limit, "{limit} slots, and {most} permits of {THREADS} threads were held at the same time";
        expected = format!("at most {limit}: the look at the slots and the taking of one are one step"),
        help = "a permit takes its slot from the moment at which it is given, also before it is used; look and take under one lock, with the queue under the same");
    // All have gone: no slot is lost, and no place in the queue is left.
    let shared = Arc::clone(&limiter);
    let after = cx.on_threads(NAME, 1, move |_| {
        let (limiter, runtime) = (shared.get()?.as_ref()?, runtime()?);
        let deadline = Deadline::after(WINDOW / 2);
        let Usage { in_window, held, waiting_refunds, waiting_charges } = limiter.usage();
        let used = runtime.block_on(async {
            let mut used = 0;
            while used <= limit
                && let Some(Ok(permit)) =
                    poll_immediate(limiter.acquire(Priority::Charge, deadline)).await
            {
                permit.used();
                used += 1;
            }
            used
        });
        Some(([in_window, held, waiting_refunds, waiting_charges], used))
    })?;
    let Some(Some((usage, used))) = after.into_iter().next() else {
        return Err(Fail::new("RateLimiter::new refuses a valid limit"));
    };
    ensure_eq!(usage, [0; 4], "when all threads have gone: in_window, held, waiting_refunds and waiting_charges in usage()";
        help = "change the figures under the lock that decides about the slots");
    ensure!(used == limit, "when all threads have gone, {used} calls of {limit} are let through";
        expected = format!("{limit}: no slot is lost, and none is won"));
    Ok(())
}
