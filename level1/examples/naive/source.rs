//! A source that answers after a time, and notes its calls.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use level1::model::{Post, User, UserId};
use level1::source::{ProfileSource, SourceError};
use tokio::time::sleep;

use crate::timeline::Timeline;

/// Answers with one user and one post, or fails.
#[derive(Debug, Clone)]
pub struct Source {
    pub timeline: Timeline,
    pub user: Answer,
    pub posts: Answer,
}

/// After how many milliseconds a request is answered, and the status if it fails.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    pub after: u64,
    pub failure: Option<u16>,
}

/// An answer that succeeds.
pub const fn ok(after: u64) -> Answer {
    Answer { after, failure: None }
}

/// An answer that fails with this status.
pub const fn fails(after: u64, status: u16) -> Answer {
    Answer { after, failure: Some(status) }
}

impl Source {
    /// A source whose requests are answered like this.
    pub fn new(timeline: &Timeline, user: Answer, posts: Answer) -> Arc<Self> {
        Arc::new(Self { timeline: timeline.clone(), user, posts })
    }

    fn request<T: Send + 'static>(
        &self,
        name: &'static str,
        answer: Answer,
        value: T,
    ) -> BoxFuture<'static, Result<T, SourceError>> {
        let timeline = self.timeline.clone();
        async move {
            let mut call = Call::begin(timeline, name);
            sleep(Duration::from_millis(answer.after)).await;
            call.end(answer);
            answer.failure.map_or(Ok(value), |status| Err(SourceError::Status { status }))
        }
        .boxed()
    }
}

impl ProfileSource for Source {
    fn user(&self, id: UserId) -> BoxFuture<'static, Result<User, SourceError>> {
        let user = User { id, name: "Ann".to_owned(), email: "ann@example.com".to_owned() };
        self.request("user", self.user, user)
    }

    fn posts(&self, _: UserId) -> BoxFuture<'static, Result<Vec<Post>, SourceError>> {
        let post = Post { id: 1, title: "Hello World".to_owned(), likes: Some(10), body: None };
        self.request("posts", self.posts, vec![post])
    }
}

/// A call under way. Notes when it is dropped before its end.
struct Call {
    timeline: Timeline,
    name: &'static str,
    ended: bool,
}

impl Call {
    fn begin(timeline: Timeline, name: &'static str) -> Self {
        timeline.note(name, "requested");
        Self { timeline, name, ended: false }
    }

    fn end(&mut self, answer: Answer) {
        self.ended = true;
        match answer.failure {
            None => self.timeline.note(self.name, "answered"),
            Some(status) => self.timeline.note(self.name, format!("failed with status {status}")),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.ended {
            self.timeline.note(self.name, "cancelled");
        }
    }
}
