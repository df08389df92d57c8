//! What the simulated shop's services send and the panels read, as JSON.

use level4::realtime::Keyed;
use serde::{Deserialize, Serialize};

/// Where an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It was placed.
    New,
    /// It is ready for the carrier.
    Packed,
    /// The carrier has it.
    Sent,
}

/// An order that is in progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Tells orders apart.
    pub id: u64,
    /// What was ordered.
    pub product: String,
    /// How many of it.
    pub quantity: u32,
    /// Where the order is.
    pub stage: Stage,
}

impl Keyed for Order {
    type Key = u64;
    type Patch = Stage;

    fn key(&self) -> u64 {
        self.id
    }

    fn patch(&mut self, stage: Stage) {
        self.stage = stage;
    }
}

/// The user of the shop who is logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Tells users apart.
    pub id: u64,
    /// For the page.
    pub name: String,
}

/// A product of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// Its name.
    pub name: String,
    /// Its price, in cents.
    pub cents: u32,
}

/// The answer of a search.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The first products that match.
    pub products: Vec<Product>,
    /// How many products match.
    pub total: usize,
}

/// A sale from the past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sale {
    /// Its number: 1 is the newest sale.
    pub number: u32,
    /// What was sold.
    pub product: String,
    /// To whom.
    pub customer: String,
    /// For how much, in cents.
    pub cents: u32,
}

/// A page of sales. Its cursors are the numbers of pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SalesPage {
    /// The sales, the newest first.
    pub sales: Vec<Sale>,
    /// The page before this one.
    pub previous: Option<u32>,
    /// The page after this one.
    pub next: Option<u32>,
}
