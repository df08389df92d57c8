//! Counts Ctrl-C and signals to stop.

use std::io;

use tokio::sync::watch;

/// The number of requests to stop, by Ctrl-C or by the system. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<u8>);

impl Shutdown {
    /// Starts to listen; it never stops.
    ///
    /// # Errors
    ///
    /// When the system does not allow it, and when it was called before.
    pub fn listen() -> io::Result<Self> {
        let (times, stop) = watch::channel(0_u8);
        let heard = move || times.send_modify(|times| *times = times.saturating_add(1));
        ctrlc::set_handler(heard).map_err(io::Error::other)?;
        Ok(Self(stop))
    }

    /// Whether there was a request to stop.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        *self.0.borrow() > 0
    }

    /// Waits until there were that many requests.
    ///
    /// # Cancellation
    ///
    /// Dropping the future loses no request: they are counted.
    pub async fn asked(&self, times: u8) {
        let mut stop = self.0.clone();
        if stop.wait_for(|asked| *asked >= times).await.is_err() {
            // The sender is gone, so no signal can arrive.
            std::future::pending().await
        }
    }
}
