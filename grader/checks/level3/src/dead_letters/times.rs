//! When a letter came, and when its last attempt failed.

use std::panic::resume_unwind;

use grader_kit::{Cx, Outcome, ensure_eq, ms};
use level3::dead_letters::DeadLetter;
use tokio::time::{Instant, sleep};

use super::{NAME, only, queue};

/// A handler takes its time, and then it fails.
pub async fn last_is_when_the_attempt_failed(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    for panics in [false, true] {
        cx.timeline().restart();
        let (queue, first) = (queue(10, 9, &["a"])?, Instant::now());
        let ms_since_push = |at: Instant| (at - first).as_millis();
        for redrives in 1..=3 {
            sleep(ms(draw.between(1..=1000))).await;
            let takes = draw.between(1..=1000);
            let timeline = cx.timeline();
            let handler = |_: DeadLetter<&'static str>| async move {
                timeline.record("handler", "is given the letter");
                sleep(ms(takes)).await;
                timeline.record("handler", if panics { "panics" } else { "fails" });
                if panics {
                    resume_unwind(Box::new("a handler with a bug"));
                }
                Err::<(), _>("mailbox full")
            };
            cx.call(NAME, queue.redrive(handler)).await?;
            let letter = only(&queue, "after a failed redrive")?;
            ensure_eq!(
                (ms_since_push(letter.first), ms_since_push(letter.last)),
                (0, ms_since_push(Instant::now())),
                "`first` and `last`, in ms since the push, after redrive {redrives}, whose handler {} after {takes} ms",
                if panics { "panics" } else { "fails" };
                help = "`last` is when the last attempt failed, not when it began"
            );
        }
    }
    Ok(())
}
