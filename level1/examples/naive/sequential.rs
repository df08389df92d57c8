//! A load in a task of its own: dropping the future does not stop it.

use std::sync::Arc;
use std::time::Duration;

use level1::model::{Profile, UserId};
use level1::source::{ProfileSource, SourceError};
use tokio::time::{sleep, timeout};

use crate::source::{Source, ok};
use crate::timeline::Timeline;

async fn fetch_user_profile(
    source: Arc<dyn ProfileSource>,
    id: UserId,
) -> Result<Profile, SourceError> {
    let load = tokio::spawn(async move {
        let user = source.user(id).await?;
        let posts = source.posts(id).await?;
        Ok(Profile { user, posts })
    });
    load.await.unwrap_or(Err(SourceError::CallbackDropped))
}

pub async fn run(timeline: Timeline) {
    timeline.begin();
    let source = Source::new(&timeline, ok(100), ok(100));
    timeline.note("caller", "asks for a profile");
    // `timeout` drops the load when its time is over.
    if timeout(Duration::from_millis(50), fetch_user_profile(source, 1)).await.is_err() {
        timeline.note("caller", "has waited long enough and drops the load");
    }
    sleep(Duration::from_millis(1_000)).await;
}
