//! The command line.

use std::net::{IpAddr, Ipv4Addr};

use clap::Parser;

/// Shows the registration form of level 5 in a browser.
///
/// The program serves one page. Buttons make the service behind the form slow, silent or failing. Ctrl-C ends it.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(name = "registration-page", version)]
pub struct Cli {
    /// The address to listen on; the default can be reached from this machine only
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,
    /// The port to listen on; 0 lets the system choose one
    #[arg(long, default_value_t = 5555)]
    pub port: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_this_machine_only() {
        let cli = Cli::try_parse_from(["registration-page"]).expect("a command line");
        assert!(cli.host.is_loopback());
        assert_eq!(cli.port, 5555);
        assert!(Cli::try_parse_from(["registration-page", "--port", "65536"]).is_err());
    }
}
