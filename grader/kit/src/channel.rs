//! The verdict channel: one order comes in, one message goes out.
use std::io::{self, BufRead as _, BufReader, Write as _};

use grader_protocol::{Answer, LINE_MARK, Message, Order, VERSION};

/// The way back to the grader.
#[derive(Debug)]
pub(crate) enum Channel {
    /// A socket that no path leads to. As a file it is written by `write(2)`, which the jail allows.
    #[cfg(unix)]
    Socket(std::fs::File),
    /// Standard output, one marked line that carries the secret: for platforms without such sockets.
    Output,
    /// The terminal, for a check that is run by hand.
    Terminal,
}

/// Takes the channel over and reads the order.
///
/// # Errors
///
/// When standard input holds none: the binary was not started by a grader of the same build.
pub(crate) fn open() -> io::Result<(Order, Channel)> {
    let mut stdin = BufReader::new(io::stdin());
    let mut line = String::new();
    stdin.read_line(&mut line)?;
    let order: Order = serde_json::from_str(&line)
        .map_err(|_| io::Error::other("standard input holds no order of the grader"))?;
    if order.version != VERSION {
        let (theirs, ours) = (order.version, VERSION);
        let why = format!("the grader speaks version {theirs}, this binary version {ours}");
        return Err(io::Error::other(why));
    }
    let channel = match order.answer {
        #[cfg(unix)]
        Answer::Socket => socket()?,
        _ => Channel::Output,
    };
    Ok((order, channel))
}

/// Moves the socket from descriptor 0, where the judged code could reach it as standard input, to
/// one that only this process's memory knows.
#[cfg(unix)]
fn socket() -> io::Result<Channel> {
    use std::os::fd::AsFd as _;

    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(&std::fs::File::open("/dev/null")?)?;
    Ok(Channel::Socket(std::fs::File::from(socket)))
}

impl Channel {
    /// Sends the verdict.
    ///
    /// # Errors
    ///
    /// When the grader is gone.
    pub(crate) fn send(self, message: &Message) -> io::Result<()> {
        let json = serde_json::to_string(message)?;
        match self {
            #[cfg(unix)]
            Channel::Socket(mut socket) => writeln!(socket, "{json}"),
            Channel::Output => {
                let mut out = io::stdout().lock();
                writeln!(out, "\n{LINE_MARK} {} {json}", message.nonce)?;
                out.flush()
            }
            Channel::Terminal => {
                let mut out = io::stdout().lock();
                writeln!(out, "{}", serde_json::to_string_pretty(message)?)?;
                out.flush()
            }
        }
    }
}
