//! A process that can die.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::sync::Notify;

/// The moment at which a process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    /// Before its `nth` action, counted from 1.
    Before(u32),
    /// After its `nth` action took effect, before the process learns of it.
    After(u32),
}

/// The process in which a gateway runs, as the services and the journal see it.
///
/// Whatever the gateway does, a call or an append to the journal, goes through its process. Once that
/// has died, no call leaves it and no answer reaches it: its calls never return. So a test can
/// kill a gateway at any point without knowing how it is written. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Process {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    dead: AtomicBool,
    died: Notify,
    actions: AtomicU32,
    crash: Option<CrashPoint>,
}

impl Process {
    /// Makes a process that lives until it is killed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a process that dies at this point.
    #[must_use]
    pub fn that_dies(point: CrashPoint) -> Self {
        Self { shared: Arc::new(Shared { crash: Some(point), ..Shared::default() }) }
    }

    /// Kills the process.
    pub fn kill(&self) {
        self.shared.dead.store(true, Ordering::Release);
        self.shared.died.notify_waiters();
    }

    /// Whether the process has died.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.shared.dead.load(Ordering::Acquire)
    }

    /// Returns how many actions the process has begun.
    #[must_use]
    pub fn actions(&self) -> u32 {
        self.shared.actions.load(Ordering::Relaxed)
    }

    /// Waits until the process has died.
    pub async fn death(&self) {
        let died = self.shared.died.notified();
        tokio::pin!(died);
        // Registered before the check, or a death in between would be missed.
        died.as_mut().enable();
        if !self.is_dead() {
            died.await;
        }
    }

    /// Before an action: does not return when the process is dead.
    pub(crate) async fn begin(&self) -> u32 {
        let nth = self.shared.actions.fetch_add(1, Ordering::Relaxed) + 1;
        if self.shared.crash == Some(CrashPoint::Before(nth)) {
            self.kill();
        }
        self.live().await;
        nth
    }

    /// After the effect of the action `nth`: does not return when the process is dead.
    pub(crate) async fn end(&self, nth: u32) {
        if self.shared.crash == Some(CrashPoint::After(nth)) {
            self.kill();
        }
        self.live().await;
    }

    async fn live(&self) {
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
    }
}
