//! The program as a process.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Output, Stdio};

fn program(args: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_level4-dashboard"));
    program.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    program
}

/// A child that ends with the test, whatever its result.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let Output { status, stderr, .. } = program(&["--port", &port]).output().expect("the program");
    let said = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("port {port} of 127.0.0.1 is in use")), "{said}");
    assert!(said.contains("--port 0"), "{said}");
}

#[test]
#[cfg(unix)]
fn it_names_its_port_and_ends_with_ctrl_c() {
    let mut started = Started(program(&["--port", "0"]).spawn().expect("the program"));
    let stdout = started.0.stdout.take().expect("its output");
    let mut stdout = BufReader::new(stdout);
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line");
    let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
    let port = address.and_then(|it| it.strip_prefix("127.0.0.1:")).expect(&line);
    assert_ne!(port.parse::<u16>().expect(&line), 0);
    let id = started.0.id().to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status().expect("kill");
    assert!(sent.success());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("the rest");
    assert_eq!(rest, "The program has ended.\n");
    assert_eq!(started.0.wait().expect("an end").code(), Some(0));
}
