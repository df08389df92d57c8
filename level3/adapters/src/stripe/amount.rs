//! Stripe's idea of minor units, which is not ISO 4217's for every currency.
//!
//! An amount counts the currency's smallest unit (<https://docs.stripe.com/currencies>), except that
//!
//! * ISK and UGX have no minor unit, and are still counted in hundredths: 5 ISK are 500, and the last
//!   two digits must be 0;
//! * MGA, whose unit ISO 4217 gives as a fifth and counts with two decimals, has none: 500 are 500 MGA;
//! * three-decimal amounts end in 0: the card networks take no thousandths.
//!
//! HUF and TWD are special for payouts only. What cannot be said in Stripe's units is refused, not
//! rounded: a request for 1.055 KWD must not charge 1.050 or 1.060.

use level3_domain::money::{Currency, MAX_MINOR, Money, MoneyError, UnknownCurrency};

/// Why an amount has no form at Stripe, or one of Stripe's is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// It has a part that Stripe does not charge.
    #[error("{amount} cannot be charged: a multiple of {step} minor units can")]
    TooFine {
        /// The amount.
        amount: Money,
        /// What it has to be a multiple of.
        step: i64,
    },
    /// It has more digits than Stripe takes, in Stripe's units.
    #[error("{amount} has more than eight digits in Stripe's units")]
    TooLarge {
        /// The amount.
        amount: Money,
    },
    /// Stripe has counted parts of a unit that has none.
    #[error("{counted} {currency} of Stripe's are no whole number of minor units")]
    NotWhole {
        /// The number that Stripe sent.
        counted: i64,
        /// The currency of the number.
        currency: Currency,
    },
    /// Stripe has named a currency that is none.
    #[error(transparent)]
    Currency(#[from] UnknownCurrency),
    /// Zero, negative or too large.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

/// How a currency is counted.
enum Unit {
    /// As ISO 4217 does.
    Iso,
    /// As ISO 4217 does, in steps.
    Steps(i64),
    /// One of ours is many of Stripe's.
    Finer(i64),
    /// Many of ours are one of Stripe's.
    Coarser(i64),
}

fn unit(currency: Currency) -> Unit {
    match currency.code() {
        "ISK" | "UGX" => Unit::Finer(100),
        "MGA" => Unit::Coarser(100),
        _ if currency.decimals() == 3 => Unit::Steps(10),
        _ => Unit::Iso,
    }
}

/// The amount as Stripe counts it.
pub(super) fn to_stripe(amount: Money) -> Result<i64, AmountError> {
    let minor = amount.minor();
    let whole = |step: i64| match minor % step {
        0 => Ok(minor),
        _ => Err(AmountError::TooFine { amount, step }),
    };
    match unit(amount.currency()) {
        Unit::Iso => Ok(minor),
        Unit::Steps(step) => whole(step),
        Unit::Coarser(times) => Ok(whole(times)? / times),
        // At most eight digits times a hundred: no overflow.
        Unit::Finer(times) if minor * times > MAX_MINOR => Err(AmountError::TooLarge { amount }),
        Unit::Finer(times) => Ok(minor * times),
    }
}

/// What Stripe has counted, as an amount.
pub(super) fn from_stripe(counted: i64, currency: &str) -> Result<Money, AmountError> {
    let currency: Currency = currency.parse()?;
    let minor = match unit(currency) {
        Unit::Iso | Unit::Steps(_) => counted,
        Unit::Coarser(times) => counted.saturating_mul(times),
        Unit::Finer(times) if counted % times == 0 => counted / times,
        Unit::Finer(_) => return Err(AmountError::NotWhole { counted, currency }),
    };
    Ok(Money::new(minor, currency)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(minor: i64, code: &str) -> Money {
        Money::new(minor, code.parse().unwrap()).unwrap()
    }

    #[test]
    fn amounts_are_counted_as_stripe_does() {
        // Amount in ISO's minor units, and what Stripe's page says about it.
        for (minor, code, counted) in [
            (1099, "USD", 1099),
            (500, "JPY", 500),
            (5, "ISK", 500),
            (5, "UGX", 500),
            (50_000, "MGA", 500),
            (5120, "KWD", 5120),
            (1045, "HUF", 1045),
            (80_045, "TWD", 80_045),
        ] {
            let amount = money(minor, code);
            assert_eq!(to_stripe(amount), Ok(counted), "{amount}");
            assert_eq!(from_stripe(counted, &code.to_lowercase()), Ok(amount), "{amount}");
        }
    }

    #[test]
    fn what_stripe_cannot_charge_is_not_rounded() {
        let (kwd, mga, isk) = (money(5124, "KWD"), money(1, "MGA"), money(1_000_000, "ISK"));
        assert_eq!(to_stripe(kwd), Err(AmountError::TooFine { amount: kwd, step: 10 }));
        assert_eq!(to_stripe(mga), Err(AmountError::TooFine { amount: mga, step: 100 }));
        assert_eq!(to_stripe(isk), Err(AmountError::TooLarge { amount: isk }));
    }

    #[test]
    fn what_stripe_says_is_checked() {
        assert!(matches!(from_stripe(505, "isk"), Err(AmountError::NotWhole { .. })));
        assert!(matches!(from_stripe(1, "zzz"), Err(AmountError::Currency(_))));
        for counted in [0, -1, i64::MIN, i64::MAX] {
            for code in ["usd", "mga", "ugx"] {
                assert!(from_stripe(counted, code).is_err(), "{counted} {code}");
            }
        }
    }
}
