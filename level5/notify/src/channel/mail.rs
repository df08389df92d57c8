//! Mail: over SMTP, or as files in a folder.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::Error;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use super::{Carrier, Failure};
use crate::desk::Letter;
use crate::profile::Way;
use crate::templates::Templates;

/// How long a command of SMTP may take. Less than the notifier's limit for a channel, so that its error is seen.
const COMMAND: Duration = Duration::from_secs(8);

/// Whether a text is a mail address.
#[must_use]
pub fn is_address(text: &str) -> bool {
    text.parse::<Address>().is_ok()
}

/// Writes mails.
#[derive(Debug, Clone)]
pub struct Composer {
    from: Mailbox,
    templates: Templates,
}

/// The sender of mails is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no sender: write `name@host` or `Name <name@host>`")]
pub struct SenderError(String);

impl Composer {
    /// A composer of mails from this address, such as `Shop <news@shop.example>`.
    ///
    /// # Errors
    ///
    /// [`SenderError`].
    pub fn new(from: &str, templates: Templates) -> Result<Self, SenderError> {
        let from = from.parse().map_err(|_| SenderError(from.to_owned()))?;
        Ok(Self { from, templates })
    }

    /// The mail of a letter. It is the same for every attempt: its `Message-ID` is the key of the letter, and its date
    /// is that of the last notification.
    ///
    /// # Errors
    ///
    /// [`Failure::Refused`] when the user has no address or no template shows the notifications.
    pub fn compose(&self, letter: &Letter) -> Result<Message, Failure> {
        let refused = |why: String| Failure::Refused(why);
        let address = letter.profile.mail.as_deref();
        let address = address.ok_or_else(|| refused("the user has no mail address".to_owned()))?;
        let to: Address = address.parse().map_err(|why| refused(format!("{address}: {why}")))?;
        let mail = self.templates.mail(letter).map_err(|why| refused(why.to_string()))?;
        let id = format!("<{}@{}>", letter.key, self.from.email.domain());
        let body = MultiPart::alternative_plain_html(mail.text, mail.html);
        let built = Message::builder()
            .message_id(Some(id))
            .date(SystemTime::from(letter.date()))
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(mail.subject)
            // No reply of a machine, such as a notice of absence, answers a mail that has this header.
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ))
            .multipart(body);
        built.map_err(|why| refused(why.to_string()))
    }
}

/// Sends mails to an SMTP server, over connections that stay open between mails.
#[derive(Debug)]
pub struct Smtp {
    server: AsyncSmtpTransport<Tokio1Executor>,
    composer: Composer,
}

impl Smtp {
    /// Sends to the server of a URL: `smtps://user:password@host`, `smtp://user:password@host:587?tls=required`, or
    /// without encryption `smtp://host`.
    ///
    /// # Errors
    ///
    /// What is wrong with the URL.
    pub fn new(url: &str, composer: Composer) -> Result<Self, Error> {
        let server = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)?;
        Ok(Self { server: server.timeout(Some(COMMAND)).build(), composer })
    }
}

impl Carrier for Smtp {
    fn way(&self) -> Way {
        Way::Mail
    }

    async fn carry(&self, letter: &Letter) -> Result<(), Failure> {
        let message = self.composer.compose(letter)?;
        match self.server.send(message).await {
            Ok(_) => Ok(()),
            Err(error) => Err(failure(&error)),
        }
    }
}

/// What an error of SMTP says about the mail.
fn failure(error: &Error) -> Failure {
    let text = chain(error);
    let code = error.status().map(u16::from);
    match code {
        // Codes of authentication and of an unencrypted connection are about this client, and not about the mail.
        Some(530..=538) => Failure::NotTaken(text),
        Some(500..) => Failure::Refused(text),
        Some(_) => Failure::NotTaken(text),
        // The mail cannot be expressed in SMTP, as with an address that the server has no extension for.
        None if error.is_client() => Failure::Refused(text),
        None => Failure::Unknown(text),
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Writes each mail to a file, which mail programs open: `KEY.eml`. A repeat replaces the file with the same one.
#[derive(Debug)]
pub struct Folder {
    folder: PathBuf,
    composer: Composer,
}

impl Folder {
    /// Writes to this folder, which it makes if it is not there.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn new(folder: impl AsRef<Path>, composer: Composer) -> io::Result<Self> {
        let folder = folder.as_ref().to_owned();
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, composer })
    }
}

impl Carrier for Folder {
    fn way(&self) -> Way {
        Way::Mail
    }

    async fn carry(&self, letter: &Letter) -> Result<(), Failure> {
        let message = self.composer.compose(letter)?;
        let file = self.folder.join(format!("{}.eml", letter.key));
        // Under another name first: a file with the last name is whole.
        let written = tokio::task::spawn_blocking(move || write(&file, &message.formatted())).await;
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => Err(Failure::NotTaken(why.to_string())),
            Err(why) => Err(Failure::Unknown(why.to_string())),
        }
    }
}

#[expect(clippy::disallowed_types, reason = "the folder is the provider of this channel")]
fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = file.with_extension("part");
    let mut open = fs::File::create(&part)?;
    open.write_all(bytes)?;
    open.sync_all()?;
    fs::rename(part, file)
}
