//! The verdict channel, the grader's end.
//!
//! On Unix a socket pair on the child's standard input: a socket cannot be opened through a path
//! such as `/proc/self/fd/5`, as a pipe can. Elsewhere (or with `GRADER_CHANNEL=output`, to try it)
//! the secret goes in through a pipe and the verdict comes back as a marked line of the output.
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;

use grader_protocol::{Answer, Order, VERSION};

use super::Subject;

/// A verdict is some KiB long.
const LONGEST: u64 = 1 << 20;

/// What the channel's reader tells the supervisor.
#[derive(Debug)]
pub(super) enum Heard {
    /// One line.
    Line(String),
    /// The other end is closed.
    End,
}

/// The grader's end, before the child has started.
pub(super) enum Channel {
    #[cfg(unix)]
    Socket(std::os::unix::net::UnixStream),
    Output,
}

/// Where the verdict will come from.
pub(super) struct Told {
    /// It is a marked line of the child's output.
    pub(super) in_output: bool,
}

/// Gives the command its end of the channel.
pub(super) fn attach(command: &mut Command) -> io::Result<Channel> {
    #[cfg(unix)]
    if std::env::var_os("GRADER_CHANNEL").is_none_or(|kind| kind != "output") {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        command.stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)));
        return Ok(Channel::Socket(ours));
    }
    command.stdin(Stdio::piped());
    Ok(Channel::Output)
}

impl Channel {
    /// Hands the order over and begins to listen.
    pub(super) fn open(
        self,
        child: &mut Child,
        nonce: &str,
        subject: Subject<'_>,
        tell: &Sender<Heard>,
    ) -> io::Result<Told> {
        let order = |answer| -> io::Result<String> {
            let (nonce, id) = (nonce.to_owned(), subject.id.to_owned());
            let seed = subject.seed.number();
            Ok(serde_json::to_string(&Order { version: VERSION, nonce, id, seed, answer })?)
        };
        match self {
            #[cfg(unix)]
            Channel::Socket(mut socket) => {
                // A child that died at once is told by its exit status.
                let _ = writeln!(socket, "{}", order(Answer::Socket)?);
                let tell = tell.clone();
                std::thread::spawn(move || {
                    let mut line = Vec::new();
                    let read = BufReader::new(socket.take(LONGEST)).read_until(b'\n', &mut line);
                    let heard = match read {
                        Ok(1..) => Heard::Line(String::from_utf8_lossy(&line).into_owned()),
                        _ => Heard::End,
                    };
                    let _ = tell.send(heard); // the receiver is gone: the process was stopped
                });
                Ok(Told { in_output: false })
            }
            Channel::Output => {
                if let Some(mut stdin) = child.stdin.take() {
                    let _ = writeln!(stdin, "{}", order(Answer::Output)?);
                }
                Ok(Told { in_output: true })
            }
        }
    }
}
