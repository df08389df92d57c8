//! Loads of which one request fails, with each status of HTTP.

use std::sync::Arc;

use grader_kit::{Cx, Fail, ms};
use level1::source::{Request, SourceError};
use tokio::task::unconstrained;
use tokio::time::{Instant, timeout};

use super::{Answer, Style};
use crate::fake::{Quick, Quickly};

/// The result of a load of a source that answers one request with this status.
pub struct OfStatus {
    pub status: u16,
    /// `None` also if it has not ended after a second.
    pub answer: Answer,
    /// How often the source was asked for the user, and for the posts.
    pub asked: (usize, usize),
    /// Virtual milliseconds.
    pub took: u64,
    pub source: Arc<Quick>,
}

/// No status is special: a load for each of them, which one request fails with at once, beside the other one.
pub async fn each_status(
    cx: &Cx,
    style: Style,
    failing: Request,
    other: &Quickly,
) -> Result<Vec<OfStatus>, Fail> {
    // So many in one call that it does not count as a loop without an end.
    const AT_ONCE: u16 = 250;
    let mut all = Vec::new();
    for first in (0..1_000).step_by(usize::from(AT_ONCE)) {
        let loads = async {
            let mut ended = Vec::with_capacity(usize::from(AT_ONCE));
            for status in first..first + AT_ONCE {
                let fails = Quickly::Fail(SourceError::Status { status });
                let (id, source) = match failing {
                    Request::User(id) => (id, Quick::new(fails, other.clone())),
                    Request::Posts(id) => (id, Quick::new(other.clone(), fails)),
                    Request::Page(_) => continue,
                };
                let begin = Instant::now();
                let load = timeout(ms(1_000), (style.load)(source.clone(), id));
                let answer = unconstrained(load).await.ok().flatten();
                let took = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
                ended.push(OfStatus { status, answer, asked: source.asked(), took, source });
            }
            ended
        };
        all.extend(cx.call(style.name, loads).await?.value);
    }
    Ok(all)
}
