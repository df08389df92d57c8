//! Counts Ctrl-C and signals to stop.

use std::io;

use tokio::sync::watch;

use crate::problem::ProgramError;

/// The number of requests to stop, by Ctrl-C or by the system. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<u8>);

impl Shutdown {
    /// Starts to listen; it never stops.
    ///
    /// # Errors
    ///
    /// [`ProgramError::System`] when the system does not allow it, and when it was called before.
    pub fn listen() -> Result<Self, ProgramError> {
        let (times, stop) = watch::channel(0_u8);
        let heard = move || times.send_modify(|times| *times = times.saturating_add(1));
        ctrlc::set_handler(heard).map_err(|why| ProgramError::System(io::Error::other(why)))?;
        Ok(Self(stop))
    }

    /// Waits until there were that many requests.
    pub async fn asked(&self, times: u8) {
        let mut stop = self.0.clone();
        if stop.wait_for(|asked| *asked >= times).await.is_err() {
            // The sender is gone, so no signal can arrive.
            std::future::pending().await
        }
    }
}
