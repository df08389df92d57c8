//! Converts PostgreSQL's errors to those for the operator.

use std::error::Error as _;
use std::fmt;
use std::io;

use rustls::CertificateError;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::statements::TRANSACTION_KEY;
use crate::sql::StoreError;

/// Why an operation failed: an error of the server or the connection, or a value that cannot be
/// read.
#[derive(Debug)]
pub(crate) enum Fault {
    Postgres(Error),
    Store(StoreError),
    /// The store was deleted, or the database has another one now.
    Gone,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for Fault {
    /// Says what is wrong, without the values of a row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(error) => f.write_str(&why(error)),
            Self::Store(error) => error.fmt(f),
            Self::Gone => f.write_str("it was deleted or replaced"),
        }
    }
}

impl Fault {
    /// Whether the connection cannot be used any more.
    pub(super) fn is_lost(&self) -> bool {
        let Self::Postgres(error) = self else { return false };
        error.is_closed()
            || match error.code() {
                // Classes 08 (connection) and 57P (operator intervention): the server ends the
                // session. 25P03: the server ended the session because this process was idle within
                // a transaction. 25006: the server is not the primary; after a fail-over the same
                // address leads to the new primary.
                Some(code) => {
                    let code = code.code();
                    code.starts_with("08")
                        || code.starts_with("57P")
                        || ["25P03", "25006"].contains(&code)
                }
                // No SQL state: the connection failed, or the answer is invalid.
                None => true,
            }
    }

    /// Whether the server, or its certificate, rejects the channel: with TLS or in the clear.
    pub(super) fn is_about_the_channel(&self) -> bool {
        // The server's rules may have no entry for the account over this channel.
        self.is_of_the_handshake()
            || matches!(self, Self::Postgres(error)
                if error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION))
    }

    /// Whether the connection failed before the server was asked for anything but TLS.
    pub(super) fn is_of_the_handshake(&self) -> bool {
        matches!(self, Self::Postgres(error) if is_of_the_handshake(error))
    }

    /// Whether tables, or the whole database, are missing.
    fn is_about_something_missing(&self) -> bool {
        let Self::Postgres(error) = self else { return false };
        let code = error.code().map_or("", SqlState::code);
        // A table, a column, a schema, a database.
        ["42P01", "42703", "3F000", "3D000"].contains(&code)
    }

    /// Reads the error as that of a store that was in use before.
    pub(super) fn of_a_store_in_use(self) -> Self {
        if self.is_about_something_missing() { Self::Gone } else { self }
    }

    /// Reads the error as that of a store that is opened, and has the table of a schema.
    pub(super) fn of_a_store_to_open(self, place: &str) -> Self {
        match &self {
            Self::Postgres(error) if self.is_about_something_missing() => {
                StoreError::Damaged { place: place.to_owned(), why: why(error) }.into()
            }
            _ => self,
        }
    }

    /// Whether the error only reports that another operation of the group failed.
    pub(super) fn is_an_echo(&self) -> bool {
        matches!(self, Self::Postgres(error)
            if error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION))
    }

    /// Whether the same operation may succeed at once: two transactions have collided.
    pub(super) fn is_a_collision(&self) -> bool {
        let Self::Postgres(error) = self else { return false };
        let Some(error) = error.as_db_error() else { return false };
        match *error.code() {
            SqlState::T_R_DEADLOCK_DETECTED
            | SqlState::T_R_SERIALIZATION_FAILURE
            | SqlState::LOCK_NOT_AVAILABLE => true,
            // Two inserts of the same payment at the same time: `ON CONFLICT (payment)` handles a
            // conflict in the index of payments, but the later insert may meet the earlier one in
            // this index first. The next attempt finds the row.
            SqlState::UNIQUE_VIOLATION => error.constraint() == Some(TRANSACTION_KEY),
            _ => false,
        }
    }

    /// Converts it to the error of the store at `place`. For a fault that [is lost](Self::is_lost),
    /// nothing was written.
    pub(super) fn at(self, place: &str) -> StoreError {
        let error = match self {
            Self::Store(error) => return error,
            Self::Gone => return StoreError::Gone { place: place.to_owned() },
            Self::Postgres(error) => error,
        };
        let (place, why) = (place.to_owned(), why(&error));
        let Some(code) = error.code() else {
            if is_of_the_handshake(&error) {
                let (why, remedy) = handshake(&error);
                return StoreError::Tls { place, why, remedy };
            }
            // What the client library finds before it answers the server.
            return match why.contains("password missing") {
                true => StoreError::NoPassword { place, passed_over: None },
                false => StoreError::Unreachable { place, why },
            };
        };
        match code.code() {
            "55P03" => StoreError::Locked { place },
            "53100" => StoreError::Full { place, why },
            "25006" => StoreError::Standby { place, why },
            "42501" => StoreError::ReadOnly { place, why },
            "28000" if why.ends_with("no encryption") || why.ends_with("SSL off") => {
                let remedy = "Ask for TLS with sslmode=verify-full or sslmode=require";
                StoreError::Tls { place, why, remedy }
            }
            "23505" => StoreError::Conflict { place, why },
            "58030" => StoreError::Io { place, why },
            "XX001" | "XX002" => StoreError::Damaged { place, why },
            "3D000" => StoreError::Refused { place, why },
            code if code.starts_with("28") => StoreError::Refused { place, why },
            code if ["08", "53", "57"].contains(&code.get(..2).unwrap_or_default()) => {
                StoreError::Unreachable { place, why }
            }
            _ => StoreError::Statement { place, why },
        }
    }
}

/// Whether there is no TLS, or the handshake has failed.
fn is_of_the_handshake(error: &Error) -> bool {
    // The kinds of the library's errors are private.
    error.to_string().starts_with("error performing TLS handshake")
}

/// Returns why there is no protected connection, and the remedy.
fn handshake(error: &Error) -> (String, &'static str) {
    let source = error.source();
    let text = || source.map_or_else(|| error.to_string(), ToString::to_string);
    if text().contains("does not support TLS") {
        return (
            "the server has no TLS".to_owned(),
            "Turn it on there (ssl = on), or use sslmode=prefer if the network in between is trusted",
        );
    }
    let io = source.and_then(|source| source.downcast_ref::<io::Error>());
    let tls = io.and_then(io::Error::get_ref).and_then(|it| it.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::InvalidCertificate(why)) = tls else {
        return (
            format!("the TLS handshake fails: {}", text()),
            "Check what answers there: a server of PostgreSQL with TLS 1.2 or later is needed",
        );
    };
    match why {
        CertificateError::UnknownIssuer => (
            "no known authority has signed the certificate of the server".to_owned(),
            "Name the certificate of its authority with sslrootcert=FILE",
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            format!("the certificate of the server is for another host: {why}"),
            "Write a name of the certificate in the URL, or use sslmode=verify-ca, which compares no \
             name",
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            (format!("the certificate of the server has expired: {why}"), "Renew it")
        }
        _ => (
            format!("the certificate of the server is not accepted: {why}"),
            "Give the server a certificate that an authority has signed for its name",
        ),
    }
}

/// Returns the message of the innermost cause. The outer ones are only "db error" and "error
/// connecting to server".
pub(super) fn why(error: &Error) -> String {
    if let Some(error) = error.as_db_error() {
        // Without the details, which repeat the values of a row.
        return error.message().to_owned();
    }
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}
