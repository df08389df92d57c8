//! TLS to PostgreSQL, and passwords: a real server with certificates of an authority that the test
//! makes.

use std::fs;
use std::path::PathBuf;

use level3_adapters::postgres::{Password, PostgresAddress, PostgresOptions, PostgresStore};
use level3_adapters::sql::StoreError;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio_postgres::{Client, NoTls};

use crate::backend::database;
use crate::server::{Flush, Server};

/// Who may connect: one account only with TLS, one only without, one only with a password.
const RULES: &str = "
hostssl   all tls      127.0.0.1/32 trust
hostnossl all clear    127.0.0.1/32 trust
host      all secret   127.0.0.1/32 scram-sha-256
host      all postgres 127.0.0.1/32 trust
";
const SETTINGS: &str = "ssl = on\n";

/// An authority that signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for a host, and its key.
    fn sign(&self, host: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([host.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// A server with TLS, whose certificate is for `localhost`.
struct Secure {
    server: Server,
    folder: tempfile::TempDir,
    /// The file with the authority that has signed the server's certificate, and one with another.
    known: PathBuf,
    other: PathBuf,
}

impl Secure {
    fn start() -> Option<Self> {
        let (authority, other) = (Authority::new("known"), Authority::new("other"));
        let (certificate, key) = authority.sign("localhost");
        let files = [
            ("pg_hba.conf", RULES),
            ("postgresql.auto.conf", SETTINGS),
            ("server.crt", &certificate),
            ("server.key", &key),
        ];
        let server = Server::start_with(Flush::Cache, &files).unwrap()?;
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let file = folder.path().join(name);
            fs::write(&file, text).unwrap();
            file
        };
        let (known, other) = (file("known.crt", &authority.pem), file("other.crt", &other.pem));
        Some(Self { server, folder, known, other })
    }

    /// The URL of a new database.
    fn url(&self, user: &str, host: &str, options: &str) -> String {
        let url = self.server.database().unwrap();
        let url = url.replace("postgres@", &format!("{user}@")).replace("127.0.0.1", host);
        // The server listens on this address only.
        format!("{url}?hostaddr=127.0.0.1&{options}")
    }

    async fn admin(&self) -> Client {
        let (client, connection) =
            tokio_postgres::connect(&self.server.url("postgres"), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Makes the accounts of the rules.
    async fn accounts(&self) -> Client {
        let admin = self.admin().await;
        let make = "CREATE ROLE tls SUPERUSER LOGIN; CREATE ROLE clear SUPERUSER LOGIN;
                    CREATE ROLE secret SUPERUSER LOGIN PASSWORD 'hunter2'";
        admin.batch_execute(make).await.unwrap();
        admin
    }
}

async fn refused(url: &str) -> String {
    let error = match PostgresStore::connect(url).await {
        Ok(_) => panic!("{url} is accepted"),
        Err(error) => error,
    };
    assert!(matches!(error, StoreError::Tls { .. }), "{url}: {error:?}");
    error.to_string()
}

/// Connects, and returns whether every connection of the store is encrypted.
async fn is_encrypted(admin: &Client, url: &str) -> bool {
    let url = format!("{url}&application_name=here");
    let store = PostgresStore::connect(&url).await.unwrap_or_else(|why| panic!("{url}: {why}"));
    assert!(!store.is_exposed(), "{url}");
    let used = "SELECT bool_and(ssl), count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                WHERE application_name = 'here'";
    let row = admin.query_one(used, &[]).await.unwrap();
    assert!(row.get::<_, i64>(1) > 0, "{url}");
    store.close().await;
    let end = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
               WHERE application_name = 'here'";
    admin.query(end, &[]).await.unwrap();
    row.get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mode_is_as_strict_as_it_says() {
    let Some(secure) = Secure::start() else { return };
    let admin = secure.accounts().await;
    let root = |file: &PathBuf| format!("sslrootcert={}", file.display());
    let (known, other) = (root(&secure.known), root(&secure.other));
    for (user, host, options, encrypted) in [
        ("postgres", "localhost", "sslmode=disable".to_owned(), false),
        ("postgres", "localhost", "sslmode=allow".to_owned(), false),
        ("postgres", "localhost", "sslmode=prefer".to_owned(), true),
        ("postgres", "localhost", "connect_timeout=60".to_owned(), true),
        ("postgres", "localhost", "sslmode=require".to_owned(), true),
        ("postgres", "127.0.0.1", format!("sslmode=require&{known}"), true),
        ("postgres", "127.0.0.1", format!("sslmode=verify-ca&{known}"), true),
        ("postgres", "localhost", format!("sslmode=verify-full&{known}"), true),
        // What is not checked need not fit.
        ("postgres", "localhost", format!("sslmode=prefer&{other}"), true),
        // The server decides where the mode leaves it open.
        ("tls", "localhost", "sslmode=allow".to_owned(), true),
        ("clear", "localhost", "sslmode=prefer".to_owned(), false),
    ] {
        let url = secure.url(user, host, &options);
        assert_eq!(is_encrypted(&admin, &url).await, encrypted, "{url}");
    }

    let ask = async |user: &str, host: &str, options: String| {
        refused(&secure.url(user, host, &options)).await
    };
    let text = ask("postgres", "127.0.0.1", format!("sslmode=verify-full&{known}")).await;
    for words in ["another host", "127.0.0.1", "localhost", "sslmode=verify-ca"] {
        assert!(text.contains(words), "{text}");
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        let text = ask("postgres", "localhost", format!("sslmode={mode}&{other}")).await;
        assert!(text.contains("no known authority") && text.contains("sslrootcert=FILE"), "{text}");
    }
    // The system does not know the test's authority.
    let text = ask("postgres", "localhost", "sslrootcert=system".to_owned()).await;
    assert!(text.contains("certificate of the server"), "{text}");
    let text = ask("tls", "localhost", "sslmode=disable".to_owned()).await;
    assert!(text.contains("sslmode=require"), "{text}");
    drop(secure.folder);
}

#[tokio::test]
async fn a_server_without_tls_is_told() {
    let Some(url) = database() else { return };
    for mode in ["require", "verify-full"] {
        let text = refused(&format!("{url}?sslmode={mode}")).await;
        assert!(text.contains("has no TLS") && text.contains("ssl = on"), "{text}");
    }
    for mode in ["disable", "allow", "prefer"] {
        let store = PostgresStore::connect(&format!("{url}?sslmode={mode}")).await.unwrap();
        // It stays on this machine.
        assert!(!store.is_exposed(), "{mode}");
        store.close().await;
    }
    let missing = format!("{url}?sslmode=verify-full&sslrootcert=/no/root.crt");
    let error = PostgresStore::connect(&missing).await.unwrap_err();
    assert!(matches!(error, StoreError::Authorities { .. }), "{error:?}");
    assert!(error.to_string().contains("/no/root.crt"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for_and_not_repeated() {
    let Some(secure) = Secure::start() else { return };
    let _admin = secure.accounts().await;
    // With TLS the password is bound to the server's certificate.
    for mode in ["disable", "require"] {
        let url = secure.url("secret", "localhost", &format!("sslmode={mode}"));
        let address = PostgresAddress::new(&url).unwrap();
        let connect = async |address: PostgresAddress| {
            PostgresStore::connect_to(address, PostgresOptions::default()).await
        };
        let error = connect(address.clone()).await.unwrap_err();
        assert!(matches!(error, StoreError::NoPassword { .. }), "{error:?}");
        assert!(error.to_string().contains("PGPASSWORD"), "{error}");

        let with = |word: &str| address.clone().with_password(&Password::new(word.to_owned()));
        let error = connect(with("wrong-word")).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("wrong-word"), "{error:?}");
        connect(with("hunter2")).await.unwrap().close().await;

        let in_the_url = url.replace("secret@", "secret:hunter2@");
        PostgresStore::connect(&in_the_url).await.unwrap().close().await;
    }
}
