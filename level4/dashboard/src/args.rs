//! The command line.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use clap::Parser;

use crate::server::Settings;
use crate::source::Pace;

/// Shows level 4 at work in a browser: a dashboard, live orders, a search and a long list.
///
/// The program serves one page and, beside it, a simulated shop whose services fail and whose link breaks at the push
/// of a button. Ctrl-C ends it.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(name = "level4-dashboard", version)]
pub struct Cli {
    /// The address to listen on; the default can be reached from this machine only
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,
    /// The port to listen on; 0 lets the system choose one
    #[arg(long, default_value_t = 4444)]
    pub port: u16,
    /// Decides the delays, faults and orders of the shop
    #[arg(long, default_value_t = 4)]
    pub seed: u64,
}

/// A silent service is noticed while the user watches.
const PATIENCE: Duration = Duration::from_secs(3);

impl From<Cli> for Settings {
    fn from(cli: Cli) -> Self {
        let Cli { host, port, seed } = cli;
        Self { host, port, seed, pace: Pace::default(), patience: PATIENCE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_this_machine_only() {
        let cli = Cli::try_parse_from(["level4-dashboard"]).expect("a command line");
        assert!(cli.host.is_loopback());
        assert_eq!(cli.port, 4444);
        assert!(Cli::try_parse_from(["level4-dashboard", "--port", "65536"]).is_err());
        assert!(Cli::try_parse_from(["level4-dashboard", "--host", "nowhere"]).is_err());
    }
}
