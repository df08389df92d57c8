//! The source that the three styles are judged with: it answers after a planned time, and writes down
//! what happens to each request.

use std::any::Any;
use std::panic::panic_any;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, pending};
use grader_kit::{Timeline, in_background, lock};
use level1::model::{Post, Profile, User, UserId};
use level1::source::{Callback, CallbackSource, ProfileSource, Request, SourceError};
use tokio::time::{Instant, sleep};

/// A source for every style.
pub trait AnySource: ProfileSource + CallbackSource {}

impl<S: ProfileSource + CallbackSource> AnySource for S {}

/// What a request comes to.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Virtual milliseconds until then. 0 is at once: a callback comes before the method returns.
    pub after: u64,
    /// The end.
    pub end: End,
}

#[derive(Debug, Clone)]
pub enum End {
    Answer,
    Fail(SourceError),
    /// The callback is dropped uncalled. For futures: as if it never ended.
    Drop,
    /// The request panics with this text, and what it holds is dropped.
    Panic(String),
    /// The source's method panics with this text, before there is a future.
    Refuse(String),
}

impl Plan {
    /// Whether the request gets what it asked for.
    pub fn answers(&self) -> bool {
        matches!(self.end, End::Answer)
    }
}

pub fn answer(after: u64) -> Plan {
    Plan { after, end: End::Answer }
}

pub fn fail(after: u64, error: SourceError) -> Plan {
    Plan { after, end: End::Fail(error) }
}

pub fn dropped(after: u64) -> Plan {
    Plan { after, end: End::Drop }
}

pub fn panics(after: u64, text: &str) -> Plan {
    Plan { after, end: End::Panic(text.to_owned()) }
}

pub fn refuses(text: &str) -> Plan {
    Plan { after: 0, end: End::Refuse(text.to_owned()) }
}

pub fn status(status: u16) -> SourceError {
    SourceError::Status { status }
}

/// Something that happened to a request.
#[derive(Debug, Clone, Copy)]
struct Seen {
    request: Request,
    what: &'static str,
    /// Virtual milliseconds since the fake was made.
    at: u64,
}

/// The fake. Clones share the record.
#[derive(Debug, Clone)]
pub struct Fake {
    record: Record,
    user: Plan,
    posts: Plan,
    /// What it knows; a request for another id is answered with another user.
    id: UserId,
    profile: Arc<Profile>,
}

impl Fake {
    /// A source that holds the profile under this id. The timeline begins with it: those of one case are made
    /// before the case begins.
    pub fn new(
        timeline: &Timeline,
        id: UserId,
        profile: &Profile,
        user: Plan,
        posts: Plan,
    ) -> Self {
        timeline.restart();
        let record =
            Record { timeline: timeline.clone(), seen: Arc::default(), begin: Instant::now() };
        Self { record, user, posts, id, profile: Arc::new(profile.clone()) }
    }

    /// The id that it knows.
    pub fn id(&self) -> UserId {
        self.id
    }

    pub fn shared(&self) -> Arc<Self> {
        Arc::new(self.clone())
    }

    /// All requests that were made: which, and when.
    pub fn requests(&self) -> Vec<(Request, u64)> {
        let seen = lock(&self.record.seen).clone().into_iter();
        seen.filter(|seen| seen.what == REQUESTED).map(|seen| (seen.request, seen.at)).collect()
    }

    /// When this first happened to the request, in virtual milliseconds since the fake was made.
    pub fn when(&self, request: Request, what: &str) -> Option<u64> {
        let seen = lock(&self.record.seen).clone();
        seen.iter().find(|seen| seen.request == request && seen.what == what).map(|seen| seen.at)
    }

    /// The requests that have begun and not ended.
    pub fn under_way(&self) -> Vec<Request> {
        let mut open = Vec::new();
        for seen in lock(&self.record.seen).iter() {
            if seen.what == REQUESTED {
                open.push(seen.request);
            } else if let Some(index) = open.iter().position(|request| *request == seen.request) {
                open.remove(index);
            }
        }
        open
    }

    fn user_of(&self, id: UserId) -> User {
        if id == self.id {
            return self.profile.user.clone();
        }
        User { id, name: format!("another user, {id}"), email: String::new() }
    }

    fn posts_of(&self, id: UserId) -> Vec<Post> {
        if id == self.id {
            return self.profile.posts.clone();
        }
        vec![Post { id, title: format!("of another user, {id}"), likes: None, body: None }]
    }

    fn future<T: Send + 'static>(
        &self,
        request: Request,
        plan: Plan,
        value: T,
    ) -> BoxFuture<'static, Result<T, SourceError>> {
        if let End::Refuse(text) = plan.end {
            self.record.note(request, REQUESTED);
            self.record.note(request, "panics");
            panic_any(text);
        }
        let record = self.record.clone();
        async move {
            let mut pending = Pending::begin(record, request);
            if plan.after > 0 {
                sleep(Duration::from_millis(plan.after)).await;
            }
            match plan.end {
                End::Answer => {
                    pending.end("answers");
                    Ok(value)
                }
                End::Fail(error) => {
                    pending.end("fails");
                    Err(error)
                }
                End::Drop => std::future::pending().await,
                End::Panic(text) | End::Refuse(text) => {
                    pending.end("panics");
                    panic_any(text)
                }
            }
        }
        .boxed()
    }

    fn call_back<T: Send + 'static>(
        &self,
        request: Request,
        plan: Plan,
        value: T,
        callback: Callback<T>,
    ) {
        let mut pending = Pending::begin(self.record.clone(), request);
        let end = move |end| match end {
            End::Answer => {
                pending.end("answers");
                callback(Ok(value));
            }
            End::Fail(error) => {
                pending.end("fails");
                callback(Err(error));
            }
            End::Drop => {
                pending.end("drops its callback");
                drop(callback);
            }
            End::Panic(text) | End::Refuse(text) => {
                pending.end("panics");
                let _dropped_by_the_panic = callback;
                panic_any(text);
            }
        };
        if plan.after == 0 {
            end(plan.end);
        } else {
            in_background(async move {
                sleep(Duration::from_millis(plan.after)).await;
                end(plan.end);
            });
        }
    }
}

impl ProfileSource for Fake {
    fn user(&self, id: UserId) -> BoxFuture<'static, Result<User, SourceError>> {
        self.future(Request::User(id), self.user.clone(), self.user_of(id))
    }

    fn posts(&self, id: UserId) -> BoxFuture<'static, Result<Vec<Post>, SourceError>> {
        self.future(Request::Posts(id), self.posts.clone(), self.posts_of(id))
    }
}

impl CallbackSource for Fake {
    fn user(&self, id: UserId, callback: Callback<User>) {
        self.call_back(Request::User(id), self.user.clone(), self.user_of(id), callback);
    }

    fn posts(&self, id: UserId, callback: Callback<Vec<Post>>) {
        self.call_back(Request::Posts(id), self.posts.clone(), self.posts_of(id), callback);
    }
}

const REQUESTED: &str = "requested";

/// Where a fake writes down what it sees.
#[derive(Debug, Clone)]
struct Record {
    timeline: Timeline,
    seen: Arc<Mutex<Vec<Seen>>>,
    begin: Instant,
}

impl Record {
    fn note(&self, request: Request, what: &'static str) {
        // A drop after the runtime's end is of no interest, and has no clock.
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let at = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        lock(&self.seen).push(Seen { request, what, at });
        self.timeline.record(request.to_string(), what);
    }
}

/// A request under way; dropped before its end, it was given up.
struct Pending {
    record: Record,
    request: Request,
    ended: bool,
}

impl Pending {
    fn begin(record: Record, request: Request) -> Self {
        record.note(request, REQUESTED);
        Self { record, request, ended: false }
    }

    fn end(&mut self, what: &'static str) {
        self.ended = true;
        self.record.note(self.request, what);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.ended {
            self.record.note(self.request, "is given up");
        }
    }
}

/// One source that changes: it is another fake from load to load.
pub struct Turning {
    fakes: Vec<Fake>,
    now: AtomicUsize,
}

impl Turning {
    pub fn new(fakes: Vec<Fake>) -> Arc<Self> {
        Arc::new(Self { fakes, now: AtomicUsize::new(0) })
    }

    /// The source, which is the fake with this number from now on.
    pub fn turn(self: &Arc<Self>, number: usize) -> Arc<Self> {
        self.now.store(number, SeqCst);
        Arc::clone(self)
    }

    fn now(&self) -> &Fake {
        &self.fakes[self.now.load(SeqCst)]
    }
}

impl ProfileSource for Turning {
    fn user(&self, id: UserId) -> BoxFuture<'static, Result<User, SourceError>> {
        ProfileSource::user(self.now(), id)
    }

    fn posts(&self, id: UserId) -> BoxFuture<'static, Result<Vec<Post>, SourceError>> {
        ProfileSource::posts(self.now(), id)
    }
}

impl CallbackSource for Turning {
    fn user(&self, id: UserId, callback: Callback<User>) {
        CallbackSource::user(self.now(), id, callback);
    }

    fn posts(&self, id: UserId, callback: Callback<Vec<Post>>) {
        CallbackSource::posts(self.now(), id, callback);
    }
}

/// A source for tens of thousands of loads: it answers at once or never, and writes down nothing but numbers.
#[derive(Default)]
pub struct Quick {
    user: Quickly,
    posts: Quickly,
    asked: Arc<Asked>,
    /// The callbacks of requests that never end.
    held: Mutex<Vec<Box<dyn Any + Send>>>,
}

/// What a [`Quick`] source was asked for. A future counts from its first poll on.
#[derive(Debug, Default)]
struct Asked {
    user: AtomicUsize,
    posts: AtomicUsize,
    /// The futures that were polled and have neither ended nor been dropped.
    open: AtomicUsize,
}

/// The end of a request to a [`Quick`] source.
#[derive(Debug, Clone, Default)]
pub enum Quickly {
    #[default]
    Answer,
    Fail(SourceError),
    /// The callback is dropped uncalled. For futures: as if it never ended.
    Drop,
    Hang,
    /// The request panics.
    Panic,
    /// The source's method panics.
    Refuse,
}

impl Quick {
    pub fn new(user: Quickly, posts: Quickly) -> Arc<Self> {
        Arc::new(Self { user, posts, ..Self::default() })
    }

    /// How often it was asked for a user, and how often for posts.
    pub fn asked(&self) -> (usize, usize) {
        (self.asked.user.load(SeqCst), self.asked.posts.load(SeqCst))
    }

    /// The futures that have begun and not ended.
    pub fn under_way(&self) -> usize {
        self.asked.open.load(SeqCst)
    }

    fn user_of(id: UserId) -> User {
        User { id, name: String::new(), email: String::new() }
    }

    fn call_back<T: 'static>(
        &self,
        count: &AtomicUsize,
        end: &Quickly,
        value: T,
        callback: Callback<T>,
    ) {
        count.fetch_add(1, SeqCst);
        match end {
            Quickly::Answer => callback(Ok(value)),
            Quickly::Fail(error) => callback(Err(error.clone())),
            Quickly::Drop => drop(callback),
            Quickly::Hang => lock(&self.held).push(Box::new(callback)),
            Quickly::Panic | Quickly::Refuse => panic_any(BROKEN),
        }
    }

    fn future<T: Send + 'static>(
        &self,
        count: fn(&Asked) -> &AtomicUsize,
        end: &Quickly,
        value: T,
    ) -> BoxFuture<'static, Result<T, SourceError>> {
        if let Quickly::Refuse = end {
            panic_any(BROKEN);
        }
        let (asked, end) = (Arc::clone(&self.asked), end.clone());
        async move {
            count(&asked).fetch_add(1, SeqCst);
            match end {
                Quickly::Answer => Ok(value),
                Quickly::Fail(error) => Err(error),
                Quickly::Panic | Quickly::Refuse => panic_any(BROKEN),
                Quickly::Drop | Quickly::Hang => {
                    let _open = Open::begin(asked);
                    pending().await
                }
            }
        }
        .boxed()
    }
}

/// What a [`Quick`] source panics with.
const BROKEN: &str = "the source is broken";

/// Counts a request that never ends, until it is dropped.
struct Open(Arc<Asked>);

impl Open {
    fn begin(asked: Arc<Asked>) -> Self {
        asked.open.fetch_add(1, SeqCst);
        Self(asked)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
    }
}

impl ProfileSource for Quick {
    fn user(&self, id: UserId) -> BoxFuture<'static, Result<User, SourceError>> {
        self.future(|asked| &asked.user, &self.user, Self::user_of(id))
    }

    fn posts(&self, _: UserId) -> BoxFuture<'static, Result<Vec<Post>, SourceError>> {
        self.future(|asked| &asked.posts, &self.posts, Vec::new())
    }
}

impl CallbackSource for Quick {
    fn user(&self, id: UserId, callback: Callback<User>) {
        self.call_back(&self.asked.user, &self.user, Self::user_of(id), callback);
    }

    fn posts(&self, _: UserId, callback: Callback<Vec<Post>>) {
        self.call_back(&self.asked.posts, &self.posts, Vec::new(), callback);
    }
}
