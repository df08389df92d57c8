//! How long a load takes on the paused clock, with a source that takes 100 ms for each request, and
//! when it fails. Exact: the same on every machine.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use level1::errors::FetchError;
use level1::model::{Post, Profile, User, UserId};
use level1::source::{CallbackAdapter, ProfileSource, SourceError};
use level1::{async_await, callbacks, combinators};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

/// A source with a delay; 0 is none. It knows one user with one post.
pub struct Delayed {
    pub delay: Duration,
    pub user_fails: bool,
    pub posts_fail: bool,
}

impl Delayed {
    fn answer<T: Send + 'static>(
        &self,
        fails: bool,
        value: T,
    ) -> BoxFuture<'static, Result<T, SourceError>> {
        let delay = self.delay;
        async move {
            if !delay.is_zero() {
                sleep(delay).await;
            }
            if fails { Err(SourceError::Status { status: 500 }) } else { Ok(value) }
        }
        .boxed()
    }
}

impl ProfileSource for Delayed {
    fn user(&self, id: UserId) -> BoxFuture<'static, Result<User, SourceError>> {
        let user = User { id, name: "Ann".to_owned(), email: "ann@example.com".to_owned() };
        self.answer(self.user_fails, user)
    }

    fn posts(&self, _: UserId) -> BoxFuture<'static, Result<Vec<Post>, SourceError>> {
        let post = Post { id: 1, title: "Hello World".to_owned(), likes: Some(10), body: None };
        self.answer(self.posts_fail, vec![post])
    }
}

type Answer = Result<Profile, FetchError>;

/// A load in one of the styles, in the order of the tables.
pub fn load(style: usize, source: &Arc<Delayed>) -> BoxFuture<'static, Answer> {
    let source = Arc::clone(source);
    match style {
        0 => callback_load(source).boxed(),
        1 => combinators::fetch_user_profile(source, 1).boxed(),
        2 => async_await::fetch_user_profile(source, 1).boxed(),
        _ => async_await::fetch_user_profile_parallel(source, 1).boxed(),
    }
}

async fn callback_load(source: Arc<Delayed>) -> Answer {
    let (sender, receiver) = oneshot::channel();
    let source = Arc::new(CallbackAdapter::new(source));
    callbacks::fetch_user_profile(source, 1, move |result| {
        // The receiver waits below.
        let _ = sender.send(result);
    });
    receiver.await.unwrap_or_else(|_| unreachable!("the callback is always called"))
}

/// The bytes of the future that stands for one load; callbacks have none.
pub fn future_sizes() -> [Option<usize>; 4] {
    let source = Arc::new(Delayed { delay: Duration::ZERO, user_fails: false, posts_fail: false });
    [
        None,
        Some(size_of_val(&combinators::fetch_user_profile(source.clone(), 1))),
        Some(size_of_val(&async_await::fetch_user_profile(source.clone(), 1))),
        Some(size_of_val(&async_await::fetch_user_profile_parallel(source, 1))),
    ]
}

/// The table of exact times.
pub fn table() -> String {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let Ok(runtime) = runtime else { return "no runtime\n".to_owned() };
    let mut table = String::from(
        "| style | both succeed | the user fails | the posts fail |\n| --- | ---: | ---: | ---: |\n",
    );
    for (index, style) in crate::STYLES.iter().enumerate() {
        let mut times = [0; 3];
        for (time, (user_fails, posts_fail)) in
            times.iter_mut().zip([(false, false), (true, false), (false, true)])
        {
            let delay = Duration::from_millis(100);
            let source = Arc::new(Delayed { delay, user_fails, posts_fail });
            *time = runtime.block_on(async {
                let begin = Instant::now();
                // The tests check the outcome.
                let _ = load(index, &source).await;
                begin.elapsed().as_millis()
            });
        }
        let [both, user, posts] = times;
        // Writing to a String cannot fail.
        let _ = writeln!(table, "| {} | {both} ms | {user} ms | {posts} ms |", style.name);
    }
    table
}
