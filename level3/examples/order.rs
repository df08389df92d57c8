//! An order: check the stock, reserve each article, charge, confirm, and send a mail that may fail.
//!
//! `cargo run -p level3 --example order`

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use level3::deadline::Deadline;
use level3::journal::{FailureKind, MemoryJournal, SagaId};
use level3::saga::{
    Saga, SagaError, SagaOutcome, Step, StepContext, StepError, UndoContext, UndoError,
};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

/// The state of the saga.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Order {
    id: u32,
    /// Article and pieces.
    items: Vec<(String, u32)>,
    cents: u64,
}

/// The shop.
#[derive(Debug, Clone, Default)]
struct Shop {
    state: Arc<Mutex<State>>,
    bank_declines: bool,
    mail_is_down: bool,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct State {
    stock: BTreeMap<String, u32>,
    /// Pieces by order and article: an undo may run twice and must take back once.
    reserved: BTreeMap<(u32, String), u32>,
    charged: u64,
    confirmed: bool,
    mails: u32,
}

impl Shop {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn reserve(order: Order, context: StepContext<Self>) -> Result<Order, StepError> {
        sleep(Duration::from_millis(50)).await;
        let mut state = context.shared.lock();
        for (article, pieces) in &order.items {
            let stock = state.stock.entry(article.clone()).or_default();
            let Some(left) = stock.checked_sub(*pieces) else {
                // Articles before this one are reserved already: what was done is not known here.
                let message = format!("{article} is sold out");
                return Err(StepError::unknown(FailureKind::Rejected, message));
            };
            *stock = left;
            state.reserved.insert((order.id, article.clone()), *pieces);
        }
        drop(state);
        Ok(order)
    }

    async fn release(order: Order, context: UndoContext<Self>) -> Result<Order, UndoError> {
        let mut state = context.shared.lock();
        for (article, _) in &order.items {
            if let Some(pieces) = state.reserved.remove(&(order.id, article.clone())) {
                *state.stock.entry(article.clone()).or_default() += pieces;
            }
        }
        drop(state);
        Ok(order)
    }

    async fn charge(order: Order, context: StepContext<Self>) -> Result<Order, StepError> {
        sleep(Duration::from_millis(300)).await;
        if context.shared.bank_declines {
            return Err(StepError::not_done(FailureKind::Declined, "card declined"));
        }
        context.shared.lock().charged = order.cents;
        Ok(order)
    }

    async fn refund(order: Order, context: UndoContext<Self>) -> Result<Order, UndoError> {
        context.shared.lock().charged = 0;
        Ok(order)
    }

    async fn confirm(order: Order, context: StepContext<Self>) -> Result<Order, StepError> {
        context.shared.lock().confirmed = true;
        Ok(order)
    }

    async fn mail(order: Order, context: StepContext<Self>) -> Result<Order, StepError> {
        if context.shared.mail_is_down {
            return Err(StepError::not_done(FailureKind::Transient, "no mail server"));
        }
        context.shared.lock().mails += 1;
        Ok(order)
    }
}

fn order_saga(shop: &Shop) -> Saga<Order, Shop> {
    let second = Duration::from_secs(1);
    Saga::sharing("order", Arc::new(shop.clone()))
        .step(Step::new("reserve", Shop::reserve).undo(second, Shop::release))
        .step(Step::new("charge", Shop::charge).undo(second, Shop::refund))
        .step(Step::new("confirm", Shop::confirm))
        .step(Step::new("mail", Shop::mail).not_critical())
}

async fn process(shop: &Shop) -> Result<SagaOutcome<Order>, SagaError> {
    let items = vec![("book".to_owned(), 2), ("pen".to_owned(), 1)];
    let order = Order { id: 1, items, cents: 4200 };
    let deadline = Deadline::after(Duration::from_secs(15));
    let saga = Arc::new(order_saga(shop));
    saga.execute(Arc::new(MemoryJournal::new()), SagaId::new("order-1"), order, deadline).await
}

fn stocked(pens: u32) -> Shop {
    let shop = Shop::default();
    shop.lock().stock = BTreeMap::from([("book".to_owned(), 5), ("pen".to_owned(), pens)]);
    shop
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
#[expect(clippy::disallowed_macros, reason = "the reference's run, committed beside this file")]
async fn main() -> Result<(), SagaError> {
    demo_kit::or_recorded(include_str!("recorded/order.txt"), show()).await
}

async fn show() -> Result<(), SagaError> {
    for shop in [
        stocked(5),
        stocked(0),
        Shop { bank_declines: true, ..stocked(5) },
        Shop { mail_is_down: true, ..stocked(5) },
    ] {
        println!("{:?}", process(&shop).await?);
        println!("  {:?}", shop.lock());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_order_goes_through() {
        let shop = stocked(5);
        assert!(matches!(process(&shop).await, Ok(SagaOutcome::Completed(_))));
        let state = shop.lock().clone();
        assert_eq!((state.stock["book"], state.charged, state.mails), (3, 4200, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_sold_out_leaves_the_rest_on_the_shelf() {
        let shop = stocked(0);
        assert!(matches!(process(&shop).await, Ok(SagaOutcome::Compensated { .. })));
        let state = shop.lock().clone();
        assert_eq!((state.stock["book"], state.charged), (5, 0));
        assert!(state.reserved.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_declined_card_releases_the_stock() {
        let shop = Shop { bank_declines: true, ..stocked(5) };
        let end = process(&shop).await.unwrap();
        assert!(
            matches!(&end, SagaOutcome::Compensated { failure, .. } if failure.kind == FailureKind::Declined)
        );
        assert_eq!(shop.lock().stock["book"], 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_mail_that_fails_fails_nothing() {
        let shop = Shop { mail_is_down: true, ..stocked(5) };
        assert!(matches!(process(&shop).await, Ok(SagaOutcome::Completed(_))));
        assert!(shop.lock().confirmed);
    }
}
