//! `then` instead of `and_then`: the next step runs after a failure too.

use std::sync::Arc;

use futures::FutureExt;
use level1::model::{Profile, UserId};
use level1::source::{ProfileSource, SourceError};

use crate::source::{Source, fails, ok};
use crate::timeline::Timeline;

fn fetch_user_profile(
    source: Arc<dyn ProfileSource>,
    id: UserId,
) -> impl Future<Output = Result<Profile, SourceError>> + Send + 'static {
    source.user(id).then(move |user| {
        source.posts(id).map(move |posts| Ok(Profile { user: user?, posts: posts? }))
    })
}

pub async fn run(timeline: Timeline) {
    timeline.begin();
    let source = Source::new(&timeline, fails(100, 404), ok(100));
    if let Err(error) = fetch_user_profile(source, 99).await {
        timeline.note("load", format!("fails: {error}"));
    }
}
