//! Compares the ledger with the provider's charges and the mails that were sent.

use std::collections::{BTreeMap, HashMap};

use level3_adapters::sql::{BookedRow, RefundState, Store};
use level3_domain::ids::{PaymentId, TransactionId};
use level3_domain::journal::Standing;
use level3_domain::money::Money;
use level3_domain::provider::{Row, RowStatus};
use level3_sim::World;

use super::problem::ProgramError;

/// The number of rows that one query reads.
const PAGE: usize = 1000;
/// The number of faults that are listed one by one.
const TOLD: usize = 20;

/// The result of checking the books.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Books {
    /// Payments whose customer is charged.
    pub charged: u64,
    /// Rows of charged payments.
    pub rows: u64,
    /// Mails that were sent; `None` if another service sends them.
    pub mails: Option<u64>,
    /// The charged sums, in minor units of each currency.
    pub sums: BTreeMap<String, i64>,
    /// Payments that are under way, or that a dead process left behind.
    pub open: u64,
    /// Payments with a step that could not be undone.
    pub parked: u64,
    /// Receipts that are still to be sent.
    pub receipts_pending: u64,
    /// Charges for payments that this store does not know: those of another store that uses the
    /// same account, or of an earlier store in the same place.
    pub unknown: u64,
    /// The number of payments that do not balance.
    pub wrong: u64,
    /// The first payments that do not balance.
    pub faults: Vec<String>,
}

/// The charges of a payment at the provider.
#[derive(Debug, Clone, Copy)]
struct Charge {
    net: i64,
    amount: Money,
    doubled: bool,
}

impl Charge {
    const fn is_there(&self) -> bool {
        self.net != 0 || self.doubled
    }
}

impl Books {
    /// Checks the whole store against a simulated provider.
    ///
    /// Payments that are open or parked are counted separately, since their outcome is not final.
    /// Other processes may be paying at the same time, so a payment that does not fit is checked a
    /// second time: once it has ended, it has a charge and a row, or neither.
    pub async fn check(
        store: &dyn Store,
        world: &World,
        simulated_mail: bool,
    ) -> Result<Self, ProgramError> {
        world.catch_up().map_err(ProgramError::Services)?;
        let counts = store.counts().await?;
        let mut books = Self {
            open: counts.open,
            parked: counts.parked,
            receipts_pending: counts.receipts,
            ..Self::default()
        };
        let mut mails = mails(world);
        books.mails = simulated_mail.then(|| mails.values().copied().map(u64::from).sum());
        let mut suspects = Vec::new();
        let mut charges = charges(world);
        let mut after = 0;
        loop {
            let page = store.rows(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.number;
            for BookedRow { row, .. } in page {
                let charge = charges.remove(&row.payment);
                let mails = mails.remove(&row.transaction).unwrap_or_default();
                if judge(Some(&row), charge, mails).is_some() {
                    suspects.push(row.payment);
                } else {
                    books.rows += u64::from(row.status == RowStatus::Completed);
                    books.count(charge);
                }
            }
        }
        suspects.extend(
            charges.into_iter().filter(|(_, charge)| charge.is_there()).map(|(payment, _)| payment),
        );
        books.look_again(store, world, suspects).await?;
        for (transaction, mails) in mails {
            if is_known(store, &transaction).await? {
                books.fault(format!("{transaction}: a receipt for a payment that has no row"));
            } else if let Some(all) = &mut books.mails {
                *all -= u64::from(mails);
            }
        }
        Ok(books)
    }

    /// Whether all payments that have ended balance.
    pub const fn balance(&self) -> bool {
        self.wrong == 0
    }

    async fn look_again(
        &mut self,
        store: &dyn Store,
        world: &World,
        suspects: Vec<PaymentId>,
    ) -> Result<(), ProgramError> {
        if suspects.is_empty() {
            return Ok(());
        }
        let mut shown = Vec::with_capacity(suspects.len());
        for payment in suspects {
            let found = store.show(payment.clone()).await?;
            shown.push((payment, found));
        }
        // Read after the store, so that it has the charges of every payment that has ended in the
        // store.
        world.catch_up().map_err(ProgramError::Services)?;
        let (charges, mails) = (charges(world), mails(world));
        for (payment, found) in shown {
            let Some(found) = found else {
                self.unknown += 1;
                continue;
            };
            let standing = found.standing;
            if matches!(standing, Some(Standing::Open | Standing::Parked)) {
                continue;
            }
            let row = found.row.map(|booked| booked.row);
            let charge = charges.get(&payment).copied();
            let mails = row.as_ref().and_then(|row| mails.get(&row.transaction)).copied();
            self.rows += u64::from(row.as_ref().is_some_and(is_completed));
            self.count(charge);
            let charge = match charge {
                Some(charge) => Some(before_refunds(store, &payment, charge).await?),
                None => None,
            };
            if let Some(what) = judge(row.as_ref(), charge, mails.unwrap_or_default()) {
                self.fault(format!("{payment}: {what}"));
            }
        }
        Ok(())
    }

    fn count(&mut self, charge: Option<Charge>) {
        if let Some(charge) = charge.filter(Charge::is_there) {
            self.charged += 1;
            *self.sums.entry(charge.amount.currency().code().to_owned()).or_default() += charge.net;
        }
    }

    fn fault(&mut self, what: String) {
        self.wrong += 1;
        if self.faults.len() < TOLD {
            self.faults.push(what);
        }
    }
}

/// Returns the charge as it was before the refunds that its merchant has asked for.
///
/// The store has a refund before the provider makes it, and its outcome afterwards. So a charge from
/// which less is missing than the store's refunds take may only be read earlier than they.
async fn before_refunds(
    store: &dyn Store,
    payment: &PaymentId,
    charge: Charge,
) -> Result<Charge, ProgramError> {
    let refunds = store.refunds_of(payment.clone()).await?;
    let taken = refunds.iter().filter(|refund| refund.state != RefundState::Failed);
    let taken: i64 = taken.map(|refund| refund.amount.minor()).sum();
    let whole = charge.amount.minor();
    let fits = charge.net <= whole && whole - charge.net <= taken;
    Ok(if fits { Charge { net: whole, ..charge } } else { charge })
}

/// Whether the payment of a receipt is in this store.
async fn is_known(store: &dyn Store, transaction: &TransactionId) -> Result<bool, ProgramError> {
    // A store derives the names of its transactions from those of the payments.
    let payment = transaction.as_str().strip_prefix("txn_").map(|name| format!("pay_{name}"));
    match payment.map(PaymentId::try_from) {
        Some(Ok(payment)) => Ok(store.show(payment).await?.is_some()),
        _ => Ok(true),
    }
}

/// Returns the fault of a payment that has ended, if there is one. The rule: there is a charge and
/// one row with its amount, or neither; and there is one receipt at most.
fn judge(row: Option<&Row>, charge: Option<Charge>, mails: u32) -> Option<String> {
    let is_charged = charge.is_some_and(|charge| charge.is_there());
    let wrong = match row {
        _ if charge.is_some_and(|charge| charge.doubled) => "charged or refunded twice".to_owned(),
        None if is_charged => "charged, and there is no row".to_owned(),
        None => return None,
        Some(row) if is_completed(row) => match charge {
            Some(charge) if charge.net == row.amount.minor() && charge.amount == row.amount => {
                return (mails > 1).then(|| format!("{mails} receipts"));
            }
            Some(charge) if is_charged => {
                format!("{} charged, and the row says {}", charge.amount, row.amount)
            }
            _ => "a row without a charge".to_owned(),
        },
        Some(_) if is_charged => "charged, and its row was voided".to_owned(),
        Some(_) if mails > 0 => "a receipt, and its row was voided".to_owned(),
        Some(_) => return None,
    };
    Some(wrong)
}

fn is_completed(row: &Row) -> bool {
    row.status == RowStatus::Completed
}

fn mails(world: &World) -> HashMap<TransactionId, u32> {
    let mut mails = HashMap::new();
    for mail in world.mails() {
        *mails.entry(mail.transaction).or_default() += 1;
    }
    mails
}

/// Returns the charges of each payment at the provider. A payment may have more than one intent:
/// the answer that returned the first one may be lost.
fn charges(world: &World) -> HashMap<PaymentId, Charge> {
    let mut charges: HashMap<PaymentId, Charge> = HashMap::new();
    for intent in world.intents() {
        let net = intent.net();
        let charge = charges.entry(intent.payment.clone()).or_insert(Charge {
            net: 0,
            amount: intent.amount,
            doubled: false,
        });
        charge.doubled |= intent.charges > 1 || intent.refunds > intent.charges;
        charge.doubled |= charge.net != 0 && net != 0;
        charge.net += net;
    }
    charges
}
