//! A timer as a stream.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::time::{Instant, Sleep, sleep};

/// The period of a [`timer`] is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the period of a timer must not be zero")]
pub struct ZeroPeriod;

/// A timer that yields 0 after `initial`, and then one tick a period.
///
/// # Errors
///
/// [`ZeroPeriod`].
pub fn timer(initial: Duration, period: Option<Duration>) -> Result<Timer, ZeroPeriod> {
    match period {
        Some(Duration::ZERO) => Err(ZeroPeriod),
        period => Ok(Timer { wait: Some(initial), period, sleep: None, ticks: 0 }),
    }
}

/// A stream of ticks; see [`timer`].
#[derive(Debug)]
pub struct Timer {
    wait: Option<Duration>,
    period: Option<Duration>,
    sleep: Option<Pin<Box<Sleep>>>,
    ticks: u64,
}

impl Stream for Timer {
    type Item = u64;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        let Some(wait) = self.wait else { return Poll::Ready(None) };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(wait)));
        if sleep.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        match self.period.map(|period| (period, Instant::now().checked_add(period))) {
            Some((period, Some(at))) => {
                self.wait = Some(period);
                if let Some(sleep) = self.sleep.as_mut() {
                    sleep.as_mut().reset(at);
                }
            }
            Some((period, None)) => {
                self.wait = Some(period);
                self.sleep = None;
            }
            None => self.wait = None,
        }
        self.ticks += 1;
        Poll::Ready(Some(self.ticks - 1))
    }
}
