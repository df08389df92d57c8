//! How a call travels: latency, faults, and effects that happen whether or not the caller waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use level3_domain::ids::PaymentId;
use level3_domain::provider::{CallFuture, ProviderError};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, oneshot};
use tokio::time::sleep;

use super::fault::{CallSite, Fault, Faults};
use super::process::Process;

/// How a call ended, as the services saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The service has answered with a value.
    Answered,
    /// The service has answered with an error.
    Failed(ProviderError),
    /// The client stopped waiting.
    GivenUp,
}

/// Watches the calls. Called on the gateway's own tasks, so it must not block.
pub trait Probe: Send + Sync {
    /// Called when a call has arrived that will meet `fault`.
    fn began(&self, site: CallSite, nth: u32, fault: Fault);
    /// Called when the call has ended for the client.
    fn ended(&self, site: CallSite, nth: u32, ending: &Ending);
}

/// The state that all simulated services share.
pub(super) struct Net {
    faults: Arc<dyn Faults>,
    probe: Option<Arc<dyn Probe>>,
    counts: [AtomicU32; CallSite::ALL.len()],
    pub(super) caller_leaves: Arc<Notify>,
}

impl Net {
    pub(super) fn new(faults: Arc<dyn Faults>, probe: Option<Arc<dyn Probe>>) -> Self {
        Self { faults, probe, counts: Default::default(), caller_leaves: Arc::default() }
    }

    pub(super) fn calls(&self, site: CallSite) -> u32 {
        self.counts[site as usize].load(Ordering::Relaxed)
    }

    fn began(&self, site: CallSite, payment: Option<&PaymentId>) -> (u32, Fault) {
        let nth = self.counts[site as usize].fetch_add(1, Ordering::Relaxed) + 1;
        let fault = self.faults.fault(site, nth, payment);
        if let Some(probe) = &self.probe {
            probe.began(site, nth, fault);
        }
        (nth, fault)
    }
}

/// What the service does with a request that it accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Work {
    Normal,
    Refuse,
    Break { effect: bool },
    AskForAction,
    TakeTime(Duration),
    WrongAmount,
}

/// Sends a call from `process` to a service.
///
/// `arrive` checks the call when it arrives: an answer from there (a replay, a conflict) has no effect.
/// Otherwise `work` runs when the latency has passed, or when the client stops waiting before that: the
/// service executes every request that has arrived.
pub(super) fn call<T: Send + 'static>(
    net: &Arc<Net>,
    process: &Process,
    site: CallSite,
    payment: Option<PaymentId>,
    latency: Duration,
    arrive: impl FnOnce() -> Option<Result<T, ProviderError>> + Send + 'static,
    work: impl FnOnce(Work) -> Result<T, ProviderError> + Send + 'static,
) -> CallFuture<T> {
    let (net, process) = (Arc::clone(net), process.clone());
    Box::pin(async move {
        let action = process.begin().await;
        let (nth, fault) = net.began(site, payment.as_ref());
        let mut watch = Watch { net: &net, site, nth, ended: false };
        match fault {
            Fault::CrashBefore => {
                process.kill();
                return std::future::pending().await;
            }
            Fault::Panic => panic!("a fault of the {site} client's library"),
            Fault::Hang => return std::future::pending().await,
            _ => {}
        }
        let answer = match fault {
            Fault::RateLimited(retry_after) => {
                wait(latency).await;
                Err(ProviderError::RateLimited { retry_after })
            }
            Fault::FailBefore => {
                wait(latency).await;
                Err(ProviderError::Unavailable)
            }
            _ => {
                if fault == Fault::DropCaller {
                    net.caller_leaves.notify_one();
                }
                let extra = if let Fault::Slow(extra) = fault { extra } else { Duration::ZERO };
                if let Some(answer) = arrive() {
                    wait(latency + extra).await;
                    answer
                } else {
                    let kind = match fault {
                        Fault::Decline => Work::Refuse,
                        Fault::Internal { effect } => Work::Break { effect },
                        Fault::RequiresAction => Work::AskForAction,
                        Fault::Processing(time) => Work::TakeTime(time),
                        Fault::WrongAmount => Work::WrongAmount,
                        _ => Work::Normal,
                    };
                    let job = Job::new(move || work(kind));
                    if extra.is_zero() {
                        wait(latency).await;
                        finish(job)
                    } else {
                        in_the_background(latency + extra, job).await
                    }
                }
            }
        };
        let answer = match fault {
            Fault::LoseReply => Err(ProviderError::ConnectionLost),
            Fault::SwallowReply => std::future::pending().await,
            Fault::CrashAfter => {
                process.kill();
                std::future::pending().await
            }
            _ => answer,
        };
        process.end(action).await;
        watch.over(&answer);
        answer
    })
}

fn finish<T>(job: Job<impl FnOnce() -> Result<T, ProviderError>>) -> Result<T, ProviderError> {
    job.into_work().map_or(Err(ProviderError::ConnectionLost), |work| work())
}

async fn wait(latency: Duration) {
    if !latency.is_zero() {
        sleep(latency).await;
    }
}

/// Runs the work of the service, whether or not the client waits.
async fn in_the_background<T: Send + 'static>(
    time: Duration,
    job: Job<impl FnOnce() -> Result<T, ProviderError> + Send + 'static>,
) -> Result<T, ProviderError> {
    let (reply, answer) = oneshot::channel();
    tokio::spawn(async move {
        sleep(time).await;
        // The caller may have stopped waiting.
        let _ = reply.send(finish(job));
    });
    // The sender is dropped without an answer only when the runtime ends.
    answer.await.unwrap_or(Err(ProviderError::ConnectionLost))
}

/// Work that runs once: when its time has come, or when it is dropped before.
struct Job<F: Effect>(Option<F>);

/// A closure that is called for its effect when its answer is not needed.
trait Effect {
    fn take(self);
}

impl<T, F: FnOnce() -> T> Effect for F {
    fn take(self) {
        let _ = self();
    }
}

impl<F: Effect> Job<F> {
    fn new(work: F) -> Self {
        Self(Some(work))
    }

    fn into_work(mut self) -> Option<F> {
        self.0.take()
    }
}

impl<F: Effect> Drop for Job<F> {
    fn drop(&mut self) {
        if let Some(work) = self.0.take() {
            work.take();
        }
    }
}

/// Notifies the probe how the call ended; a drop means that the client stopped waiting.
struct Watch<'a> {
    net: &'a Net,
    site: CallSite,
    nth: u32,
    ended: bool,
}

impl Watch<'_> {
    fn over<T>(&mut self, answer: &Result<T, ProviderError>) {
        self.ended = true;
        if let Some(probe) = &self.net.probe {
            let ending = match answer {
                Ok(_) => Ending::Answered,
                Err(error) => Ending::Failed(error.clone()),
            };
            probe.ended(self.site, self.nth, &ending);
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if let (false, Some(probe)) = (self.ended, &self.net.probe) {
            probe.ended(self.site, self.nth, &Ending::GivenUp);
        }
    }
}
