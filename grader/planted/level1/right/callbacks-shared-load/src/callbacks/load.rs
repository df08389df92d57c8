//! The state of one load.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::errors::FetchError;
use crate::model::{Profile, User, UserId};
use crate::source::{CallbackSource, Request, SourceError};

type Outcome = Result<Profile, FetchError>;

pub(super) struct Load {
    callback: Mutex<Option<Box<dyn FnOnce(Outcome) + Send>>>,
    gate: watch::Receiver<()>,
    runtime: Handle,
}

impl Load {
    /// The load, and what the function holds until it returns.
    pub(super) fn new(callback: Box<dyn FnOnce(Outcome) + Send>) -> (Arc<Self>, watch::Sender<()>) {
        let (sender, gate) = watch::channel(());
        let callback = Mutex::new(Some(callback));
        (Arc::new(Self { callback, gate, runtime: Handle::current() }), sender)
    }

    pub(super) fn end(&self, outcome: Outcome) {
        let callback = self.callback.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(callback) = callback else { return };
        let mut gate = self.gate.clone();
        self.runtime.spawn(async move {
            // Nothing is ever sent: an error says that the sender is gone.
            while gate.changed().await.is_ok() {}
            callback(outcome);
        });
    }
}

/// Stands for a callback that the source has.
struct Ticket {
    load: Arc<Load>,
    request: Request,
    open: bool,
}

impl Ticket {
    fn new(load: Arc<Load>, request: Request) -> Self {
        Self { load, request, open: true }
    }

    fn redeem<T>(mut self, answer: Result<T, SourceError>) -> Option<(T, Arc<Load>)> {
        self.open = false;
        match answer {
            Ok(value) => Some((value, Arc::clone(&self.load))),
            Err(cause) => {
                self.load.end(Err(FetchError::new(self.request, cause)));
                None
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.open {
            self.load.end(Err(FetchError::new(self.request, SourceError::CallbackDropped)));
        }
    }
}

pub(super) fn ask_user(load: Arc<Load>, source: Arc<dyn CallbackSource>, id: UserId) {
    let ticket = Ticket::new(load, Request::User(id));
    let rest = Arc::clone(&source);
    source.user(
        id,
        Box::new(move |answer| {
            if let Some((user, load)) = ticket.redeem(answer) {
                ask_posts(load, rest, id, user);
            }
        }),
    );
}

fn ask_posts(load: Arc<Load>, source: Arc<dyn CallbackSource>, id: UserId, user: User) {
    let runtime = load.runtime.clone();
    let ticket = Ticket::new(load, Request::Posts(id));
    runtime.spawn(async move {
        source.posts(
            id,
            Box::new(move |answer| {
                if let Some((posts, load)) = ticket.redeem(answer) {
                    load.end(Ok(Profile { user, posts }));
                }
            }),
        );
    });
}
