//! The result of a run.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::args::StreamArgs;
use super::books::Books;
use super::engine::Engine;
use super::figures::{Percentiles, Unlucky};
use super::recovery::Recovery;

/// Everything about one run, as it is printed.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// The prefix of the keys: a key is the prefix, a dash and a number.
    pub key_prefix: String,
    pub seed: u64,
    pub store: String,
    pub provider: String,
    /// The payments that were open at the start.
    pub recovered: Recovery,
    pub payments: Payments,
    /// The share of paid payments among those that were not declined, in percent.
    pub success: Success,
    /// The times of the paid payments.
    pub latency: Percentiles,
    pub retries: u64,
    pub undone_steps: u64,
    pub provider_calls: u64,
    pub receipts_sent: u64,
    pub dead_letters: usize,
    /// The first payments that were neither paid nor declined.
    pub unlucky: Vec<Unlucky>,
    /// Why the run was stopped; `None` if it was not.
    pub error: Option<String>,
    /// What the store has at the end; `None` if the run was stopped.
    #[serde(flatten)]
    pub settled: Option<Settled>,
}

/// What the store has at the end of a run.
#[derive(Debug, Serialize)]
pub struct Settled {
    /// Payments that are under way at another process, or that a dead process left behind.
    pub open: u64,
    /// Payments with a step that could not be undone.
    pub parked: u64,
    /// The comparison of the store with the provider and the mails; `None` if one of them cannot be
    /// read as a whole.
    pub books: Option<Books>,
}

impl Settled {
    /// Whether every payment has ended, and the books balance.
    fn is_fine(&self) -> bool {
        self.open == 0 && self.parked == 0 && self.books.as_ref().is_none_or(Books::balance)
    }
}

/// The answers to the clients.
#[derive(Debug, Serialize)]
pub struct Payments {
    pub wanted: u32,
    pub answered: u64,
    pub paid: u64,
    pub declined: u64,
    pub failed: u64,
    /// The failed payments for which another attempt does not help.
    pub failed_for_good: u64,
    pub compensating: u64,
    pub refused: u64,
    /// The answers that came from the store.
    pub replayed: u64,
    pub seconds: f64,
}

impl Payments {
    /// Whether every payment was paid or declined.
    const fn all_are_well(&self) -> bool {
        self.failed + self.compensating + self.refused == 0
    }
}

/// A share with its interval, in percent.
#[derive(Debug, Serialize)]
pub struct Success {
    pub share: f64,
    pub low: f64,
    pub high: f64,
}

/// The values of a summary that the engine does not have.
pub struct Run<'a> {
    pub args: &'a StreamArgs,
    pub prefix: String,
    pub seed: u64,
    pub recovered: Recovery,
    pub took: Duration,
    pub error: Option<String>,
    pub settled: Option<Settled>,
}

impl Summary {
    pub fn new(engine: &Engine, run: Run<'_>) -> Self {
        let figures = &engine.figures;
        let success = figures.success();
        Self {
            key_prefix: run.prefix,
            seed: run.seed,
            store: engine.store.store.place().to_owned(),
            provider: engine.payments.name(),
            recovered: run.recovered,
            payments: Payments {
                wanted: run.args.payments.get(),
                answered: figures.all(),
                paid: figures.paid.get(),
                declined: figures.declined.get(),
                failed: figures.failed.get(),
                failed_for_good: figures.failed_for_good.get(),
                compensating: figures.compensating.get(),
                refused: figures.refused.get(),
                replayed: figures.replayed.get(),
                seconds: (run.took.as_secs_f64() * 1000.0).round() / 1000.0,
            },
            success: Success {
                share: rounded(success.share),
                // Rounding may leave a value slightly below zero.
                low: rounded(success.low.max(0.0) + 0.0),
                high: rounded(success.high.min(100.0)),
            },
            latency: figures.percentiles(),
            retries: figures.retries.get(),
            undone_steps: figures.undone.get(),
            provider_calls: engine.provider.all(),
            receipts_sent: figures.receipts_sent.get(),
            dead_letters: engine.gateway.dead_letters().len(),
            unlucky: figures.unlucky(),
            error: run.error,
            settled: run.settled,
        }
    }

    /// Whether every payment of the run was paid or declined, every payment of the store has ended, and
    /// the books balance.
    pub fn is_fine(&self) -> bool {
        self.payments.all_are_well() && self.settled.as_ref().is_some_and(Settled::is_fine)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Payments {
            wanted,
            answered,
            paid,
            declined,
            failed,
            failed_for_good,
            compensating,
            refused,
            replayed,
            seconds,
        } = &self.payments;
        let prefix = &self.key_prefix;
        let a_second = if *seconds > 0.0 { *answered as f64 / seconds } else { 0.0 };
        writeln!(
            f,
            "{answered} of {wanted} payments ({prefix}-1 and on) answered in {seconds:.1} s, \
             {a_second:.0} in a second"
        )?;
        writeln!(f, "  paid         {paid:6}")?;
        writeln!(f, "  declined     {declined:6}   not charged; asking again does not help")?;
        writeln!(f, "  failed       {failed:6}   {}", after_a_failure(*failed, *failed_for_good))?;
        if *compensating > 0 {
            writeln!(f, "  compensating {compensating:6}   answered so after ten seconds")?;
        }
        if *refused > 0 {
            writeln!(f, "  refused      {refused:6}   nothing was tried")?;
        }
        if *replayed > 0 {
            writeln!(f, "  {replayed} of them were answered from the store")?;
        }
        for Unlucky { key, why } in &self.unlucky {
            writeln!(f, "    {key}: {why}")?;
        }
        if answered == declined {
            // No payment could succeed or fail.
            return self.effort(f);
        }
        let Success { share, low, high } = &self.success;
        writeln!(
            f,
            "success  {share:.2} % of those that were not declined ({low:.2} to {high:.2} % with a \
             confidence of 95 %)"
        )?;
        if *paid == 0 {
            return self.effort(f);
        }
        let Percentiles { p50_ms, p95_ms, p99_ms, longest_ms } = &self.latency;
        writeln!(
            f,
            "paid in  p50 {p50_ms} ms, p95 {p95_ms} ms, p99 {p99_ms} ms, the longest {longest_ms} ms"
        )?;
        self.effort(f)
    }
}

impl Summary {
    fn effort(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "effort   {}{} calls to the provider, {} retries, {} steps undone, {} receipts sent, {} dead \
             letters",
            if self.recovered == Recovery::default() { "" } else { "with the recovery's, " },
            self.provider_calls,
            self.retries,
            self.undone_steps,
            self.receipts_sent,
            self.dead_letters
        )?;
        let (store, provider) = (&self.store, &self.provider);
        if let Some(Settled { books: Some(books), .. }) = &self.settled {
            return write!(f, "books    of {store}, against {provider}\n{books}");
        }
        writeln!(
            f,
            "books    of {store}: payment-gateway reconcile compares them with {provider}"
        )?;
        match &self.settled {
            Some(Settled { open, parked, .. }) => write_left(f, *open, *parked),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sums: Vec<_> = self.sums.iter().map(|(code, minor)| amount(code, *minor)).collect();
        let sums = if sums.is_empty() { "nothing".to_owned() } else { sums.join(", ") };
        writeln!(
            f,
            "  {} customers charged ({sums}), {} rows, {}{} receipts to be sent",
            self.charged,
            self.rows,
            self.mails.map_or_else(String::new, |mails| format!("{mails} receipts out, ")),
            self.receipts_pending
        )?;
        write_left(f, self.open, self.parked)?;
        if self.unknown > 0 {
            writeln!(
                f,
                "  {} more charges that this store never asked for: another store's, or those of one that was \
                 here before (payment-gateway reconcile lists them)",
                self.unknown
            )?;
        }
        if self.balance() {
            return writeln!(
                f,
                "  they balance: charged once and recorded once, or not at all; no receipt twice"
            );
        }
        writeln!(f, "  THEY DO NOT BALANCE: {} faults", self.wrong)?;
        for fault in &self.faults {
            writeln!(f, "    {fault}")?;
        }
        Ok(())
    }
}

/// Writes how many payments of the store have not ended.
fn write_left(f: &mut fmt::Formatter<'_>, open: u64, parked: u64) -> fmt::Result {
    writeln!(f, "  {open} payments open, {parked} that cannot be undone")
}

/// Rounds a percentage to four decimals, since the sums of a share are not exact to the last bit.
fn rounded(percent: f64) -> f64 {
    (percent * 10_000.0).round() / 10_000.0
}

/// Returns advice for the clients of failed payments, some of which fail permanently.
fn after_a_failure(failed: u64, for_good: u64) -> String {
    match for_good {
        0 => "not charged; asking again may help".to_owned(),
        all if all == failed => "not charged; asking again does not help".to_owned(),
        some => format!("not charged; asking again may help, but not for {some} of them"),
    }
}

/// Shows a sum, which may be larger than the limit of one payment.
fn amount(code: &str, minor: i64) -> String {
    use level3_domain::money::Currency;
    let decimals = Currency::try_from(code.to_owned()).map_or(0, |known| known.decimals());
    let unit = 10_i64.pow(u32::from(decimals));
    if decimals == 0 {
        return format!("{minor} {code}");
    }
    format!("{}.{:0width$} {code}", minor / unit, minor % unit, width = usize::from(decimals))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_for_good_is_not_asked_again() {
        assert!(after_a_failure(3, 0).contains("may help"));
        assert!(after_a_failure(3, 3).contains("does not help"));
        assert!(after_a_failure(3, 1).contains("not for 1 of them"));
    }

    #[test]
    fn all_of_all_is_all() {
        let tally = level3_harness::Tally { paid: 20, ..level3_harness::Tally::default() };
        assert!((rounded(tally.success().high) - 100.0).abs() < f64::EPSILON);
    }

    #[test]
    fn sums_have_the_decimals_of_their_currency() {
        assert_eq!(amount("USD", 12_345_678_905), "123456789.05 USD");
        assert_eq!(amount("JPY", 500), "500 JPY");
        assert_eq!(amount("KWD", 1_002), "1.002 KWD");
    }
}
