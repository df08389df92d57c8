//! Accepts connections, and ends them without losing a payment.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use crate::service::Service;
use crate::tls::Tls;

/// The pause after an accept that failed because the process has no free file descriptor.
const NO_DESCRIPTOR: Duration = Duration::from_millis(100);
/// How long the last answers may take to be written.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// What was left when the service ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Payments that were still under way at the limit of the drain. The journal has them, and the
    /// next process finishes them.
    pub under_way: u32,
}

impl Service {
    /// Serves until `stop` is ready, and then drains. With `tls`, every connection has to begin with
    /// a handshake; without it, none may.
    ///
    ///
    /// 1. `/readyz` answers 503, so that a balancer sends no more requests here.
    /// 2. New payments are refused with `shutting-down` and Retry-After. Payments under way end and
    ///    are answered, and their receipts are sent. Repeats and all other requests are served.
    /// 3. When no payment is under way, or after [`ServiceConfig::drain_limit`], no more connections
    ///    are accepted, and those that are open end after their answer.
    ///
    /// [`ServiceConfig::drain_limit`]: crate::ServiceConfig::drain_limit
    ///
    /// # Cancellation
    ///
    /// Dropping the future closes the listener. Connections and payments go on until the runtime
    /// ends; the journal has the payments.
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: Option<Tls>,
        stop: impl Future<Output = ()>,
    ) -> Drained {
        let connections = Connections::new(self, tls);
        let drained = async {
            stop.await;
            self.begin_draining();
            tracing::info!(in_flight = self.0.gateway.in_flight(), "draining");
            let limit = self.0.config.drain_limit;
            let (under_way, ()) =
                tokio::join!(self.0.gateway.drain(limit), self.0.refunds.idle(limit));
            under_way
        };
        let mut drained = std::pin::pin!(drained);
        let under_way = loop {
            tokio::select! {
                under_way = &mut drained => break under_way,
                // Dropping this accepts nothing and loses no connection: the system still has it.
                accepted = connections.accept(&listener) => {
                    let Some((stream, permit)) = accepted else { continue };
                    connections.serve(stream, permit);
                }
            }
        };
        drop(listener);
        connections.end().await;
        Drained { under_way }
    }
}

/// The connections of a service.
struct Connections {
    router: Router,
    protocol: http1::Builder,
    tls: Option<Tls>,
    handshake_timeout: Duration,
    graceful: GracefulShutdown,
    // One permit for each connection. A burst waits in the queue of the system and not in the
    // memory of the process.
    room: Arc<Semaphore>,
}

impl Connections {
    fn new(service: &Service, tls: Option<Tls>) -> Self {
        let config = &service.0.config;
        let mut protocol = http1::Builder::new();
        // Without this limit a client that sends one byte in a while holds a connection without end.
        protocol.timer(TokioTimer::new()).header_read_timeout(config.head_timeout);
        Self {
            router: service.router(),
            protocol,
            tls,
            handshake_timeout: config.head_timeout,
            graceful: GracefulShutdown::new(),
            room: Arc::new(Semaphore::new(config.max_connections)),
        }
    }

    /// Accepts a connection as soon as there is room for it.
    async fn accept(&self, listener: &TcpListener) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        // The semaphore is never closed.
        let permit = Arc::clone(&self.room).acquire_owned().await.ok()?;
        match listener.accept().await {
            Ok((stream, _)) => Some((stream, permit)),
            Err(error) => {
                if !is_of_the_connection(&error) {
                    tracing::error!(%error, "no connection can be accepted");
                    sleep(NO_DESCRIPTOR).await;
                }
                None
            }
        }
    }

    fn serve(&self, stream: TcpStream, permit: OwnedSemaphorePermit) {
        // An answer is one small write; waiting for more of it only delays the client.
        let _ = stream.set_nodelay(true);
        let connection = Connection {
            router: self.router.clone(),
            protocol: self.protocol.clone(),
            // Made here and not in the task: a watcher that is made after the shutdown has begun would
            // not see it, and the connection would stay open.
            watcher: self.graceful.watcher(),
        };
        // In the task: a handshake needs answers of the client, and must not keep others waiting.
        let acceptor = self.tls.as_ref().map(Tls::acceptor);
        let limit = self.handshake_timeout;
        tokio::spawn(async move {
            match acceptor {
                None => connection.serve(stream).await,
                Some(acceptor) => match timeout(limit, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => connection.serve(stream).await,
                    Ok(Err(error)) => tracing::debug!(%error, "a handshake has failed"),
                    Err(_) => tracing::debug!("a handshake took too long"),
                },
            }
            drop(permit);
        });
    }

    /// Ends idle connections at once, and the others after their answer.
    async fn end(self) {
        if timeout(LAST_ANSWERS, self.graceful.shutdown()).await.is_err() {
            tracing::warn!("some connections were closed before their answer");
        }
    }
}

/// What one connection needs.
struct Connection {
    router: Router,
    protocol: http1::Builder,
    watcher: Watcher,
}

impl Connection {
    /// Answers requests until the client or the service ends the connection.
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + 'static) {
        let Self { router, protocol, watcher } = self;
        let service = TowerToHyperService::new(router);
        let connection = protocol.serve_connection(TokioIo::new(stream), service);
        // A client that goes away or breaks the protocol is its own affair.
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "a connection has ended");
        }
    }
}

/// Whether the error is that of one connection, which has no effect on the next one.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
