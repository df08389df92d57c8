//! The task that acknowledges records, which removes them from the stream.
//!
//! An acknowledgement needs a delivery: the consumer of the lane delivers a record, and the delivery has the subject that
//! takes the acknowledgement. The task asks for deliveries only when there is something to acknowledge.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::error::WriteError;
use crate::ledger::{Place, Stored};
use crate::record::Order;
use crate::server::FETCHED;
use crate::shared::Shared;

/// So many records are removed in a round.
const ROUND: usize = 2048;
/// So many records at most are removed without an acknowledgement. For more than these it is quicker to have them all
/// delivered again.
const DELETED: usize = 64;
/// So many acknowledgements wait for their confirmation at once.
const AT_ONCE: usize = 512;
/// The wait after a round in which the server has not answered.
const WAIT: Duration = Duration::from_millis(100);

/// Runs until `stop`, and then until nothing is left or the server does not answer.
pub(crate) async fn run(
    shared: Arc<Shared>,
    stop: CancellationToken,
    strays: mpsc::UnboundedSender<Vec<Stored>>,
) {
    loop {
        let taken = shared.state().ledger.take_leaving(ROUND);
        if taken.is_empty() {
            tokio::select! {
                // A notice that came since is kept.
                () = shared.leaving.notified() => continue,
                () = stop.cancelled() => {}
            }
            // Nothing can be added after the last call, except what came between the look and the stop.
            if shared.state().ledger.has_leaving() {
                continue;
            }
            return;
        }
        let failed = round(&shared, taken, &strays).await;
        shared.changed.notify_waiters();
        shared.removed.notify_one();
        if failed {
            if stop.is_cancelled() || shared.state().broken.is_some() {
                return;
            }
            sleep(WAIT).await;
        }
    }
}

/// Removes these records. Returns whether one is left.
async fn round(
    shared: &Shared,
    mut taken: Vec<(Order, Place)>,
    strays: &mpsc::UnboundedSender<Vec<Stored>>,
) -> bool {
    let _acknowledging = shared.acknowledging.lock().await;
    deliver(shared, &mut taken, strays).await;
    let is_undelivered = |(_, place): &(Order, Place)| place.ack.is_none();
    if taken.iter().filter(|it| is_undelivered(it)).count() > DELETED {
        let (without, with): (Vec<_>, Vec<_>) = taken.into_iter().partition(is_undelivered);
        {
            let mut state = shared.state();
            without.into_iter().for_each(|(order, place)| state.ledger.not_removed(order, place));
        }
        remove(shared, with).await;
        shared.lost.notify_one();
        return true;
    }
    remove(shared, taken).await
}

/// Acknowledges these records, or deletes them. Returns whether one is left.
async fn remove(shared: &Shared, taken: Vec<(Order, Place)>) -> bool {
    // Delivered to a request that has failed, or acknowledged in vain: such a record would come again after a long time
    // only. A consumer fences earlier owners off; without one, the owner is asked for.
    let without: BTreeSet<u32> = taken
        .iter()
        .filter(|(_, place)| place.ack.is_none())
        .map(|(_, place)| place.lane)
        .collect();
    let mut owned = BTreeSet::new();
    for lane in without {
        match shared.server.owner(lane).await {
            Ok(owner) if owner.entry.session == shared.session => drop(owned.insert(lane)),
            Ok(_) => shared.break_off(WriteError::Deposed { lane }),
            Err(why) => tracing::info!(why, "the owner of a lane is unknown"),
        }
    }
    let (server, owned) = (&shared.server, &owned);
    let removals = futures::stream::iter(taken).map(|(order, place)| async move {
        let removed = match place.ack.clone() {
            Some(ack) => server.acknowledge(ack).await,
            None if owned.contains(&place.lane) => server.delete(place.sequence).await,
            None => Err("another process may own the lane".to_owned()),
        };
        (order, place, removed)
    });
    let mut removals = removals.buffer_unordered(AT_ONCE);
    let mut failed = false;
    while let Some((order, place, removed)) = removals.next().await {
        let mut state = shared.state();
        match removed {
            Ok(()) => {
                state.ledger.removed(order);
                state.figures.removed += 1;
            }
            Err(why) => {
                tracing::info!(%order, sequence = place.sequence, why, "a record was not removed");
                failed = true;
                // The next round finds out whether a consumer delivers it again, and deletes the record otherwise.
                state.ledger.not_removed(order, place);
            }
        }
    }
    failed
}

/// Has the consumer deliver records until it has delivered these, or has no more.
async fn deliver(
    shared: &Shared,
    taken: &mut [(Order, Place)],
    strays: &mpsc::UnboundedSender<Vec<Stored>>,
) {
    loop {
        {
            let state = shared.state();
            for (order, place) in taken.iter_mut().filter(|(_, place)| place.ack.is_none()) {
                place.ack = state.ledger.ack(*order);
            }
        }
        let is_missing =
            |(_, place): &(Order, Place)| place.ack.is_none() && place.lane == shared.lane;
        if !taken.iter().any(is_missing) {
            return;
        }
        let fetched = match shared.server.fetch(&shared.consumer(), FETCHED).await {
            Ok(fetched) if !fetched.is_empty() => fetched,
            Ok(_) => return,
            Err(why) => {
                tracing::info!(why, "no deliveries");
                return;
            }
        };
        let mut unknown = Vec::new();
        {
            let mut state = shared.state();
            for read in fetched {
                match read {
                    Ok(stored) => unknown.extend(state.ledger.delivered(stored)),
                    Err(bad) => {
                        tracing::error!(%bad, "a record cannot be read, and stays in the stream");
                        state.figures.unreadable.push(bad);
                    }
                }
            }
        }
        if !unknown.is_empty() {
            // The receiver lives as long as the journal.
            let _ = strays.send(unknown);
        }
    }
}
