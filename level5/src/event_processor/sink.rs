//! The services that take batches and acknowledge each event.

use http::StatusCode;

use super::batch::Batch;
use super::event::Service;

/// What a service says about one event of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ack {
    /// The service has the event.
    Ok,
    /// The service could not take the event now, for this reason. It is sent again.
    Retry(String),
    /// The service will never take the event, for this reason. It becomes a dead letter.
    Reject(String),
}

/// Why a batch as a whole has no acknowledgements.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There is no answer, or an error of an unknown kind. It counts as transient.
    #[error("{0}")]
    Transport(String),
    /// The service has answered with this status.
    #[error("status {0}: {1}")]
    Status(StatusCode, String),
}

impl SendError {
    /// Whether the same batch may succeed later: every transport error, and the statuses 408, 425, 429 and 500 to 599.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            // Without an answer it is unknown what the service has done. To send again may deliver twice,
            // which the promise allows; to give up would make dead letters of events that a service did not hear.
            Self::Transport(_) => true,
            Self::Status(status, _) => {
                status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
            }
        }
    }
}

/// Sends batches to services.
///
/// Calls for one service and for several run at the same time. Each has a time limit, at which the processor drops the
/// future. The processor also drops all futures at the deadline of a shutdown, and when it is dropped itself.
pub trait Sink: Send + Sync + 'static {
    /// Sends a batch to a service. Returns one [`Ack`] for each event, in the order of the batch. An event without
    /// one counts as [`Ack::Retry`].
    fn send(
        &self,
        to: &Service,
        batch: &Batch,
    ) -> impl Future<Output = Result<Vec<Ack>, SendError>> + Send;
}
