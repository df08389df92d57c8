//! An orchestrator on a runtime with several threads.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use futures::future::join_all;
use http::{HeaderMap, StatusCode};
use level3::retry::NoJitter;
use level4::http_client::{Request, Response, Transport, TransportError};
use level5::orchestrator::{Orchestrator, Settings, Spec};
use tokio::task::yield_now;

#[derive(Default)]
struct Busy {
    running: AtomicUsize,
    most: Arc<AtomicUsize>,
}

impl Transport for Busy {
    async fn send(&self, _: Request) -> Result<Response, TransportError> {
        let running = self.running.fetch_add(1, SeqCst) + 1;
        self.most.fetch_max(running, SeqCst);
        yield_now().await;
        self.running.fetch_sub(1, SeqCst);
        Ok(Response { status: StatusCode::OK, headers: HeaderMap::new(), body: [].into() })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_holds_on_several_threads() {
    let most = Arc::new(AtomicUsize::new(0));
    let transport = Busy { most: Arc::clone(&most), ..Busy::default() };
    let limit = NonZeroUsize::new(3).expect("not 0");
    let settings = Settings { limit, ..Settings::default() };
    let orchestrator =
        Orchestrator::new(transport, settings, Arc::new(NoJitter)).expect("valid settings");
    let mut tasks = Vec::new();
    for number in 0..200_u8 {
        let spec = Spec { priority: number, ..Spec::get(format!("http://a.example/{number}")) };
        orchestrator.register(number.to_string(), spec).expect("there is room");
        let orchestrator = orchestrator.clone();
        tasks.push(tokio::spawn(async move { orchestrator.run(&number.to_string()).await }));
    }
    for ended in join_all(tasks).await {
        ended.expect("no task panics").expect("every request has an answer");
    }
    assert!(most.load(SeqCst) <= 3);
}
