//! A timer as a stream.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, stream};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep};

/// The period of a [`timer`] is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the period of a timer must not be zero")]
pub struct ZeroPeriod;

/// Longer than any program runs.
const FAR: Duration = Duration::from_secs(1 << 30);

/// A timer that yields 0 after `initial`, and then one tick a period.
///
/// # Errors
///
/// [`ZeroPeriod`].
pub fn timer(initial: Duration, period: Option<Duration>) -> Result<Timer, ZeroPeriod> {
    if period.is_some_and(|period| period.is_zero()) {
        return Err(ZeroPeriod);
    }
    Ok(Timer(Box::pin(ticks(initial, period))))
}

/// After its first tick an interval goes on with a period after each tick that was taken.
fn ticks(initial: Duration, period: Option<Duration>) -> impl Stream<Item = u64> + Send {
    stream::unfold((0, None), move |(tick, interval): (u64, Option<Interval>)| async move {
        let interval = match (tick, interval, period) {
            (0, _, None) => {
                sleep(initial).await;
                None
            }
            (_, _, None) => return None,
            (0, _, Some(period)) => {
                sleep(initial).await;
                let mut interval = interval_at(Instant::now() + period.min(FAR), period.min(FAR));
                interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
                Some(interval)
            }
            (_, mut interval, Some(_)) => {
                if let Some(interval) = interval.as_mut() {
                    interval.tick().await;
                }
                interval
            }
        };
        Some((tick, (tick + 1, interval)))
    })
}

/// A stream of ticks; see [`timer`].
pub struct Timer(Pin<Box<dyn Stream<Item = u64> + Send>>);

impl std::fmt::Debug for Timer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Timer").finish_non_exhaustive()
    }
}

impl Stream for Timer {
    type Item = u64;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        self.0.as_mut().poll_next(cx)
    }
}
