//! Makes a stream of payments through the gateway, with a durable store, and loses none of them.
//! `cargo run -p payment-gateway -- --help` lists the options.
//!
//! ```text
//! args ── engine: store, services, gateway ── pay: recovery ── stream ── drain ── recovery ── books ── summary
//!                                                               │ live figures: figures, meter, view
//!                                                               └ ends early: stop (Ctrl-C), health (store)
//! serve: engine ── service (level3/service) ── recovery beside it ── drain
//! ```
//!
//! Progress goes to stderr, results to stdout. All times are of the monotonic clock: a wall clock
//! that goes backwards changes no figure.

mod args;
mod backup;
mod books;
mod engine;
mod figures;
mod health;
mod meter;
mod password;
mod pay;
mod place;
mod problem;
mod reading;
mod reconcile;
mod recovery;
mod serve;
mod settings;
mod simulated;
mod stream;
mod summary;
mod undo_limits;
mod view;

use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory as _, FromArgMatches as _};
use program_kit::stop::Shutdown;
use serde_json::json;

use args::{AuditCommand, Cli, Command, ReconcileArgs, ServiceArgs};
use books::Books;
use engine::{Engine, Payments, Wiring};
use problem::{Outcome, ProgramError};
use serve::ServeArgs;
use settings::Settings;
use view::say;

/// The name of the command whose options a file may have in a table of their own.
const SERVE: &str = "serve";
/// The exit code for a wrong command line.
const USAGE: u8 = 2;
/// How long a command waits at its end for receipts that are under way, with their retries.
const FINISHING: Duration = Duration::from_secs(60);

/// Runs the program as the command line asks.
fn main() -> ExitCode {
    let command = Cli::command();
    let given: Vec<_> = std::env::args_os().collect();
    let wants_json = given.iter().any(|word| word == "--json");
    let read = |path: &std::path::Path| std::fs::read_to_string(path);
    let settings = match settings::gather(&command, given, |name| std::env::var_os(name), read) {
        Ok(settings) => settings,
        Err(error) => return fail(&error.into(), wants_json),
    };
    let parsed = command.clone().try_get_matches_from(&settings.words);
    let (cli, matches) = match parsed.and_then(|it| Ok((Cli::from_arg_matches(&it)?, it))) {
        Ok(parsed) => parsed,
        Err(error) => return refuse(error, &settings),
    };
    let json = cli.services.json;
    if let Some(Command::Serve(how)) = &cli.command
        && how.check_config
    {
        return match check_config(how, json, &settings, &matches) {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => fail(&problem, json),
        };
    }
    if let Err(error) = program_kit::log::start(cli.services.log_format) {
        return fail(&error.into(), json);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&ProgramError::System(error), json),
    };
    let outcome = runtime.block_on(demo_kit::written(run(&cli)));
    let outcome = match outcome.unwrap_or_else(|part| Err(ProgramError::Unwritten(part))) {
        Err(ProgramError::Interrupted) => Ok(Outcome::Interrupted),
        outcome => outcome,
    };
    if let Some(part) = demo_kit::take() {
        say(&format!("payment-gateway: some payments needed a part that is {part}"));
    }
    // After a second Ctrl-C the program does not wait for tasks that are under way.
    runtime.shutdown_background();
    match outcome {
        Ok(outcome) => outcome.into(),
        // The reader of the output has closed it, as `head` does in `payment-gateway show pay_... |
        // head`.
        Err(ProgramError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(problem) => fail(&problem, json),
    }
}

/// Reports an error of the command line, or shows the help, which is not an error.
fn refuse(mut error: clap::Error, settings: &Settings) -> ExitCode {
    // A URL may hold a password.
    let is_the_store =
        |it: &ContextValue| matches!(it, ContextValue::String(it) if it.contains("--store"));
    if error.get(ContextKind::InvalidArg).is_some_and(is_the_store) {
        error.insert(ContextKind::InvalidValue, ContextValue::String("***".to_owned()));
    }
    // A URL that stands where no URL belongs.
    for kind in [ContextKind::InvalidArg, ContextKind::InvalidSubcommand, ContextKind::InvalidValue]
    {
        if let Some(ContextValue::String(text)) = error.get(kind)
            && let Some((scheme, rest)) = text.split_once("://")
            && let Some((_, host)) = rest.rsplit_once('@')
        {
            let text = format!("{scheme}://***@{host}");
            error.insert(kind, ContextValue::String(text));
        }
    }
    let explained = settings.explain(&error.to_string());
    let wants_json = settings.words.iter().any(|word| word == "--json");
    if error.use_stderr() && wants_json {
        // The lines after the first blank line only explain how to get help.
        let text = error.to_string();
        let what = text.split("\n\n").next().unwrap_or_default();
        let text = format!("{}\n{explained}", what.trim_start_matches("error: "));
        print_error(text.trim_end(), USAGE);
    }
    // Nothing else can be done when neither stream takes it.
    let _ = error.print();
    if error.use_stderr() && !explained.is_empty() {
        say(explained.trim_end());
    }
    if error.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS }
}

/// Lists the options of the service, and checks the files that they name.
fn check_config(
    how: &ServeArgs,
    json: bool,
    settings: &Settings,
    matches: &clap::ArgMatches,
) -> Result<(), ProgramError> {
    let program = Cli::command();
    let own = matches.subcommand_matches(SERVE).zip(program.find_subcommand(SERVE));
    let for_all = settings.listed(&program, matches);
    let own = own.map(|(matches, command)| settings.listed(command, matches));
    if json {
        print_json(&json!({ "options": for_all.json(), SERVE: own.map(|own| own.json()) }))?;
    } else {
        let own = own.map(|own| own.to_string()).unwrap_or_default();
        print(&format!("{for_all}\n[{SERVE}]\n{own}"))?;
    }
    how.check_files()
}

fn fail(problem: &ProgramError, json: bool) -> ExitCode {
    if json {
        print_error(&problem.to_string(), problem.exit_code());
    }
    say(&format!("payment-gateway: {problem}"));
    problem.exit_code().into()
}

/// Prints an error for programs instead of the result.
fn print_error(what: &str, exit_code: u8) {
    // A reader that closed stdout still has the exit code.
    let _ = print_json(&json!({ "error": what, "exit_code": exit_code }));
}

async fn run(cli: &Cli) -> Result<Outcome, ProgramError> {
    let stop = Shutdown::listen().map_err(ProgramError::System)?;
    let work = async {
        match &cli.command {
            None => pay::pay(cli, &stop).await,
            Some(Command::Show { payment }) => reading::show(&cli.services, payment).await,
            Some(Command::DeadLetters) => reading::dead_letters(&cli.services).await,
            Some(Command::Check) => reading::check(&cli.services).await,
            Some(Command::Audit(AuditCommand::Verify { anchors })) => {
                reading::audit::verify(&cli.services, anchors.as_deref()).await
            }
            Some(Command::Audit(AuditCommand::Head)) => reading::audit::head(&cli.services).await,
            Some(Command::TrialBalance) => reading::trial::balance(&cli.services).await,
            Some(Command::Backup { file }) => backup::back_up(&cli.services, file).await,
            Some(Command::Recover) => recover(&cli.services, false).await,
            Some(Command::Redrive) => recover(&cli.services, true).await,
            Some(Command::Reconcile(how)) => reconcile(&cli.services, how).await,
            Some(Command::Serve(how)) => serve::serve(&cli.services, how, &stop).await,
            Some(Command::AddKey(how)) => serve::add_key(&cli.services, how),
            Some(Command::AddWebhook(how)) => serve::add_webhook(&cli.services, how),
        }
    };
    // A stream and a service are drained first. The other commands stop at once, since they can be
    // run again.
    let is_drained = matches!(cli.command, None | Some(Command::Serve(_)));
    let times = if is_drained { 2 } else { 1 };
    tokio::select! {
        outcome = work => outcome,
        () = stop.asked(times) => {
            say("payment-gateway: ended at once. The next start finishes what was under way.");
            Ok(Outcome::Interrupted)
        }
    }
}

async fn books(engine: &Engine) -> Result<Option<Books>, ProgramError> {
    match engine.payments {
        Payments::Simulated => {
            let store = engine.store.store.as_ref();
            Books::check(store, &engine.world, engine.simulated_mail).await.map(Some)
        }
        Payments::Stripe { .. } => Ok(None),
    }
}

/// Finishes open payments, and with `redrive` tries the parked undos and receipts once more.
async fn recover(args: &ServiceArgs, redrive: bool) -> Result<Outcome, ProgramError> {
    args.store().exists()?;
    let wiring = Wiring { is_patient: redrive, ..Wiring::plain() };
    let engine = Engine::start_with(args, wiring).await?;
    let recovered = engine.recover().await?;
    // The receipts that the recovery has found.
    engine.gateway.drain(FINISHING).await;
    let redriven = if redrive { Some(engine.gateway.redrive().await) } else { None };
    engine.note_failed_receipts().await;
    let books = books(&engine).await?;
    let left = engine.store.store.counts().await?;
    let (sent, given_up) =
        (engine.figures.receipts_sent.get(), engine.figures.receipts_failed.get());
    engine.close(FINISHING).await;
    let failed_again = redriven.is_some_and(|redriven| redriven.failed + redriven.parked > 0);
    let is_fine = books.as_ref().is_none_or(Books::balance)
        && left.open == 0
        && left.parked == 0
        && !failed_again;
    if args.json {
        print_json(&json!({
            "recovered": recovered,
            "redriven": redriven.map(|it| json!({ "delivered": it.delivered, "failed": it.failed + it.parked })),
            "receipts_sent": sent, "receipts_given_up": given_up,
            "open": left.open, "parked": left.parked, "receipts_pending": left.receipts,
            "books": books,
        }))?;
    } else {
        print(&format!("{}\n", recovered.text()))?;
        if let Some(redriven) = redriven {
            let failed = redriven.failed + redriven.parked;
            print(&format!("Redriven: {} done, {failed} failed again.\n", redriven.delivered))?;
        }
        print(&format!(
            "{sent} receipts sent, {} still to be sent; {} payments open, {} that cannot be undone.\n",
            left.receipts, left.open, left.parked
        ))?;
        if let Some(books) = &books {
            print(&format!("books\n{books}"))?;
        }
    }
    Ok(if is_fine { Outcome::Done } else { Outcome::Unsettled })
}

async fn reconcile(args: &ServiceArgs, how: &ReconcileArgs) -> Result<Outcome, ProgramError> {
    args.store().exists()?;
    let engine = Engine::start(args).await?;
    let report = reconcile::reconcile(&engine, how).await;
    let against = engine.payments.name();
    engine.close(FINISHING).await;
    let report = report?;
    if args.json {
        print_json(&reconcile::json(&report))?;
    } else {
        print(&reconcile::text(&report, &against))?;
    }
    let is_fine = report.found == report.repaired && report.unreadable == 0;
    Ok(if is_fine { Outcome::Done } else { Outcome::Unsettled })
}

fn print(text: &str) -> Result<(), ProgramError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(ProgramError::Output)
}

fn print_json(value: &impl serde::Serialize) -> Result<(), ProgramError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|why| ProgramError::Output(io::Error::other(why)))?;
    print(&format!("{text}\n"))
}
