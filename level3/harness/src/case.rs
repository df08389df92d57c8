//! A case: one payment and its faults.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use level3_sim::{CallSite, Fault, Script};

/// The faults of a call, by their names on the command line.
const KINDS: [(&str, Fault); 17] = [
    ("fail-before", Fault::FailBefore),
    ("lose-reply", Fault::LoseReply),
    ("swallow-reply", Fault::SwallowReply),
    // Longer than any single call may take, shorter than a payment.
    ("late", Fault::Slow(Duration::from_millis(3500))),
    ("hang", Fault::Hang),
    ("slow", Fault::Slow(Duration::from_millis(500))),
    ("429", Fault::RateLimited(Some(Duration::from_millis(700)))),
    ("500", Fault::Internal { effect: false }),
    ("500-done", Fault::Internal { effect: true }),
    ("decline", Fault::Decline),
    ("panic", Fault::Panic),
    ("requires-action", Fault::RequiresAction),
    ("processing", Fault::Processing(Duration::from_millis(1500))),
    ("wrong-amount", Fault::WrongAmount),
    ("caller-dropped", Fault::DropCaller),
    ("crash-before", Fault::CrashBefore),
    ("crash-after", Fault::CrashAfter),
];

/// A fault, and the calls that meet it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The kind of call.
    pub site: CallSite,
    /// Whether every call of the kind meets the fault, or only the first.
    pub always: bool,
    /// The fault that the calls meet.
    pub fault: Fault,
}

/// The faults of one payment: none, one or several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Case {
    /// The faults, in any order.
    pub slots: Vec<Slot>,
}

/// The text is not the name of a case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no case: {text:?}; a case is written as confirm=lose-reply+save*=hang")]
pub struct NoCase {
    /// The refused text.
    pub text: String,
}

impl Slot {
    /// Returns every fault of a kind of call.
    #[must_use]
    pub fn all_of(site: CallSite) -> Vec<Self> {
        let mut slots = Vec::new();
        for (_, fault) in KINDS {
            if !happens(site, fault) {
                continue;
            }
            slots.push(Self { site, always: false, fault });
            // A process dies once, and a caller leaves once.
            let once = matches!(fault, Fault::DropCaller | Fault::CrashBefore | Fault::CrashAfter);
            if !once {
                slots.push(Self { site, always: true, fault });
            }
        }
        slots
    }
}

/// Whether this kind of call can meet this fault.
fn happens(site: CallSite, fault: Fault) -> bool {
    match fault {
        Fault::RequiresAction | Fault::Processing(_) => site == CallSite::Confirm,
        Fault::WrongAmount => matches!(site, CallSite::Create | CallSite::Confirm | CallSite::Save),
        // Asking has no effect, so there is nothing to refuse.
        Fault::Decline => site != CallSite::Find,
        _ => true,
    }
}

/// Whether both faults can be in one case: the first call of a kind can meet only one.
#[must_use]
pub fn compatible(one: Slot, other: Slot) -> bool {
    one.site != other.site || (one.always != other.always && one.fault != other.fault)
}

impl Case {
    /// Returns the script of faults for the simulated services.
    #[must_use]
    pub fn script(&self) -> Script {
        // A fault of the first call goes before one of all calls.
        let (firsts, always): (Vec<&Slot>, Vec<&Slot>) =
            self.slots.iter().partition(|slot| !slot.always);
        let script = firsts
            .into_iter()
            .fold(Script::new(), |script, slot| script.on(slot.site, 1, slot.fault));
        always.into_iter().fold(script, |script, slot| script.always(slot.site, slot.fault))
    }

    /// Whether the process dies in this case.
    #[must_use]
    pub fn crashes(&self) -> bool {
        let dies = |slot: &Slot| matches!(slot.fault, Fault::CrashBefore | Fault::CrashAfter);
        self.slots.iter().any(dies)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = KINDS.iter().find(|(_, fault)| *fault == self.fault).map_or("?", |kind| kind.0);
        write!(f, "{}{}={name}", self.site, if self.always { "*" } else { "" })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.slots.is_empty() {
            return f.write_str("none");
        }
        for (index, slot) in self.slots.iter().enumerate() {
            write!(f, "{}{slot}", if index > 0 { "+" } else { "" })?;
        }
        Ok(())
    }
}

impl FromStr for Case {
    type Err = NoCase;

    fn from_str(text: &str) -> Result<Self, NoCase> {
        if text == "none" {
            return Ok(Self::default());
        }
        let slot = |part: &str| {
            let (site, fault) = part.split_once('=')?;
            let (site, always) = site.strip_suffix('*').map_or((site, false), |site| (site, true));
            let site = CallSite::ALL.into_iter().find(|known| known.name() == site)?;
            let fault = KINDS.iter().find(|(name, _)| *name == fault)?.1;
            Some(Slot { site, always, fault })
        };
        let slots: Option<Vec<Slot>> = text.split('+').map(slot).collect();
        slots.map(|slots| Self { slots }).ok_or_else(|| NoCase { text: text.to_owned() })
    }
}
