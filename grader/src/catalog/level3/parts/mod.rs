//! The criteria of the parts: each of them can be graded alone.

mod breaker;
mod dead_letters;
mod deadline;
mod idempotency;
mod limiter;
mod retry;

use crate::catalog::Group;

/// One instant by which everything has to be over.
pub(super) const DEADLINE: Group = deadline::GROUP;
/// Trying again.
pub(super) const RETRY: Group = retry::GROUP;
/// Stops calling what is down.
pub(super) const BREAKER: Group = breaker::GROUP;
/// At most so many calls in any window.
pub(super) const LIMITER: Group = limiter::GROUP;
/// What could not be delivered.
pub(super) const DEAD_LETTERS: Group = dead_letters::GROUP;
/// The same request twice is one request.
pub(super) const IDEMPOTENCY: Group = idempotency::GROUP;
