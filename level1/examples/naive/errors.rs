//! An error that is only a text: the caller cannot tell what helps.

use std::sync::Arc;
use std::time::Duration;

use level1::model::{User, UserId};
use level1::source::ProfileSource;
use tokio::time::sleep;

use crate::source::{Source, fails, ok};
use crate::timeline::Timeline;

/// Fetches a user. Every failure becomes the same text.
async fn fetch_user(source: Arc<dyn ProfileSource>, id: UserId) -> Result<User, String> {
    source.user(id).await.map_err(|_| "cannot fetch the profile".to_owned())
}

/// A caller that tries again after every failure, since it cannot tell one from another.
pub async fn run(timeline: Timeline) {
    timeline.begin();
    let source = Source::new(&timeline, fails(100, 404), ok(100));
    for pause in [1_000, 2_000] {
        if fetch_user(source.clone(), 99).await.is_ok() {
            return;
        }
        timeline.note("caller", format!("waits {pause} ms and tries again"));
        sleep(Duration::from_millis(pause)).await;
    }
    if let Err(error) = fetch_user(source, 99).await {
        timeline.note("caller", format!("logs: {error}"));
    }
}
