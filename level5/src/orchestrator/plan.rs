//! The requests of one `run` or `run_batch`: each runs once, after those that it needs.

use std::collections::HashMap;
use std::future::poll_fn;
use std::mem;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, try_join_all};
use futures::stream::{FuturesUnordered, StreamExt as _};
use level4::http_client::Transport;

use super::runs::Parts;
use super::{Done, RequestError, RequestId, graph, lock};

/// One request of a plan, which begins with all that it needs. Every request that needs it has a clone, so it runs
/// once. Boxed, because a node contains nodes: a type cannot contain itself.
pub(super) type Node = Shared<BoxFuture<'static, Result<Done, RequestError>>>;

/// The nodes of a `run` or a `run_batch`.
#[derive(Default)]
pub(super) struct Plan {
    nodes: HashMap<RequestId, Node>,
    /// The nodes that were polled for the first time since [`drive`](Self::drive) last looked. Ids and no nodes: a
    /// node owns this list, and a list that owned it too would be a cycle.
    begun: Arc<Mutex<Vec<RequestId>>>,
}

impl Plan {
    /// The node of a request. It and those that it needs are added to the plan. Nothing runs before a node is polled.
    pub(super) fn node<T: Transport>(
        &mut self,
        parts: &Arc<Parts<T>>,
        id: &str,
    ) -> Result<Node, RequestError> {
        // Held for the whole plan, so that it is made of one state of the registry. A request that is replaced between
        // the order and its node could need a request that has no node.
        let requests = lock(&parts.requests);
        let needs = |id: &str| requests.get(id).map(|entry| entry.spec.needs.clone());
        for id in graph::order(&id.to_owned(), needs)? {
            // Made by an earlier id of the batch.
            if self.nodes.contains_key(&id) {
                continue;
            }
            // In this order the nodes of all needs exist.
            let entry = Arc::clone(&requests[&id]);
            let needs = entry.spec.needs.iter().map(|id| (id.clone(), self.nodes[id].clone()));
            let needs: Vec<_> = needs.map(|(id, node)| needed(id, node)).collect();
            let (parts, begun, begins) = (Arc::clone(parts), Arc::clone(&self.begun), id.clone());
            let node = async move {
                lock(&begun).push(begins);
                // All at once. The first failure decides, and the node stops waiting for its other needs.
                try_join_all(needs).await?;
                parts.answer(entry).await
            };
            self.nodes.insert(id, node.boxed().shared());
        }
        Ok(self.nodes[id].clone())
    }

    /// Runs `work`, which polls nodes of this plan, and beside it every node that it has begun.
    ///
    /// A node whose need has failed stops polling its other needs. Of these, one that another request of the batch
    /// still waits for, or will wait for, goes on here: polled by none, it would keep its slot or its place in the line
    /// until that request is its turn, and the requests before that one may wait for this very slot. One that no
    /// request wants any more is dropped, with its call.
    pub(super) async fn drive(self, work: impl Future<Output = ()>) {
        let Self { nodes, begun } = self;
        // Weak: from here on only the requests that want a node keep it. A strong map would keep them all.
        let weak = |(id, node): (RequestId, Node)| Some((id, node.downgrade()?));
        let nodes: HashMap<_, _> = nodes.into_iter().filter_map(weak).collect();
        // Polls only what was woken: a batch of many requests is not looked through for each answer.
        let mut going = FuturesUnordered::new();
        let unwanted = |node: &Node| node.strong_count() == Some(1);
        let mut work = pin!(work);
        poll_fn(|context| {
            loop {
                if work.as_mut().poll(context).is_ready() {
                    return Poll::Ready(());
                }
                let ids = mem::take(&mut *lock(&begun));
                going.extend(ids.iter().filter_map(|id| nodes.get(id)?.upgrade()));
                // Again and again, since each one that is dropped stops wanting its own needs.
                while going.iter().any(unwanted) {
                    let kept = mem::take(&mut going).into_iter().filter(|node| !unwanted(node));
                    going = kept.collect();
                }
                while let Poll::Ready(Some(_)) = going.poll_next_unpin(context) {}
                // What was begun just now has to be polled from here before this future waits.
                if lock(&begun).is_empty() {
                    return Poll::Pending;
                }
            }
        })
        .await;
    }
}

/// The answer of a need. Its error names the need: the caller knows which of many requests has failed.
async fn needed(id: RequestId, node: Node) -> Result<Done, RequestError> {
    let failed = |error| RequestError::DependencyFailed { id, source: Arc::new(error) };
    node.await.map_err(failed)
}
