//! PostgreSQL from the command line: passwords, TLS, and accounts that may only read.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use process_kit::{Ended, eventually, run};
use tokio_postgres::NoTls;

use crate::oracles::block_on;
use crate::process::{Place, program};
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

/// What a program in a terminal has left.
struct Left {
    code: Option<i32>,
    screen: String,
    /// Whether the terminal shows again what is typed.
    is_shown: bool,
}

/// Runs the program in a terminal, and types the keys when it asks for a password and hides them.
/// `None` where there is no script(1), which makes a terminal.
fn typed(place: &Place, args: &str, keys: &str) -> Option<Left> {
    let program = place.program(args);
    let mut line = vec![program.get_program().to_str().unwrap().to_owned()];
    line.extend(program.get_args().map(|argument| argument.to_str().unwrap().to_owned()));
    let line = line.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let line = format!("tty >name; {line}; code=$?; stty -a >after; exit $code");
    // Ends with the exit code of the line.
    let mut terminal = Command::new("script");
    terminal.args(["-qefc", &line, "/dev/null"]).current_dir(place.folder());
    terminal.env("SHELL", "/bin/sh");
    for (variable, value) in program.get_envs() {
        assert_eq!(value, None);
        terminal.env_remove(variable);
    }
    terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut child) = terminal.spawn() else {
        println!("skipped: no script(1) on this machine, which makes a terminal");
        return None;
    };
    let mut keyboard = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    let screen = thread::spawn(move || {
        let mut seen = Vec::new();
        // A terminal whose program has ended reports an error.
        let _ = output.read_to_end(&mut seen);
        String::from_utf8_lossy(&seen).into_owned()
    });
    eventually("a hidden answer", || is_hidden(&place.folder().join("name")));
    keyboard.write_all(keys.as_bytes()).unwrap();
    let screen = screen.join().unwrap();
    drop(keyboard);
    let code = child.wait().unwrap().code();
    let after = fs::read_to_string(place.folder().join("after")).unwrap();
    Some(Left { code, screen, is_shown: has_setting(&after, "echo") })
}

/// Whether the terminal whose name is in the file hides what is typed.
fn is_hidden(name: &Path) -> bool {
    let name = fs::read_to_string(name).unwrap_or_default();
    let settings = Command::new("stty").args(["-F", name.trim(), "-a"]).output();
    settings.is_ok_and(|it| has_setting(&String::from_utf8_lossy(&it.stdout), "-echo"))
}

fn has_setting(settings: &str, name: &str) -> bool {
    settings.split_whitespace().any(|setting| setting == name)
}

/// In a terminal the program asks, and the terminal shows nothing of the answer.
#[test]
fn a_password_is_asked_for_in_a_terminal() {
    let Some(server) = server() else { return };
    let place = place(&server, "secret");
    let args = "--payments 2 --failure-rate 0";
    let Some(left) = typed(&place, args, &format!("{PASSWORD}\n")) else { return };
    let Left { code, screen, is_shown } = left;
    assert_eq!((code, is_shown), (Some(0), true), "{screen}");
    assert!(!screen.contains(PASSWORD), "{screen}");
    assert!(screen.contains("Password for PostgreSQL at"), "{screen}");
    assert!(screen.contains("kept in PostgreSQL at"), "{screen}");

    fs::remove_file(place.folder().join("name")).unwrap();
    let Some(left) = typed(&place, "dead-letters", "hunt\u{3}") else { return };
    // Ctrl-C ends the question, and the terminal is as it was.
    assert_eq!((left.code, left.is_shown), (Some(130), true), "{}", left.screen);
}

/// An account that may only read shows payments and dead letters, and checks the store.
#[test]
fn an_account_that_may_only_read_is_enough_to_look() {
    let Some(server) = server() else { return };
    let owner = place(&server, "postgres");
    let mut reader = Place::postgres(owner.url.replace("postgres@", "reader@"));
    let looking =
        ["show run-1-2", "dead-letters", "check", "audit verify", "audit head", "trial-balance"];
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
