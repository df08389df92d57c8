//! The program as a process.

use std::env::temp_dir;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;

use process_kit::{Running, command, run};

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let ended = run(program(&format!("--port {port}")));
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert!(ended.stderr.contains(&format!("port {port} of 127.0.0.1 is in use")), "{ended:#?}");
    assert!(ended.stderr.contains("--port 0"), "{ended:#?}");
}

#[test]
#[cfg(unix)]
fn it_names_its_port_and_ends_with_ctrl_c() {
    let running = Running::start(program("--port 0"));
    let rest = running.stdout.says_after("http://127.0.0.1:");
    let (port, _) = rest.split_once('/').expect(&rest);
    assert_ne!(port.parse::<u16>().expect(&rest), 0);
    running.interrupt();
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(ended.stdout.lines().skip(1).collect::<Vec<_>>(), ["The program has ended."]);
}

fn program(args: &str) -> Command {
    command(env!("CARGO_BIN_EXE_level4-dashboard"), &temp_dir(), args, &[])
}
