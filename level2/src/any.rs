//! One section from several replicas: the first success wins.
//!
//! The counterpart of `Promise.any`: failures are ignored as long as a replica is left that may still
//! answer, and the losers are stopped.
//!
//! Lesson: `level2/lessons/any.md`.

use std::sync::Arc;

use futures::stream::{FuturesUnordered, StreamExt as _};

use crate::error::SourceError;
use crate::model::{Section, SectionData};
use crate::source::DashboardSource;

/// The answer of the fastest replica.
///
/// ```
/// use std::sync::Arc;
/// use level2::any;
/// use level2::model::Section;
/// use level2::source::{Behaviour, DashboardSource, SimulatedSource};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let broken = SimulatedSource::default().with(Section::Sales, Behaviour::Fails);
/// let replicas: Vec<Arc<dyn DashboardSource>> =
///     vec![Arc::new(broken), Arc::new(SimulatedSource::default())];
/// let winner = any::fetch(Section::Sales, replicas).await.unwrap();
/// assert_eq!(winner.replica, 1);
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Winner {
    /// The index of the replica in the caller's list, from 0.
    pub replica: usize,
    /// The data that the replica returned.
    pub data: SectionData,
}

/// No replica answered.
///
/// ```
/// use level2::any;
/// use level2::model::Section;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let error = any::fetch(Section::Sales, Vec::new()).await.unwrap_err();
/// assert!(error.errors.is_empty());
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("none of {} replicas answered", errors.len())]
pub struct AllFailed {
    /// The error of every replica, in the order of the list of replicas.
    pub errors: Vec<SourceError>,
}

/// Asks all replicas at once for `section` and returns the first success.
///
/// # Errors
///
/// [`AllFailed`] when the last replica has failed; at once when there are no replicas.
///
/// # Panics
///
/// A panic of a replica passes to the caller when it happens; the other calls are stopped.
///
/// # Cancellation
///
/// The calls that lost are stopped at the return; dropping the future stops all calls.
pub async fn fetch(
    section: Section,
    replicas: Vec<Arc<dyn DashboardSource>>,
) -> Result<Winner, AllFailed> {
    let mut calls: FuturesUnordered<_> = replicas
        .into_iter()
        .enumerate()
        // Each call carries its index: outcomes come in the order of time, which has no index.
        .map(|(replica, source)| async move { (replica, section.fetch(source).await) })
        .collect();
    let mut errors = Vec::with_capacity(calls.len());
    while let Some((replica, answer)) = calls.next().await {
        match answer {
            // The return drops the set, and with it the calls that have lost.
            Ok(data) => return Ok(Winner { replica, data }),
            // A failure decides nothing while another replica may still answer.
            Err(error) => errors.push((replica, error)),
        }
    }
    // They failed in the order of time; the caller knows its replicas by their place in the list.
    errors.sort_by_key(|(replica, _)| *replica);
    Err(AllFailed { errors: errors.into_iter().map(|(_, error)| error).collect() })
}
