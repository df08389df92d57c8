//! The circuit breakers of the services.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::config::Config;
use super::config::breaker::{BreakerConfig, CircuitBreaker, State};
use super::event::Service;
use super::sink::SendError;

/// The breaker of each service. Only the driver makes and forgets breakers, so this needs no lock; its tasks hold a
/// breaker by its `Arc`.
#[derive(Debug)]
pub(super) struct Breakers {
    config: BreakerConfig<SendError>,
    breakers: HashMap<Service, Kept>,
    /// The services that have nothing to do, in the order in which they came to rest.
    resting: BTreeMap<u64, Service>,
    /// The number of the last service that came to rest.
    last: u64,
    /// The most breakers in `resting`. What a route returns is a name from outside: without a bound each name that
    /// failed once would keep its breaker, some of them for good, since a failure in a row has no age.
    most: usize,
}

#[derive(Debug)]
struct Kept {
    breaker: Arc<CircuitBreaker<SendError>>,
    /// The number of its service in `resting`.
    rests: Option<u64>,
}

impl Breakers {
    pub(super) fn new(config: &Config) -> Self {
        let (breakers, resting) = (HashMap::new(), BTreeMap::new());
        Self { config: config.breaker, breakers, resting, last: 0, most: config.remembered_ids }
    }

    /// The breaker of a service to which a batch is to be sent.
    pub(super) fn of(&mut self, service: &Service) -> Arc<CircuitBreaker<SendError>> {
        if let Some(kept) = self.breakers.get_mut(service) {
            if let Some(number) = kept.rests.take() {
                self.resting.remove(&number);
            }
            return Arc::clone(&kept.breaker);
        }
        let breaker = CircuitBreaker::new(service.as_str(), self.config);
        let breaker = Arc::new(breaker.expect("`start` has checked the configuration"));
        let kept = Kept { breaker: Arc::clone(&breaker), rests: None };
        self.breakers.insert(service.clone(), kept);
        breaker
    }

    /// The service has nothing to do. Its breaker is forgotten if it remembers no failure. Otherwise it is kept: a new
    /// breaker counts from zero, and that of a service with few events, all of which fail, would never open.
    pub(super) fn rest(&mut self, service: &Service) {
        let Some(kept) = self.breakers.get_mut(service) else { return };
        if is_well(&kept.breaker) {
            self.breakers.remove(service);
        } else {
            self.last += 1;
            kept.rests = Some(self.last);
            self.resting.insert(self.last, service.clone());
        }
        // Failures age, so the breakers that have rested longest may be well by now. Each call adds at most one, and
        // looks only at those that it forgets and at one more.
        while let Some((number, oldest)) = self.resting.first_key_value()
            && (self.resting.len() > self.most
                || self.breakers.get(oldest).is_none_or(|kept| is_well(&kept.breaker)))
        {
            let number = *number;
            if let Some(oldest) = self.resting.remove(&number) {
                self.breakers.remove(&oldest);
            }
        }
    }
}

/// Whether a new breaker would decide as this one does, so that this one can be dropped.
fn is_well(breaker: &CircuitBreaker<SendError>) -> bool {
    let snapshot = breaker.snapshot();
    snapshot.state == State::Closed && snapshot.failures == 0
}
