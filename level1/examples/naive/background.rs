//! Tasks whose handles are dropped: their failures leave no trace.

use std::time::Duration;

use tokio::time::sleep;

use crate::timeline::Timeline;

async fn send(timeline: Timeline, to: &'static str, takes: u64) -> Result<(), String> {
    timeline.note(to, "the mail is being sent");
    sleep(Duration::from_millis(takes)).await;
    if to == "ben" {
        timeline.note(to, "returns Err(\"mailbox full\")");
        return Err("mailbox full".to_owned());
    }
    timeline.note(to, "panics");
    // The task ends as with a panic of its own, without the hook's message on standard error.
    std::panic::resume_unwind(Box::new("no template for this language"));
}

pub async fn run(timeline: Timeline) {
    timeline.begin();
    for (to, takes) in [("ben", 100), ("cho", 200)] {
        // The handle is dropped: the task runs on, and its result goes nowhere.
        drop(tokio::spawn(send(timeline.clone(), to, takes)));
    }
    timeline.note("program", "answers its client: the mails are on their way");
    sleep(Duration::from_millis(1_000)).await;
    timeline.note("program", "ends; it has seen no failure");
}
