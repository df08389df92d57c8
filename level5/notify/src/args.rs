//! The command line.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Sends notifications by mail, webhook and server-sent events, as level 5's users prefer.
///
/// Without a command: plays a day in three time zones on a virtual clock, with a restart, and prints what each user gets.
#[derive(Debug, Parser)]
#[command(name = "notifier", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  a part of the level is not written yet
  2  the command line or a setting is wrong
  3  the store, the address or a service cannot be used";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Play a day on a virtual clock, and print what each user gets
    Day,
    /// Take notifications over HTTP and send them
    Serve(ServeArgs),
}

/// The options of `serve`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Mails go to the server of the variable NOTIFIER_SMTP_URL: smtps://user:password@host, \
smtp://user:password@host:587?tls=required, or smtp://host without encryption. Without the variable they are files in the \
folder `mail` of the data.

Ctrl-C ends the program; what waits is in the store, and the next start goes on with it.")]
pub struct ServeArgs {
    /// The address to listen on; the default can be reached from this machine only
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,
    /// The port to listen on; 0 lets the system choose one
    #[arg(long, default_value_t = 5566)]
    pub port: u16,
    /// The folder with the store, and with mails if there is no server for them
    #[arg(long, default_value = "notifier.data")]
    pub data: PathBuf,
    /// The sender of mails
    #[arg(long, default_value = "Notifier <notifier@localhost.localdomain>")]
    pub from: String,
    /// A folder with templates, as LANGUAGE/TOPIC.line.txt; they replace those of the program
    #[arg(long)]
    pub templates: Option<PathBuf>,
    /// How long the first of several notifications waits for more, in milliseconds
    #[arg(long, default_value_t = 5000)]
    pub window: u64,
    /// The most messages that the list of a user keeps; the oldest one goes first
    #[arg(long, default_value = "100")]
    pub inbox: NonZeroUsize,
    /// The most notifications that wait; one more is refused with 503
    #[arg(long, default_value = "100000")]
    pub max_pending: NonZeroUsize,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_default_is_this_machine_only() {
        Cli::command().debug_assert();
        let cli = Cli::try_parse_from(["notifier", "serve"]).expect("a command line");
        let Some(Command::Serve(serve)) = cli.command else { panic!("{cli:?}") };
        assert!(serve.host.is_loopback());
        assert!(
            crate::channel::mail::Composer::new(
                &serve.from,
                crate::templates::Templates::load(None).expect("the built-in ones")
            )
            .is_ok()
        );
        assert!(Cli::try_parse_from(["notifier", "serve", "--max-pending", "0"]).is_err());
        assert!(Cli::try_parse_from(["notifier"]).expect("no command").command.is_none());
    }
}
