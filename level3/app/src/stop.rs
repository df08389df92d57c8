//! Ctrl-C.

use std::io;

use tokio::sync::watch;

use super::problem::ProgramError;

/// How often the program was asked to stop, by Ctrl-C or by the system. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<u8>);

impl Shutdown {
    /// Listens from now on, for the rest of the program.
    pub fn listen() -> Result<Self, ProgramError> {
        let (times, stop) = watch::channel(0_u8);
        let heard = move || times.send_modify(|times| *times = times.saturating_add(1));
        ctrlc::set_handler(heard).map_err(|why| ProgramError::System(io::Error::other(why)))?;
        Ok(Self(stop))
    }

    /// Whether it was asked once.
    pub fn is_asked(&self) -> bool {
        *self.0.borrow() > 0
    }

    /// Returns when it was asked so many times.
    pub async fn asked(&self, times: u8) {
        let mut stop = self.0.clone();
        if stop.wait_for(|asked| *asked >= times).await.is_err() {
            // No signal can arrive any more.
            std::future::pending().await
        }
    }
}
