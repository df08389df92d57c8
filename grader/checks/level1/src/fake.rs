//! The source that the three styles are judged with: it answers after a planned time, with data made
//! from the id that it was asked for, and writes down what happens to each request.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use grader_kit::Timeline;
use level1::model::{Post, Profile, User, UserId};
use level1::source::{Callback, CallbackSource, ProfileSource, Request, SourceError};
use tokio::time::sleep;

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

pub fn status(status: u16) -> SourceError {
    SourceError::Status { status }
}

/// The fake. Clones share the timeline.
#[derive(Debug, Clone)]
pub struct Fake {
    timeline: Timeline,
    user: Plan,
    posts: Plan,
}

impl Fake {
    pub fn new(timeline: &Timeline, user: Plan, posts: Plan) -> Self {
        Self { timeline: timeline.clone(), user, posts }
    }

    pub fn shared(&self) -> Arc<Self> {
        Arc::new(self.clone())
    }

    fn future<T: Send + 'static>(
        &self,
        request: Request,
        plan: Plan,
        value: T,
    ) -> BoxFuture<'static, Result<T, SourceError>> {
        let timeline = self.timeline.clone();
        async move {
            let mut pending = Pending::begin(timeline, request);
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
        let mut pending = Pending::begin(self.timeline.clone(), request);
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
        };
        if plan.after == 0 {
            end(plan.end);
        } else {
            tokio::spawn(async move {
                sleep(Duration::from_millis(plan.after)).await;
                end(plan.end);
            });
        }
    }
}

impl ProfileSource for Fake {
    fn user(&self, id: UserId) -> BoxFuture<'static, Result<User, SourceError>> {
        self.future(Request::User(id), self.user.clone(), user(id))
    }

    fn posts(&self, id: UserId) -> BoxFuture<'static, Result<Vec<Post>, SourceError>> {
        self.future(Request::Posts(id), self.posts.clone(), posts(id))
    }
}

impl CallbackSource for Fake {
    fn user(&self, id: UserId, callback: Callback<User>) {
        self.call_back(Request::User(id), self.user.clone(), user(id), callback);
    }

    fn posts(&self, id: UserId, callback: Callback<Vec<Post>>) {
        self.call_back(Request::Posts(id), self.posts.clone(), posts(id), callback);
    }
}

/// A request under way; dropped before its end, it was given up.
struct Pending {
    timeline: Timeline,
    request: Request,
    ended: bool,
}

impl Pending {
    fn begin(timeline: Timeline, request: Request) -> Self {
        timeline.record(request.to_string(), "requested");
        Self { timeline, request, ended: false }
    }

    fn end(&mut self, what: &str) {
        self.ended = true;
        self.timeline.record(self.request.to_string(), what);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.ended {
            self.timeline.record(self.request.to_string(), "is given up");
        }
    }
}

/// The user that the fake knows under this id.
pub fn user(id: UserId) -> User {
    User { id, name: format!("Name {id}"), email: format!("user{id}@example.com") }
}

/// That user's posts: one with likes, one with a body, one with both; not sorted by id.
pub fn posts(id: UserId) -> Vec<Post> {
    let post = |number: u64, likes, body: Option<&str>| Post {
        id: id * 100 + number,
        title: format!("Post {number} of {id}"),
        likes,
        body: body.map(str::to_owned),
    };
    vec![
        post(3, Some(10 + id), None),
        post(1, None, Some("A body.")),
        post(2, Some(0), Some("Both.")),
    ]
}

pub fn profile(id: UserId) -> Profile {
    Profile { user: user(id), posts: posts(id) }
}

/// When something first happened to a request, in virtual milliseconds.
pub fn when(timeline: &Timeline, request: Request, what: &str) -> Option<u64> {
    let who = request.to_string();
    let mut events = timeline.events().into_iter();
    events.find(|event| event.who == who && event.what == what).map(|event| event.at_us / 1000)
}

/// All requests that were made: which, and when.
pub fn requests(timeline: &Timeline) -> Vec<(String, u64)> {
    let events = timeline.events().into_iter().filter(|event| event.what == "requested");
    events.map(|event| (event.who, event.at_us / 1000)).collect()
}
