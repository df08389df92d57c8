//! The gateway with the store and the services that the command line names.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use level3::gateway::{Gateway, GatewayConfig, GatewayConfigError};
use level3::retry::Backoff;
use level3_adapters::receipts::{ClaimedReceipts, Feed};
use level3_adapters::sendgrid::{SendGrid, SendGridConfig, SendGridKey};
use level3_adapters::sql::Store;
use level3_adapters::stripe::{Stripe, StripeConfig, StripeError, StripeKey};
use level3_domain::event::{Event, Observer};
use level3_domain::ids::PaymentId;
use level3_domain::journal::Journal;
use level3_domain::provider::{Providers, Receipts};
use level3_domain::refund::PartRefunds;
use level3_sim::World;
use program_kit::run_name::random;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;

use super::args::ServiceArgs;
use super::figures::Figures;
use super::meter::Metered;
use super::place::OpenStore;
use super::problem::ProgramError;
use super::simulated;
use super::undo_limits::{patient, undo_limits};

/// How long SendGrid's activity feed may take to show a mail. SendGrid states no figure; half of what a
/// command waits for receipts at its end leaves time for the mail itself.
const SENDGRID_FEED_LAG: Duration = Duration::from_secs(30);
/// The same for the simulated mail service, which shows a mail when it is sent: longer than a request
/// of another process can be under way.
const SIMULATED_FEED_LAG: Duration = Duration::from_secs(1);

/// The gateway, with the store and the services that it uses.
pub struct Engine {
    pub gateway: Gateway,
    parts: Parts,
    pub store: OpenStore,
    pub figures: Arc<Figures>,
    pub provider: Arc<Metered>,
    pub payments: Payments,
    /// The fraud check is always simulated; the payment provider and the mail are simulated unless
    /// the command line names others.
    pub world: World,
    pub simulated_mail: bool,
    failed_receipts: Mutex<UnboundedReceiver<(PaymentId, String)>>,
}

/// What a gateway is made of.
struct Parts {
    config: GatewayConfig,
    providers: Providers,
    journal: Arc<dyn Journal>,
    observer: Arc<dyn Observer>,
}

impl Parts {
    fn gateway(&self) -> Result<Gateway, GatewayConfigError> {
        let Self { config, providers, journal, observer } = self;
        let (journal, observer) = (Arc::clone(journal), Arc::clone(observer));
        Gateway::new(config.clone(), providers.clone(), journal, observer)
    }
}

/// How the gateway is connected to its store and its observers.
pub struct Wiring {
    /// Makes the gateway's journal from the store.
    pub journal: fn(Arc<dyn Store>) -> Arc<dyn Journal>,
    /// Gets every event, as the figures do.
    pub observer: Option<Arc<dyn Observer>>,
    /// Whether no client waits for a payment, so that undos may take long.
    pub is_patient: bool,
}

impl Wiring {
    /// The store as the journal, the figures as the only observer, and clients that wait.
    pub fn plain() -> Self {
        Self { journal: |store| store, observer: None, is_patient: false }
    }
}

/// Returns one observer for both.
fn observer(figures: Arc<Figures>, other: Option<Arc<dyn Observer>>) -> Arc<dyn Observer> {
    let Some(other) = other else { return figures };
    Arc::new(move |event: Event| {
        figures.on_event(event.clone());
        other.on_event(event);
    })
}

/// The payment provider.
pub enum Payments {
    Simulated,
    Stripe { client: Stripe, url: String },
}

impl Payments {
    /// Returns the name to show.
    pub fn name(&self) -> String {
        match self {
            Self::Simulated => "the simulated provider".to_owned(),
            Self::Stripe { url, .. } => format!("Stripe at {url}"),
        }
    }
}

impl Engine {
    /// Opens the store and checks that the services can be reached. Makes no payments yet.
    pub async fn start(args: &ServiceArgs) -> Result<Self, ProgramError> {
        Self::start_with(args, Wiring::plain()).await
    }

    /// The same with another wiring.
    pub async fn start_with(args: &ServiceArgs, wiring: Wiring) -> Result<Self, ProgramError> {
        // First the errors of the command line and the environment, before a file or a connection
        // is opened.
        let stripe = args.stripe.as_deref().map(stripe).transpose()?;
        let mail = args.sendgrid.as_deref().map(|url| send_grid(url, args)).transpose()?;
        let latency = match &stripe {
            Some((client, url)) => Some(latency(client, url).await?),
            None => None,
        };
        if let (Some(client), Some(url)) = (&mail, &args.sendgrid) {
            let url = url.clone();
            client.check().await.map_err(|why| ProgramError::SendGrid { url, why })?;
        }
        let store = args.store().open().await?;
        same_provider(args, &store).await?;
        let world = simulated::world(args, stripe.is_some(), mail.is_some())?;

        let simulated_mail = mail.is_none();
        let receipts = receipts(args, &store, &world, mail);
        let (sender, failed_receipts) = unbounded_channel();
        let figures = Arc::new(Figures::new(sender));
        let simulated = world.providers();
        let (charges, payments) = match stripe {
            Some((client, url)) => {
                (Arc::new(client.clone()) as _, Payments::Stripe { client, url })
            }
            None => (simulated.payments, Payments::Simulated),
        };
        let provider = Arc::new(Metered::new(charges));
        let providers = Providers {
            payments: Arc::clone(&provider) as _,
            fraud: simulated.fraud,
            ledger: Arc::clone(&store.store) as _,
            receipts: Arc::new(receipts),
        };
        let journal = (wiring.journal)(Arc::clone(&store.store));
        let observer = observer(Arc::clone(&figures), wiring.observer);
        let mut config = config(args, latency);
        if wiring.is_patient {
            config = patient(config, args.undo_limit());
        }
        let parts = Parts { config, providers, journal, observer };
        let failed_receipts = Mutex::new(failed_receipts);
        Ok(Self {
            gateway: parts.gateway()?,
            parts,
            store,
            figures,
            provider,
            payments,
            world,
            simulated_mail,
            failed_receipts,
        })
    }

    /// Replaces a gateway that has drained, and so begins nothing more. The new one has the same store and
    /// services, and breakers, limits and dead letters of its own.
    pub fn replace_gateway(&mut self) -> Result<(), ProgramError> {
        self.gateway = self.parts.gateway()?;
        Ok(())
    }

    /// Returns the provider's client for refunds in part.
    pub fn part_refunds(&self) -> Arc<dyn PartRefunds> {
        match &self.payments {
            Payments::Simulated => self.world.part_refunds(),
            Payments::Stripe { client, .. } => Arc::new(client.clone()),
        }
    }

    /// Records in the store which receipts could not be sent, so that other processes see them.
    ///
    /// A failure changes nothing: the outbox has the receipts, and the next recovery tries them
    /// again.
    pub async fn note_failed_receipts(&self) {
        let mut failed = self.failed_receipts.lock().await;
        while let Ok((payment, cause)) = failed.try_recv() {
            let _ = self.store.store.receipt_failed(payment, cause).await;
        }
    }

    /// Waits until no payment is under way, at most for the given time, and closes the store.
    pub async fn close(self, limit: Duration) {
        self.gateway.drain(limit).await;
        self.note_failed_receipts().await;
        self.store.close().await;
    }
}

fn stripe(url: &str) -> Result<(Stripe, String), ProgramError> {
    let key = StripeKey::new(&variable("--stripe", "STRIPE_SECRET_KEY")?)?;
    let config = StripeConfig { base_url: url.to_owned(), ..StripeConfig::new(key) };
    let client =
        Stripe::new(config).map_err(|why| ProgramError::Url { option: "--stripe", why })?;
    Ok((client, url.to_owned()))
}

/// Checks that Stripe can be used, and returns how long a call takes: of two, the second one has a
/// connection already.
async fn latency(client: &Stripe, url: &str) -> Result<Duration, ProgramError> {
    let mut took = Duration::MAX;
    for _ in 0..2 {
        let begun = Instant::now();
        client.check().await.map_err(|why| stripe_problem(url, why))?;
        took = took.min(begun.elapsed());
    }
    Ok(took)
}

fn stripe_problem(url: &str, why: StripeError) -> ProgramError {
    let advice = match &why {
        StripeError::Unreachable { .. } | StripeError::TimedOut { .. } => {
            "Correct the address, or check that the network and the server are up"
        }
        StripeError::Refused(refusal) if matches!(refusal.status, 401 | 403) => {
            "Correct the key in STRIPE_SECRET_KEY"
        }
        StripeError::Unreadable { .. } => "Correct the address: something else answers there",
        _ => "Try again later",
    };
    ProgramError::Stripe { url: url.to_owned(), why, advice }
}

fn send_grid(url: &str, args: &ServiceArgs) -> Result<SendGrid, ProgramError> {
    let key = SendGridKey::new(&variable("--sendgrid", "SENDGRID_API_KEY")?)?;
    let no_sender = ProgramError::NoKey { option: "--sendgrid", variable: "--mail-from" };
    let from = args.mail_from.clone().ok_or(no_sender)?;
    let config = SendGridConfig {
        base_url: url.to_owned(),
        sandbox: args.mail_sandbox,
        ..SendGridConfig::new(key, from)
    };
    SendGrid::new(config).map_err(|why| ProgramError::Url { option: "--sendgrid", why })
}

/// The mail service, which sends a receipt only under a claim in the store.
fn receipts(
    args: &ServiceArgs,
    store: &OpenStore,
    world: &World,
    mail: Option<SendGrid>,
) -> ClaimedReceipts {
    let claims = Arc::clone(&store.store) as _;
    let (mail, feed): (Arc<dyn Receipts>, _) = match mail {
        Some(client) => {
            let feed = Feed { feed: Arc::new(client.clone()), lag: SENDGRID_FEED_LAG };
            (Arc::new(client), feed)
        }
        None => {
            let lag = SIMULATED_FEED_LAG / args.speed.get();
            (world.providers().receipts, Feed { feed: world.mail_feed(), lag })
        }
    };
    ClaimedReceipts::new(mail, claims, (!args.no_mail_feed).then_some(feed))
}

fn variable(option: &'static str, variable: &'static str) -> Result<String, ProgramError> {
    env::var(variable).map_err(|_| ProgramError::NoKey { option, variable })
}

/// Checks that the store is used with the provider that it was begun with: no other provider can
/// refund its charges.
async fn same_provider(args: &ServiceArgs, store: &OpenStore) -> Result<(), ProgramError> {
    let mut book = simulated::services(args).into_os_string();
    book.push(".provider");
    // A missing file counts as empty.
    let simulated = std::fs::metadata(&book).is_ok_and(|book| book.len() > 0);
    let (place, book) = (store.store.place().to_owned(), PathBuf::from(book));
    if args.stripe.is_some() && simulated {
        return Err(ProgramError::SimulatedBefore { place });
    }
    if args.stripe.is_none() && !simulated && store.store.counts().await?.completed > 0 {
        return Err(ProgramError::ProviderUnknown { place, book });
    }
    Ok(())
}

/// Returns the configuration of the gateway. The limit of the account and the pauses between
/// attempts scale with the speed of the simulated services. The time limits do not: they also cover
/// delays of this machine.
fn config(args: &ServiceArgs, latency: Option<Duration>) -> GatewayConfig {
    // A random seed, and not that of the failures: two processes that undo after the same outage
    // must not call at the same moments.
    let mut config = GatewayConfig { seed: random(), ..GatewayConfig::default() };
    let calls = args.calls.map(|calls| calls.get()).or(args.stripe.as_ref().map(|_| 25));
    if let Some(rate) = calls.and_then(|calls| (calls as usize).try_into().ok()) {
        config.rate = rate;
    }
    config.undo = undo_limits(args.undo_limit(), latency);
    tracing::info!(limits = ?config.undo, ?latency, "the limits of an attempt to undo a step");
    let speed = args.speed.get();
    if speed > 1 {
        config.rate_window /= speed;
        config.max_backlog /= speed;
        let steps = [
            &mut config.create,
            &mut config.fraud,
            &mut config.confirm,
            &mut config.save,
            &mut config.receipt,
        ];
        for step in steps {
            step.retry.backoff = faster(&step.retry.backoff, speed);
        }
    }
    config
}

/// Returns the same schedule with shorter pauses, of 1 ms at least.
fn faster(backoff: &Backoff, times: u32) -> Backoff {
    let shorter = |pause: Duration| (pause / times).max(Duration::from_millis(1));
    // After that many attempts the pause has reached the cap.
    let (base, cap) = (shorter(backoff.nominal(1)), shorter(backoff.nominal(u32::MAX)));
    Backoff::new(base, 2.0, cap, backoff.attempts()).unwrap_or(*backoff)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn two_processes_do_not_pause_in_lockstep() {
        let args = Cli::parse_from(["payment-gateway"]).services;
        assert_ne!(config(&args, None).seed, config(&args, None).seed);
    }

    #[test]
    fn every_limit_that_can_be_given_leaves_time_to_pay() {
        let latencies = [None, Some(Duration::ZERO), Some(Duration::MAX)];
        for limit in [None, Some("10"), Some("3000")] {
            let line = ["payment-gateway", "--undo-limit"].into_iter().chain(limit);
            let args = Cli::parse_from(line.take(if limit.is_some() { 3 } else { 1 })).services;
            for latency in latencies {
                let config = config(&args, latency);
                for config in [patient(config.clone(), args.undo_limit()), config] {
                    let world = World::new(level3_sim::NoFaults);
                    let journal = Arc::new(level3_domain::journal::MemoryJournal::new());
                    let observer = Arc::new(level3_domain::event::NoObserver);
                    let gateway = Gateway::new(config, world.providers(), journal, observer);
                    assert!(gateway.is_ok(), "{limit:?} {latency:?}");
                }
            }
        }
    }
}
