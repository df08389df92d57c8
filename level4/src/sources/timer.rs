//! A timer as a stream.
//!
//! ```text
//!  first poll        initial           period         period
//!  ─────────────────────┤0────────────────┤1──────────────┤2──── ...
//!
//!  a late reader:       ┤0   (busy for 3.5 periods)           ┤1──────────────┤2
//!                                                    one tick, not four
//! ```

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::Stream;
use tokio::time::{Sleep, sleep};

/// The error of [`timer`]: the period is zero, and the timer would tick without end in one instant.
///
/// ```
/// use std::time::Duration;
/// use level4::sources::{ZeroPeriod, timer};
///
/// let refused = timer(Duration::from_secs(1), Some(Duration::ZERO)).err();
/// assert_eq!(refused, Some(ZeroPeriod));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the period of a timer must not be zero")]
pub struct ZeroPeriod;

/// Makes a timer that yields 0 after `initial`, and then 1, 2 and so on, each a `period` after the one before it.
/// Without a period it ends after the first tick.
///
/// The time counts from the first poll. A reader that polls late gets one tick at once and the next one a period
/// later. The timer does not make up for missed ticks.
///
/// # Errors
///
/// [`ZeroPeriod`], if the period is zero. An `initial` of zero is allowed.
///
/// # Cancellation
///
/// Before its first poll the stream has done nothing. Dropping it drops the timer.
pub fn timer(initial: Duration, period: Option<Duration>) -> Result<Timer, ZeroPeriod> {
    if period.is_some_and(|period| period.is_zero()) {
        return Err(ZeroPeriod);
    }
    Ok(Timer { next: Next::Unpolled(initial), period, count: 0 })
}

/// A stream of ticks; see [`timer`].
///
/// ```
/// use std::time::Duration;
/// use futures::StreamExt as _;
/// use level4::sources::timer;
/// use tokio::time::Instant;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let began = Instant::now();
/// let ticks = timer(Duration::from_secs(1), Some(Duration::from_secs(5)))?;
/// let ticks: Vec<_> = ticks.take(3).map(|tick| (tick, began.elapsed().as_secs())).collect().await;
/// assert_eq!(ticks, [(0, 1), (1, 6), (2, 11)]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Timer {
    next: Next,
    /// `None`: one tick. It is never zero, so the stream cannot be ready in every poll.
    period: Option<Duration>,
    /// How many ticks came before: the number that the next one yields.
    count: u64,
}

/// What the next tick waits for.
#[derive(Debug)]
enum Next {
    /// The first poll: the time counts from there. A state of its own, because a timer made in `timer` would count
    /// from the call.
    Unpolled(Duration),
    /// This timer. `Sleep` must not be moved once it was polled. In a box it stays where it is, and a `Timer` can be
    /// moved.
    At(Pin<Box<Sleep>>),
    /// There is no next tick. A poll after the end finds this state again and not a timer that is over.
    Ended,
}

impl Stream for Timer {
    type Item = u64;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        loop {
            match &mut self.next {
                // `sleep` allows any duration; `Instant::now() + initial` would overflow. The loop goes on to poll it:
                // a timer that is never polled wakes no task.
                Next::Unpolled(initial) => self.next = Next::At(Box::pin(sleep(*initial))),
                Next::At(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    break;
                }
                Next::Ended => return Poll::Ready(None),
            }
        }
        // From now, and not from the time when this tick was due: a late reader would otherwise get all missed ticks in
        // one burst.
        self.next = match self.period {
            Some(period) => Next::At(Box::pin(sleep(period))),
            None => Next::Ended,
        };
        let tick = self.count;
        self.count += 1;
        Poll::Ready(Some(tick))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt as _;
    use tokio::time::Instant;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[tokio::test(start_paused = true)]
    async fn ticks_have_their_times() {
        let began = Instant::now();
        let ticks = timer(ms(0), Some(ms(100))).expect("a period").take(3);
        let ticks: Vec<_> = ticks.map(|tick| (tick, began.elapsed())).collect().await;
        assert_eq!(ticks, [(0, ms(0)), (1, ms(100)), (2, ms(200))]);
        let once: Vec<_> = timer(ms(50), None).expect("no period").collect().await;
        assert_eq!(once, [0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_reader_gets_one_tick() {
        let began = Instant::now();
        let mut ticks = timer(ms(0), Some(ms(100))).expect("a period");
        ticks.next().await;
        sleep(ms(350)).await;
        assert_eq!((ticks.next().await, began.elapsed()), (Some(1), ms(350)));
        assert_eq!((ticks.next().await, began.elapsed()), (Some(2), ms(450)));
    }

    #[test]
    fn a_period_of_zero_is_refused() {
        assert_eq!(timer(ms(5), Some(ms(0))).err(), Some(ZeroPeriod));
    }
}
