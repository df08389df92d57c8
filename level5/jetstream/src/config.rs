//! How large a journal is, and how long it waits.

use std::time::Duration;

use crate::error::OpenError;

/// What [`JetStreamJournal::open`](crate::JetStreamJournal::open) does with records that it cannot read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unreadable {
    /// Refuses the lane, and names the records. They stay in the stream.
    #[default]
    Refuse,
    /// Goes on with what can be read. The rest stays in the stream, and
    /// [`Recovered::unreadable`](crate::Recovered::unreadable) names it.
    Accept,
}

/// How large a journal is, and how long it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JetStreamConfig {
    /// The lane of this process. `None`: any free lane. With a number, opening waits until the owner of this lane has
    /// released it, or is dead for [`lease`](Self::lease): a restarted process with a number of its own continues with
    /// its own events at once. Below 10 000.
    pub lane: Option<u32>,
    /// So many records a lane has at most: pending events and dead letters. From there on no event is accepted. It is
    /// the consumer's `max_ack_pending` too. From 1 to 10 000 000.
    pub max_records: usize,
    /// The most bytes of the stream, of all lanes together. Only the process that makes the stream uses it. The server
    /// reserves them: it makes no stream that is larger than three quarters of the free disk. At least 1 MiB.
    pub max_bytes: u64,
    /// So many servers of a cluster have each record: 1, 3 or 5. Only the process that makes the stream uses it.
    pub replicas: usize,
    /// A process that has not renewed its ownership for so long is treated as dead, and another process takes its events
    /// over. At least 100 ms. The processes of a stream should have the same.
    pub lease: Duration,
    /// So long the journal waits for an answer before it asks again. At least 10 ms.
    pub answer_within: Duration,
    /// So long a call tries again before it fails. At least [`answer_within`](Self::answer_within).
    pub patience: Duration,
    /// What to do with records that cannot be read.
    pub unreadable: Unreadable,
}

impl Default for JetStreamConfig {
    /// Any lane, a million records, 4 GiB on one server, a lease of 10 s, answers within 2 s, a patience of 30 s;
    /// unreadable records are refused.
    fn default() -> Self {
        Self {
            lane: None,
            max_records: 1_000_000,
            max_bytes: 4 << 30,
            replicas: 1,
            lease: Duration::from_secs(10),
            answer_within: Duration::from_secs(2),
            patience: Duration::from_secs(30),
            unreadable: Unreadable::Refuse,
        }
    }
}

/// So many lanes a stream has at most.
pub(crate) const LANES: u32 = 10_000;

impl JetStreamConfig {
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let refused = |what| Err(OpenError::Config { what });
        match self {
            Self { lane: Some(LANES..), .. } => refused("a lane is below 10 000"),
            Self { max_records, .. } if !(1..=10_000_000).contains(max_records) => {
                refused("max_records is from 1 to 10 000 000")
            }
            Self { max_bytes, .. } if !(1 << 20..=i64::MAX as u64).contains(max_bytes) => {
                refused("max_bytes is at least 1 MiB")
            }
            Self { replicas, .. } if !matches!(replicas, 1 | 3 | 5) => {
                refused("replicas is 1, 3 or 5")
            }
            Self { lease, .. } if *lease < Duration::from_millis(100) => {
                refused("lease is at least 100 ms")
            }
            Self { answer_within, .. } if *answer_within < Duration::from_millis(10) => {
                refused("answer_within is at least 10 ms")
            }
            Self { answer_within, patience, .. } if patience < answer_within => {
                refused("patience is at least answer_within")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_without_a_meaning_are_refused() {
        let right = JetStreamConfig::default();
        assert!(right.check().is_ok());
        for wrong in [
            JetStreamConfig { lane: Some(10_000), ..right },
            JetStreamConfig { max_records: 0, ..right },
            JetStreamConfig { max_bytes: 1000, ..right },
            JetStreamConfig { max_bytes: u64::MAX, ..right },
            JetStreamConfig { replicas: 2, ..right },
            JetStreamConfig { lease: Duration::ZERO, ..right },
            JetStreamConfig { answer_within: Duration::ZERO, ..right },
            JetStreamConfig { patience: Duration::from_secs(1), ..right },
        ] {
            assert!(matches!(wrong.check(), Err(OpenError::Config { .. })), "{wrong:?}");
        }
    }
}
