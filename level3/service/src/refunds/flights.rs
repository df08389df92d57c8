//! One task for each thing that this process works on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use level3_domain::refund::RefundId;
use tokio::sync::watch;

/// The refunds that this process works on.
#[derive(Debug, Clone, Default)]
pub(super) struct Flights(Arc<Mutex<Flying>>);

#[derive(Debug, Default)]
struct Flying {
    flights: HashMap<RefundId, watch::Receiver<()>>,
    /// Dropped, and made again, when the last flight has ended.
    all: Option<watch::Sender<()>>,
}

/// The answer to a task that wants to work on a refund.
pub(super) enum Place {
    /// The task is the only one that works on the refund, until it drops this.
    Started(Flight),
    /// Another task works on the refund.
    Joined(Ended),
}

/// The right to work on a refund.
pub(super) struct Flight {
    flights: Flights,
    name: RefundId,
    // Dropped with the flight, which wakes all who wait for its end.
    end: watch::Sender<()>,
}

/// Waits for the end of a flight.
pub(super) struct Ended(watch::Receiver<()>);

impl Flights {
    pub(super) fn enter(&self, name: &RefundId) -> Place {
        let mut flying = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flying.flights.get(name) {
            return Place::Joined(Ended(flight.clone()));
        }
        let (end, flight) = watch::channel(());
        flying.flights.insert(name.clone(), flight);
        flying.all.get_or_insert_with(|| watch::Sender::new(()));
        Place::Started(Flight { flights: self.clone(), name: name.clone(), end })
    }

    /// Waits until there is no flight.
    pub(super) async fn empty(&self) {
        let all = {
            let flying = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            flying.all.as_ref().map(watch::Sender::subscribe)
        };
        if let Some(all) = all {
            Ended(all).ended().await;
        }
    }
}

impl Flight {
    pub(super) fn follow(&self) -> Ended {
        Ended(self.end.subscribe())
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut flying = self.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
        flying.flights.remove(&self.name);
        if flying.flights.is_empty() {
            flying.all = None;
        }
    }
}

impl Ended {
    pub(super) async fn ended(mut self) {
        // Nothing is sent: the only change is that the sender is dropped.
        while self.0.changed().await.is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use level3_domain::ids::PaymentKey;
    use level3_domain::journal::StoreId;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_works_and_the_others_wait() {
        let flights = Flights::default();
        let name = RefundId::derive(&StoreId::unnamed(), &PaymentKey::new("a").unwrap());
        flights.empty().await;
        let Place::Started(flight) = flights.enter(&name) else { panic!("it is free") };
        let Place::Joined(ended) = flights.enter(&name) else { panic!("it is taken") };
        let all = flights.clone();
        let waits = tokio::spawn(async move {
            ended.ended().await;
            all.empty().await;
        });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        drop(flight);
        waits.await.unwrap();
        assert!(matches!(flights.enter(&name), Place::Started(_)));
    }
}
