//! The payment service: the gateway behind HTTP, until it is asked to stop.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use gateway_service::{
    ApiKey, EndpointEntry, EndpointFile, Endpoints, EventType, FiledJournal, KeyEntry, KeyFile,
    Keyring, MerchantId, Metrics, Parts, Reports, Scope, Secret, Service, ServiceConfig, Tls,
    TlsFiles,
};
use level3_adapters::reconcile::{ReconcileConfig, Reconciler};
use level3_adapters::sql::{Store, StoreError};
use level3_adapters::stripe::events::EndpointSecret;
use level3_adapters::webhooks::{HookClient, HookUrl};
use level3_domain::journal::{Journal, SagaId};
use program_kit::stop::Shutdown;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::args::ServiceArgs;
use super::engine::{Engine, Wiring};
use super::place::StoreUrl;
use super::problem::{Outcome, ProgramError};
use super::reconcile::sides;
use super::view::say;
use super::{FINISHING, print, print_json};

/// How often failed receipts are noted in the store, and the store is looked at.
const NOTING: Duration = Duration::from_secs(1);
/// How often the file of the keys is looked at.
const KEYS: Duration = Duration::from_secs(2);
/// The variable with the secrets of Stripe's reports, and the one that names a file with them.
const STRIPE_SECRETS: &str = "STRIPE_WEBHOOK_SECRET";
const STRIPE_SECRETS_FILE: &str = "STRIPE_WEBHOOK_SECRET_FILE";
/// How long an endpoint may take to answer.
const NOTIFYING: Duration = Duration::from_secs(15);
/// How often the files of the certificate are looked at.
const CERTIFICATE: Duration = Duration::from_secs(2);
/// The pause between a payment that may need a recovery and the recovery: most end by themselves.
const SETTLING: Duration = Duration::from_secs(20);
/// How long a service whose store is lost waits for the answers to requests under way.
const HOPELESS: Duration = Duration::from_secs(15);
/// The pause after a recovery that the store did not allow.
const NEXT_TRY: Duration = Duration::from_secs(5);

/// The folder of a service.
#[derive(Debug, Args)]
pub struct DataArgs {
    /// The folder of the service: keys.toml and, unless --store names another place,
    /// payments.sqlite
    #[arg(long, default_value = "gateway-data", value_name = "FOLDER")]
    data: PathBuf,
}

/// The options of the service.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    data: DataArgs,

    /// Keep everything in a temporary folder, which is deleted at the end
    #[arg(long, conflicts_with = "data")]
    temporary: bool,

    /// The address to listen on. Port 0 selects a free one
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,

    /// Answer over TLS, with the certificates of this file (PEM): the service's own first. Certificate
    /// and key are read again when they have changed
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,

    /// The private key of the certificate (PEM, without a password)
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,

    /// Print each option with its value and where it comes from, check the files that they name, and
    /// stop. The text is a file for --config
    #[arg(long)]
    pub check_config: bool,
}

impl ServeArgs {
    /// Checks the endpoints and the keys, if the service has some already, and the certificate.
    pub fn check_files(&self) -> Result<(), ProgramError> {
        let keys = keys_of(&self.data.data);
        if !self.temporary && keys.exists() {
            KeyFile::read(&keys)?;
        }
        EndpointFile::read(&endpoints_of(&self.data.data))?;
        stripe_secrets()?;
        self.tls()?;
        Ok(())
    }

    /// Reads the certificate, if there is one.
    fn tls(&self) -> Result<Option<Tls>, ProgramError> {
        let Some((certificate, key)) = self.tls_certificate.clone().zip(self.tls_key.clone())
        else {
            return Ok(None);
        };
        Ok(Some(Tls::read(TlsFiles { certificate, key })?))
    }
}

/// The options of a new key.
#[derive(Debug, Args)]
pub struct AddKeyArgs {
    #[command(flatten)]
    data: DataArgs,

    /// The merchant whose key it is: small letters, digits and hyphens. A new name is a new merchant
    merchant: MerchantId,

    /// What the key may do: payments:read, payments:write, refunds:write, metrics:read, operator.
    /// Repeat it for more than one
    #[arg(long = "scope", required = true, value_name = "SCOPE")]
    scopes: Vec<Scope>,
}

/// The options of a new endpoint.
#[derive(Debug, Args)]
pub struct AddWebhookArgs {
    #[command(flatten)]
    data: DataArgs,

    /// The merchant whose events the endpoint gets
    merchant: MerchantId,

    /// Where they go: https, or a server on this machine
    url: HookUrl,

    /// An event that the endpoint gets, such as payment.paid. Repeat it for more than one; without
    /// it, the endpoint gets all
    #[arg(long = "event", value_name = "EVENT")]
    events: Vec<EventType>,
}

/// The folder of a running service; deleted at the end if it is temporary.
struct Folder {
    path: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl Folder {
    fn open(args: &ServeArgs) -> Result<Self, ProgramError> {
        if args.temporary {
            let temporary = tempfile::tempdir().map_err(ProgramError::System)?;
            return Ok(Self { path: temporary.path().to_owned(), _temporary: Some(temporary) });
        }
        make(&args.data.data)?;
        Ok(Self { path: args.data.data.clone(), _temporary: None })
    }

    fn keys(&self) -> PathBuf {
        keys_of(&self.path)
    }

    fn endpoints(&self) -> PathBuf {
        endpoints_of(&self.path)
    }

    /// The options of the gateway with the defaults of a service.
    fn services(&self, args: &ServiceArgs) -> ServiceArgs {
        let mut services = args.clone();
        let file = self.path.join("payments.sqlite");
        services.store.get_or_insert(StoreUrl::Sqlite { file, max_pages: None });
        // The simulated services of a stream fail as the assignment says. A service that is tried
        // with curl should not, unless it is asked to.
        services.calm = services.failure_rate.is_none();
        services
    }
}

fn make(folder: &Path) -> Result<(), ProgramError> {
    std::fs::create_dir_all(folder)
        .map_err(|why| ProgramError::Folder { path: folder.to_owned(), why })
}

fn keys_of(folder: &Path) -> PathBuf {
    folder.join("keys.toml")
}

fn endpoints_of(folder: &Path) -> PathBuf {
    folder.join("webhooks.toml")
}

/// Serves until the program is asked to stop, and drains.
pub async fn serve(
    args: &ServiceArgs,
    how: &ServeArgs,
    stop: &Shutdown,
) -> Result<Outcome, ProgramError> {
    let folder = Folder::open(how)?;
    let first_key = first_key(&folder.keys())?;
    let keys = Keyring::new(&KeyFile::read(&folder.keys())?);
    let endpoints = Endpoints::new(EndpointFile::read(&folder.endpoints())?);
    let secrets = stripe_secrets()?;
    let hooks = HookClient::new(NOTIFYING).map_err(ProgramError::Hooks)?;
    let tls = how.tls()?;
    // Before the store is opened: an address in use is the most common error.
    let listener = TcpListener::bind(how.listen)
        .await
        .map_err(|why| ProgramError::Listen { address: how.listen, why })?;
    let address = listener.local_addr().map_err(ProgramError::System)?;

    let metrics = Metrics::new();
    let wiring = Wiring {
        journal: |store: Arc<dyn Store>| Arc::new(FiledJournal::new(store)) as Arc<dyn Journal>,
        observer: Some(Arc::new(metrics.clone())),
        is_patient: false,
    };
    let engine = Engine::start_with(&folder.services(args), wiring).await?;
    let reconciler = Reconciler::new(sides(&engine)?, ReconcileConfig::default());
    let parts = Parts {
        gateway: engine.gateway.clone(),
        store: Arc::clone(&engine.store.store),
        provider: Arc::clone(&engine.provider) as _,
        refunds: engine.part_refunds(),
        hooks: Arc::new(hooks),
        reports: Reports { secrets, reconciler },
        endpoints: endpoints.clone(),
        metrics,
        keys: keys.clone(),
    };
    let service = Service::new(parts, ServiceConfig::default());
    let scheme = if tls.is_some() { "https" } else { "http" };
    told(args, &format!("{scheme}://{address}"), first_key.as_ref())?;
    say(&format!(
        "Charged by {}, kept in {}. Ctrl-C drains.",
        engine.payments.name(),
        engine.store.store.place()
    ));
    let beside = async {
        let keys = keys.follow(folder.keys(), KEYS);
        let endpoints = endpoints.follow(folder.endpoints(), KEYS);
        tokio::join!(
            recover(&engine, &service),
            note(&engine),
            service.follow_refunds(),
            service.follow_notifications(),
            service.follow_reports(),
            endpoints,
            keys,
            follow(tls.as_ref())
        )
    };
    let store = Arc::clone(&engine.store.store);
    let asked = async {
        tokio::select! {
            () = stop.asked(1) => {}
            _ = store.lost() => {}
        }
    };
    let lost = async {
        let lost = store.lost().await;
        // Payments under way are answered, and nothing of theirs is acknowledged.
        sleep(HOPELESS).await;
        lost
    };
    let drained = tokio::select! {
        drained = service.serve(listener, tls.clone(), asked) => drained,
        lost = lost => return Err(lost.into()),
        // None of them ends.
        _ = beside => return Ok(Outcome::Interrupted),
    };
    if let Some(lost) = store.last_error().filter(StoreError::is_final) {
        return Err(lost.into());
    }
    engine.close(FINISHING).await;
    if drained.under_way == 0 {
        say("Drained: no payment is under way.");
        return Ok(Outcome::Done);
    }
    let left = drained.under_way;
    say(&format!("{left} payments are still under way. The next start finishes them."));
    Ok(Outcome::Unsettled)
}

/// Reads the secrets with which Stripe signs its reports: several of them while they are rotated.
fn stripe_secrets() -> Result<Vec<EndpointSecret>, ProgramError> {
    let text = match (env::var(STRIPE_SECRETS), env::var_os(STRIPE_SECRETS_FILE)) {
        (Ok(text), _) => text,
        (Err(_), Some(path)) => std::fs::read_to_string(PathBuf::from(path))
            .map_err(|why| ProgramError::ReportSecrets { why: why.to_string() })?,
        _ => return Ok(Vec::new()),
    };
    let secrets = text.split([',', '\n']).filter(|text| !text.trim().is_empty());
    let read = secrets.map(EndpointSecret::new).collect::<Result<Vec<_>, _>>();
    read.map_err(|why| ProgramError::ReportSecrets { why: why.to_string() })
}

/// Makes the file of the keys at the first start, with one merchant and one key.
fn first_key(path: &Path) -> Result<Option<ApiKey>, ProgramError> {
    if path.exists() {
        return Ok(None);
    }
    let (key, entry) = KeyEntry::new(MerchantId::first(), Scope::ALL.to_vec())?;
    entry.append_to(path)?;
    Ok(Some(key))
}

/// Prints where the service is. The first key is printed once, and kept nowhere.
fn told(args: &ServiceArgs, url: &str, key: Option<&ApiKey>) -> Result<(), ProgramError> {
    if args.json {
        let key = key.map(ApiKey::expose);
        return print_json(&json!({ "url": url, "key": key }));
    }
    let mut text = format!("Listening on {url}\n");
    if let Some(key) = key {
        text += &format!(
            "Key of the merchant {}, for everything, shown only now:\n{}\n",
            MerchantId::first(),
            key.expose()
        );
    }
    print(&text)
}

/// Reads the certificate again after each change. Never returns.
async fn follow(tls: Option<&Tls>) {
    match tls {
        Some(tls) => tls.follow(CERTIFICATE).await,
        None => std::future::pending().await,
    }
}

/// Adds a key to the file. A running service reads it within seconds.
pub fn add_key(args: &ServiceArgs, how: &AddKeyArgs) -> Result<Outcome, ProgramError> {
    make(&how.data.data)?;
    let path = keys_of(&how.data.data);
    if path.exists() {
        // A file that the service would refuse gets no further entry.
        KeyFile::read(&path)?;
    }
    let (key, entry) = KeyEntry::new(how.merchant.clone(), how.scopes.clone())?;
    entry.append_to(&path)?;
    if args.json {
        print_json(&json!({ "id": key.id().as_str(), "key": key.expose() }))?;
    } else {
        print(&format!("{}\n", key.expose()))?;
        say(&format!(
            "Shown only now. To revoke it, delete the entry {} in {}.",
            key.id(),
            path.display()
        ));
    }
    Ok(Outcome::Done)
}

/// Adds an endpoint to the file. A running service reads it within seconds.
pub fn add_webhook(args: &ServiceArgs, how: &AddWebhookArgs) -> Result<Outcome, ProgramError> {
    make(&how.data.data)?;
    let path = endpoints_of(&how.data.data);
    // A file that the service would refuse gets no further entry.
    EndpointFile::read(&path)?;
    let events = (!how.events.is_empty()).then(|| how.events.clone());
    let entry = EndpointEntry::new(how.merchant.clone(), how.url.clone(), events)?;
    entry.append_to(&path)?;
    let secret = entry.secrets.first().map(Secret::expose).unwrap_or_default();
    if args.json {
        print_json(&json!({ "id": entry.id.as_str(), "secret": secret }))?;
    } else {
        print(&format!("{secret}\n"))?;
        say(&format!(
            "The endpoint {} in {}. The merchant checks each notification with the secret.",
            entry.id,
            path.display()
        ));
    }
    Ok(Outcome::Done)
}

/// Finishes what an earlier process has left, and later what this one could not end: payments whose
/// store was away when they should have ended. Never returns.
async fn recover(engine: &Engine, service: &Service) {
    loop {
        match engine.gateway.recover().await {
            Ok(recovered) => {
                tracing::info!(?recovered, "recovered");
                service.unsettled().await;
                sleep(SETTLING).await;
            }
            Err(error) => {
                tracing::warn!(%error, "the recovery will be tried again");
                sleep(NEXT_TRY).await;
            }
        }
    }
}

/// Notes receipts that could not be sent in the store, where every process sees them, and uses the
/// store, so that it is found out whether it is still there. Never returns.
async fn note(engine: &Engine) {
    let mut ticks = interval(NOTING);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        engine.note_failed_receipts().await;
        // The store keeps and logs its failures.
        drop(engine.store.store.read(SagaId::new("heartbeat")).await);
    }
}
