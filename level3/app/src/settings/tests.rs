//! The layers of options, and what is wrong in them.

use clap::{CommandFactory as _, Parser as _};

use super::*;
use crate::args::Cli;
use crate::settings::listed::hidden;

const FILE: &str = "calls = 10\nlog-format = \"json\"\njson = true\nrate = 12.5\n\
                    [serve]\nlisten = \"127.0.0.1:1\"\ndata = \"of-file\"\n";

fn gathered(
    line: &str,
    file: &'static str,
    variables: &[(&str, &str)],
) -> Result<Settings, SettingsError> {
    let words = std::iter::once("payment-gateway").chain(line.split_whitespace());
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    gather(
        &Cli::command(),
        words.map(OsString::from).collect(),
        |name| variables.get(name).map(OsString::from),
        |path| match path.to_str() {
            Some("file.toml") => Ok(file.to_owned()),
            _ => Err(io::ErrorKind::NotFound.into()),
        },
    )
}

fn words(settings: &Settings) -> Vec<&str> {
    settings.words.iter().map(|word| word.to_str().unwrap()).collect()
}

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let variables = [("PAYMENT_GATEWAY_CALLS", "20"), ("PAYMENT_GATEWAY_DATA", "of-variable")];
    let line = "--config file.toml --store sqlite:x serve --listen 127.0.0.1:2";
    let settings = gathered(line, FILE, &variables).unwrap();
    let cli = Cli::try_parse_from(&settings.words).unwrap();
    assert_eq!(cli.services.calls.map(std::num::NonZeroU32::get), Some(20));
    assert!(cli.services.json && cli.stream.rate == 12.5);
    let matches = Cli::command().get_matches_from(&settings.words);
    let own = matches.subcommand_matches("serve").unwrap();
    let command = Cli::command();
    let serve = command.find_subcommand("serve").unwrap();
    let text = settings.listed(serve, own).to_string();
    for line in [
        "listen = \"127.0.0.1:2\"                       # command line",
        "data = \"of-variable\"                         # PAYMENT_GATEWAY_DATA",
        "# temporary = false                          # default",
        "# tls-key is not set                         # default",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let text = settings.listed(&command, &matches).to_string();
    assert!(text.contains("rate = \"12.5\"                                # file.toml"), "{text}");
}

#[test]
fn without_a_file_and_variables_the_words_stay() {
    let line = "--store sqlite:serve show run-1-1";
    let settings = gathered(line, "", &[]).unwrap();
    assert_eq!(words(&settings)[1..].join(" "), line);
    // The value of an option is no command, and the variable of a command that is not asked for
    // changes nothing.
    let settings = gathered("--key-prefix serve", "", &[("PAYMENT_GATEWAY_DATA", "x")]).unwrap();
    assert_eq!(words(&settings), ["payment-gateway", "--key-prefix", "serve"]);
    // As Kubernetes sets them for a service of this name.
    let foreign = [("PAYMENT_GATEWAY_PORT", "tcp://10.0.0.1:80")];
    assert_eq!(words(&gathered("serve", "", &foreign).unwrap()), ["payment-gateway", "serve"]);
}

#[test]
fn a_variable_names_the_file_too_and_switches_an_option_off() {
    let variables = [("PAYMENT_GATEWAY_CONFIG", "file.toml"), ("PAYMENT_GATEWAY_JSON", "false")];
    let settings = gathered("", FILE, &variables).unwrap();
    let cli = Cli::try_parse_from(&settings.words).unwrap();
    assert!(!cli.services.json);
    assert_eq!(cli.services.calls.map(std::num::NonZeroU32::get), Some(10));
}

#[test]
fn a_wrong_file_says_what_and_where() {
    for (file, expected) in [
        ("calls", "file.toml: TOML parse error at line 1"),
        ("call = 1", "file.toml: there is no option call. `payment-gateway --help`"),
        ("listen = \"x\"", "file.toml: there is no option listen. Write it in the table [serve]"),
        ("[serve]\ncalls = 1", "no option serve.calls. Write calls above all tables"),
        ("[serve]\ncheck-config = true", "there is no option serve.check-config"),
        ("[server]\nlisten = \"x\"", "there is no option server"),
        ("calls = [1]", "file.toml: calls needs a text, a number, true or false"),
        ("json = \"yes\"", "file.toml: json is either true or false"),
    ] {
        let error = gathered("--config=file.toml serve", file, &[]).unwrap_err().to_string();
        assert!(error.contains(expected), "{file}: {error}");
    }
    let missing = gathered("--config none.toml", "", &[]).unwrap_err().to_string();
    assert!(missing.starts_with("none.toml: "), "{missing}");
    assert!(matches!(gathered("serve --config", "", &[]), Err(SettingsError::NoFile)));
}

#[test]
fn an_error_of_the_command_line_says_where_the_value_stands() {
    let settings = gathered("--config file.toml", "calls = 0\nrate = 1", &[]).unwrap();
    let error = Cli::try_parse_from(&settings.words).unwrap_err().to_string();
    assert_eq!(settings.explain(&error), "--calls has the value of file.toml\n", "{error}");
}

#[test]
fn a_password_is_not_listed() {
    for (given, shown) in [
        ("postgres://me:hidden@db/shop", "postgres://me:***@db/shop"),
        ("postgres://me@db/shop", "postgres://me@db/shop"),
        ("sqlite:file", "sqlite:file"),
    ] {
        assert_eq!(hidden(OsStr::new(given)), shown);
    }
}
