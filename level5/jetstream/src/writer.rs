//! The task that publishes records.
//!
//! It sends each record with the id by which the server knows it again, and sends it once more when no answer comes: the
//! stream has it once.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use level5::event_processor::EventId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

use crate::error::WriteError;
use crate::record::Order;
use crate::server::{IN_FLIGHT, PublishFailed, publish_failed};
use crate::shared::Shared;

/// The wait before the second attempt; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(20);
/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The records of a call.
pub(crate) struct Call {
    pub(crate) writes: Vec<Write>,
    /// Gets the outcome. The caller may be gone.
    pub(crate) reply: oneshot::Sender<Result<(), WriteError>>,
}

/// A record, ready to be sent.
pub(crate) struct Write {
    pub(crate) order: Order,
    pub(crate) subject: String,
    pub(crate) payload: Bytes,
}

/// A call whose records are under way.
struct Open {
    orders: Vec<Order>,
    left: usize,
    error: Option<WriteError>,
    reply: oneshot::Sender<Result<(), WriteError>>,
}

/// A record that is under way.
struct Flight {
    call: u64,
    write: Write,
    begun: Instant,
    attempts: u32,
}

enum Landed {
    /// The server has it: its number, and whether it had it before.
    Stored {
        flight: Flight,
        sequence: u64,
        duplicate: bool,
    },
    Failed {
        flight: Flight,
        why: PublishFailed,
    },
    /// Its wait is over.
    Again(Flight),
}

type Landing = Pin<Box<dyn Future<Output = Landed> + Send>>;

struct Writer {
    shared: Arc<Shared>,
    flights: FuturesUnordered<Landing>,
    open: HashMap<u64, Open>,
    calls: u64,
}

/// Runs until the last sender of `calls` is gone and every call has its answer.
pub(crate) async fn run(shared: Arc<Shared>, mut calls: mpsc::UnboundedReceiver<Call>) {
    let mut writer =
        Writer { shared, flights: FuturesUnordered::new(), open: HashMap::new(), calls: 0 };
    let mut is_closed = false;
    while !is_closed || !writer.flights.is_empty() {
        let has_room = !is_closed && writer.flights.len() < IN_FLIGHT;
        tokio::select! {
            // Answers first: they make room, and a caller waits for each.
            biased;
            Some(landed) = writer.flights.next() => writer.landed(landed).await,
            call = calls.recv(), if has_room => match call {
                Some(call) => writer.begin(call).await,
                None => is_closed = true,
            },
        }
    }
}

impl Writer {
    async fn begin(&mut self, call: Call) {
        self.calls += 1;
        let orders: Vec<_> = call.writes.iter().map(|write| write.order).collect();
        let left = orders.len();
        self.open.insert(self.calls, Open { orders, left, error: None, reply: call.reply });
        let (number, begun) = (self.calls, Instant::now());
        for write in call.writes {
            self.send(Flight { call: number, write, begun, attempts: 0 }).await;
        }
    }

    async fn send(&mut self, mut flight: Flight) {
        flight.attempts += 1;
        let Write { order, subject, payload } = &flight.write;
        let sent = self.shared.server.publish(*order, subject.clone(), payload.clone()).await;
        self.flights.push(Box::pin(async move {
            let answer = match sent {
                Ok(answer) => answer.await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(ack) => {
                    Landed::Stored { flight, sequence: ack.sequence, duplicate: ack.duplicate }
                }
                Err(error) => Landed::Failed { flight, why: publish_failed(&error) },
            }
        }));
    }

    async fn landed(&mut self, landed: Landed) {
        match landed {
            Landed::Stored { flight, sequence, duplicate } => {
                let mut state = self.shared.state();
                state.ledger.stored(flight.write.order, sequence);
                state.figures.published += 1;
                state.figures.deduplicated += u64::from(duplicate);
                drop(state);
                self.end(flight.call, None);
            }
            Landed::Again(flight) => self.send(flight).await,
            Landed::Failed { flight, why } => match self.error(&flight, why) {
                Some(error) => self.end(flight.call, Some(error)),
                None => {
                    self.shared.state().figures.published_again += 1;
                    let wait = FIRST_WAIT * 2_u32.saturating_pow((flight.attempts - 1).min(10));
                    self.flights.push(Box::pin(async move {
                        sleep(wait.min(LONGEST_WAIT)).await;
                        Landed::Again(flight)
                    }));
                }
            },
        }
    }

    /// The error of the call; `None` if the record is sent again.
    fn error(&self, flight: &Flight, why: PublishFailed) -> Option<WriteError> {
        let state = self.shared.state();
        let waited = flight.begun.elapsed();
        match why {
            PublishFailed::Again(_) if state.broken.is_some() => state.broken.clone(),
            PublishFailed::Again(_) if waited < self.shared.config.patience => None,
            PublishFailed::Again(why) => Some(WriteError::NoAnswer { waited, why }),
            PublishFailed::Full(why) => Some(WriteError::StreamFull { why }),
            PublishFailed::Refused(why) => Some(WriteError::Server { why }),
            PublishFailed::TooLarge(why) => {
                let content = state.ledger.content(flight.write.order);
                // It is there as long as its call is.
                let id = content.map_or_else(|| EventId::new(""), |content| content.id().clone());
                Some(WriteError::TooLarge { id, why })
            }
        }
    }

    /// A record of a call is stored, or has failed.
    fn end(&mut self, call: u64, error: Option<WriteError>) {
        let Some(open) = self.open.get_mut(&call) else { return };
        open.left -= 1;
        open.error = open.error.take().or(error);
        if open.left > 0 {
            return;
        }
        let Some(Open { orders, error, reply, .. }) = self.open.remove(&call) else { return };
        let mut state = self.shared.state();
        let outcome = match error {
            None => {
                state.ledger.commit(&orders);
                Ok(())
            }
            Some(error) => {
                state.ledger.abort(&orders);
                Err(error)
            }
        };
        let has_leaving = state.ledger.has_leaving();
        drop(state);
        if has_leaving {
            self.shared.leaving.notify_one();
        }
        self.shared.changed.notify_waiters();
        // The caller may have dropped its future.
        let _ = reply.send(outcome);
    }
}
