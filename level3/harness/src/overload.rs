//! More payments than the provider's account allows, and how many of them are paid.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use level3::gateway::{Gateway, GatewayConfig, GatewayConfigError};
use level3_domain::answer::{PayError, Status};
use level3_domain::event::NoObserver;
use level3_domain::ids::PaymentId;
use level3_domain::journal::MemoryJournal;
use level3_domain::provider::Providers;
use level3_sim::{
    CallSite, Fault, Faults, Latencies, NarrowFraudCheck, RandomFaults, Rates, World,
};
use tokio::time::{Instant, sleep_until};

use super::load::{percentile, request};

/// Payments that are paid before this time are not counted: the first answer takes 1.1 s, and the gateway
/// has to learn its capacity.
const WARM_UP: Duration = Duration::from_secs(5);

/// Payments that are offered at a steady rate to one gateway.
#[derive(Debug, Clone, Copy)]
pub struct Surge {
    /// Payments that are offered in a second.
    pub offered: u32,
    /// How long the goodput is measured, after a warm-up of five seconds with the same load.
    pub lasts: Duration,
    /// The questions that the fraud check can answer at once, if there is a limit: it takes 500 ms for
    /// each.
    pub fraud_workers: Option<usize>,
    /// The failure rate of each call.
    pub rates: Rates,
    /// The seed of the failures.
    pub seed: u64,
}

/// The outcomes of the payments of a [`Surge`].
#[derive(Debug, Clone, Default)]
pub struct Goodput {
    /// Payments that were paid in a second, on average.
    pub paid: f64,
    /// Refused, of all payments of the surge.
    pub refused: u32,
    /// Refused payments for which a service had been called.
    pub refused_late: u32,
    /// Admitted, and neither paid nor declined in the end.
    pub failed: u32,
    /// The latencies of the paid payments: the median and the longest.
    pub median: Duration,
    /// The longest answer to a payment that was paid.
    pub longest: Duration,
}

impl Surge {
    /// Offers the payments and counts.
    ///
    /// # Errors
    ///
    /// [`GatewayConfigError`] if the gateway refuses `config`.
    pub async fn run(&self, config: &GatewayConfig) -> Result<Goodput, GatewayConfigError> {
        let called = Arc::new(Called {
            faults: RandomFaults::new(self.rates, self.seed),
            payments: Mutex::default(),
        });
        let world = World::with(Latencies::ASSIGNMENT, Arc::clone(&called) as _, None);
        let providers = self.narrowed(world.providers());
        let journal = Arc::new(MemoryJournal::new());
        let gateway = Gateway::new(config.clone(), providers, journal, Arc::new(NoObserver))?;
        let begin = Instant::now();
        let end = begin + WARM_UP + self.lasts;
        let every = Duration::from_secs(1) / self.offered.max(1);
        let mut clients = Vec::new();
        for number in 0.. {
            let at = begin + every * number;
            if at >= end {
                break;
            }
            sleep_until(at).await;
            let gateway = gateway.clone();
            clients.push(tokio::spawn(async move {
                let begun = Instant::now();
                let reply = gateway.pay(request(number)).await;
                (reply, begun.elapsed(), Instant::now())
            }));
        }
        let (mut goodput, mut latencies) = (Goodput::default(), Vec::new());
        let (mut admitted, mut paid) = (0, 0_u32);
        for client in clients {
            // A panic of the gateway is a payment that fails.
            let Ok((reply, took, at)) = client.await else {
                goodput.failed += 1;
                continue;
            };
            admitted += usize::from(reply.is_ok());
            match reply.map(|reply| reply.answer.status.clone()) {
                Ok(Status::Paid { .. }) => {
                    latencies.push(took);
                    paid += u32::from(at > begin + WARM_UP && at <= end);
                }
                Ok(Status::Declined { .. }) => {}
                Err(PayError::Overloaded { .. } | PayError::Unavailable { .. }) => {
                    goodput.refused += 1;
                }
                Ok(_) | Err(_) => goodput.failed += 1,
            }
        }
        gateway.drain(Duration::from_secs(300)).await;
        latencies.sort_unstable();
        // Every payment that reached a service has to have an answer.
        let late = called.payments().len().saturating_sub(admitted);
        goodput.refused_late = u32::try_from(late).unwrap_or(u32::MAX);
        goodput.paid = f64::from(paid) / self.lasts.as_secs_f64();
        goodput.median = percentile(&latencies, 50);
        goodput.longest = percentile(&latencies, 100);
        Ok(goodput)
    }

    fn narrowed(&self, providers: Providers) -> Providers {
        let Some(workers) = self.fraud_workers else { return providers };
        let fraud = NarrowFraudCheck::new(Arc::clone(&providers.fraud), workers);
        Providers { fraud: Arc::new(fraud), ..providers }
    }
}

/// Notes which payments have reached a service.
struct Called {
    faults: RandomFaults,
    payments: Mutex<HashSet<PaymentId>>,
}

impl Called {
    fn payments(&self) -> MutexGuard<'_, HashSet<PaymentId>> {
        self.payments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Faults for Called {
    fn fault(&self, site: CallSite, nth: u32, payment: Option<&PaymentId>) -> Fault {
        self.payments().extend(payment.cloned());
        self.faults.fault(site, nth, payment)
    }
}
