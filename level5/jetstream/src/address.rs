//! Which stream of which server.

use std::fmt;
use std::str::FromStr;

/// A stream and the server that has it: `nats://HOST:PORT/STREAM`.
///
/// The scheme may be `tls`, for a connection that is encrypted. A user and a password may stand before the host. Several
/// servers of a cluster are separated by commas: `nats://a:4222,nats://b:4222/STREAM`.
///
/// ```
/// use level5_jetstream::Address;
///
/// let address: Address = "nats://127.0.0.1:4222/orders".parse().expect("a stream");
/// assert_eq!(address.stream(), "orders");
/// assert!("nats://127.0.0.1:4222".parse::<Address>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    servers: Vec<String>,
    stream: String,
}

/// Why a text is no address of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// A server has neither of the two schemes, or has no host.
    #[error("write nats://HOST:PORT/STREAM, or tls:// for an encrypted connection")]
    Server,
    /// There is no name of a stream, or it has other characters than those of a name.
    #[error(
        "the name of the stream follows the server, and has letters, digits, `-` and `_`, 64 of them at most: \
         nats://HOST:PORT/STREAM"
    )]
    Stream,
}

impl Address {
    /// The name of the stream.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.stream
    }

    pub(crate) fn servers(&self) -> &[String] {
        &self.servers
    }

    /// The bucket with the owners of the lanes.
    pub(crate) fn bucket(&self) -> String {
        format!("{}-owners", self.stream)
    }

    /// The subjects of all records.
    pub(crate) fn subjects(&self) -> String {
        format!("{}.>", self.stream)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (servers, stream) = match text.rsplit_once('/') {
            // The slash of the scheme: a server alone.
            Some((before, _)) if before.ends_with(":/") => return Err(AddressError::Stream),
            Some(parts) => parts,
            None => return Err(AddressError::Server),
        };
        let servers: Vec<_> = servers.split(',').map(str::to_owned).collect();
        let is_server = |server: &String| {
            let host = server.strip_prefix("nats://").or_else(|| server.strip_prefix("tls://"));
            host.is_some_and(|host| !host.is_empty() && !host.contains('/'))
        };
        if !servers.iter().all(is_server) {
            return Err(AddressError::Server);
        }
        // A dot would make other subjects, and a star would match those of other streams.
        let is_of_name = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_');
        if stream.is_empty() || stream.len() > 64 || !stream.chars().all(is_of_name) {
            return Err(AddressError::Stream);
        }
        Ok(Self { servers, stream: stream.to_owned() })
    }
}

impl fmt::Display for Address {
    /// Without users and passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, server) in self.servers.iter().enumerate() {
            let (scheme, rest) = server.split_once("://").unwrap_or(("nats", server));
            let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{scheme}://{host}")?;
        }
        write!(f, "/{}", self.stream)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_servers_and_a_stream() {
        for (text, expected) in [
            ("nats://127.0.0.1:4222/a-b_C9", Ok("nats://127.0.0.1:4222/a-b_C9")),
            ("tls://user:pass@host/events", Ok("tls://host/events")),
            ("nats://a:1,nats://u@b:2/events", Ok("nats://a:1,nats://b:2/events")),
            ("nats://host:4222", Err(AddressError::Stream)),
            ("nats://host:4222/", Err(AddressError::Stream)),
            ("nats://host:4222/a.b", Err(AddressError::Stream)),
            ("nats://host:4222/*", Err(AddressError::Stream)),
            ("nats://host/a/b", Err(AddressError::Server)),
            ("http://host/a", Err(AddressError::Server)),
            ("nats:///a", Err(AddressError::Server)),
            ("folder", Err(AddressError::Server)),
        ] {
            let found = text.parse::<Address>().map(|address| address.to_string());
            assert_eq!(found.as_deref(), expected.as_deref(), "{text}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let address: Address = "nats://me:secret@host/events".parse().expect("an address");
        assert!(!format!("{address} {address:?}").contains("secret"));
        assert_eq!(address.servers(), ["nats://me:secret@host"]);
    }
}
