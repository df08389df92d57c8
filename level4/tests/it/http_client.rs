//! A page over a transport: its parts share a request, and a change is seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use futures::future::join_all;
use futures::{StreamExt as _, pin_mut};
use http::{HeaderMap, StatusCode};
use level4::http_client::{
    Caching, HttpClient, Progress, Request, Response, Settings, Transport, TransportError,
};
use tokio::time::sleep;

struct Service(Arc<AtomicU32>);

impl Transport for Service {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let number = self.0.fetch_add(1, SeqCst) + 1;
        sleep(Duration::from_millis(100)).await;
        let body = format!("{} {number}", request.url).into_bytes().into();
        Ok(Response { status: StatusCode::OK, headers: HeaderMap::new(), body })
    }
}

fn client() -> (HttpClient<Service>, Arc<AtomicU32>) {
    let requests = Arc::new(AtomicU32::new(0));
    let service = Service(Arc::clone(&requests));
    (HttpClient::new(service, Settings::default()).expect("five minutes"), requests)
}

#[tokio::test(start_paused = true)]
async fn parts_of_a_page_share_a_request() {
    let (client, requests) = client();
    let parts = join_all((0..5).map(|_| client.get("http://a/user", Caching::Use))).await;
    assert!(parts.iter().all(Result::is_ok));
    assert_eq!(requests.load(SeqCst), 1);
    client.invalidate("http://a/");
    let load = client.progressive("http://a/user");
    pin_mut!(load);
    let changed = load.next().await.expect("an item").expect("an answer");
    assert!(matches!(changed, Progress::Fresh(response) if *response.body == *b"http://a/user 2"));
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_one_result_for_each_request() {
    let (client, requests) = client();
    let urls = ["http://a/1", "no URL", "http://b/2", "http://a/1"];
    let batch = urls.iter().map(|url| (*url, Request::get(*url))).collect();
    let answers = client.batch(batch).await;
    let well: Vec<_> = answers.iter().map(|(url, answer)| (*url, answer.is_ok())).collect();
    assert_eq!(well, [(urls[0], true), (urls[1], false), (urls[2], true), (urls[3], true)]);
    assert_eq!(requests.load(SeqCst), 2); // the two that are equal share one
}
