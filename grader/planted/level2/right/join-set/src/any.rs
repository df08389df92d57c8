//! One section from several replicas: the first success wins.
//!
//! The counterpart of `Promise.any`: failures are ignored as long as a replica is left that may still
//! answer, and the losers are stopped.

use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::error::SourceError;
use crate::model::{Section, SectionData};
use crate::source::DashboardSource;

/// The answer of the fastest replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Winner {
    /// Its place in the list of replicas, counted from 0.
    pub replica: usize,
    /// The data.
    pub data: SectionData,
}

/// No replica answered.
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
/// # Cancellation
///
/// The calls that lost are stopped at the return; dropping the future stops all calls.
pub async fn fetch(
    section: Section,
    replicas: Vec<Arc<dyn DashboardSource>>,
) -> Result<Winner, AllFailed> {
    let mut errors = vec![None; replicas.len()];
    let mut tasks = JoinSet::new();
    for (replica, source) in replicas.into_iter().enumerate() {
        tasks.spawn(async move { (replica, section.fetch(source).await) });
    }
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok((replica, Ok(data))) => return Ok(Winner { replica, data }),
            Ok((replica, Err(error))) => errors[replica] = Some(error),
            Err(error) => resume_unwind(error.into_panic()),
        }
    }
    Err(AllFailed { errors: errors.into_iter().flatten().collect() })
}
