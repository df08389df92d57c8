//! Ctrl-C, and the processes that must not outlive the grader.
//!
//! Check processes sit in process groups of their own, so the terminal's Ctrl-C does not reach them.
use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Process groups that are running now, by the id of their leader.
static RUNNING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static GENTLE: AtomicBool = AtomicBool::new(false);

/// What has to be put back before the program ends: the terminal.
static BEFORE_EXIT: Mutex<Option<fn()>> = Mutex::new(None);

/// What a shell calls a program that Ctrl-C ended.
pub const EXIT_CODE: i32 = 130;

/// From here on Ctrl-C (and SIGTERM) ends all check processes, then the grader with
/// [`EXIT_CODE`]. A report is written in one step at the end, so none is left half-written.
pub fn install() {
    // Only fails when a handler is installed already; then that one has the say.
    let _ = ctrlc::set_handler(|| {
        let again = INTERRUPTED.swap(true, Ordering::SeqCst);
        if GENTLE.load(Ordering::SeqCst) && !again {
            return; // the run sees it, and ends by itself
        }
        end();
    });
}

/// From here on the first Ctrl-C only sets what [`is_requested`] returns: the run ends by itself, with what
/// it has. A second one ends it at once.
pub fn be_gentle() {
    GENTLE.store(true, Ordering::SeqCst);
}

/// Whether the run should end.
#[must_use]
pub fn is_requested() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Ends all processes that were started and the grader, with [`EXIT_CODE`].
pub fn end() -> ! {
    INTERRUPTED.store(true, Ordering::SeqCst);
    let running = std::mem::take(&mut *lock());
    for group in running {
        kill_group(group);
    }
    let restore = *BEFORE_EXIT.lock().unwrap_or_else(PoisonError::into_inner);
    restore.iter().for_each(|restore| restore());
    let last = if GENTLE.load(Ordering::SeqCst) {
        "interrupted: what was finished is kept"
    } else {
        "interrupted: nothing was graded, nothing was written"
    };
    // The terminal may be gone, and a macro that prints would panic, which ends this thread and not the program.
    let _ = writeln!(std::io::stderr(), "\n{last}");
    std::process::exit(EXIT_CODE)
}

/// Calls `restore` before a signal ends the program.
pub fn before_exit(restore: fn()) {
    *BEFORE_EXIT.lock().unwrap_or_else(PoisonError::into_inner) = Some(restore);
}

/// A process group that dies with the grader, until this is dropped.
#[derive(Debug)]
pub struct Guarded(u32);

impl Guarded {
    /// Guards the group that `leader` leads.
    #[must_use]
    pub fn new(leader: u32) -> Self {
        lock().insert(leader);
        if INTERRUPTED.load(Ordering::SeqCst) {
            kill_group(leader); // started while the handler was already at work
        }
        Guarded(leader)
    }

    /// Ends every process of the group at once.
    pub fn kill(&self) {
        kill_group(self.0);
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        lock().remove(&self.0);
    }
}

fn lock() -> std::sync::MutexGuard<'static, BTreeSet<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(unix)]
fn kill_group(leader: u32) {
    use rustix::process::{Pid, Signal, kill_process_group};

    if let Some(pid) = i32::try_from(leader).ok().and_then(Pid::from_raw) {
        // Gone already is as good as killed.
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// Without process groups the supervisor's own `Child::kill` has to do.
#[cfg(not(unix))]
fn kill_group(_leader: u32) {}
