//! The two sides that are compared, as traits: what the provider lists, and what the books say.

use futures::FutureExt as _;

use crate::adapters::sql::{Asked, BookedRow, Store};
use crate::ids::{IntentId, PaymentId};
use crate::provider::{Answer, Intent, ProviderError, Row};
use crate::sim::{IntentTruth, World};

/// A page of a provider's intents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IntentPage {
    /// Those that were made for a payment of ours, the newest first.
    pub intents: Vec<Intent>,
    /// How many others were on the page: an account may have other uses.
    pub foreign: usize,
    /// How many of ours cannot be understood: a currency or a status that is unknown here.
    pub unreadable: usize,
    /// The last one of the page if there are more: what to ask the next page after.
    pub next: Option<IntentId>,
}

/// A provider that can list what it has. Without an effect.
pub trait IntentList: Send + Sync {
    /// A page of the account's intents, the newest first: the first page, or the one after an intent.
    fn intents(&self, after: Option<IntentId>) -> Answer<IntentPage>;
    /// One intent as it is now.
    fn intent(&self, id: IntentId) -> Answer<Option<Intent>>;
}

/// A row of the ledger, as far as it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booked {
    /// Its number in the ledger.
    pub number: u64,
    /// The row.
    pub row: Row,
    /// The intent that was charged, where the ledger knows it.
    pub intent: Option<IntentId>,
}

impl From<BookedRow> for Booked {
    fn from(booked: BookedRow) -> Self {
        Self { number: booked.number, row: booked.row, intent: Some(booked.intent) }
    }
}

/// A ledger that can be read. Every [`Store`] can.
pub trait Books: Send + Sync {
    /// The row of a payment, whether it stands or was taken back.
    fn row(&self, payment: PaymentId) -> Asked<'_, Option<Booked>>;
    /// The rows in the order in which they were written, from the one after number `after` (0 for the
    /// first), `most` at most.
    fn rows(&self, after: u64, most: usize) -> Asked<'_, Vec<Booked>>;
}

impl<S: Store + ?Sized> Books for S {
    fn row(&self, payment: PaymentId) -> Asked<'_, Option<Booked>> {
        let shown = self.show(payment);
        async move { Ok(shown.await?.and_then(|shown| shown.row).map(Booked::from)) }.boxed()
    }

    fn rows(&self, after: u64, most: usize) -> Asked<'_, Vec<Booked>> {
        let rows = Store::rows(self, after, most);
        async move { Ok(rows.await?.into_iter().map(Booked::from).collect()) }.boxed()
    }
}

/// Intents on a page of the simulated provider: as many as on one of Stripe's.
const PAGE: usize = 100;

fn shown(truth: IntentTruth) -> Intent {
    Intent {
        refunded: truth.refunds > 0,
        id: truth.id,
        payment: truth.payment,
        amount: truth.amount,
        status: truth.status,
    }
}

/// The simulated provider, without latencies and faults.
impl IntentList for World {
    fn intents(&self, after: Option<IntentId>) -> Answer<IntentPage> {
        let mut newest_first = World::intents(self).into_iter().rev().map(shown).peekable();
        if let Some(after) = after
            && !newest_first.by_ref().any(|intent| intent.id == after)
        {
            let message = format!("no intent {after}");
            return std::future::ready(Err(ProviderError::Invalid { message })).boxed();
        }
        let intents: Vec<_> = newest_first.by_ref().take(PAGE).collect();
        let last = intents.last().map(|intent| intent.id.clone());
        let next = if newest_first.peek().is_some() { last } else { None };
        std::future::ready(Ok(IntentPage { intents, next, ..IntentPage::default() })).boxed()
    }

    fn intent(&self, id: IntentId) -> Answer<Option<Intent>> {
        let found = World::intents(self).into_iter().find(|truth| truth.id == id);
        std::future::ready(Ok(found.map(shown))).boxed()
    }
}

/// The simulated ledger, without latencies and faults.
impl Books for World {
    fn row(&self, payment: PaymentId) -> Asked<'_, Option<Booked>> {
        let found = numbered(self).find(|booked| booked.row.payment == payment);
        std::future::ready(Ok(found)).boxed()
    }

    fn rows(&self, after: u64, most: usize) -> Asked<'_, Vec<Booked>> {
        let rows = numbered(self).filter(|booked| booked.number > after).take(most);
        std::future::ready(Ok(rows.collect())).boxed()
    }
}

fn numbered(world: &World) -> impl Iterator<Item = Booked> {
    let rows = World::rows(world).into_iter();
    (1..).zip(rows).map(|(number, row)| Booked { number, row, intent: None })
}
