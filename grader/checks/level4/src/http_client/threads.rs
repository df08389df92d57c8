//! One client on several threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use grader_kit::{Cx, Fail, Outcome, ensure};
use level4::http_client::{Caching, HttpClient, Request, Response, Transport, TransportError};
use tokio::runtime::Builder;
use tokio::task::yield_now;

use super::fakes::response;
use super::{A, GET, short};

const THREADS: usize = 4;
/// So many that the threads meet on a busy machine too.
const ROUNDS: usize = 2_000;

/// A server that counts the requests that run.
#[derive(Clone, Default)]
struct Data(Arc<State>);

#[derive(Default)]
struct State {
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Transport for Data {
    async fn send(&self, _: Request) -> Result<Response, TransportError> {
        let running = self.0.running.fetch_add(1, SeqCst) + 1;
        self.0.most.fetch_max(running, SeqCst);
        let _ends = Ends(&self.0.running);
        for _ in 0..3 {
            yield_now().await;
        }
        Ok(response(200, &[], "well"))
    }
}

struct Ends<'a>(&'a AtomicUsize);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

async fn made(cx: &Cx, data: &Data) -> Result<HttpClient<Data>, Fail> {
    let (data, settings) = (data.clone(), short());
    let made = cx.call_fn("HttpClient::new", move || HttpClient::new(data, settings)).await?;
    made.map_err(|error| Fail::new(format!("the settings are refused: {error:?}")))
}

/// Callers on all threads ask for one URL past the copies, and none of them leaves: one request runs at a time.
pub async fn threads_share_a_client(cx: Cx) -> Outcome {
    let data = Data::default();
    let client = made(&cx, &data).await?;
    let served = cx.on_threads(GET, THREADS, move |_| {
        let Ok(runtime) = Builder::new_current_thread().enable_time().build() else { return 0 };
        runtime.block_on(async {
            let mut served = 0;
            for _ in 0..ROUNDS {
                served += usize::from(client.get(A, Caching::Bypass).await.is_ok());
            }
            served
        })
    })?;
    let most = data.0.most.load(SeqCst);
    ensure!(most == 1, "{THREADS} threads ask for one URL: {most} requests for it are on their way at the same time";
        expected = "1: the look for a request that runs and the beginning of one are one step",
        help = "look and insert under one lock");
    ensure!(
        served.iter().all(|served| *served == ROUNDS),
        "a caller on one of {THREADS} threads has no answer"
    );
    Ok(())
}
