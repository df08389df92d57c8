//! The receipts that were sent, and those that are being sent.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use level3_domain::ids::TransactionId;

/// Remembers a bounded number of transactions; the oldest are forgotten first.
#[derive(Debug)]
pub(super) struct Sent {
    state: Mutex<State>,
    most: usize,
}

#[derive(Debug, Default)]
struct State {
    under_way: HashSet<TransactionId>,
    out: HashSet<TransactionId>,
    order: VecDeque<TransactionId>,
}

/// The state of a receipt, for a call that wants to send it.
#[derive(Debug)]
pub(super) enum Place<'a> {
    /// No other call is sending the receipt.
    Yours(Sending<'a>),
    /// Another call is sending the receipt.
    UnderWay,
    /// The mail service has accepted it.
    Out,
}

impl Sent {
    pub(super) fn new(most: usize) -> Self {
        Self { state: Mutex::default(), most }
    }

    /// Takes the right to send a receipt, unless another call has the right or has sent the
    /// receipt.
    pub(super) fn begin(&self, transaction: &TransactionId) -> Place<'_> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.out.contains(transaction) {
            return Place::Out;
        }
        if !state.under_way.insert(transaction.clone()) {
            return Place::UnderWay;
        }
        Place::Yours(Sending { sent: self, transaction: transaction.clone() })
    }
}

/// The right to send one receipt, released when it is dropped.
#[derive(Debug)]
pub(super) struct Sending<'a> {
    sent: &'a Sent,
    transaction: TransactionId,
}

impl Sending<'_> {
    /// Marks the receipt as sent: no call sends it again.
    pub(super) fn done(self) {
        let mut state = self.sent.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.out.insert(self.transaction.clone()) {
            state.order.push_back(self.transaction.clone());
        }
        while state.order.len() > self.sent.most {
            if let Some(oldest) = state.order.pop_front() {
                state.out.remove(&oldest);
            }
        }
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        let mut state = self.sent.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.under_way.remove(&self.transaction);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(n: u32) -> TransactionId {
        TransactionId::new(format!("txn_{n}")).unwrap()
    }

    fn send(sent: &Sent, n: u32) {
        match sent.begin(&transaction(n)) {
            Place::Yours(sending) => sending.done(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_at_a_time_and_then_never_again() {
        let sent = Sent::new(10);
        let Place::Yours(first) = sent.begin(&transaction(1)) else { panic!("it is free") };
        assert!(matches!(sent.begin(&transaction(1)), Place::UnderWay));
        // Given up: the next one may.
        drop(first);
        send(&sent, 1);
        assert!(matches!(sent.begin(&transaction(1)), Place::Out));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let sent = Sent::new(2);
        for n in 1..=3 {
            send(&sent, n);
        }
        assert!(matches!(sent.begin(&transaction(1)), Place::Yours(_)));
        assert!(matches!(sent.begin(&transaction(2)), Place::Out));
        assert!(matches!(sent.begin(&transaction(3)), Place::Out));
    }
}
