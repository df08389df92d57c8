//! Listens on the address that the command line names with `--host` and `--port`.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

/// Why a program cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another program has the port.
    #[error(
        "port {} of {} is in use by another program. Choose another port with --port, or --port 0 for a free one",
        .0.port(),
        .0.ip()
    )]
    InUse(SocketAddr),
    /// The system does not allow the address.
    #[error("{address} cannot be listened on: {why}. Choose another one with --host and --port")]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        why: io::Error,
    },
}

/// Listens. Returns the address too, which has the port that the system chose for port 0.
///
/// # Errors
///
/// [`ListenError`].
pub async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ListenError> {
    let refused = |why: io::Error| match why.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse(address),
        _ => ListenError::Address { address, why },
    };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}
