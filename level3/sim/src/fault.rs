//! Faults, and the types that decide which call meets which fault.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use level3_domain::ids::PaymentId;

/// A kind of call that a simulated service takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallSite {
    /// Creates the intent.
    Create,
    /// Scores the payment.
    Fraud,
    /// Charges the card.
    Confirm,
    /// Writes the ledger's row.
    Save,
    /// Sends the receipt.
    Receipt,
    /// Removes a sent receipt from the outbox.
    ReceiptSent,
    /// Reads the outbox.
    PendingReceipts,
    /// Cancels the intent.
    Cancel,
    /// Refunds the charge.
    Refund,
    /// Voids the row.
    Void,
    /// Looks up the state of an intent.
    Find,
}

impl CallSite {
    /// All kinds, in the order of a payment; those that undo come last.
    pub const ALL: [Self; 11] = [
        Self::Create,
        Self::Fraud,
        Self::Confirm,
        Self::Save,
        Self::Receipt,
        Self::ReceiptSent,
        Self::PendingReceipts,
        Self::Cancel,
        Self::Refund,
        Self::Void,
        Self::Find,
    ];

    /// The name on the command line and in reports: `confirm`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Fraud => "fraud",
            Self::Confirm => "confirm",
            Self::Save => "save",
            Self::Receipt => "receipt",
            Self::ReceiptSent => "receipt-sent",
            Self::PendingReceipts => "pending-receipts",
            Self::Cancel => "cancel",
            Self::Refund => "refund",
            Self::Void => "void",
            Self::Find => "find",
        }
    }

    /// Whether the calls go to the payment provider, whose account has a rate limit.
    #[must_use]
    pub const fn is_payment_provider(self) -> bool {
        matches!(self, Self::Create | Self::Confirm | Self::Cancel | Self::Refund | Self::Find)
    }
}

impl fmt::Display for CallSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Nothing: it is answered after its latency.
    None,
    /// 503 after its latency, and no effect.
    FailBefore,
    /// It takes effect, and the connection breaks before the answer.
    LoseReply,
    /// It takes effect, and no answer ever comes.
    SwallowReply,
    /// It takes effect and is answered so much later, whether or not the caller still waits.
    Slow(Duration),
    /// The request is lost: no effect, no answer, ever.
    Hang,
    /// 429 with this `Retry-After`, before the key is looked at.
    RateLimited(Option<Duration>),
    /// A 500 that is stored and replayed for its key. Whether it took effect is the service's secret.
    Internal {
        /// Whether the call took effect.
        effect: bool,
    },
    /// A business refusal: the card is declined, the score is 99.
    Decline,
    /// The client's library panics.
    Panic,
    /// Confirming is answered with `requires_action`: not paid.
    RequiresAction,
    /// Confirming is answered with `processing`: paid only so much later.
    Processing(Duration),
    /// The answer names another amount than was asked for.
    WrongAmount,
    /// The client of the payment is dropped while this call is under way.
    DropCaller,
    /// The process dies before this call leaves it.
    CrashBefore,
    /// The process dies after this call took effect and before its answer is seen.
    CrashAfter,
}

/// Decides about the `nth` call (counted from 1) of a kind.
pub trait Faults: Send + Sync {
    /// Returns the fault of the call. `payment` is the payment that it is made for, if the call names one.
    fn fault(&self, site: CallSite, nth: u32, payment: Option<&PaymentId>) -> Fault;
}

impl<F: Fn(CallSite, u32) -> Fault + Send + Sync> Faults for F {
    fn fault(&self, site: CallSite, nth: u32, _payment: Option<&PaymentId>) -> Fault {
        self(site, nth)
    }
}

/// No faults at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFaults;

impl Faults for NoFaults {
    fn fault(&self, _site: CallSite, _nth: u32, _payment: Option<&PaymentId>) -> Fault {
        Fault::None
    }
}

/// A reproducible source of random numbers: SplitMix64, whose next number depends on the seed and on how
/// many were drawn before.
#[derive(Debug)]
pub struct Dice(AtomicU64);

impl Dice {
    /// Makes a source whose numbers `seed` determines.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next number.
    pub fn roll(&self) -> u64 {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(GOLDEN, Ordering::Relaxed).wrapping_add(GOLDEN);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next number, from 0 to `below - 1`; 0 when `below` is 0.
    pub fn below(&self, below: u64) -> u64 {
        u64::try_from((u128::from(self.roll()) * u128::from(below)) >> 64).unwrap_or(0)
    }
}

/// How often each kind of call fails, in failures per 1000 calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Making the intent: 1 % in the assignment.
    pub create: u32,
    /// Scoring: 0.5 %.
    pub fraud: u32,
    /// Charging: 2 %.
    pub confirm: u32,
    /// Writing the row: 0.1 %.
    pub save: u32,
    /// Sending the mail: 5 %.
    pub receipt: u32,
    /// Everything else. The assignment gives no figure.
    pub other: u32,
    /// Payments that the fraud check finds too risky: 5 % in the assignment.
    pub declined: u32,
}

impl Rates {
    /// Nothing fails.
    pub const NONE: Self =
        Self { create: 0, fraud: 0, confirm: 0, save: 0, receipt: 0, other: 0, declined: 0 };

    /// The assignment's figures.
    pub const ASSIGNMENT: Self =
        Self { create: 10, fraud: 5, confirm: 20, save: 1, receipt: 50, other: 10, declined: 50 };

    /// 10 % everywhere: the assignment's acceptance test.
    pub const TEN_PERCENT: Self = Self {
        create: 100,
        fraud: 100,
        confirm: 100,
        save: 100,
        receipt: 100,
        other: 100,
        declined: 50,
    };

    const fn of(&self, site: CallSite) -> u32 {
        match site {
            CallSite::Create => self.create,
            CallSite::Fraud => self.fraud,
            CallSite::Confirm => self.confirm,
            CallSite::Save => self.save,
            CallSite::Receipt => self.receipt,
            _ => self.other,
        }
    }
}

/// Random failures: each call fails with its rate, independently of all others.
///
/// Half of the failures happen before the effect, the other half after it, with the answer lost. One in
/// ten of each at the payment provider is a stored 500 instead.
///
/// What happens to a call depends on the seed, the payment, the kind of call and how many of that kind
/// there were for that payment: not on which payments run beside it, nor on the order in which their
/// calls arrive. Two gateways that make the same attempts meet the same failures.
#[derive(Debug)]
pub struct RandomFaults {
    rates: Rates,
    seed: u64,
    seen: Mutex<HashMap<u64, u32>>,
}

impl RandomFaults {
    /// Makes failures that `seed` determines.
    #[must_use]
    pub fn new(rates: Rates, seed: u64) -> Self {
        Self { rates, seed, seen: Mutex::default() }
    }
}

impl Faults for RandomFaults {
    fn fault(&self, site: CallSite, nth: u32, payment: Option<&PaymentId>) -> Fault {
        // Without a payment, the number of the call decides.
        let name = payment.map_or(u64::from(nth), |payment| fnv(payment.as_str().as_bytes()));
        let place = name ^ ((site as u64 + 1) << 56);
        let count = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let count = seen.entry(place).or_default();
            *count += 1;
            *count
        };
        let dice = Dice::new(self.seed ^ place.wrapping_add(u64::from(count) << 32));
        if dice.below(1000) < u64::from(self.rates.of(site)) {
            let effect = dice.below(2) == 1;
            if site.is_payment_provider() && dice.below(10) == 0 {
                return Fault::Internal { effect };
            }
            return if effect { Fault::LoseReply } else { Fault::FailBefore };
        }
        // A risky payment stays risky for every question.
        let risk = Dice::new(self.seed ^ name);
        if site == CallSite::Fraud && risk.below(1000) < u64::from(self.rates.declined) {
            return Fault::Decline;
        }
        Fault::None
    }
}

/// Hashes bytes with FNV-1a, whose value is the same on every platform.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Faults set one by one: for the first calls of a kind, or for all of them.
#[derive(Debug, Default)]
pub struct Script(Mutex<Vec<Line>>);

#[derive(Debug, Clone, Copy)]
struct Line {
    site: CallSite,
    nth: Option<u32>,
    fault: Fault,
}

impl Script {
    /// Makes a script without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The `nth` call of this kind, counted from 1, meets the fault.
    #[must_use]
    pub fn on(self, site: CallSite, nth: u32, fault: Fault) -> Self {
        self.line(Line { site, nth: Some(nth), fault })
    }

    /// Every call of this kind meets the fault, unless a line for its number was given before.
    #[must_use]
    pub fn always(self, site: CallSite, fault: Fault) -> Self {
        self.line(Line { site, nth: None, fault })
    }

    /// From now on, every call of this kind meets the fault.
    pub fn add(&self, site: CallSite, fault: Fault) {
        let line = Line { site, nth: None, fault };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// From now on, calls of this kind meet no fault any more.
    pub fn heal(&self, site: CallSite) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|line| line.site != site);
    }

    fn line(self, line: Line) -> Self {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        self
    }
}

impl Faults for Script {
    fn fault(&self, site: CallSite, nth: u32, _payment: Option<&PaymentId>) -> Fault {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .find(|line| line.site == site && line.nth.is_none_or(|wanted| wanted == nth))
            .map_or(Fault::None, |line| line.fault)
    }
}

/// So that a script can be shared between the services and the test that ends their faults.
impl Faults for Arc<Script> {
    fn fault(&self, site: CallSite, nth: u32, payment: Option<&PaymentId>) -> Fault {
        self.as_ref().fault(site, nth, payment)
    }
}
