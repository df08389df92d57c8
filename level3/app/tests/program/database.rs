//! PostgreSQL from the command line: passwords, TLS, and accounts that may only read.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use tokio_postgres::NoTls;

use crate::oracles::block_on;
use crate::process::{Ended, Place, program, run};
use crate::server::{Flush, Server};

const PASSWORD: &str = "hunter2-hidden";
/// The account `secret` needs a password.
const RULES: &str = "
host all secret   127.0.0.1/32 scram-sha-256
host all postgres 127.0.0.1/32 trust
host all reader   127.0.0.1/32 trust
";

/// A server with an account that needs a password, and one that may only read.
fn server() -> Option<Server> {
    let server = Server::start_with(Flush::Cache, &[("pg_hba.conf", RULES)]).unwrap()?;
    execute(
        &server.url("postgres"),
        &format!(
            "CREATE ROLE secret SUPERUSER LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE reader LOGIN"
        ),
    );
    Some(server)
}

fn execute(url: &str, text: &str) {
    block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(text).await.unwrap();
    });
}

/// The place of a database for an account.
fn place(server: &Server, user: &str) -> Place {
    Place::postgres(server.database().unwrap().replace("postgres@", &format!("{user}@")))
}

fn is_quiet(ended: &Ended) {
    for text in [&ended.stdout, &ended.stderr] {
        assert!(!text.contains(PASSWORD) && !text.contains("panicked"), "{ended:#?}");
    }
}

const PAY: &str = "--payments 2 --failure-rate 0 --json";

#[test]
fn a_password_comes_from_the_environment_or_a_file() {
    let Some(server) = server() else { return };
    let place = place(&server, "secret");
    let missing = run(place.program(PAY));
    assert_eq!(missing.code, Some(2), "{missing:#?}");
    for words in ["asks for a password", "PGPASSWORD", "PGPASSWORD_FILE", "PGPASSFILE"] {
        assert!(missing.json()["error"].as_str().unwrap().contains(words), "{missing:#?}");
    }
    let (secret, list) = (place.folder().join("secret"), place.folder().join("list"));
    fs::write(&secret, format!("{PASSWORD}\n")).unwrap();
    fs::write(&list, format!("127.0.0.1:*:*:secret:{PASSWORD}\n")).unwrap();
    for file in [&secret, &list] {
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    for (variable, value) in [
        ("PGPASSWORD", PASSWORD),
        ("PGPASSWORD_FILE", secret.to_str().unwrap()),
        ("PGPASSFILE", list.to_str().unwrap()),
    ] {
        // Every line of the log, to see that it has no password.
        let mut paying = place.program(PAY);
        let ended = run({
            paying.env(variable, value).env("RUST_LOG", "trace");
            paying
        });
        assert_eq!(ended.code, Some(0), "{variable}: {ended:#?}");
        is_quiet(&ended);
    }
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    let mut paying = place.program(PAY);
    paying.env("PGPASSWORD_FILE", &secret);
    let open = run(paying);
    assert_eq!(open.code, Some(2), "{open:#?}");
    assert!(open.stderr.contains("chmod 600"), "{open:#?}");
    is_quiet(&open);

    // In the URL it is accepted, and in no message.
    let url = place.url.replace("secret@", &format!("secret:{PASSWORD}@"));
    for (url, code) in [
        (url.clone(), 0),
        (url.replace("/test", "/no"), 3),
        (url.replace("secret:", "nobody:"), 3),
        (format!("{url}?sslmode=require"), 3),
        (format!("{url}?sslmode=wrong"), 2),
        (format!("{url}?sslmode=verify-full&sslrootcert=/no/file"), 2),
        (format!("{url}?colour=blue"), 2),
        (url.replace("postgres://", "mysql://"), 2),
    ] {
        let mut paying = program(place.folder(), PAY);
        paying.args(["--store", &url, "--simulated"]).arg(place.simulated());
        paying.env("RUST_LOG", "trace");
        let ended = run(paying);
        assert_eq!(ended.code, Some(code), "{url}: {ended:#?}");
        is_quiet(&ended);
    }
}

/// In a terminal the program asks, and the terminal shows nothing of the answer.
#[test]
fn a_password_is_asked_for_in_a_terminal() {
    let Some(server) = server() else { return };
    let place = place(&server, "secret");
    let paying = place.program("--payments 2 --failure-rate 0");
    let mut line = vec![paying.get_program().to_str().unwrap().to_owned()];
    line.extend(paying.get_args().map(|argument| argument.to_str().unwrap().to_owned()));
    let line = line.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    // Gives the program a terminal, and ends with its exit code.
    let mut terminal = Command::new("script");
    terminal.args(["-qefc", &line, "/dev/null"]).current_dir(place.folder());
    for (variable, value) in paying.get_envs() {
        assert_eq!(value, None);
        terminal.env_remove(variable);
    }
    terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut child) = terminal.spawn() else {
        println!("skipped: no script(1) on this machine, which makes a terminal");
        return;
    };
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut seen = Vec::new();
    let mut buffer = [0; 1024];
    let mut is_answered = false;
    loop {
        // A terminal whose program has ended reports an error.
        let read = screen.read(&mut buffer).unwrap_or(0);
        if read == 0 {
            break;
        }
        seen.extend_from_slice(&buffer[..read]);
        if !is_answered && String::from_utf8_lossy(&seen).contains("Password for PostgreSQL at") {
            // Hidden before the question appears on the screen.
            keys.write_all(format!("{PASSWORD}\n").as_bytes()).unwrap();
            is_answered = true;
        }
    }
    drop(keys);
    let code = child.wait().unwrap().code();
    let seen = String::from_utf8_lossy(&seen);
    assert!(is_answered, "{seen}");
    assert_eq!(code, Some(0), "{seen}");
    assert!(!seen.contains(PASSWORD), "{seen}");
    assert!(seen.contains("kept in PostgreSQL at"), "{seen}");
}

/// An account that may only read shows payments and dead letters, and checks the store.
#[test]
fn an_account_that_may_only_read_is_enough_to_look() {
    let Some(server) = server() else { return };
    let owner = place(&server, "postgres");
    let mut reader = Place::postgres(owner.url.replace("postgres@", "reader@"));
    let looking = ["show run-1-2", "dead-letters", "check"];
    for args in looking {
        let empty = run(reader.program(args));
        assert_eq!(empty.code, Some(2), "{args}: {empty:#?}");
        assert!(empty.stderr.contains("there is no store"), "{args}: {empty:#?}");
    }
    let ended = run(owner.program("--payments 3 --failure-rate 0 --key-prefix run-1"));
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    execute(
        &owner.url,
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;
         ALTER ROLE reader SET default_transaction_read_only = on",
    );
    for args in looking {
        let ended = run(reader.program(args));
        assert_eq!(ended.code, Some(0), "{args}: {ended:#?}");
    }
    let shown = run(reader.program("show run-1-2"));
    assert!(shown.stdout.contains("10.02 USD paid"), "{shown:#?}");
    let checked = run(reader.program("check --json")).json();
    assert_eq!((&checked["sagas"], &checked["found"]), (&3.into(), &0.into()), "{checked:#}");
    assert!(checked["unchecked"][0].as_str().unwrap().contains("amcheck"), "{checked:#}");
    // It may not pay.
    reader.url += "?sslmode=disable";
    let ended = run(reader.program(PAY));
    assert_eq!(ended.code, Some(3), "{ended:#?}");
}
