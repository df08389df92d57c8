//! Converts amounts to Stripe's minor units, which differ from those of ISO 4217 for some
//! currencies.
//!
//! An amount counts the currency's smallest unit (<https://docs.stripe.com/currencies>), except
//! that
//!
//! * ISK and UGX have no minor unit, but Stripe counts them in hundredths: 5 ISK are 500, and the
//!   last two digits must be 0;
//! * MGA has two decimals in ISO 4217 and none at Stripe: 500 are 500 MGA;
//! * an amount with three decimals must end in 0: the card networks accept no thousandths.
//!
//! HUF and TWD are special for payouts only. An amount that Stripe's units cannot express is
//! refused, not rounded: a request for 1.055 KWD must not charge 1.050 or 1.060.

use level3_domain::money::{Currency, MAX_MINOR, Money, MoneyError, UnknownCurrency};

/// Why an amount cannot be converted to Stripe's units, or from them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// The amount has a fraction that Stripe does not charge.
    #[error("{amount} cannot be charged: a multiple of {step} minor units can")]
    TooFine {
        /// The amount that Stripe cannot take.
        amount: Money,
        /// The number of minor units of which the amount has to be a multiple.
        step: i64,
    },
    /// The amount has more digits than Stripe accepts, in Stripe's units.
    #[error("{amount} has more than eight digits in Stripe's units")]
    TooLarge {
        /// The amount that Stripe cannot take.
        amount: Money,
    },
    /// The number that Stripe sent is not a whole number of minor units.
    #[error("{counted} {currency} in Stripe's units are not a whole number of minor units")]
    NotWhole {
        /// The number that Stripe sent.
        counted: i64,
        /// The currency of the number.
        currency: Currency,
    },
    /// Stripe sent a code that is not a currency.
    #[error(transparent)]
    Currency(#[from] UnknownCurrency),
    /// Zero, negative or too large.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

/// How Stripe counts a currency.
enum Unit {
    /// As ISO 4217 does, with every amount.
    Iso,
    /// As ISO 4217 does, but only multiples of a step.
    Steps(i64),
    /// One minor unit of ISO 4217 is many of Stripe's.
    Finer(i64),
    /// Many minor units of ISO 4217 are one of Stripe's.
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

/// Converts an amount to Stripe's units.
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

/// Converts a number in Stripe's units to an amount.
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
