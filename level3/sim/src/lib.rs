//! Simulated services: latencies and failures of the assignment, on tokio's clock, from a seed.
//!
//! A [`World`] is the other side: the provider's account, the ledger, the mails that were sent. Its state is
//! kept apart from the answers that clients got, which is the point of the whole exercise: an answer may be
//! lost after the call has had its effect.
//!
//! | item | what it is |
//! |---|---|
//! | [`World`] | the services, and their true state |
//! | [`Faults`]: [`NoFaults`], [`Script`], [`RandomFaults`] | which call fails, and how |
//! | [`Latencies`], [`Dice`] | how long calls take; chance from a seed |
//! | [`Process`], [`MortalJournal`] | a process that dies at a given point, and the journal as that process sees it |
//! | [`Probe`] | watches the calls |
//! | [`NarrowFraudCheck`] | a fraud check that can do only so much at once |
//! | [`InstantServices`] | services that answer at once, for measuring a gateway |

mod account;
mod at_once;
mod book;
mod fault;
mod listed;
mod mortal;
mod narrow;
mod net;
mod process;
mod services;
mod stripe;

use std::io;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use level3_domain::provider::{MailFeed, Providers, Receipt, Row};
use level3_domain::refund::PartRefunds;
use tokio::sync::Notify;

pub use account::IntentTruth;
pub use at_once::InstantServices;
pub use fault::{CallSite, Dice, Fault, Faults, NoFaults, RandomFaults, Rates, Script};
pub use mortal::MortalJournal;
pub use narrow::NarrowFraudCheck;
pub use net::{Ending, Probe};
pub use process::{CrashPoint, Process};

/// A panic under one of these locks is a requested fault; the guarded data stays consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long the services take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latencies {
    /// How many times faster than the assignment's; with `None` services answer at once.
    speed: Option<NonZeroU32>,
}

impl Latencies {
    /// The assignment's latencies.
    pub const ASSIGNMENT: Self = Self { speed: Some(NonZeroU32::MIN) };
    /// No latencies, to measure the cost of the gateway itself.
    pub const NONE: Self = Self { speed: None };

    /// The assignment's latencies, divided by this number.
    #[must_use]
    pub const fn faster(times: NonZeroU32) -> Self {
        Self { speed: Some(times) }
    }

    /// Returns how long this kind of call takes. The assignment has the latencies of the five steps and of the
    /// refund; every other call has the latency of the most similar of them.
    #[must_use]
    pub const fn of(&self, site: CallSite) -> Duration {
        let Some(speed) = self.speed else { return Duration::ZERO };
        let micros = match site {
            CallSite::Create | CallSite::Cancel => 200_000,
            CallSite::Fraud => 500_000,
            CallSite::Confirm => 300_000,
            CallSite::Save | CallSite::Void | CallSite::Find => 100_000,
            CallSite::Receipt => 400_000,
            CallSite::Refund => 250_000,
            CallSite::ReceiptSent | CallSite::PendingReceipts => 20_000,
        };
        Duration::from_micros(micros / speed.get() as u64)
    }
}

/// The services and their true state.
#[derive(Clone)]
pub struct World {
    net: Arc<net::Net>,
    latencies: Latencies,
    account: Arc<account::Account>,
    books: Arc<services::LedgerState>,
    outgoing: Arc<services::Outgoing>,
    /// Whether the mail service sends a mail for each request, repeats included.
    repeats_mail: bool,
    dice: Arc<Dice>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("latencies", &self.latencies).finish_non_exhaustive()
    }
}

impl World {
    /// A world with the assignment's latencies in which `faults` happen.
    #[must_use]
    pub fn new(faults: impl Faults + 'static) -> Self {
        Self::with(Latencies::ASSIGNMENT, Arc::new(faults), None)
    }

    /// The same with other latencies and an observer.
    #[must_use]
    pub fn with(
        latencies: Latencies,
        faults: Arc<dyn Faults>,
        probe: Option<Arc<dyn Probe>>,
    ) -> Self {
        Self {
            net: Arc::new(net::Net::new(faults, probe)),
            latencies,
            account: Arc::default(),
            books: Arc::default(),
            outgoing: Arc::default(),
            repeats_mail: false,
            dice: Arc::new(Dice::new(7)),
        }
    }

    /// The same world with a mail service that knows no transactions, as most: each request sends a mail,
    /// and a repeated request sends another one.
    #[must_use]
    pub fn repeating_mail(self) -> Self {
        Self { repeats_mail: true, ..self }
    }

    /// The same world, whose payment provider and mails outlive this process: they are kept in two
    /// files, `NAME.provider` and `NAME.mails`, which any number of processes may share. Everything that
    /// was done in them before is done in this world.
    ///
    /// A request is written before it takes effect. If it cannot be written, it has none, and the answer
    /// is [`ProviderError::Unavailable`](level3_domain::provider::ProviderError::Unavailable).
    ///
    /// # Errors
    ///
    /// If a file cannot be read or written, or holds something else.
    pub fn kept_in(self, name: &Path) -> io::Result<Self> {
        let file = |extension: &str| {
            let mut file = name.as_os_str().to_owned();
            file.push(extension);
            file
        };
        let account = account::Account::kept_in(Path::new(&file(".provider")))?;
        let outgoing = services::Outgoing::kept_in(Path::new(&file(".mails")))?;
        Ok(Self { account: Arc::new(account), outgoing: Arc::new(outgoing), ..self })
    }

    /// Reads what other processes have done in a world that is [kept in files](Self::kept_in). Every
    /// request does that first; a test that only reads the state calls this before.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub fn catch_up(&self) -> io::Result<()> {
        self.account.catch_up()?;
        self.outgoing.catch_up()
    }

    /// Returns clients of the services for a process that does not die.
    #[must_use]
    pub fn providers(&self) -> Providers {
        self.providers_of(&Process::new())
    }

    /// Returns clients of the services for one process.
    #[must_use]
    pub fn providers_of(&self, process: &Process) -> Providers {
        let (net, process, latencies) = (&self.net, process, self.latencies);
        Providers {
            payments: Arc::new(stripe::Client {
                net: Arc::clone(net),
                process: process.clone(),
                latencies,
                account: Arc::clone(&self.account),
            }),
            fraud: Arc::new(services::FraudClient {
                net: Arc::clone(net),
                process: process.clone(),
                latencies,
                dice: Arc::clone(&self.dice),
            }),
            ledger: Arc::new(services::LedgerClient {
                net: Arc::clone(net),
                process: process.clone(),
                latencies,
                books: Arc::clone(&self.books),
            }),
            receipts: Arc::new(services::MailClient {
                net: Arc::clone(net),
                process: process.clone(),
                latencies,
                outgoing: Arc::clone(&self.outgoing),
                repeats: self.repeats_mail,
            }),
        }
    }

    /// Returns a client for refunds in part, at the account of [`providers`](Self::providers).
    #[must_use]
    pub fn part_refunds(&self) -> Arc<dyn PartRefunds> {
        Arc::new(stripe::Client {
            net: Arc::clone(&self.net),
            process: Process::new(),
            latencies: self.latencies,
            account: Arc::clone(&self.account),
        })
    }

    /// Every refund in part that was made until now fails, as when the customer's bank returns the money
    /// days later. Only this process knows of it.
    pub fn return_refunds(&self) {
        self.account.return_parts();
    }

    /// Returns the activity feed of the mail service. It shows each mail that was sent, at once, and has the
    /// latency of a look at the ledger.
    #[must_use]
    pub fn mail_feed(&self) -> Arc<dyn MailFeed> {
        let latency = self.latencies.of(CallSite::Find);
        Arc::new(services::FeedClient { latency, outgoing: Arc::clone(&self.outgoing) })
    }

    /// How many calls of a kind have arrived.
    #[must_use]
    pub fn calls(&self, site: CallSite) -> u32 {
        self.net.calls(site)
    }

    /// How many calls of all kinds have arrived.
    #[must_use]
    pub fn all_calls(&self) -> u32 {
        CallSite::ALL.iter().map(|&site| self.calls(site)).sum()
    }

    /// Returns every intent in its true state.
    #[must_use]
    pub fn intents(&self) -> Vec<IntentTruth> {
        self.account.truth()
    }

    /// Whether a request is still running at the payment provider, or a charge is pending.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.account.is_busy()
    }

    /// Every row of the ledger.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        self.books.rows()
    }

    /// How many receipts are still to be sent.
    #[must_use]
    pub fn outbox(&self) -> usize {
        self.books.outbox()
    }

    /// Returns the mails that were sent. One that was sent twice is in it twice.
    #[must_use]
    pub fn mails(&self) -> Vec<Receipt> {
        self.outgoing.sent()
    }

    /// Notified by [`Fault::DropCaller`].
    #[must_use]
    pub fn caller_leaves(&self) -> Arc<Notify> {
        Arc::clone(&self.net.caller_leaves)
    }
}

/// Makes cargo compile this package again when the grader says that its sources are other ones, whatever
/// their modification times.
const _: Option<&str> = option_env!("COURSE_SOURCES_LEVEL3_SIM");
