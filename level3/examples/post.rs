//! A post: is the author allowed to, upload the pictures side by side, write it, and then tell others.
//!
//! Uploads are retried one by one, and taken back if the post cannot be written. Telling followers,
//! indexing and counting are steps of their own that may fail.
//!
//! `cargo run -p level3 --example post`

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::try_join_all;
use level3::deadline::Deadline;
use level3::journal::{FailureKind, MemoryJournal, SagaId};
use level3::retry::{Disposition, NoJitter, RetryPolicy, retry};
use level3::saga::{
    Saga, SagaError, SagaOutcome, Step, StepContext, StepError, UndoContext, UndoError,
};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

/// The state of the saga.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Post {
    author: String,
    media: Vec<String>,
    urls: Vec<String>,
}

/// The site.
#[derive(Debug, Clone, Default)]
struct Site {
    state: Arc<Mutex<State>>,
    /// Each upload fails so often before it works.
    upload_failures: u32,
    database_is_down: bool,
    search_is_down: bool,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct State {
    files: BTreeSet<String>,
    posts: u32,
    told: Vec<&'static str>,
}

impl Site {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn authorize(post: Post, _: StepContext<Self>) -> Result<Post, StepError> {
        sleep(Duration::from_millis(20)).await;
        match post.author.as_str() {
            "suspended" => Err(StepError::not_done(FailureKind::Declined, "suspended")),
            _ => Ok(post),
        }
    }

    async fn upload(mut post: Post, context: StepContext<Self>) -> Result<Post, StepError> {
        let site = &context.shared;
        let uploads = post.media.iter().map(|file| {
            let deadline = context.deadline;
            async move {
                let mut failures = site.upload_failures;
                let policy = RetryPolicy::default();
                let classify = |_: &&str| Disposition::Retry;
                let done = retry(&policy, &NoJitter, deadline, classify, |_| {
                    let fails = failures > 0;
                    failures = failures.saturating_sub(1);
                    async move {
                        sleep(Duration::from_millis(100)).await;
                        if fails {
                            return Err("storage busy");
                        }
                        site.lock().files.insert(file.clone());
                        Ok(format!("/media/{file}"))
                    }
                });
                done.await.map(|done| done.value)
            }
        });
        // When one fails for good, others may be there or on their way.
        let failed = |error| StepError::unknown(FailureKind::Transient, error);
        post.urls = try_join_all(uploads).await.map_err(failed)?;
        Ok(post)
    }

    async fn remove(post: Post, context: UndoContext<Self>) -> Result<Post, UndoError> {
        context.shared.lock().files.retain(|file| !post.media.contains(file));
        Ok(post)
    }

    async fn write(post: Post, context: StepContext<Self>) -> Result<Post, StepError> {
        if context.shared.database_is_down {
            return Err(StepError::not_done(FailureKind::Transient, "no database"));
        }
        context.shared.lock().posts += 1;
        Ok(post)
    }

    async fn tell(
        whom: &'static str,
        post: Post,
        context: StepContext<Self>,
    ) -> Result<Post, StepError> {
        if context.shared.search_is_down && whom == "search" {
            return Err(StepError::not_done(FailureKind::Transient, "no search"));
        }
        context.shared.lock().told.push(whom);
        Ok(post)
    }
}

fn post_saga(site: &Site) -> Saga<Post, Site> {
    let saga = Saga::sharing("post", Arc::new(site.clone()))
        .step(Step::new("authorize", Site::authorize))
        .step(Step::new("upload", Site::upload).undo(Duration::from_secs(1), Site::remove))
        .step(Step::new("write", Site::write));
    ["followers", "search", "analytics"].into_iter().fold(saga, |saga, whom| {
        let tell = move |post, context| Site::tell(whom, post, context);
        saga.step(Step::new(whom, tell).not_critical())
    })
}

async fn create(site: &Site, author: &str) -> Result<SagaOutcome<Post>, SagaError> {
    let media = vec!["a.jpg".to_owned(), "b.jpg".to_owned()];
    let post = Post { author: author.to_owned(), media, urls: Vec::new() };
    let deadline = Deadline::after(Duration::from_secs(30));
    let saga = Arc::new(post_saga(site));
    saga.execute(Arc::new(MemoryJournal::new()), SagaId::new("post-1"), post, deadline).await
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
#[expect(clippy::disallowed_macros, reason = "the reference's run, committed beside this file")]
async fn main() -> Result<(), SagaError> {
    demo_kit::or_recorded(include_str!("recorded/post.txt"), show()).await
}

async fn show() -> Result<(), SagaError> {
    let sites = [
        Site::default(),
        Site { upload_failures: 2, ..Site::default() },
        Site { database_is_down: true, ..Site::default() },
    ];
    for site in sites {
        println!("{:?}", create(&site, "ada").await?);
        println!("  {:?}", site.lock());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn uploads_run_side_by_side() {
        let site = Site { upload_failures: 1, ..Site::default() };
        let begun = tokio::time::Instant::now();
        assert!(matches!(create(&site, "ada").await, Ok(SagaOutcome::Completed(_))));
        // 20 to authorize; 100, a pause of 1000, 100 for each upload, at the same time.
        assert_eq!(begun.elapsed(), Duration::from_millis(1220));
        assert_eq!(site.lock().told, ["followers", "search", "analytics"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_post_that_cannot_be_written_leaves_no_files() {
        let site = Site { database_is_down: true, ..Site::default() };
        assert!(matches!(create(&site, "ada").await, Ok(SagaOutcome::Compensated { .. })));
        assert_eq!(*site.lock(), State::default());
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_be_told_stops_nobody() {
        let site = Site { search_is_down: true, ..Site::default() };
        assert!(matches!(create(&site, "ada").await, Ok(SagaOutcome::Completed(_))));
        assert_eq!(site.lock().told, ["followers", "analytics"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspended_author_uploads_nothing() {
        let site = Site::default();
        let end = create(&site, "suspended").await.unwrap();
        assert!(
            matches!(&end, SagaOutcome::Compensated { failure, .. } if failure.kind == FailureKind::Declined)
        );
        assert_eq!(*site.lock(), State::default());
    }
}
