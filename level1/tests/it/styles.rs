//! The styles against a mock of the source, as a learner would test them: `mockall::mock!` writes the
//! mock, and the test says which calls it expects.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt, ready};
use level1::errors::FetchError;
use level1::model::{Post, Profile, User, UserId};
use level1::source::{CallbackAdapter, ProfileSource, Request, SourceError};
use level1::{async_await, callbacks, combinators};
use mockall::predicate::eq;
use tokio::sync::oneshot;

mockall::mock! {
    pub Source {}
    impl ProfileSource for Source {
        fn user(&self, id: UserId) -> BoxFuture<'static, Result<User, SourceError>>;
        fn posts(&self, id: UserId) -> BoxFuture<'static, Result<Vec<Post>, SourceError>>;
    }
}

fn user() -> User {
    User { id: 7, name: "Ann".into(), email: "ann@example.com".into() }
}

type Answer = Result<Profile, FetchError>;

/// Loads user 7 in each style, each from a mock of its own.
async fn in_every_style(mock: impl Fn() -> MockSource) -> Vec<(&'static str, Answer)> {
    let (sender, receiver) = oneshot::channel();
    let source = Arc::new(CallbackAdapter::new(Arc::new(mock())));
    callbacks::fetch_user_profile(source, 7, |result| sender.send(result).unwrap());
    vec![
        ("callbacks", receiver.await.unwrap()),
        ("combinators", combinators::fetch_user_profile(Arc::new(mock()), 7).await),
        ("sequential", async_await::fetch_user_profile(Arc::new(mock()), 7).await),
    ]
}

#[tokio::test(start_paused = true)]
async fn one_call_each() {
    let answers = in_every_style(|| {
        let mut mock = MockSource::new();
        mock.expect_user().with(eq(7)).once().returning(|_| ready(Ok(user())).boxed());
        mock.expect_posts().with(eq(7)).once().returning(|_| ready(Ok(vec![])).boxed());
        mock
    });
    for (style, answer) in answers.await {
        assert_eq!(answer, Ok(Profile { user: user(), posts: vec![] }), "{style}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_posts_without_a_user() {
    let missing = SourceError::Status { status: 404 };
    let cause = missing.clone();
    let answers = in_every_style(move || {
        let mut mock = MockSource::new();
        let cause = cause.clone();
        mock.expect_user().once().returning(move |_| ready(Err(cause.clone())).boxed());
        mock.expect_posts().never();
        mock
    });
    for (style, answer) in answers.await {
        let expected = FetchError::NotFound { request: Request::User(7), cause: missing.clone() };
        assert_eq!(answer, Err(expected), "{style}");
    }
}

/// A panic of the source must not leave the caller of the callback version waiting.
#[tokio::test(start_paused = true)]
async fn a_source_that_panics() {
    let mut mock = MockSource::new();
    mock.expect_user().returning(|_| async { panic!("on purpose") }.boxed());
    let (sender, receiver) = oneshot::channel();
    let source = Arc::new(CallbackAdapter::new(Arc::new(mock)));
    callbacks::fetch_user_profile(source, 7, |result| sender.send(result).unwrap());
    let expected = FetchError::new(Request::User(7), SourceError::CallbackDropped);
    assert_eq!(receiver.await.unwrap(), Err(expected));
}
