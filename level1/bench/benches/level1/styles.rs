//! One load in each style, with a source that answers at once.

use std::hint::black_box;
use std::sync::Arc;

use bench_kit::contest::Case;
use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use level1::model::{Post, User, UserId};
use level1::source::{CallbackAdapter, ProfileSource, SourceError};
use level1::{async_await, callbacks, combinators};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

pub const PLAIN: &str = "async/await, sequential";

pub const NAMES: [&str; 4] = ["callbacks", "combinators", PLAIN, "async/await, parallel"];

/// Knows one user with one post.
struct AtOnce;

impl ProfileSource for AtOnce {
    fn user(&self, id: UserId) -> BoxFuture<'static, Result<User, SourceError>> {
        let user = User { id, name: "Ann".to_owned(), email: "ann@example.com".to_owned() };
        ready(Ok(user)).boxed()
    }

    fn posts(&self, _: UserId) -> BoxFuture<'static, Result<Vec<Post>, SourceError>> {
        let post = Post { id: 1, title: "Hello World".to_owned(), likes: Some(10), body: None };
        ready(Ok(vec![post])).boxed()
    }
}

/// The cases, as [`NAMES`] calls them.
pub fn cases(runtime: &Runtime) -> Vec<Case<'_>> {
    let case = |index: usize| {
        Case::new(NAMES[index], move |times| {
            runtime.block_on(async {
                let source = Arc::new(AtOnce);
                for _ in 0..times {
                    black_box(load(index, &source).await);
                }
            });
        })
    };
    (0..NAMES.len()).map(case).collect()
}

/// Whether a load in one of the styles succeeded.
async fn load(style: usize, source: &Arc<AtOnce>) -> bool {
    let source = Arc::clone(source);
    match style {
        0 => {
            let (sender, receiver) = oneshot::channel();
            let source = Arc::new(CallbackAdapter::new(source));
            callbacks::fetch_user_profile(source, 1, move |result| {
                // The receiver waits below.
                let _ = sender.send(result.is_ok());
            });
            receiver.await.unwrap_or(false)
        }
        1 => combinators::fetch_user_profile(source, 1).await.is_ok(),
        2 => async_await::fetch_user_profile(source, 1).await.is_ok(),
        _ => async_await::fetch_user_profile_parallel(source, 1).await.is_ok(),
    }
}
