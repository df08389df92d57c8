//! The clients: one payment after another, at a steady rate, whether the gateway keeps up or not.

use std::sync::Arc;
use std::time::Duration;

use level3::request::PaymentRequest;
use program_kit::stop::Shutdown;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::args::StreamArgs;
use super::engine::Engine;
use super::health::Health;

/// How long payments may still need after their clients have an answer: the gateway tries to undo
/// for more than a minute.
const DRAIN: Duration = Duration::from_secs(150);
/// The same, if the store has failed.
const HOPELESS: Duration = Duration::from_secs(15);

/// The payments of one run.
pub struct Stream<'a> {
    pub args: &'a StreamArgs,
    pub prefix: &'a str,
    pub engine: &'a Engine,
    pub health: Arc<Health>,
}

impl Stream<'_> {
    /// Requests payments until all are requested, the user stops the stream or the store fails.
    /// Then waits for the answers, and until no payment is under way. Returns the time that the
    /// clients took.
    pub async fn pay(&self, stop: &Shutdown) -> Duration {
        let (begun, every) = (Instant::now(), self.args.every());
        let mut clients = JoinSet::new();
        for number in 1..=self.args.payments.get() {
            let at = begun + every.mul_f64(f64::from(number - 1));
            tokio::select! {
                biased;
                () = stop.asked(1) => break,
                () = self.health.given_up() => break,
                () = sleep_until(at) => {}
            }
            clients.spawn(self.client(number));
            while clients.try_join_next().is_some() {}
        }
        // Each payment has its answer after ten seconds at most.
        while clients.join_next().await.is_some() {}
        let took = begun.elapsed();
        let limit = if self.health.verdict().is_some() { HOPELESS } else { DRAIN };
        self.engine.gateway.drain(limit).await;
        took
    }

    fn client(&self, number: u32) -> impl Future<Output = ()> + use<> {
        let request = self.request(number);
        let (gateway, figures) = (self.engine.gateway.clone(), Arc::clone(&self.engine.figures));
        let (store, health) = (Arc::clone(&self.engine.store.store), Arc::clone(&self.health));
        async move {
            figures.asked.add(1);
            let (begun, key) = (Instant::now(), request.key.clone());
            let result = gateway.pay(request).await;
            figures.answered(&key, &result, begun.elapsed());
            health.saw(&result, store.last_error());
        }
    }

    /// Returns the same request for the same number, so that a repeat has the same key and
    /// parameters.
    fn request(&self, number: u32) -> PaymentRequest {
        let key = format!("{}-{number}", self.prefix);
        PaymentRequest {
            order: format!("order-{key}"),
            key,
            amount: 1000 + i64::from(number % 9000),
            currency: "USD".to_owned(),
            email: self.args.email.expose().to_owned(),
            card: self.args.card.expose().to_owned(),
        }
    }
}
