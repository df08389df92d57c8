//! The service with a certificate of its own.

use std::process::Command;

use process_kit::run;

use super::start::{Serving, command};

use crate::process::Place;

#[test]
fn curl_reaches_it_over_tls_and_not_without() {
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: there is no curl");
        return;
    }
    let place = Place::sqlite();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| place.folder().join(name));
    let with_tls = || {
        let mut command = command(&place, "");
        command.arg("--tls-certificate").arg(&certificate).arg("--tls-key").arg(&key);
        command
    };
    let without_files = run(with_tls());
    assert_eq!(without_files.code, Some(2), "{without_files:#?}");
    assert!(without_files.stderr.contains("cert.pem"), "{without_files:#?}");

    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let serving = Serving::start(with_tls());
    let curl = |scheme: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-fsS", "--max-time", "60", "--cacert"]).arg(&certificate);
        curl.arg(format!("{scheme}://{}/readyz", serving.address)).output().unwrap()
    };
    let answer = curl("https");
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(answer.status.success() && text.contains("\"ready\":true"), "{answer:?}");
    assert!(!curl("http").status.success());
}
