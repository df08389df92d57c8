//! `serve`: puts the parts together, and takes them apart at the end.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use level3::retry::Backoff;
use level5::notifications::{Channels, Config};
use level5::wall_clock::{SystemWall, WallClock};
use tokio_util::sync::CancellationToken;

use crate::args::ServeArgs;
use crate::channel::in_app::{Bells, InApp};
use crate::channel::mail::{Composer, Folder, Smtp};
use crate::channel::webhook::Webhook;
use crate::channel::{Office, Tracked};
use crate::problem::ProgramError;
use crate::server::{Context, routes};
use crate::service::{Service, open};
use crate::store::{Disk, Limits};
use crate::templates::Templates;

/// The time that deliveries and connections have to end.
const FAREWELL: Duration = Duration::from_secs(3);
/// The file of the store, in the folder of the data.
const STORE: &str = "notifier.redb";
/// The variable with the server for mails.
const SMTP_URL: &str = "NOTIFIER_SMTP_URL";

/// 8 attempts, with waits from 1 s to 1 h: an endpoint that is down for an hour gets its notifications.
fn patience() -> Backoff {
    let attempts = std::num::NonZeroU32::MIN.saturating_add(7);
    let (first, longest) = (Duration::from_secs(1), Duration::from_secs(3600));
    Backoff::new(first, 4.0, longest, attempts).unwrap_or_default()
}

/// Serves until `stop` is cancelled.
///
/// # Errors
///
/// [`ProgramError`].
pub async fn serve(args: &ServeArgs, stop: CancellationToken) -> Result<(), ProgramError> {
    let data = |why: io::Error| ProgramError::Data { path: args.data.clone(), why };
    let templates = Templates::load(args.templates.as_deref())?;
    let composer = Composer::new(&args.from, templates.clone())?;
    fs::create_dir_all(&args.data).map_err(data)?;
    let limits = Limits { inbox: args.inbox, ..Limits::default() };
    let store = Arc::new(Disk::open(args.data.join(STORE), limits)?);
    let wall: Arc<dyn WallClock> = Arc::new(SystemWall);
    let (office, loaded) = open(store)?;
    let bells = Bells::default();
    let config = Config {
        window: Duration::from_millis(args.window),
        retry: patience(),
        max_pending: args.max_pending,
        ..Config::default()
    };
    let webhook = Webhook::new(templates.clone(), Arc::clone(&wall))?;
    let channels = Channels::default()
        .with(InApp::new(office.clone(), templates, bells.clone()))
        .with(Tracked::new(webhook, office.clone()));
    let (channels, mails) = mail(channels, &office, composer, &args.data)?;
    let (listener, address) = page_kit::listen(SocketAddr::new(args.host, args.port)).await?;
    let store = Arc::clone(&office.store);
    let (service, found) = Service::start(config, wall, (office, loaded), channels).await?;
    if found.resumed > 0 || found.delivered > 0 {
        say(&format!(
            "The store has {} notifications that wait, {} that were delivered without a record of it, and {} messages whose \
             outcome is unknown; those are sent again under the same ids.",
            found.resumed, found.delivered, found.unknown
        ));
    }
    say(&format!("{mails}. The page is at http://{address}/. Ctrl-C ends the program."));
    let context = Context::new(Arc::clone(&service), bells, stop.clone());
    let serves = axum::serve(listener, routes(context));
    let serves = async { serves.with_graceful_shutdown(stop.clone().cancelled_owned()).await };
    let ended = tokio::select! {
        ended = serves => ended.map_err(ProgramError::System),
        error = store.broken() => Err(ProgramError::Broken(error)),
        () = async {
            stop.cancelled().await;
            tokio::time::sleep(FAREWELL).await;
        } => Ok(()),
    };
    // Streams of other ways out end too.
    stop.cancel();
    let waits = service.shutdown(FAREWELL).await;
    ended?;
    say(&format!("The program has ended. {waits} notifications wait in the store."));
    Ok(())
}

/// Adds the channel for mails. Returns where they go.
fn mail(
    channels: Channels,
    office: &Office,
    composer: Composer,
    data: &Path,
) -> Result<(Channels, String), ProgramError> {
    match env::var(SMTP_URL) {
        Ok(url) => {
            let smtp = Smtp::new(&url, composer)?;
            let channels = channels.with(Tracked::new(smtp, office.clone()));
            Ok((channels, format!("Mails go to the server of {SMTP_URL}")))
        }
        Err(_) => {
            let path = data.join("mail");
            let at = |why| ProgramError::Data { path: path.clone(), why };
            let folder = Folder::new(&path, composer).map_err(at)?;
            let channels = channels.with(Tracked::new(folder, office.clone()));
            Ok((channels, format!("Mails go to {}", path.display())))
        }
    }
}

/// Prints a line. A reader that has closed stdout needs none.
fn say(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}
