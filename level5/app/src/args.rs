//! The command line.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use program_kit::log::LogFormat;
use reqwest::Url;

/// Moves events from a source to services, and loses none of them.
///
/// Without a command: delivers what an earlier run has left in the journal, takes events from the source, shows the
/// progress, and checks at the end that every accepted event was delivered, is a dead letter, or is in the journal.
#[derive(Debug, Parser)]
#[command(name = "event-processor", version, args_override_self = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// Another command than moving events.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Where events come from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Where they go.
    #[command(flatten)]
    pub sink: SinkArgs,
    /// How they are kept and processed.
    #[command(flatten)]
    pub processor: ProcessorArgs,
}

const EXIT_CODES: &str = "\
Ctrl-C takes no more events and delivers those that are pending; a second one ends the program at once, and the next start \
goes on with what the journal has.

Exit codes:
  0    done: every accepted event was delivered
  1    an event is a dead letter or still pending, or a line of the input was skipped
  2    the command line is wrong
  3    the journal, the source or a service cannot be used, or an event was lost
  130  ended at once";

/// The other commands.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Command {
    /// List the dead letters of the journal
    DeadLetters,
}

/// Where events come from.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// generator, lines:FILE, lines:- for standard input, or http:ADDRESS:PORT for POST /events. A line is a JSON object with the fields id, kind, key,
    /// priority (low, medium, high, critical), at (2026-11-29T12:00:00Z) and data; all but id and kind may be missing
    #[arg(long, default_value = "generator", value_name = "SOURCE")]
    pub source: SourceKind,

    /// Number of events that the generator makes; 0 only delivers what the journal has
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    pub events: u64,

    /// Bytes of data of each generated event
    #[arg(long, default_value_t = 100, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(..=1 << 20))]
    pub event_bytes: u32,

    /// The ids of generated events are PREFIX-1, PREFIX-2, ... [default: a new one for each run]
    #[arg(long, value_name = "PREFIX")]
    pub id_prefix: Option<String>,

    /// Events per second [default: as many as the processor takes]
    #[arg(long, value_name = "R")]
    pub rate: Option<NonZeroU32>,

    /// Print the id of each accepted event on a line of stdout when the journal has it
    #[arg(long, conflicts_with = "json")]
    pub acks: bool,

    /// Send the dead letters of the journal again before anything else
    #[arg(long)]
    pub redrive: bool,
}

/// Where events go.
#[derive(Debug, Args)]
pub struct SinkArgs {
    /// simulated, lines:FILE to add a JSON line for each event, or an http(s) URL, which gets the batches of service S at
    /// URL/S. The service of an event is its kind up to the first dot
    #[arg(long, default_value = "simulated", value_name = "SINK")]
    pub sink: SinkKind,

    /// Milliseconds that a simulated service takes for a batch
    #[arg(long, default_value_t = 1, value_name = "MS")]
    pub latency: u32,

    /// Percentage of the batches to which a simulated service does not answer, half of them after it has taken them
    #[arg(long, default_value = "0", value_name = "P", value_parser = percent)]
    pub failure_rate: f64,

    /// Percentage of the events that a simulated service refuses for good
    #[arg(long, default_value = "0", value_name = "P", value_parser = percent)]
    pub reject_rate: f64,

    /// The seed that decides which calls fail
    #[arg(long, default_value_t = 7, value_name = "S")]
    pub seed: u64,
}

/// How events are kept and processed.
#[derive(Debug, Args)]
pub struct ProcessorArgs {
    /// The folder of the journal; nats://HOST:PORT/STREAM for a stream of NATS JetStream, which several processes share;
    /// or memory: for none that outlives the program
    #[arg(long, global = true, default_value = "events.journal", value_name = "JOURNAL")]
    pub journal: JournalPlace,

    /// The lane of the stream. A program that is started again with the same lane goes on with its own events, as soon as
    /// the lease of the one before is over [default: any free lane]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u32).range(..10_000))]
    pub lane: Option<u32>,

    /// Seconds after which a process that the server does not hear of is treated as dead, and another one takes its events
    /// over
    #[arg(long, global = true, default_value = "10", value_name = "S")]
    pub lease: NonZeroU32,

    /// The most MiB of the journal, at least 8
    #[arg(long, global = true, default_value_t = 4096, value_name = "MIB", value_parser = clap::value_parser!(u64).range(8..=1 << 20))]
    pub journal_limit: u64,

    /// Go on with a damaged journal, without the events that cannot be read; their names are printed
    #[arg(long, global = true)]
    pub accept_damage: bool,

    /// The most events of a batch
    #[arg(long, default_value = "500", value_name = "N")]
    pub batch: NonZeroUsize,

    /// The most batches of a service that are on their way at once
    #[arg(long, default_value = "8", value_name = "N")]
    pub in_flight: NonZeroUsize,

    /// The most events that may be pending
    #[arg(long, default_value = "50000", value_name = "N")]
    pub threshold: NonZeroUsize,

    /// How many times an event is sent, at most
    #[arg(long, default_value = "4", value_name = "N")]
    pub attempts: NonZeroU32,

    /// Milliseconds to the second attempt. Each further wait is twice as long
    #[arg(long, default_value = "1000", value_name = "MS")]
    pub retry_wait: NonZeroU32,

    /// Seconds to deliver what is pending at the end. The journal keeps the rest
    #[arg(long, default_value_t = 60, value_name = "S")]
    pub drain: u32,

    /// Show the run on a page at this address while it goes on. Port 0 selects a free one. The page can send dead
    /// letters again, so leave the address on this machine
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub monitor: Option<SocketAddr>,

    /// Print the result as JSON, errors too
    #[arg(long, global = true)]
    pub json: bool,

    /// The format of log lines on stderr. RUST_LOG selects the lines (info,level5_journal=debug) [default: errors]
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub log_format: LogFormat,
}

impl ProcessorArgs {
    /// How long the end may take.
    #[must_use]
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain.into())
    }
}

/// A kind of source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceKind {
    /// Events that the program makes.
    Generator,
    /// Lines of this file.
    File(PathBuf),
    /// Lines of standard input.
    Stdin,
    /// Requests to this address.
    Http(SocketAddr),
}

impl FromStr for SourceKind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(address) = text.strip_prefix("http:") {
            let parsed = address.trim_start_matches("//").parse();
            return parsed
                .map(Self::Http)
                .map_err(|_| "write http:127.0.0.1:8088, with an address and a port");
        }
        match (text, text.strip_prefix("lines:")) {
            ("generator", _) => Ok(Self::Generator),
            (_, Some("-")) => Ok(Self::Stdin),
            (_, Some(file)) if !file.is_empty() => Ok(Self::File(file.into())),
            _ => {
                Err("write generator, lines:FILE, lines:- for standard input, or http:ADDRESS:PORT")
            }
        }
    }
}

/// A kind of sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkKind {
    /// Services that the program plays.
    Simulated,
    /// A file that gets a line for each event.
    File(PathBuf),
    /// Services below this URL.
    Http(Url),
}

impl FromStr for SinkKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let help = "write simulated, lines:FILE, or http(s)://HOST/PATH";
        if text == "simulated" {
            return Ok(Self::Simulated);
        }
        match text.strip_prefix("lines:") {
            Some("") => Err(help.to_owned()),
            Some(file) => Ok(Self::File(file.into())),
            None => match Url::parse(text) {
                Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(Self::Http(url)),
                Ok(_) => Err(help.to_owned()),
                Err(why) => Err(format!("{help}: {why}")),
            },
        }
    }
}

/// Where accepted events are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalPlace {
    /// In memory.
    Memory,
    /// In this folder.
    Folder(PathBuf),
    /// In this stream.
    Stream(String),
}

impl FromStr for JournalPlace {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Err("write the name of a folder, nats://HOST:PORT/STREAM, or memory"),
            "memory" => Ok(Self::Memory),
            stream if stream.starts_with("nats://") || stream.starts_with("tls://") => {
                Ok(Self::Stream(stream.to_owned()))
            }
            folder => Ok(Self::Folder(folder.into())),
        }
    }
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.0..=100.0).contains(&number) => Ok(number),
        _ => Err("not a number from 0 to 100".to_owned()),
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
            "--events -1",
            "--rate 0",
            "--source lines:",
            "--source kafka",
            "--source http:localhost",
            "--sink ftp://host",
            "--sink lines:",
            "--sink nowhere",
            "--journal=",
            "--lane 10000",
            "--lease 0",
            "--journal-limit 7",
            "--failure-rate 101",
            "--batch 0",
            "--threshold 0",
            "--attempts 0",
            "--acks --json",
            "--log-format xml",
        ] {
            let line = std::iter::once("event-processor").chain(line.split(' '));
            assert!(Cli::try_parse_from(line.clone()).is_err(), "{:?}", line.collect::<Vec<_>>());
        }
    }

    #[test]
    fn places_are_named() {
        assert_eq!("lines:-".parse(), Ok(SourceKind::Stdin));
        let address = "127.0.0.1:8088".parse().unwrap();
        for text in ["http:127.0.0.1:8088", "http://127.0.0.1:8088"] {
            assert_eq!(text.parse(), Ok(SourceKind::Http(address)));
        }
        assert_eq!("lines:a:b".parse(), Ok(SourceKind::File("a:b".into())));
        assert_eq!("memory".parse(), Ok(JournalPlace::Memory));
        let stream = "nats://127.0.0.1:4222/events";
        assert_eq!(stream.parse(), Ok(JournalPlace::Stream(stream.to_owned())));
        assert_eq!("lines:out".parse(), Ok(SinkKind::File("out".into())));
        assert!(matches!("http://localhost:1/x".parse(), Ok(SinkKind::Http(_))));
    }
}
