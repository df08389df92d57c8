//! An engine over a file and a URL, and the lines that say what happens in it.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

use level4_http::{Limits, Reqwest};
use level5::conflict::{Fields, Resolved, SourceId, Standing};
use level5::sync_engine::{Config, Engine, SourceMeta, Store as _, SyncMetrics};
use level5::wall_clock::SystemWall;
use level5_sources::{DiskStore, FileConfig, FileSource, HttpSource, Layout, follow, known};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

/// Where the records are.
pub struct Places<'a> {
    /// The document that is watched.
    pub file: &'a Path,
    /// The document behind a URL.
    pub url: &'a str,
    /// The store.
    pub store: &'a Path,
    /// The beginning of the timeline.
    pub began: Instant,
}

/// Follows both documents until `stop` ends, polling each at an interval that follows from `every`, and tells what happens.
pub async fn follow_both(
    places: &Places<'_>,
    every: Duration,
    stop: impl Future<Output = ()>,
    tell: impl Fn(&str),
) -> Result<(), Box<dyn Error>> {
    let tell = |who: &str, what: &str| tell(&line(places.began, who, what));
    let (file, web) = (SourceId::new("file"), SourceId::new("web"));
    let store = DiskStore::open(places.store)?;
    // What was deleted while no process ran is found by a comparison with this.
    let (known_file, known_web) = (known(&store, &file).await?, known(&store, &web).await?);
    tell("store", &format!("{} records", store.load().await?.len()));
    let engine = Engine::start(Config::default(), store, SystemWall).await?;
    let (mut changes, mut conflicts) = (engine.changes(), engine.conflicts());
    let mut metrics = engine.metrics();
    let document = FileSource::open(file, places.file, FileConfig::document(), known_file)?;
    let watched = document.changes();
    let page =
        HttpSource::new(web, places.url, Layout::default(), Reqwest::new(Limits::default())?)?;
    let meta = SourceMeta { standing: Standing::default(), latency: Duration::ZERO, every };
    engine.add_source(document, meta)?;
    engine.add_source(page.with_known(known_web), meta)?;
    let mut failures = BTreeMap::new();
    // Each of these may be dropped in each round of the loop, and loses nothing by it: receivers keep what was not taken.
    let events = async {
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    Ok(change) => tell(change.id.as_str(), &version(&change.record)),
                    Err(RecvError::Lagged(lost)) => tell("engine", &format!("{lost} changes not shown")),
                    Err(RecvError::Closed) => return,
                },
                Ok(conflict) = conflicts.recv() => {
                    let names = conflict.records.iter().map(|record| record.stamp.source.as_str());
                    let names = names.collect::<Vec<_>>().join(" and ");
                    tell(conflict.id.as_str(), &format!("{names} differ, the newer one counts"));
                }
                Ok(()) = metrics.changed() => {
                    let figures = metrics.borrow_and_update().clone();
                    for (source, what) in turns(&figures, &mut failures) {
                        tell(source.as_str(), &what);
                    }
                }
            }
        }
    };
    tokio::select! {
        () = stop => {}
        () = follow(&engine, watched) => {}
        () = events => {}
    }
    let report = engine.shutdown(Duration::from_secs(5)).await;
    let figures = engine.metrics().borrow().clone();
    let polls: u64 = figures.sources.values().map(|source| source.polls).sum();
    let failed: u64 = figures.sources.values().map(|source| source.failed_polls).sum();
    let (records, unsaved) = (figures.records, report.unsaved);
    tell(
        "engine",
        &format!("{records} records, {unsaved} not saved, {polls} polls, {failed} failed"),
    );
    Ok(())
}

/// A line of the timeline.
pub fn line(began: Instant, who: &str, what: &str) -> String {
    format!("{:>7.2} s  {who:<8}  {what}", began.elapsed().as_secs_f64())
}

fn version(record: &Resolved) -> String {
    let from = &record.stamp.source;
    match &record.content {
        Some(fields) => format!("{}  from {from}", shown(fields)),
        None => format!("deleted by {from}"),
    }
}

fn shown(fields: &Fields) -> String {
    let shown = fields.iter().map(|(name, value)| format!("{name}={value}"));
    shown.collect::<Vec<_>>().join(" ")
}

/// The sources that have begun or ceased to fail since the last call.
fn turns(
    figures: &SyncMetrics,
    failures: &mut BTreeMap<SourceId, String>,
) -> Vec<(SourceId, String)> {
    let mut turns = Vec::new();
    for (source, figures) in &figures.sources {
        match &figures.failure {
            Some(failure) => {
                let why = failure.to_string();
                if failures.insert(source.clone(), why.clone()).as_ref() != Some(&why) {
                    turns.push((source.clone(), format!("failed: {why}")));
                }
            }
            None if failures.remove(source).is_some() => {
                turns.push((source.clone(), "answers again".to_owned()));
            }
            None => {}
        }
    }
    turns
}
