//! Figures in the format of OpenMetrics, which Prometheus reads.
//!
//! Labels have few values: routes, steps, services, states. No label has a value of a request, so
//! that the number of series is bounded and no secret becomes a label.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use level3::gateway::Gateway;
use level3_domain::answer::{Dependency, Status};
use level3_domain::event::{BreakerState, Event, Observer};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// The upper bounds of the time of a call, in seconds: from a fast store to the ten seconds of a
/// payment.
const SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    method: String,
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    problem: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Step {
    step: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Breaker {
    service: &'static str,
    state: &'static str,
}

/// The figures. Cheap to clone; clones share them. Give one to the gateway as its observer.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Figures>);

#[derive(Debug)]
struct Figures {
    registry: Registry,
    requests: Family<Answered, Counter>,
    request_seconds: Family<Route, Histogram>,
    problems: Family<Kind, Counter>,
    payments: Family<Outcome, Counter>,
    steps: Family<Step, Counter>,
    attempts: Family<Step, Counter>,
    errors: Family<Step, Counter>,
    step_seconds: Family<Step, Histogram>,
    limiter_seconds: Family<Step, Histogram>,
    undone: Family<Step, Counter>,
    parked: Family<Step, Counter>,
    receipts: Family<Outcome, Counter>,
    refunds: Family<Outcome, Counter>,
    notifications: Family<Outcome, Counter>,
    provider_events: Family<Outcome, Counter>,
    breakers: Family<Breaker, Gauge>,
    in_flight: Gauge,
    open: Gauge,
    parked_now: Gauge,
    dead_letters: Gauge,
    open_refunds: Gauge,
    scrapes_failed: Counter<u64, AtomicU64>,
}

/// What the store has, for the gauges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stored {
    pub(crate) open: usize,
    pub(crate) parked: usize,
    pub(crate) dead_letters: usize,
    pub(crate) open_refunds: usize,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Makes figures that are all zero.
    #[must_use]
    pub fn new() -> Self {
        let seconds = || Histogram::new(SECONDS);
        let mut it = Figures {
            registry: Registry::with_prefix("payment_gateway"),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(seconds),
            problems: Family::default(),
            payments: Family::default(),
            steps: Family::default(),
            attempts: Family::default(),
            errors: Family::default(),
            step_seconds: Family::new_with_constructor(seconds),
            limiter_seconds: Family::new_with_constructor(seconds),
            undone: Family::default(),
            parked: Family::default(),
            receipts: Family::default(),
            refunds: Family::default(),
            notifications: Family::default(),
            provider_events: Family::default(),
            breakers: Family::default(),
            in_flight: Gauge::default(),
            open: Gauge::default(),
            parked_now: Gauge::default(),
            dead_letters: Gauge::default(),
            open_refunds: Gauge::default(),
            scrapes_failed: Counter::default(),
        };
        it.register();
        Self(Arc::new(it))
    }

    /// Counts a request that was answered.
    pub(crate) fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        let (method, route) = (method.to_owned(), route.to_owned());
        let labels = Route { method: method.clone(), route: route.clone() };
        self.0.request_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        self.0.requests.get_or_create(&Answered { method, route, status }).inc();
    }

    /// Counts a problem.
    pub(crate) fn problem(&self, problem: &'static str) {
        self.0.problems.get_or_create(&Kind { problem }).inc();
    }

    /// Counts a report of the provider.
    pub(crate) fn reported(&self, outcome: &'static str) {
        self.0.provider_events.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts an attempt at a notification.
    pub(crate) fn notified(&self, outcome: &'static str) {
        self.0.notifications.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts a refund that has an outcome.
    pub(crate) fn refunded(&self, outcome: &'static str) {
        self.0.refunds.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts a scrape whose gauges could not be read from the store; they keep their values.
    pub(crate) fn store_failed(&self) {
        self.0.scrapes_failed.inc();
    }

    /// Writes all figures. `stored` has the gauges of the store, if it could be read.
    pub(crate) fn text(
        &self,
        gateway: &Gateway,
        stored: Option<Stored>,
    ) -> Result<String, std::fmt::Error> {
        let it = &self.0;
        it.in_flight.set(gateway.in_flight().into());
        if let Some(Stored { open, parked, dead_letters, open_refunds }) = stored {
            it.open.set(number(open));
            it.parked_now.set(number(parked));
            it.dead_letters.set(number(dead_letters));
            it.open_refunds.set(number(open_refunds));
        }
        for service in DEPENDENCIES {
            let now = gateway.breaker(service);
            for (state, name) in STATES {
                let labels = Breaker { service: service.name(), state: name };
                it.breakers.get_or_create(&labels).set(i64::from(now == state));
            }
        }
        let mut text = String::new();
        encode(&mut text, &it.registry)?;
        Ok(text)
    }
}

const DEPENDENCIES: [Dependency; 4] =
    [Dependency::Payments, Dependency::Fraud, Dependency::Ledger, Dependency::Receipts];
const STATES: [(BreakerState, &str); 3] = [
    (BreakerState::Closed, "closed"),
    (BreakerState::Open, "open"),
    (BreakerState::HalfOpen, "half_open"),
];

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Figures {
    fn register(&mut self) {
        let to = &mut self.registry;
        to.register("http_requests", "Requests that were answered", self.requests.clone());
        let help = "Time from the head of a request to the head of its answer";
        let seconds = self.request_seconds.clone();
        to.register_with_unit("http_request_duration", help, Unit::Seconds, seconds);
        to.register("problems", "Answers that are problems, by type", self.problems.clone());
        to.register("payments", "Payments that have ended", self.payments.clone());
        to.register("steps", "Steps that were called", self.steps.clone());
        to.register("step_attempts", "Attempts of all steps", self.attempts.clone());
        to.register(
            "step_errors",
            "Steps that failed after their last attempt",
            self.errors.clone(),
        );
        let help = "Time from the first attempt of a step to its outcome, waits included";
        to.register_with_unit("step_duration", help, Unit::Seconds, self.step_seconds.clone());
        let help = "Time that the attempts of a step waited for the rate limiter";
        to.register_with_unit("limiter_wait", help, Unit::Seconds, self.limiter_seconds.clone());
        to.register("steps_undone", "Steps that were undone", self.undone.clone());
        to.register("steps_parked", "Steps that could not be undone", self.parked.clone());
        to.register("receipts", "Receipts that were sent or given up", self.receipts.clone());
        to.register("refunds", "Refunds with an outcome", self.refunds.clone());
        let help = "Attempts to notify merchants";
        to.register("notifications", help, self.notifications.clone());
        let help = "Reports of the provider";
        to.register("provider_events", help, self.provider_events.clone());
        let help = "Whether the breaker of a service is in a state";
        to.register("breaker_state", help, self.breakers.clone());
        to.register("payments_in_flight", "Payments under way here", self.in_flight.clone());
        let help = "Payments of the store that have not ended";
        to.register("open_sagas", help, self.open.clone());
        let help = "Payments of the store with a step that could not be undone";
        to.register("parked_sagas", help, self.parked_now.clone());
        let help = "Undos and receipts of the store that failed";
        to.register("dead_letters", help, self.dead_letters.clone());
        let help = "Refunds of the store without an outcome";
        to.register("open_refunds", help, self.open_refunds.clone());
        let help = "Scrapes at which the store could not be read";
        to.register("scrape_store_errors", help, self.scrapes_failed.clone());
    }
}

fn step(name: &str) -> Step {
    Step { step: name.to_owned() }
}

impl Observer for Metrics {
    fn on_event(&self, event: Event) {
        let it = &self.0;
        let count = |family: &Family<Outcome, Counter>, outcome| {
            family.get_or_create(&Outcome { outcome }).inc();
        };
        match event {
            Event::Called { step: name, attempts, waiting, .. } => {
                it.steps.get_or_create(&step(name)).inc();
                it.attempts.get_or_create(&step(name)).inc_by(attempts.into());
                it.limiter_seconds.get_or_create(&step(name)).observe(waiting.as_secs_f64());
            }
            Event::StepDone { step: name, took, .. } => {
                it.step_seconds.get_or_create(&step(name)).observe(took.as_secs_f64());
            }
            Event::StepFailed { step: name, took, .. } => {
                it.step_seconds.get_or_create(&step(&name)).observe(took.as_secs_f64());
                it.errors.get_or_create(&step(&name)).inc();
            }
            Event::Undone { step: name, .. } => {
                it.undone.get_or_create(&step(name)).inc();
            }
            Event::Parked { step: name, .. } => {
                it.parked.get_or_create(&step(name)).inc();
            }
            Event::Ended { status, .. } => count(
                &it.payments,
                match status {
                    Status::Paid { .. } => "paid",
                    Status::Declined { .. } => "declined",
                    Status::Failed { .. } => "failed",
                    Status::Compensating { .. } => "compensating",
                },
            ),
            Event::ReceiptSent { .. } => count(&it.receipts, "sent"),
            Event::ReceiptParked { .. } => count(&it.receipts, "parked"),
            Event::Begun { .. } | Event::Breaker { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The names of all series, of which most appear only when something has been counted.
    fn series() -> BTreeSet<String> {
        let metrics = Metrics::new();
        // Every field: a family that is added does not compile here until it is filled.
        let Figures {
            registry,
            requests,
            request_seconds,
            problems,
            payments,
            steps,
            attempts,
            errors,
            step_seconds,
            limiter_seconds,
            undone,
            parked,
            receipts,
            refunds,
            notifications,
            provider_events,
            breakers,
            in_flight: _,
            open: _,
            parked_now: _,
            dead_letters: _,
            open_refunds: _,
            scrapes_failed: _,
        } = &*metrics.0;
        metrics.answered("GET", "/healthz", 200, Duration::ZERO);
        metrics.problem("internal");
        assert!(
            requests
                .get(&Answered { method: "GET".into(), route: "/healthz".into(), status: 200 })
                .is_some()
        );
        let route = Route { method: "GET".into(), route: "/healthz".into() };
        assert!(request_seconds.get(&route).is_some());
        assert!(problems.get(&Kind { problem: "internal" }).is_some());
        for family in [payments, receipts] {
            family.get_or_create(&Outcome { outcome: "paid" }).inc();
        }
        for family in [refunds, notifications, provider_events] {
            family.get_or_create(&Outcome { outcome: "succeeded" }).inc();
        }
        for family in [steps, attempts, errors, undone, parked] {
            family.get_or_create(&step("confirm")).inc();
        }
        for family in [step_seconds, limiter_seconds] {
            family.get_or_create(&step("confirm")).observe(0.0);
        }
        breakers.get_or_create(&Breaker { service: "payments", state: "open" }).set(0);
        let mut text = String::new();
        encode(&mut text, registry).unwrap();
        let name = |line: &str| line.split(['{', ' ']).next().unwrap_or_default().to_owned();
        text.lines().filter(|line| !line.starts_with('#')).map(name).collect()
    }

    /// A panel or an alert whose name does not exist shows nothing, and reports no error.
    #[test]
    fn the_dashboard_and_the_alerts_name_series_that_exist() {
        let series = series();
        assert_eq!(series.iter().filter(|name| name.ends_with("_total")).count(), 13);
        let mut used = BTreeSet::new();
        for file in ["grafana-dashboard.json", "alerts.yml", "alerts-test.yml"] {
            // Tests run in the folder of their package.
            let text = std::fs::read_to_string(format!("operations/{file}")).unwrap();
            let words = text.split(|letter: char| !letter.is_ascii_lowercase() && letter != '_');
            let names: BTreeSet<_> =
                words.filter(|word| word.starts_with("payment_gateway_")).collect();
            assert!(!names.is_empty(), "{file}");
            for name in names {
                assert!(series.contains(name), "{file} names {name}, which no scrape has");
                used.insert(name.to_owned());
            }
        }
        // And what is counted is shown. A histogram is shown by its buckets.
        let unused: Vec<_> = series
            .difference(&used)
            .filter(|name| !name.ends_with("_sum") && !name.ends_with("_count"))
            .collect();
        assert!(unused.is_empty(), "no panel and no alert shows {unused:?}");
    }
}
