//! The profile as a state machine.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::future::BoxFuture;

use crate::errors::{FetchError, check_id};
use crate::model::{Post, Profile, User, UserId};
use crate::source::{ProfileSource, Request, SourceError};

/// Fetches the user, then the posts.
pub fn fetch_user_profile(
    source: Arc<dyn ProfileSource>,
    id: UserId,
) -> impl Future<Output = Result<Profile, FetchError>> + Send + 'static {
    Load { source, id, state: State::Begin }
}

struct Load {
    source: Arc<dyn ProfileSource>,
    id: UserId,
    state: State,
}

enum State {
    Begin,
    User(BoxFuture<'static, Result<User, SourceError>>),
    Posts(User, BoxFuture<'static, Result<Vec<Post>, SourceError>>),
    Done,
}

impl Future for Load {
    type Output = Result<Profile, FetchError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let id = self.id;
            let next = match &mut self.state {
                State::Begin => match check_id(id) {
                    Ok(id) => State::User(self.source.user(id)),
                    Err(error) => {
                        self.state = State::Done;
                        return Poll::Ready(Err(error));
                    }
                },
                State::User(request) => match ready!(request.as_mut().poll(cx)) {
                    Ok(user) => State::Posts(user, self.source.posts(id)),
                    Err(cause) => {
                        self.state = State::Done;
                        return Poll::Ready(Err(FetchError::new(Request::User(id), cause)));
                    }
                },
                State::Posts(user, request) => {
                    let posts = ready!(request.as_mut().poll(cx));
                    let result = match posts {
                        Ok(posts) => Ok(Profile { user: user.clone(), posts }),
                        Err(cause) => Err(FetchError::new(Request::Posts(id), cause)),
                    };
                    self.state = State::Done;
                    return Poll::Ready(result);
                }
                State::Done => panic!("polled after it was done"),
            };
            self.state = next;
        }
    }
}
