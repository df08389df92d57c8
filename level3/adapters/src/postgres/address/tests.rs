use super::*;

fn nothing(_: &str) -> Option<OsString> {
    None
}

fn address(url: &str) -> Result<PostgresAddress, StoreError> {
    PostgresAddress::with_environment(url, &nothing)
}

fn choose(
    mode: Option<&str>,
    root: Option<&str>,
    set: &[(&str, &str)],
) -> Result<Protection, String> {
    let get = |name: &str| {
        set.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
    };
    Protection::choose(mode.map(String::from), root.map(String::from), &get)
}

#[test]
fn the_parameters_of_tls_are_taken_out_of_the_url() {
    for (url, rest, mode, root) in [
        ("postgres://h/d", "postgres://h/d", None, None),
        ("postgres://h/d?sslmode=allow", "postgres://h/d", Some("allow"), None),
        (
            "postgres://u:a?b@h/d?application_name=x&sslmode=verify-ca&sslrootcert=%2Fa%20b&port=1",
            "postgres://u:a?b@h/d?application_name=x&port=1",
            Some("verify-ca"),
            Some("/a b"),
        ),
        ("postgres://h/d?sslrootcert=100%", "postgres://h/d", None, Some("100%")),
    ] {
        let expected = Options {
            url: rest.to_owned(),
            mode: mode.map(String::from),
            authorities: root.map(String::from),
        };
        assert_eq!(Options::split(url), expected, "{url}");
    }
}

#[test]
fn the_url_comes_before_the_environment_and_the_defaults() {
    let mode = |mode, root, set: &[(&str, &str)]| choose(mode, root, set).unwrap().mode;
    assert_eq!(mode(None, None, &[]), SslMode::Prefer);
    assert_eq!(mode(None, None, &[("PGSSLMODE", "")]), SslMode::Prefer);
    assert_eq!(mode(None, None, &[("PGSSLMODE", "require")]), SslMode::Require);
    assert_eq!(mode(Some("disable"), None, &[("PGSSLMODE", "require")]), SslMode::Disable);
    assert_eq!(mode(None, Some("system"), &[]), SslMode::VerifyFull);
    assert_eq!(mode(None, None, &[("PGSSLROOTCERT", "system")]), SslMode::VerifyFull);
    assert!(choose(Some("REQUIRE"), None, &[]).unwrap_err().contains("verify-full"));
}

#[test]
fn the_certificate_is_checked_where_the_mode_says_so() {
    let checked = |mode, root| choose(Some(mode), root, &[]).unwrap().authorities;
    let file = || Some(Authorities::File("a.crt".into()));
    for mode in ["disable", "allow", "prefer"] {
        assert_eq!(checked(mode, Some("a.crt")), None, "{mode}");
    }
    assert_eq!(checked("require", None), None);
    assert_eq!(checked("require", Some("a.crt")), file());
    assert_eq!(checked("verify-ca", Some("a.crt")), file());
    assert_eq!(checked("verify-full", Some("a.crt")), file());
    assert_eq!(checked("verify-full", None), Some(Authorities::System));
    assert!(choose(Some("verify-ca"), None, &[]).unwrap_err().contains("sslrootcert=FILE"));
    assert!(choose(Some("require"), Some("system"), &[]).unwrap_err().contains("verify-full"));
}

#[test]
fn the_authorities_of_the_user_are_found() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".postgresql/root.crt");
    std::fs::create_dir(home.path().join(".postgresql")).unwrap();
    std::fs::write(&file, "").unwrap();
    let home = home.path().to_str().unwrap();
    for mode in ["verify-ca", "verify-full"] {
        let found = choose(Some(mode), None, &[("HOME", home)]).unwrap();
        assert_eq!(found.authorities, Some(Authorities::File(file.clone())), "{mode}");
    }
    assert_eq!(choose(Some("require"), None, &[("HOME", home)]).unwrap().authorities, None);
}

#[test]
fn no_password_is_shown() {
    let with = address("postgres://me:hunter2@db/shop").unwrap();
    let with = with.with_password(&Password::new("hunter2".to_owned()));
    assert!(!format!("{with:?} {}", with.place()).contains("hunter2"));
    assert_eq!(with.place(), "PostgreSQL at db:5432, database shop");
}

#[test]
fn a_connection_in_the_clear_is_exposed_beyond_this_machine() {
    for (host, is_local) in
        [("localhost", true), ("127.0.0.1", true), ("10.0.0.1", false), ("db", false)]
    {
        assert_eq!(address(&format!("postgres://{host}/shop")).unwrap().is_local, is_local);
    }
}

#[cfg(unix)]
#[test]
fn a_socket_has_no_tls() {
    let socket = address("postgres://me@%2Fvar%2Frun%2Fpostgresql/shop?sslmode=verify-full");
    assert_eq!(socket.unwrap().mode, SslMode::Disable);
}
