//! Which rule holds on which path, and which criterion judges it there.
//!
//! [`cell`] has an arm for every pair, without a wildcard: a new path or a new rule does not compile until
//! each of its cells names a criterion or a reason. The criteria walk the paths that the table gives
//! them, so a cell cannot name a criterion that does not try the path.

/// A way in which a payment goes through a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// A payment whose client waits for the answer.
    Normal,
    /// The same request again, after the answer.
    Repeat,
    /// The same request again, before the answer.
    Joined,
    /// The client goes away before the answer.
    Cancelled,
    /// A step fails, and what was done is undone.
    Undo,
    /// The process dies, and another one recovers.
    Recovery,
    /// What could not be undone or sent is tried again.
    Redrive,
    /// The gateway drains while payments are under way.
    Drain,
    /// The same request again, at a process that has begun since.
    Restarted,
}

impl Path {
    pub const ALL: [Self; 9] = [
        Self::Normal,
        Self::Repeat,
        Self::Joined,
        Self::Cancelled,
        Self::Undo,
        Self::Recovery,
        Self::Redrive,
        Self::Drain,
        Self::Restarted,
    ];

    /// As messages and the table call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Repeat => "repeat",
            Self::Joined => "joined caller",
            Self::Cancelled => "cancelled caller",
            Self::Undo => "undo",
            Self::Recovery => "recovery",
            Self::Redrive => "redrive",
            Self::Drain => "drain",
            Self::Restarted => "after a restart",
        }
    }
}

/// A rule that holds everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Calls to the provider keep to its rate limit.
    Metering,
    /// Every call is cut at its limit.
    Limits,
    /// Every client is answered by its deadline.
    Deadline,
    /// One terminal event for each payment, after its record.
    OneEnd,
    /// No secret in what the gateway says.
    Secrets,
    /// One process works on a payment at a time.
    OneOwner,
    /// Nothing is done twice, and repeats get the same answer.
    Idempotency,
    /// No task is left when all is over.
    Memory,
}

impl Rule {
    #[allow(dead_code, reason = "for the table in the README, which a test makes")]
    pub const ALL: [Self; 8] = [
        Self::Metering,
        Self::Limits,
        Self::Deadline,
        Self::OneEnd,
        Self::Secrets,
        Self::OneOwner,
        Self::Idempotency,
        Self::Memory,
    ];

    #[allow(dead_code, reason = "for the table in the README, which a test makes")]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Metering => "metering",
            Self::Limits => "limits of calls",
            Self::Deadline => "deadline",
            Self::OneEnd => "one terminal event",
            Self::Secrets => "secrets",
            Self::OneOwner => "one owner",
            Self::Idempotency => "idempotency",
            Self::Memory => "bounded memory",
        }
    }
}

/// What the table says about a rule on a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// This criterion judges it, named as `exercise/criterion`.
    Judged(&'static str),
    /// The rule has nothing to say there, because of this.
    Not(&'static str),
}

/// What the table says about a rule on a path.
pub const fn cell(rule: Rule, path: Path) -> Cell {
    use Cell::{Judged, Not};
    use Path::{Cancelled, Drain, Joined, Normal, Recovery, Redrive, Repeat, Restarted, Undo};
    match (rule, path) {
        (Rule::Metering, Repeat | Joined | Restarted) => Not("it calls no service"),
        (Rule::Metering, Normal | Cancelled | Undo | Recovery | Redrive | Drain) => {
            Judged("gateway/meters-every-wire-call")
        }
        (Rule::Limits, Repeat | Joined | Restarted) => Not("it calls no service"),
        (Rule::Limits, Normal | Cancelled | Undo | Recovery | Redrive | Drain) => {
            Judged("gateway/cuts-every-call")
        }
        (Rule::Deadline, Cancelled) => Not("no client waits"),
        (Rule::Deadline, Redrive) => Not("no client waits"),
        (Rule::Deadline, Normal | Repeat | Joined | Undo | Recovery | Drain | Restarted) => {
            Judged("gateway/answers-within-ten-seconds")
        }
        (
            Rule::OneEnd,
            Normal | Repeat | Joined | Cancelled | Undo | Recovery | Redrive | Drain | Restarted,
        ) => Judged("gateway/one-terminal-event"),
        (
            Rule::Secrets,
            Normal | Repeat | Joined | Cancelled | Undo | Recovery | Redrive | Drain | Restarted,
        ) => Judged("gateway/leaks-no-secrets"),
        (
            Rule::OneOwner,
            Normal | Repeat | Joined | Cancelled | Undo | Recovery | Redrive | Drain | Restarted,
        ) => Judged("gateway/one-owner-at-a-time"),
        (
            Rule::Idempotency,
            Normal | Repeat | Joined | Cancelled | Undo | Recovery | Redrive | Drain | Restarted,
        ) => Judged("gateway/does-nothing-twice"),
        (
            Rule::Memory,
            Normal | Repeat | Joined | Cancelled | Undo | Recovery | Redrive | Drain | Restarted,
        ) => Judged("gateway/leaves-nothing-running"),
    }
}

/// The paths on which a criterion judges a rule.
pub fn paths_of(rule: Rule) -> impl Iterator<Item = Path> {
    Path::ALL.into_iter().filter(move |path| matches!(cell(rule, *path), Cell::Judged(_)))
}
