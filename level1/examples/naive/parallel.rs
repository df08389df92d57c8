//! Both requests "at once", in the two ways that are not.

use std::sync::Arc;

use level1::model::{Profile, UserId};
use level1::source::{ProfileSource, SourceError};

use crate::source::{Source, fails, ok};
use crate::timeline::Timeline;

/// Makes both futures first, as one would start two promises, and awaits them in turn.
async fn made_first(source: Arc<dyn ProfileSource>, id: UserId) -> Result<Profile, SourceError> {
    let user = source.user(id);
    let posts = source.posts(id);
    Ok(Profile { user: user.await?, posts: posts.await? })
}

/// Runs both at once, but looks at the results only when both have ended.
async fn joined(source: Arc<dyn ProfileSource>, id: UserId) -> Result<Profile, SourceError> {
    let (user, posts) = tokio::join!(source.user(id), source.posts(id));
    Ok(Profile { user: user?, posts: posts? })
}

pub async fn run(timeline: Timeline) {
    timeline.begin();
    let loaded = made_first(Source::new(&timeline, ok(300), ok(100)), 1).await;
    timeline.note("load", if loaded.is_ok() { "returns the profile" } else { "fails" });

    timeline.begin();
    let loaded = joined(Source::new(&timeline, ok(300), fails(100, 500)), 1).await;
    timeline.note("load", if loaded.is_ok() { "returns the profile" } else { "fails" });
}
