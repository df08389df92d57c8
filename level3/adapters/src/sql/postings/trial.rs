//! The trial balance: the sums of all accounts, and their comparison with the rows and the refunds.

use serde::Serialize;

use super::Account;
use crate::sql::StoreFault;
use crate::sql::row::Columns;

/// Faults that are kept one by one; more of them are counted.
const KEPT: usize = 1000;

/// The sums of an account in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountBalance {
    /// The name of the account.
    pub account: String,
    /// The currency.
    pub currency: String,
    /// The sum of its debits, in minor units.
    pub debits: i64,
    /// The sum of its credits, in minor units; not negative.
    pub credits: i64,
}

impl AccountBalance {
    /// The debits less the credits, in minor units.
    #[must_use]
    pub const fn balance(&self) -> i64 {
        self.debits.saturating_sub(self.credits)
    }
}

/// A trial balance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct TrialBalance {
    /// The accounts, each once for each of its currencies.
    pub accounts: Vec<AccountBalance>,
    /// The number of faults.
    pub found: u64,
    /// The first thousand faults: sums that are not zero, and payments whose postings are not those of
    /// their row and refunds.
    pub faults: Vec<StoreFault>,
}

impl TrialBalance {
    /// Whether every sum is zero, and the postings of each payment are those of its row and refunds.
    #[must_use]
    pub const fn is_fine(&self) -> bool {
        self.found == 0
    }

    /// What the payment provider has of the customers' money in this currency, in minor units.
    #[must_use]
    pub fn at_provider(&self, currency: &str) -> i64 {
        let is_it = |it: &&AccountBalance| {
            it.account == Account::Provider.name() && it.currency == currency
        };
        self.accounts.iter().find(is_it).map_or(0, AccountBalance::balance)
    }
}

/// Makes a trial balance from the rows of a store.
#[derive(Debug, Default)]
pub(crate) struct Balancer(TrialBalance);

impl Balancer {
    fn fault(&mut self, at: impl Into<String>, what: String) {
        self.0.found += 1;
        if self.0.faults.len() < KEPT {
            self.0.faults.push(StoreFault { at: at.into(), what });
        }
    }

    /// Gets the name of an account, its currency, its debits and its credits.
    pub(crate) fn account<R: Columns>(&mut self, row: &R) -> Result<(), R::Fault> {
        self.0.accounts.push(AccountBalance {
            account: row.text(0)?,
            currency: row.text(1)?,
            debits: row.number(2)?,
            credits: row.number(3)?,
        });
        Ok(())
    }

    /// Gets a payment, a reason and the sum of a posting whose lines do not add up to zero.
    pub(crate) fn unbalanced<R: Columns>(&mut self, row: &R) -> Result<(), R::Fault> {
        let (reason, sum) = (row.text(1)?, row.number(2)?);
        self.fault(row.text(0)?, format!("the lines of its posting \"{reason}\" add up to {sum}"));
        Ok(())
    }

    /// Gets a payment, what its row says was charged, its refunds that are processed and that have
    /// succeeded, the sums of its postings in each account, and the number of lines with another
    /// currency than its row's.
    pub(crate) fn payment<R: Columns>(&mut self, row: &R) -> Result<(), R::Fault> {
        let name = row.text(0)?;
        let (charged, processing, succeeded) = (row.number(1)?, row.number(2)?, row.number(3)?);
        let kept = charged.saturating_sub(succeeded);
        let expected = [
            (Account::Provider, kept),
            (Account::Merchants, processing.saturating_sub(kept)),
            (Account::RefundsInTransit, processing.saturating_neg()),
        ];
        for ((account, expected), column) in expected.into_iter().zip(4..) {
            let sum = row.number(column)?;
            if sum != expected {
                let account = account.name();
                let what = format!(
                    "its postings to \"{account}\" add up to {sum}; by its row and its refunds they \
                     are {expected}"
                );
                self.fault(&name, what);
            }
        }
        if row.number(7)? > 0 {
            self.fault(name, "it has postings in another currency".to_owned());
        }
        Ok(())
    }

    /// Gets a payment that has postings and no row.
    pub(crate) fn orphan<R: Columns>(&mut self, row: &R) -> Result<(), R::Fault> {
        self.fault(row.text(0)?, "it has postings and no row".to_owned());
        Ok(())
    }

    pub(crate) fn end(mut self) -> TrialBalance {
        let mut currencies: Vec<_> =
            self.0.accounts.iter().map(|account| account.currency.clone()).collect();
        currencies.sort_unstable();
        currencies.dedup();
        for currency in currencies {
            let of_it = self.0.accounts.iter().filter(|account| account.currency == currency);
            let sum = of_it.map(AccountBalance::balance).fold(0, i64::saturating_add);
            if sum != 0 {
                self.fault(currency, format!("all accounts add up to {sum}"));
            }
        }
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(currency: &str, debits: i64, credits: i64) -> AccountBalance {
        let (account, currency) = ("provider".to_owned(), currency.to_owned());
        AccountBalance { account, currency, debits, credits }
    }

    #[test]
    fn each_currency_adds_up_to_zero() {
        let accounts = vec![account("USD", 10, 3), account("USD", 0, 7), account("EUR", 5, 5)];
        let balance = Balancer(TrialBalance { accounts, ..TrialBalance::default() }).end();
        assert!(balance.is_fine(), "{balance:?}");
        // Two currencies that differ by the same amount are two faults.
        let accounts = vec![account("USD", 10, 0), account("EUR", 0, 10)];
        let balance = Balancer(TrialBalance { accounts, ..TrialBalance::default() }).end();
        assert_eq!((balance.found, balance.at_provider("EUR")), (2, -10));
    }
}
