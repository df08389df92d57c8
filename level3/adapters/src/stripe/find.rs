//! Finding the intent of a payment.
//!
//! Stripe offers two ways, and neither is enough alone. The *search* by metadata is one call, and
//! its index is usually a minute behind and up to an hour in an outage: "do not use it in
//! read-after-write flows" (<https://docs.stripe.com/api/payment_intents/search>). The *list* is up
//! to date, newest first, and grows with the account's traffic. So, in this order:
//!
//! 1. the id, if a call of this client has named or returned it: one read, always up to date. The
//!    gateway needs no other way, except after a 500 to a request for an intent;
//! 2. the newest intents, a bounded number of pages: an intent that was made a short time ago is
//!    among them;
//! 3. the search: intents older than those pages are in its index, unless the index is far behind.
//!
//! If the list was read to its end without such an intent, there is none. Otherwise the client
//! cannot know, and says so ([`StripeError::Uncertain`]).

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use level3_domain::ids::{IntentId, PaymentId};
use level3_domain::provider::Intent;

use super::body::{IntentBody, PageBody, REFERENCE};
use super::calls::Calls;
use super::error::StripeError;

/// The most intents that Stripe returns in a page.
pub(super) const PAGE: &str = "100";

/// The ids of intents that this client has seen: a bounded number, and the oldest are forgotten
/// first.
#[derive(Debug)]
pub(super) struct Known {
    state: Mutex<(HashMap<PaymentId, IntentId>, VecDeque<PaymentId>)>,
    most: usize,
}

impl Known {
    pub(super) fn new(most: usize) -> Self {
        Self { state: Mutex::default(), most }
    }

    pub(super) fn remember(&self, payment: &PaymentId, intent: &IntentId) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (ids, order) = &mut *state;
        if ids.insert(payment.clone(), intent.clone()).is_none() {
            order.push_back(payment.clone());
        }
        while order.len() > self.most {
            if let Some(oldest) = order.pop_front() {
                ids.remove(&oldest);
            }
        }
    }

    fn get(&self, payment: &PaymentId) -> Option<IntentId> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0.get(payment).cloned()
    }
}

/// Returns a page of the account's intents, the newest first.
pub(super) async fn page(calls: &Calls, after: Option<&str>) -> Result<PageBody, StripeError> {
    let mut query = vec![("limit", PAGE), ("expand[]", "data.latest_charge")];
    query.extend(after.map(|after| ("starting_after", after)));
    calls.get("list", &["v1", "payment_intents"], &query).await
}

/// Returns the intent with this id, if there is one.
pub(super) async fn retrieve(
    calls: &Calls,
    id: &IntentId,
) -> Result<Option<IntentBody>, StripeError> {
    let path = ["v1", "payment_intents", super::segment(id)?];
    let query = [("expand[]", "latest_charge")];
    match calls.get("retrieve", &path, &query).await {
        Ok(intent) => Ok(Some(intent)),
        Err(StripeError::Refused(refusal)) if refusal.status == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the intent that was made for a payment; the newest if there are several.
pub(super) async fn find(
    calls: &Calls,
    known: &Known,
    pages: u32,
    payment: &PaymentId,
) -> Result<Option<Intent>, StripeError> {
    if let Some(id) = known.get(payment)
        && let Some(intent) = retrieve(calls, &id).await?
    {
        return intent.into_intent().map(Some);
    }
    let (mut after, mut looked_at) = (None, 0);
    for _ in 0..pages {
        let page = page(calls, after.as_deref()).await?;
        looked_at += page.data.len();
        after = page.data.last().map(|oldest| oldest.id.clone());
        let is_it = |intent: &IntentBody| intent.payment().as_ref() == Some(payment);
        if let Some(found) = page.data.into_iter().find(is_it) {
            return found.into_intent().map(Some);
        }
        if !page.has_more || after.is_none() {
            return Ok(None);
        }
    }
    match search(calls, payment).await? {
        Some(intent) => intent.into_intent().map(Some),
        None => Err(StripeError::Uncertain { looked_at }),
    }
}

async fn search(calls: &Calls, payment: &PaymentId) -> Result<Option<IntentBody>, StripeError> {
    let escaped = payment.as_str().replace('\\', "\\\\").replace('\'', "\\'");
    let query = format!("metadata['{REFERENCE}']:'{escaped}'");
    let query = [("query", query.as_str()), ("limit", "1")];
    let page: PageBody = calls.get("search", &["v1", "payment_intents", "search"], &query).await?;
    let Some(found) = page.data.into_iter().next() else { return Ok(None) };
    // Read again, because the state in the index may be out of date.
    let id = IntentId::new(&found.id).map_err(StripeError::IntentName)?;
    retrieve(calls, &id).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use level3_domain::ids::PaymentKey;
    use level3_domain::journal::StoreId;

    #[test]
    fn the_oldest_ids_are_forgotten() {
        let payment =
            |n: u32| PaymentId::derive(&StoreId::unnamed(), &PaymentKey::new("order").unwrap(), n);
        let intent = |n: u32| IntentId::new(format!("pi_{n}")).unwrap();
        let known = Known::new(2);
        for n in [1, 2, 1, 3] {
            known.remember(&payment(n), &intent(n));
        }
        assert_eq!(known.get(&payment(1)), None);
        assert_eq!(known.get(&payment(2)), Some(intent(2)));
        assert_eq!(known.get(&payment(3)), Some(intent(3)));
    }
}
