//! The command line.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use level3_domain::ids::{CardToken, Email};
use program_kit::log::LogFormat;

use super::place::StoreUrl;
use super::serve::{AddKeyArgs, AddWebhookArgs, ServeArgs};

/// Makes a stream of payments, and loses none of them.
///
/// Without a command: finishes the payments that an earlier run has left open, makes new payments,
/// shows their progress, finishes what is still open, and checks the books at the end. Store and services are built in unless
/// others are named.
#[derive(Debug, Parser)]
#[command(name = "payment-gateway", version, args_override_self = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub stream: StreamArgs,
    #[command(flatten)]
    pub services: ServiceArgs,
}

const EXIT_CODES: &str = "\
Ctrl-C stops new payments and finishes those under way; a second one ends the program at once, and the next start recovers.

Exit codes:
  0    done
  1    a payment failed or was refused, the books do not balance, something is left undone, there
       are dead letters, or a check has found a fault
  2    the command line, a key or a password is wrong or missing
  3    the store or a service cannot be used
  130  ended at once";

/// The other commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show a payment with all its records
    Show {
        /// The payment's key (run-8k2m4q0x-17), or its name (pay_..._1)
        payment: String,
    },
    /// List the undos and receipts that failed
    DeadLetters,
    /// Try the failed undos and receipts once more
    Redrive,
    /// Finish the payments that a killed run has left open, and make no new ones
    Recover,
    /// Check the whole store, without writing to it: its structure, every record and every row
    Check,
    /// Verify the audit trail, or print its end
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Add up the double-entry postings of all payments and refunds, and compare them with the rows
    TrialBalance,
    /// Copy the store into a new file, while other processes go on
    Backup {
        /// The file. It must not exist
        file: PathBuf,
    },
    /// Compare the ledger with the provider's intents, and repair the differences
    Reconcile(ReconcileArgs),
    /// Take payments over HTTP (level3/service/README.md). Without other options on 127.0.0.1:8080,
    /// with a simulated provider that never fails
    Serve(ServeArgs),
    /// Add a key of a merchant to a service's folder, and print it
    AddKey(AddKeyArgs),
    /// Add an endpoint to which the payment service sends the events of a merchant, and print its
    /// secret
    AddWebhook(AddWebhookArgs),
}

/// The commands of the audit trail.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check that no entry was changed, removed, inserted or reordered, and that rows and refunds are as
    /// the entries say
    Verify {
        /// A file with anchors: lines that `audit head` has printed. They show that the trail was not
        /// rewritten, and not cut off before them
        #[arg(long, value_name = "FILE")]
        anchors: Option<PathBuf>,
    },
    /// Print the number and the hash of the last entry, if the trail is whole: an anchor, to be kept
    /// where the database's administrator cannot write
    Head,
}

/// The options of a reconciliation.
#[derive(Debug, Args)]
pub struct ReconcileArgs {
    /// Only list the differences
    #[arg(long)]
    pub dry_run: bool,

    /// Refund charges that the journal does not know. They may belong to another system that uses
    /// the same account
    #[arg(long)]
    pub refund_unknown: bool,

    /// Number of pages of a hundred intents to compare, the newest first [default: all]
    #[arg(long, value_name = "N")]
    pub pages: Option<NonZeroU32>,
}

/// The payments to make.
#[derive(Debug, Args)]
pub struct StreamArgs {
    /// Number of payments
    #[arg(long, default_value = "400", value_name = "N", value_parser = count)]
    pub payments: NonZeroU32,

    /// Payments per second. Each needs two calls to the provider, and more if a call fails: with
    /// 100 calls per second, the limit of the account, about 45 payments per second succeed
    #[arg(long, default_value = "40", value_name = "R", value_parser = rate)]
    pub rate: f64,

    /// The keys of the payments are PREFIX-1, PREFIX-2, ... A repeat is answered from the store
    /// [default: a new one for each run]
    #[arg(long, value_name = "PREFIX", value_parser = key_prefix)]
    pub key_prefix: Option<String>,

    /// The card that pays
    #[arg(long, default_value = "pm_card_visa", value_name = "TOKEN", value_parser = card)]
    pub card: CardToken,

    /// The address that receipts are sent to
    #[arg(long, default_value = "someone@example.com", value_name = "ADDRESS", value_parser = email)]
    pub email: Email,
}

/// The services, and how they behave.
#[derive(Debug, Clone, Args)]
pub struct ServiceArgs {
    /// Where payments are kept: sqlite:FILE or
    /// postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full. The password is that of PGPASSWORD,
    /// PGPASSWORD_FILE or PGPASSFILE, or is asked for in a terminal [default:
    /// sqlite:payments.sqlite]
    #[arg(long, global = true, value_name = "URL")]
    pub store: Option<StoreUrl>,

    /// Pay with Stripe at this address (https://api.stripe.com), in test mode, with the key in
    /// STRIPE_SECRET_KEY [default: a simulated provider]
    #[arg(long, global = true, value_name = "URL")]
    pub stripe: Option<String>,

    /// Send receipts with SendGrid at this address (https://api.sendgrid.com), with the key in
    /// SENDGRID_API_KEY [default: simulated mail]
    #[arg(long, global = true, value_name = "URL", requires = "mail_from")]
    pub sendgrid: Option<String>,

    /// The sender of receipts: an address that SendGrid has verified
    #[arg(long, global = true, value_name = "ADDRESS", value_parser = email)]
    pub mail_from: Option<Email>,

    /// Let SendGrid check the receipts and send none (its sandbox mode)
    #[arg(long, global = true)]
    pub mail_sandbox: bool,

    /// Do not look in the activity feed of the mail service before a receipt is sent again whose first
    /// attempt may have been executed: such a receipt may then be sent twice
    #[arg(long, global = true)]
    pub no_mail_feed: bool,

    /// Calls to the payment provider per second [default: 100, as for a live account at Stripe; 25
    /// with --stripe, as in its test mode]
    #[arg(long, global = true, value_name = "N")]
    pub calls: Option<NonZeroU32>,

    /// Percentage of the calls to each simulated service that fail [default: those of the
    /// assignment: 1 for creating, 0.5 for fraud, 2 for confirming, 5 for receipts]
    #[arg(long, global = true, value_name = "P", value_parser = percent)]
    pub failure_rate: Option<f64>,

    /// The seed that decides which calls fail: the same seed and the same payments have the same
    /// failures
    // Not 1: with 10 % failures, its first payments fail five times in a row in half of the runs,
    // and an open breaker refuses the rest.
    #[arg(long, global = true, default_value_t = 7, value_name = "S")]
    pub seed: u64,

    /// How many times faster the simulated services are than the real ones. The window of the
    /// provider's rate limit and the pauses between attempts shrink by the same factor
    #[arg(long, global = true, default_value = "1", value_name = "TIMES", value_parser = speed)]
    pub speed: NonZeroU32,

    /// The limit of one attempt to undo a step, in milliseconds; a slow provider needs more. It is
    /// reserved in the ten seconds of a payment for each of three steps [default: 900 for a create,
    /// 1000 for a confirm, 400 for a row; with --stripe up to 2500, by the latency that it shows at the
    /// start; 10000 for redrive]
    #[arg(long, global = true, value_name = "MS", value_parser = undo_limit)]
    pub undo_limit: Option<NonZeroU32>,

    /// The files of the simulated services: NAME.provider and NAME.mails [default: beside the
    /// SQLite file; in the current folder with PostgreSQL]
    #[arg(long, global = true, value_name = "NAME")]
    pub simulated: Option<PathBuf>,

    /// Take options that are not given here from this TOML file: `calls = 50` for --calls, and those
    /// of serve in the table [serve]. A variable such as PAYMENT_GATEWAY_CALLS wins over the file
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Print the result as JSON, errors too
    #[arg(long, global = true)]
    pub json: bool,

    /// The format of log lines on stderr. RUST_LOG selects the lines (info,level3=debug) [default:
    /// errors]
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub log_format: LogFormat,

    /// Whether the simulated services neither fail nor decline.
    #[arg(skip)]
    pub calm: bool,
}

impl ServiceArgs {
    /// Returns the limit of an undo that the operator asks for.
    pub fn undo_limit(&self) -> Option<Duration> {
        self.undo_limit.map(|limit| Duration::from_millis(limit.get().into()))
    }

    /// Returns the store that is named, or the default.
    pub fn store(&self) -> StoreUrl {
        let default = || StoreUrl::Sqlite { file: "payments.sqlite".into(), max_pages: None };
        self.store.clone().unwrap_or_else(default)
    }
}

impl StreamArgs {
    /// The time from one payment to the next.
    pub fn every(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.rate)
    }
}

/// The rates that a clock and a machine can keep.
fn rate(text: &str) -> Result<f64, String> {
    number(text, 0.01, 100_000.0)
}

fn percent(text: &str) -> Result<f64, String> {
    number(text, 0.0, 100.0)
}

fn number(text: &str, least: f64, most: f64) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("not a number from {least} to {most}")),
    }
}

fn count(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| format!("not a whole number from 1 to {}", u32::MAX))
}

fn speed(text: &str) -> Result<NonZeroU32, String> {
    match text.parse::<NonZeroU32>() {
        Ok(times) if times.get() <= 1000 => Ok(times),
        _ => Err("not a whole number from 1 to 1000".to_owned()),
    }
}

/// Checks the limit of an undo: three of the longest, 3 s each, leave a second for the payment.
fn undo_limit(text: &str) -> Result<NonZeroU32, String> {
    match text.parse::<NonZeroU32>() {
        Ok(ms) if (10..=3000).contains(&ms.get()) => Ok(ms),
        _ => Err("not a whole number from 10 to 3000".to_owned()),
    }
}

fn email(text: &str) -> Result<Email, String> {
    Email::new(text).map_err(|why| why.to_string())
}

fn card(text: &str) -> Result<CardToken, String> {
    CardToken::new(text).map_err(|why| why.to_string())
}

/// Checks a prefix: with the number after it, the key must fit into the name of an order.
fn key_prefix(text: &str) -> Result<String, String> {
    let is_fine =
        (1..=80).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_fine {
        Ok(text.to_owned())
    } else {
        Err("not 1 to 80 printable ASCII characters without a blank".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "--rate 0",
            "--rate NaN",
            "--rate -1",
            "--payments -1",
            "--payments 0",
            "--card=",
            "--failure-rate 101",
            "--speed 0",
            "--speed 1001",
            "--undo-limit 9",
            "--undo-limit 3001",
            "--key-prefix=",
            "--email ada",
            "--store payments.db",
            "--store sqlite::memory:",
            "--log-format xml",
            "--calls 0",
            "--sendgrid https://api.sendgrid.com",
            "show",
        ] {
            let line = std::iter::once("payment-gateway").chain(line.split(' '));
            assert!(Cli::try_parse_from(line.clone()).is_err(), "{:?}", line.collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_number_of_payments_is_asked_for_in_plain_words() {
        let error = Cli::try_parse_from(["payment-gateway", "--payments", "0"]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("not a whole number from 1 to"), "{text}");
    }

    #[test]
    fn the_version_is_told() {
        let error = Cli::try_parse_from(["payment-gateway", "--version"]).unwrap_err();
        assert_eq!(error.kind(), clap::error::ErrorKind::DisplayVersion);
    }

    #[test]
    fn options_stand_before_or_after_the_command() {
        for line in [["--json", "dead-letters"], ["dead-letters", "--json"]] {
            let cli = Cli::parse_from(std::iter::once("payment-gateway").chain(line));
            assert!(cli.services.json && matches!(cli.command, Some(Command::DeadLetters)));
        }
    }
}
