//! Loads whose requests take longer than any time limit.

use futures::FutureExt;
use grader_kit::{Cx, Outcome, ensure, ms};
use tokio::time::Instant;

use super::{Answer, Source, Style};
use crate::fake::{Fake, Plan, answer};
use crate::told::ending;
use crate::values;

/// Milliseconds of a request that takes as long as [`values::SLOW`].
pub const SLOW: u64 = values::SLOW.as_secs() * 1_000;

/// A load has no time limit of its own.
pub async fn takes_its_time(cx: &Cx, style: Style, user: u64, posts: u64) -> Outcome {
    let source = Source::drawn(&mut cx.draw());
    let Long { ended, .. } = runs_long(cx, style, &source, answer(user), answer(posts)).await;
    ensure!(matches!(ended, Some((Some(Ok(_)), _))), "the user takes {user} ms and the posts {posts} ms, and the load has no profile";
        expected = "the profile: the load waits for its requests however long they take",
        observed = match ended {
            Some((Some(result), _)) => ending(&result),
            Some((None, _)) => "a callback that was dropped uncalled".to_owned(),
            None => "nothing, or a panic".to_owned(),
        },
        help = "a time limit is the source's business: it says so with SourceError::Timeout");
    Ok(())
}

/// A load whose requests take long, after they are over.
pub struct Long {
    pub fake: Fake,
    /// What it came to, and after how many milliseconds; `None` if it has not ended.
    pub ended: Option<(Answer, u64)>,
}

/// Runs a load until its requests are over, each of which may take as long as [`SLOW`].
pub async fn runs_long(cx: &Cx, style: Style, source: &Source, user: Plan, posts: Plan) -> Long {
    let time = user.after.saturating_add(posts.after).min(SLOW + 100_000);
    let fake = source.fake(cx, user, posts);
    let (load, begin) = ((style.load)(fake.shared(), source.id), Instant::now());
    let load = tokio::spawn(async move {
        let answer = load.await;
        (answer, u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX))
    });
    cx.pass(ms(time + 11_000)).await;
    Long { fake, ended: load.now_or_never().and_then(Result::ok) }
}
