//! A body that is put together from texts, and a request without a time limit.

use std::time::Duration;

use futures::{Stream, StreamExt, pin_mut, stream};
use level1::source::SourceError;
use tokio::time::timeout;

use crate::timeline::Timeline;

async fn read_text(
    chunks: impl Stream<Item = Result<Vec<u8>, SourceError>>,
    timeline: &Timeline,
) -> Result<String, SourceError> {
    pin_mut!(chunks);
    let mut body = String::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        body += &String::from_utf8_lossy(&chunk);
        timeline.note("body", format!("{chunk:02x?}, the text is now {body}"));
    }
    Ok(body)
}

pub async fn run(timeline: Timeline) {
    timeline.begin();
    // "José" is 4a 6f 73 c3 a9: the network cuts the last character in two.
    let chunks = stream::iter([Ok(vec![0x4a, 0x6f, 0x73, 0xc3]), Ok(vec![0xa9])]);
    let _ = read_text(chunks, &timeline).await;

    timeline.begin();
    timeline.note("caller", "sends the request and reads the answer");
    // The server accepts the connection and then says nothing.
    let silent = stream::pending();
    let answer = timeout(Duration::from_secs(600), read_text(silent, &timeline)).await;
    timeline.note("caller", if answer.is_ok() { "has its answer" } else { "still waits" });
}
