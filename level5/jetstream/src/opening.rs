//! How a process gets a lane.

use std::collections::BTreeMap;

use tokio::time::{Instant, sleep};

use crate::claims::Claims;
use crate::config::{JetStreamConfig, LANES};
use crate::error::OpenError;
use crate::server::{Entry, Owner, Refused, Server};
use crate::watch::{Life, Watch};

/// So many leases a process waits for the lane that it wants while the owner is alive.
const PATIENCE: u32 = 3;

/// A lane that this process owns since this revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claimed {
    pub(crate) lane: u32,
    pub(crate) generation: u64,
    /// What the owners before have noted.
    pub(crate) ended: Claims,
}

/// Why there is no lane.
pub(crate) enum NoLane {
    InUse(u32),
    Server(String),
}

impl NoLane {
    pub(crate) fn into_error(self, address: &str) -> OpenError {
        match self {
            Self::InUse(lane) => OpenError::InUse { lane },
            Self::Server(why) => OpenError::Server { address: address.to_owned(), why },
        }
    }
}

/// Gets the lane that the configuration names, or any free one.
pub(crate) async fn claim(
    server: &Server,
    session: &str,
    config: &JetStreamConfig,
) -> Result<Claimed, NoLane> {
    match config.lane {
        Some(lane) => wait_for(server, session, lane, config).await,
        None => any(server, session).await,
    }
}

async fn any(server: &Server, session: &str) -> Result<Claimed, NoLane> {
    let filled = server.lanes("*").await.map_err(NoLane::Server)?;
    for lane in order(&filled) {
        let owner = server.owner(lane).await.map_err(NoLane::Server)?;
        if owner.is_free()
            && let Some(claimed) = try_claim(server, session, lane, &owner).await?
        {
            return Ok(claimed);
        }
    }
    Err(NoLane::InUse(LANES - 1))
}

/// The lanes in the order in which they are tried: those with records first, since a process that has ended in order
/// may have left them there.
fn order(filled: &BTreeMap<u32, usize>) -> impl Iterator<Item = u32> {
    let empty = (0..LANES).filter(|lane| !filled.contains_key(lane));
    filled.keys().copied().chain(empty)
}

async fn wait_for(
    server: &Server,
    session: &str,
    lane: u32,
    config: &JetStreamConfig,
) -> Result<Claimed, NoLane> {
    let (begun, mut watch) = (Instant::now(), Watch::default());
    loop {
        let owner = server.owner(lane).await.map_err(NoLane::Server)?;
        let life = watch.see(lane, &owner, Instant::now(), config.lease);
        if matches!(life, Life::Free | Life::Dead)
            && let Some(claimed) = try_claim(server, session, lane, &owner).await?
        {
            return Ok(claimed);
        }
        if life == Life::Alive && begun.elapsed() > config.lease * PATIENCE {
            return Err(NoLane::InUse(lane));
        }
        sleep(config.lease / 20).await;
    }
}

/// `None`: another process was faster.
async fn try_claim(
    server: &Server,
    session: &str,
    lane: u32,
    owner: &Owner,
) -> Result<Option<Claimed>, NoLane> {
    let ended = owner.entry.ended.clone();
    let entry = Entry { session: session.to_owned(), ended };
    match server.own(lane, &entry, owner.revision).await {
        Ok(generation) => Ok(Some(Claimed { lane, generation, ended: entry.ended })),
        Err(Refused::Changed) => Ok(None),
        Err(Refused::Unknown(why)) => Err(NoLane::Server(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_with_records_come_first() {
        let filled = BTreeMap::from([(3, 10), (1, 2)]);
        let lanes: Vec<_> = order(&filled).take(5).collect();
        assert_eq!(lanes, [1, 3, 0, 2, 4]);
    }
}
