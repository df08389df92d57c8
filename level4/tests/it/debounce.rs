//! A search box over a channel: keys on one task, searches on another.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use level4::debounce::{Debounce, DebounceExt as _, Edge};
use tokio::sync::mpsc;
use tokio::time::sleep;

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_search_box_asks_when_the_typing_pauses() {
    let (keys, typed) = mpsc::channel(16);
    let texts = stream::unfold(typed, |mut typed| async { Some((typed.recv().await?, typed)) });
    let how = Debounce::new(Duration::from_millis(300), Edge::Trailing).expect("300 ms is a wait");
    // The stream can go to another task: it is as `Send` as its source.
    let searches = tokio::spawn(async move {
        texts.debounce_reset_when(how, |text: &String| text.is_empty()).collect::<Vec<_>>().await
    });
    for (text, pause) in [("r", 50), ("ru", 400), ("rus", 50), ("", 10), ("rust", 10)] {
        keys.send(text.to_owned()).await.expect("the box is open");
        sleep(Duration::from_millis(pause)).await;
    }
    drop(keys);
    assert_eq!(searches.await.expect("no panic"), ["ru", "", "rust"]);
}
