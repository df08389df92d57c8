//! The journal's operations.

use std::sync::Arc;

use level3_domain::journal::{Claimed, Lease, Opened, SagaId, SagaLog, Standing};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::events;
use super::fault::Fault;
use super::session::{Reading, Session};
use super::writer::Operation;
use crate::sql::{Change, EventNote, Mark, StoreError, Turn, Watch, decode, standing};

/// A saga's row, and the number of its last entry.
pub(super) struct SagaRow {
    pub(super) number: i64,
    pub(super) mark: Mark,
    pub(super) standing: Standing,
    owner: i32,
}

pub(super) async fn saga(
    client: &Client,
    statement: &Statement,
    saga: &str,
) -> Result<Option<SagaRow>, Fault> {
    let Some(row) = client.query_opt(statement, &[&saga]).await? else { return Ok(None) };
    Ok(Some(SagaRow {
        number: row.try_get(0)?,
        mark: Mark { epoch: row.try_get(1)?, seq: row.try_get(2)? },
        standing: standing(row.try_get(3)?)?,
        owner: row.try_get(4)?,
    }))
}

async fn saga_log(from: Reading<'_>, row: &SagaRow) -> Result<SagaLog, Fault> {
    let mut records = Vec::new();
    for row in from.client.query(&from.queries.records, &[&row.number]).await? {
        records.extend(decode(row.try_get(0)?)?);
    }
    Ok(SagaLog { standing: row.standing, records: records.into() })
}

pub(super) async fn read(from: Reading<'_>, saga_id: &str) -> Result<Option<SagaLog>, Fault> {
    match saga(from.client, &from.queries.saga, saga_id).await? {
        Some(row) => Ok(Some(saga_log(from, &row).await?)),
        None => Ok(None),
    }
}

/// Returns the sagas that are open, or those that are parked.
pub(super) async fn list_unfinished(
    from: Reading<'_>,
    standing: Standing,
    most: i64,
) -> Result<Vec<SagaId>, Fault> {
    let asked = [&standing.name() as &(dyn ToSql + Sync), &most];
    names(&from.client.query(&from.queries.list_unfinished, &asked).await?)
}

fn names(rows: &[Row]) -> Result<Vec<SagaId>, Fault> {
    rows.iter().map(|row| Ok(SagaId::new(row.try_get(0)?))).collect()
}

pub(super) struct Open {
    pub(super) saga: SagaId,
    pub(super) kind: String,
    pub(super) owner: i32,
    pub(super) body: String,
    pub(super) label: Option<String>,
}

impl Operation for Open {
    type Output = Opened;

    fn key(&self) -> &str {
        self.saga.as_str()
    }

    async fn run(&self, session: &Session) -> Result<Opened, Fault> {
        let (client, statements) = (&session.client, &session.statements);
        let saga = self.saga.as_str();
        let opened = client
            .execute(&statements.open, &[&saga, &self.kind, &self.owner, &self.body, &self.label])
            .await?;
        if opened == 1 {
            let begun = Change::SagaBegun { kind: self.kind.clone(), label: self.label.clone() };
            session.trail.note(saga, begun);
            return Ok(Opened::New(Lease { saga: self.saga.clone(), epoch: 1 }));
        }
        let known = read(session.reading(), self.saga.as_str()).await?;
        Ok(Opened::Known(known.ok_or_else(|| {
            StoreError::unreadable("saga", "it exists and does not exist within one transaction")
        })?))
    }
}

pub(super) struct Append {
    pub(super) saga: SagaId,
    pub(super) epoch: i64,
    pub(super) body: String,
    pub(super) stands: Option<(Standing, Change)>,
    pub(super) note: Option<EventNote>,
}

impl Operation for Append {
    /// Returns whether the lease was the latest one.
    type Output = bool;

    fn key(&self) -> &str {
        self.saga.as_str()
    }

    async fn run(&self, session: &Session) -> Result<bool, Fault> {
        let stands = self.stands.as_ref().map(|(stands, _)| stands.name());
        let written = session
            .client
            .execute(
                &session.statements.append,
                &[&self.saga.as_str(), &self.epoch, &self.body, &stands],
            )
            .await?;
        if let (1, Some((_, change))) = (written, &self.stands) {
            session.trail.note(self.saga.as_str(), change.clone());
        }
        if let (1, Some(note)) = (written, &self.note) {
            events::note(session, note).await?;
        }
        Ok(written == 1)
    }
}

pub(super) struct Claim {
    pub(super) saga: SagaId,
    pub(super) watch: Arc<Watch>,
    pub(super) me: i32,
}

impl Operation for Claim {
    type Output = Claimed;

    fn key(&self) -> &str {
        self.saga.as_str()
    }

    async fn run(&self, session: &Session) -> Result<Claimed, Fault> {
        let (client, statements) = (&session.client, &session.statements);
        let name = self.saga.as_str();
        // Locked until the end of the transaction: no other owner claims it or writes meanwhile.
        let Some(mut row) = saga(client, &statements.saga_locked, name).await? else {
            return Ok(Claimed::Unknown);
        };
        let is_gone = row.standing == Standing::Open
            && row.owner != self.me
            && client.query_one(&statements.is_gone, &[&row.owner]).await?.try_get(0)?;
        match self.watch.turn(&self.saga, row.standing, row.mark, is_gone) {
            Turn::Over => Ok(Claimed::Ended(saga_log(session.reading(), &row).await?)),
            Turn::Busy(remaining) => Ok(Claimed::Busy { remaining }),
            Turn::Yours => {
                let claimed = client.query_one(&statements.claim, &[&row.number, &self.me]).await?;
                let epoch: i64 = claimed.try_get(0)?;
                session.trail.note(name, Change::SagaClaimed { epoch });
                let epoch =
                    u64::try_from(epoch).map_err(|why| StoreError::unreadable("epoch", why))?;
                row.standing = Standing::Open;
                let lease = Lease { saga: self.saga.clone(), epoch };
                Ok(Claimed::Acquired(lease, saga_log(session.reading(), &row).await?))
            }
        }
    }
}

pub(super) struct Read(pub(super) SagaId);

impl Operation for Read {
    type Output = Option<SagaLog>;

    async fn run(&self, session: &Session) -> Result<Option<SagaLog>, Fault> {
        read(session.reading(), self.0.as_str()).await
    }
}

pub(super) struct List(pub(super) Standing);

impl Operation for List {
    type Output = Vec<SagaId>;

    async fn run(&self, session: &Session) -> Result<Vec<SagaId>, Fault> {
        match self.0 {
            Standing::Ended => {
                let ended = &session.statements.list_ended;
                let asked = [&self.0.name() as &(dyn ToSql + Sync), &i64::MAX];
                names(&session.client.query(ended, &asked).await?)
            }
            standing => list_unfinished(session.reading(), standing, i64::MAX).await,
        }
    }
}
