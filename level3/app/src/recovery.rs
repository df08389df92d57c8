//! Finishes the payments of earlier runs, and tries dead letters once more.

use std::time::Duration;

use level3::gateway::Recovered;
use level3_adapters::sql::{Counts, DEFAULT_LEASE};
use level3_domain::answer::PayError;
use tokio::time::timeout;

use super::engine::Engine;
use super::problem::ProgramError;
use super::view::say;

/// A recovery usually ends within this time. After it, the user gets an explanation.
const PATIENCE: Duration = Duration::from_secs(3);

/// The payments that were found open at the start, and their outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Recovery {
    /// Payments that were open.
    pub open: u64,
    /// Payments of these that are paid now.
    pub finished: usize,
    /// Payments of these that are undone now.
    pub undone: usize,
    /// Payments of these that cannot be undone.
    pub parked: usize,
    /// Receipts from the outbox that are sent again.
    pub receipts: usize,
}

impl Engine {
    /// Prints what is open, if there is anything, and finishes what an earlier run has left.
    ///
    /// Payments that another process works on are open too. The recovery waits for them, because it
    /// cannot know yet whether their owner lives.
    pub async fn recover(&self) -> Result<Recovery, ProgramError> {
        let store = &self.store.store;
        let before = store.counts().await?;
        if let Some(left) = left(&before) {
            say(&format!(
                "{}: {left}. First finishing the payments that an earlier run has left open.",
                store.place()
            ));
        }
        let Recovered { finished, undone, parked, receipts } =
            explained(self.gateway.recover()).await.map_err(|error| self.problem(error))?;
        let recovery = Recovery { open: before.open, finished, undone, parked, receipts };
        if recovery.open > 0 {
            say(&recovery.text());
        }
        Ok(recovery)
    }

    /// Ends payments that are still open although none is under way here: the store could not be reached
    /// when they should have ended, or its answer to their first record was lost. To be called after the
    /// gateway has drained; puts a new gateway in its place if there are any. The receipts have `limit`.
    ///
    /// As in [`recover`](Self::recover), payments that another process works on are open too.
    pub async fn finish(&mut self, limit: Duration) -> Result<(), ProgramError> {
        let open = self.store.store.counts().await?.open;
        if open == 0 {
            return Ok(());
        }
        say(&format!(
            "{}: {}. Finishing what is left.",
            self.store.store.place(),
            plural(open, "payment", "still open")
        ));
        // A gateway that drains takes nothing over.
        self.replace_gateway()?;
        let recovered = explained(self.gateway.recover()).await;
        let Recovered { finished, undone, parked, receipts } =
            recovered.map_err(|error| self.problem(error))?;
        self.gateway.drain(limit).await;
        self.note_failed_receipts().await;
        say(&Recovery { open, finished, undone, parked, receipts }.text());
        Ok(())
    }

    /// Returns the error of the store, or else that of the gateway.
    pub fn problem(&self, error: PayError) -> ProgramError {
        let store = &self.store.store;
        match store.last_error() {
            Some(error) => ProgramError::Store(error),
            None => ProgramError::Gateway { place: store.place().to_owned(), error },
        }
    }
}

/// Runs a recovery, and explains the wait if it takes long.
async fn explained<T>(recovering: impl Future<Output = T>) -> T {
    let mut recovering = std::pin::pin!(recovering);
    if let Ok(recovered) = timeout(PATIENCE, &mut recovering).await {
        return recovered;
    }
    say(&format!(
        "Still recovering. A payment whose owner may live is taken over {} s after the last record of it.",
        DEFAULT_LEASE.as_secs()
    ));
    recovering.await
}

/// Returns what is left to finish, in words.
fn left(counts: &Counts) -> Option<String> {
    let mut left = Vec::new();
    if counts.open > 0 {
        left.push(plural(counts.open, "payment", "open"));
    }
    if counts.parked > 0 {
        left.push(plural(counts.parked, "payment", "that cannot be undone"));
    }
    if counts.receipts > 0 {
        left.push(plural(counts.receipts, "receipt", "unsent"));
    }
    if left.is_empty() { None } else { Some(left.join(", ")) }
}

fn plural(count: u64, what: &str, how: &str) -> String {
    format!("{count} {what}{} {how}", if count == 1 { "" } else { "s" })
}

impl Recovery {
    /// Writes the result as one sentence.
    pub fn text(&self) -> String {
        let Self { open, finished, undone, parked, receipts } = self;
        if *open == 0 {
            return format!("No payment was open; {receipts} receipts to send.");
        }
        let elsewhere = open.saturating_sub((finished + undone + parked) as u64);
        let mut text = format!(
            "Recovered {}: {finished} paid, {undone} undone",
            plural(*open, "open payment", "").trim_end()
        );
        if *parked > 0 {
            text += &format!(", {parked} that cannot be undone (see payment-gateway dead-letters)");
        }
        if elsewhere > 0 {
            text += &format!(", {elsewhere} ended by another process");
        }
        text + &format!("; {receipts} receipts to send.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told() {
        assert_eq!(left(&Counts::default()), None);
        let counts = Counts { open: 1, receipts: 3, ..Counts::default() };
        assert_eq!(left(&counts).unwrap(), "1 payment open, 3 receipts unsent");
    }
}
