//! Nested callbacks without the contract: called early, and not at all.

use std::sync::Arc;
use std::time::Duration;

use level1::model::{Post, Profile, User, UserId};
use level1::source::{Callback, CallbackSource, SourceError};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::timeline::Timeline;

fn fetch_user_profile<F>(source: Arc<dyn CallbackSource>, id: UserId, callback: F)
where
    F: FnOnce(Result<Profile, SourceError>) + Send + 'static,
{
    let posts_source = Arc::clone(&source);
    source.user(
        id,
        Box::new(move |user| match user {
            Ok(user) => posts_source.posts(
                id,
                Box::new(move |posts| match posts {
                    Ok(posts) => callback(Ok(Profile { user, posts })),
                    Err(error) => callback(Err(error)),
                }),
            ),
            Err(error) => callback(Err(error)),
        }),
    );
}

/// Has every answer in its cache and calls back at once.
struct Cache;

impl CallbackSource for Cache {
    fn user(&self, id: UserId, callback: Callback<User>) {
        callback(Ok(User { id, name: "Ann".to_owned(), email: "ann@example.com".to_owned() }));
    }

    fn posts(&self, _: UserId, callback: Callback<Vec<Post>>) {
        callback(Ok(Vec::new()));
    }
}

/// Loses its connection after 100 ms, and the callback with it.
struct Forgetful(Timeline);

impl CallbackSource for Forgetful {
    fn user(&self, _: UserId, callback: Callback<User>) {
        let timeline = self.0.clone();
        timeline.note("user", "requested");
        tokio::spawn(async move {
            sleep(Duration::from_millis(100)).await;
            timeline.note("source", "loses the connection and drops the callback");
            drop(callback);
        });
    }

    fn posts(&self, _: UserId, callback: Callback<Vec<Post>>) {
        drop(callback);
    }
}

pub async fn run(timeline: Timeline) {
    timeline.begin();
    timeline.note("caller", "line 1: asks for the profile");
    let notes = timeline.clone();
    fetch_user_profile(Arc::new(Cache), 1, move |_| notes.note("callback", "runs"));
    timeline.note("caller", "line 2: runs after the call");

    timeline.begin();
    // The callback keeps the sender alive until it is dropped; the receiver ends with it.
    let (alive, gone) = oneshot::channel::<()>();
    let notes = timeline.clone();
    fetch_user_profile(Arc::new(Forgetful(timeline.clone())), 1, move |_| {
        notes.note("callback", "runs");
        drop(alive);
    });
    timeline.note("caller", "waits for its callback");
    let _ = timeout(Duration::from_secs(60), gone).await;
    timeline.note("callback", "is dropped without a call");
    sleep(Duration::from_secs(60)).await;
    timeline.note("caller", "still waits");
}
