//! The orders in progress: a list that changes by itself, without a clock and without a socket.

use serde::Serialize;

use super::catalogue::{PRODUCTS, product};
use super::chance::Chance;
use crate::shop::{Order, Stage};

/// The topic of the messages about orders.
pub const TOPIC: &str = "orders";

/// As many orders are in progress at least and at most.
const FEWEST: usize = 4;
const MOST: usize = 8;

/// A change of the list, as [`level4::realtime::Update`] reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// An order was placed.
    Insert(Order),
    /// An order has reached another stage.
    Update {
        /// Which one.
        key: u64,
        /// The stage.
        patch: Stage,
    },
    /// An order has arrived.
    Delete(u64),
}

/// A change as it goes over the socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// [`TOPIC`].
    pub topic: &'static str,
    /// The version of the list after the change.
    pub version: u64,
    /// The change.
    pub change: Change,
}

/// The orders in progress.
#[derive(Debug, Clone)]
pub struct Book {
    orders: Vec<Order>,
    version: u64,
    last_id: u64,
    chance: Chance,
}

impl Book {
    /// A list of the fewest orders.
    #[must_use]
    pub fn new(chance: Chance) -> Self {
        let mut book = Self { orders: Vec::new(), version: 0, last_id: 100, chance };
        while book.orders.len() < FEWEST {
            book.step();
        }
        book
    }

    /// The list now, and its version.
    #[must_use]
    pub fn now(&self) -> (Vec<Order>, u64) {
        (self.orders.clone(), self.version)
    }

    /// Changes the list: an order is placed, or one goes on to its next stage and at last leaves.
    pub fn step(&mut self) -> Message {
        let count = self.orders.len();
        let places = count < FEWEST || count < MOST && self.chance.below(3) == 0;
        let change = if places { self.place() } else { self.advance() };
        self.version += 1;
        Message { topic: TOPIC, version: self.version, change }
    }

    fn place(&mut self) -> Change {
        self.last_id += 1;
        let product = product(self.chance.below(PRODUCTS)).name;
        let quantity = 1 + u32::try_from(self.chance.below(4)).unwrap_or(0);
        let order = Order { id: self.last_id, product, quantity, stage: Stage::New };
        self.orders.push(order.clone());
        Change::Insert(order)
    }

    fn advance(&mut self) -> Change {
        let index = self.chance.below(self.orders.len());
        let order = &mut self.orders[index];
        order.stage = match order.stage {
            Stage::New => Stage::Packed,
            Stage::Packed => Stage::Sent,
            Stage::Sent => return Change::Delete(self.orders.remove(index).id),
        };
        Change::Update { key: order.id, patch: order.stage }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_follows_its_changes_and_keeps_its_bounds() {
        let mut book = Book::new(Chance::new(7, 0));
        let (mut copy, mut version) = book.now();
        for _ in 0..2000 {
            let message = book.step();
            assert_eq!(message.version, version + 1);
            version = message.version;
            match message.change {
                Change::Insert(order) => copy.push(order),
                Change::Update { key, patch } => {
                    let order = copy.iter_mut().find(|order| order.id == key);
                    order.expect("an order that is there").stage = patch;
                }
                Change::Delete(id) => copy.retain(|order| order.id != id),
            }
            assert_eq!(book.now(), (copy.clone(), version));
            assert!((FEWEST - 1..=MOST).contains(&copy.len()), "{}", copy.len());
        }
    }

    #[test]
    fn a_message_is_an_update_of_the_list() {
        let message = Message { topic: TOPIC, version: 3, change: Change::Delete(7) };
        let text = serde_json::to_string(&message).expect("JSON");
        assert_eq!(text, r#"{"topic":"orders","version":3,"change":{"delete":7}}"#);
    }
}
