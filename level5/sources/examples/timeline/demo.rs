//! A file and a server of the demonstration's own, and what happens to them.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use level5_sources::{DiskError, DiskStore};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::follow::{Places, follow_both, line};

/// A document on a server. Each state has another `ETag`.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    records: Value,
    number: u64,
    is_down: bool,
    unchanged: u64,
}

impl Page {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, records: Value) {
        self.with(|state| {
            state.records = records;
            state.number += 1;
        });
    }
}

impl Respond for Page {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        self.with(|state| {
            let etag = format!("\"{}\"", state.number);
            let is_known =
                request.headers.get("if-none-match").is_some_and(|known| known == etag.as_str());
            if state.is_down {
                ResponseTemplate::new(503)
            } else if is_known {
                state.unchanged += 1;
                ResponseTemplate::new(304)
            } else {
                ResponseTemplate::new(200)
                    .insert_header("etag", etag.as_str())
                    .set_body_json(&state.records)
            }
        })
    }
}

/// Replaces the file in one step.
fn replace(file: &Path, records: &Value) -> Result<(), Box<dyn Error>> {
    let new = file.with_extension("new");
    fs::write(&new, records.to_string())?;
    Ok(fs::rename(new, file)?)
}

/// Longer than the second that the `Date` of a server counts in: the newer of two contents is then newer by its stamp.
const TICK: Duration = Duration::from_millis(1100);

/// The lines of the timeline, for a script that waits for them.
struct Lines(watch::Sender<Vec<String>>);

impl Lines {
    fn new() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }

    fn add(&self, line: &str) {
        self.0.send_modify(|lines| lines.push(line.to_owned()));
    }

    /// Waits until each part is in a line after the one that contains `step`.
    async fn has(&self, step: &str, parts: &[&str]) {
        let mut lines = self.0.subscribe();
        let there = lines.wait_for(|lines| {
            let after: Vec<_> =
                lines.iter().skip_while(|line| !line.contains(step)).skip(1).collect();
            parts.iter().all(|part| after.iter().any(|line| line.contains(part)))
        });
        // An error says that the lines are gone, which this call borrows.
        let _ = there.await;
    }
}

/// Plays the demonstration.
pub async fn play(tell: impl Fn(&str)) -> Result<(), Box<dyn Error>> {
    let (began, lines) = (Instant::now(), Lines::new());
    let tell = |line: &str| {
        tell(line);
        lines.add(line);
    };
    let does = |what: &str| tell(&line(began, "-", what));
    let folder = tempfile::tempdir()?;
    let (file, store) = (folder.path().join("people.json"), folder.path().join("records.redb"));
    let (page, server) = (Page::default(), MockServer::start().await);
    Mock::given(method("GET")).respond_with(page.clone()).mount(&server).await;
    let url = server.uri();
    let places = Places { file: &file, url: &url, store: &store, began };
    let every = Duration::from_millis(400);

    replace(&file, &json!([{"id": "ann", "city": "Oslo"}, {"id": "bob", "city": "Bern"}]))?;
    page.write(json!([{"id": "ann", "city": "Oslo"}]));
    let script = async {
        lines.has("store", &["ann ", "bob "]).await;
        sleep(TICK).await;
        does("the server has another city for ann, and cy");
        page.write(json!([{"id": "ann", "city": "Paris"}, {"id": "cy", "city": "Rome"}]));
        lines.has("another city", &["\"Paris\"", "cy "]).await;
        sleep(TICK).await;
        does("half of the file is written");
        fs::write(&file, r#"[{"id": "ann", "ci"#)?;
        sleep(TICK / 3).await;
        does("the file has a newer city for ann, and bob no more");
        replace(&file, &json!([{"id": "ann", "city": "Turin"}]))?;
        lines.has("bob no more", &["\"Turin\"", "bob "]).await;
        does("the server is down, and the file has dan");
        page.with(|state| state.is_down = true);
        replace(&file, &json!([{"id": "ann", "city": "Turin"}, {"id": "dan", "city": "Riga"}]))?;
        lines.has("is down", &["\"Riga\"", "web       failed"]).await;
        does("the server is back");
        page.with(|state| state.is_down = false);
        lines.has("is back", &["answers again"]).await;
        Ok::<_, Box<dyn Error>>(())
    };
    let mut played = Ok(());
    follow_both(&places, every, async { played = script.await }, &tell).await?;
    played?;

    does("the process is away; the server deletes cy, the file dan");
    page.write(json!([{"id": "ann", "city": "Paris"}]));
    replace(&file, &json!([{"id": "ann", "city": "Turin"}]))?;
    sleep(TICK).await;
    // The tasks of the engine hold the file of the store until the runtime has ended them.
    while let Err(DiskError::InUse { .. }) = DiskStore::open(&store) {
        sleep(Duration::from_millis(10)).await;
    }
    let deletions = lines.has("is away", &["cy        deleted", "dan       deleted"]);
    follow_both(&places, every, deletions, &tell).await?;
    let unchanged = page.with(|state| state.unchanged);
    does(&format!("{unchanged} polls of the server were answered without a document"));
    Ok(())
}
