//! Which records of a lane have ended, as its owner notes it with every renewal.
//!
//! A server that is killed may have forgotten removals that it had confirmed: it writes a message before it answers, and
//! a removal later. What was delivered is in the stream again then. The owner of the lane knows better, as long as it
//! lives. If it dies too, the next owner reads in its entry what has ended: only events that have ended since the last
//! renewal are delivered again.

use serde::{Deserialize, Serialize};

use crate::record::Order;

/// The most records that a claim names.
const NAMED: usize = 1000;
/// The most claims of an entry: those of its newest owners.
const CLAIMS: usize = 16;

/// What has ended, by owner.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Claims(Vec<Claim>);

/// The records of an owner that have ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    generation: u64,
    /// All records with smaller numbers have ended.
    below: u64,
    /// Except these, which rise.
    except: Vec<u64>,
    /// And these, which rise too: others have ended them.
    also: Vec<u64>,
}

impl Claims {
    /// Whether it is known that this record has ended.
    pub(crate) fn has_ended(&self, order: Order) -> bool {
        let of_owner = self.0.iter().filter(|claim| claim.generation == order.generation);
        of_owner.into_iter().any(|claim| {
            let number = &order.number;
            match *number < claim.below {
                true => claim.except.binary_search(number).is_err(),
                false => claim.also.binary_search(number).is_ok(),
            }
        })
    }

    /// Notes that a record of another owner has ended, as far as there is a place for it.
    pub(crate) fn end(&mut self, order: Order) {
        let Order { generation, number } = order;
        let found = self.0.iter().position(|claim| claim.generation == generation);
        let at = found.unwrap_or_else(|| {
            // Before the others: it is an owner that has noted nothing, and the first to be left out.
            self.0.insert(0, Claim { generation, below: 0, except: Vec::new(), also: Vec::new() });
            0
        });
        let claim = &mut self.0[at];
        if number < claim.below {
            claim.except.retain(|it| *it != number);
        } else if let Err(place) = claim.also.binary_search(&number)
            && claim.also.len() < NAMED
        {
            claim.also.insert(place, number);
        }
    }

    /// With a claim of the owner of `next`, the order after its last record. `live`: its records that have not ended,
    /// rising.
    pub(crate) fn with(&self, next: Order, live: impl Iterator<Item = Order>) -> Self {
        let mut live = live.map(|order| order.number);
        let except: Vec<_> = live.by_ref().take(NAMED).collect();
        // Of more records than have a place, those behind are not claimed.
        let below = live.next().unwrap_or(next.number);
        let generation = next.generation;
        let mut claims: Vec<_> =
            self.0.iter().filter(|claim| claim.generation != generation).cloned().collect();
        claims.push(Claim { generation, below, except, also: Vec::new() });
        claims.drain(..claims.len().saturating_sub(CLAIMS));
        Self(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(generation: u64, number: u64) -> Order {
        Order { generation, number }
    }

    fn ended(claims: &Claims, generation: u64) -> Vec<u64> {
        (0..12).filter(|number| claims.has_ended(order(generation, *number))).collect()
    }

    #[test]
    fn what_is_live_has_not_ended() {
        let claims = Claims::default().with(order(3, 9), [2, 5].map(|it| order(3, it)).into_iter());
        assert_eq!(ended(&claims, 3), [0, 1, 3, 4, 6, 7, 8]);
        assert!(ended(&claims, 2).is_empty() && ended(&claims, 4).is_empty());
        // The next owner keeps it beside its own, and a renewal replaces its own.
        let claims = claims
            .with(order(7, 2), std::iter::empty())
            .with(order(7, 4), [order(7, 3)].into_iter());
        assert_eq!(ended(&claims, 3), [0, 1, 3, 4, 6, 7, 8]);
        assert_eq!(ended(&claims, 7), [0, 1, 2]);
        let text = serde_json::to_string(&claims).expect("text");
        assert_eq!(serde_json::from_str::<Claims>(&text).expect("claims"), claims);
    }

    #[test]
    fn another_owner_ends_what_was_left() {
        let mut claims = Claims::default().with(order(3, 9), [order(3, 5)].into_iter());
        claims.end(order(3, 5));
        claims.end(order(3, 10));
        claims.end(order(4, 1));
        assert_eq!(ended(&claims, 3), [0, 1, 2, 3, 4, 5, 6, 7, 8, 10]);
        assert_eq!(ended(&claims, 4), [1]);
    }

    #[test]
    fn a_claim_is_bounded() {
        let live = (10..5000).map(|number| order(1, number));
        let claims = Claims::default().with(order(1, 9000), live);
        assert!(claims.has_ended(order(1, 9)) && !claims.has_ended(order(1, 10)));
        assert!(!claims.has_ended(order(1, 8000)), "it is behind one without a place");
        let many =
            (0..100).fold(claims, |claims, it| claims.with(order(it, 5), std::iter::empty()));
        assert_eq!(many.0.len(), CLAIMS);
    }
}
