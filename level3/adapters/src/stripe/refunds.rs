//! Refunds of a part of a charge, and how one is found again.
//!
//! Each refund has this system's name of it as metadata. The list of an intent's refunds is up to
//! date, so it shows whether a request whose answer was lost has made a refund, also when Stripe has
//! forgotten the idempotency key, which it keeps for a day at least.

use level3_domain::ids::{IntentId, PaymentId};
use level3_domain::provider::CallFuture;
use level3_domain::refund::{MadeRefund, PartRefund, PartRefunds};

use super::amount::to_stripe;
use super::body::{REFUND, RefundBody, RefundPage};
use super::error::StripeError;
use super::find::PAGE;
use super::{Shared, Stripe, segment};

impl Shared {
    async fn refund_part(&self, request: PartRefund) -> Result<MadeRefund, StripeError> {
        let amount = to_stripe(request.amount)?.to_string();
        let reference = format!("metadata[{REFUND}]");
        // The same for every attempt, as the key demands.
        let form = [
            ("payment_intent", segment(&request.intent)?),
            ("amount", &amount),
            (&reference, request.key.refund.as_str()),
        ];
        let key = request.key.to_string();
        let made: RefundBody =
            self.calls.post_with("refund", &key, &["v1", "refunds"], &form).await?;
        let made = made.into_made()?;
        if made.amount != request.amount {
            let message = "a refund of another amount".to_owned();
            return Err(StripeError::Mismatch { message });
        }
        Ok(made)
    }

    /// Reads the list to its end: a charge has few refunds.
    async fn refunds_of(&self, intent: &IntentId) -> Result<Vec<MadeRefund>, StripeError> {
        let intent = segment(intent)?;
        let (mut all, mut after) = (Vec::new(), None::<String>);
        loop {
            let mut query = vec![("payment_intent", intent), ("limit", PAGE)];
            query.extend(after.as_deref().map(|after| ("starting_after", after)));
            let page: RefundPage = self.calls.get("refunds", &["v1", "refunds"], &query).await?;
            after = page.data.last().filter(|_| page.has_more).map(|last| last.id().to_owned());
            for refund in page.data {
                all.push(refund.into_made()?);
            }
            if after.is_none() {
                return Ok(all);
            }
        }
    }
}

impl PartRefunds for Stripe {
    fn refund_part(&self, request: PartRefund) -> CallFuture<MadeRefund> {
        self.answer("refund", |shared| async move { shared.refund_part(request).await })
    }

    fn refunds_of(&self, _payment: PaymentId, intent: IntentId) -> CallFuture<Vec<MadeRefund>> {
        self.answer("refunds", |shared| async move { shared.refunds_of(&intent).await })
    }
}
