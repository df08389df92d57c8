//! Money: an integer number of minor units, and a currency.
//!
//! A float cannot hold 0.10 exactly, and what is rounded twice is charged wrongly. Stripe counts in
//! minor units as well: 1099 with `usd` is 10.99 USD, 1099 with `jpy` is 1099 JPY, since the yen has no
//! minor unit (<https://docs.stripe.com/currencies#zero-decimal>).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The largest amount of one payment in minor units: Stripe takes at most eight digits
/// (<https://docs.stripe.com/api/payment_intents/create#create_payment_intent-amount>).
pub const MAX_MINOR: i64 = 99_999_999;

/// The currencies of ISO 4217 that circulate with two decimals.
const TWO_DECIMALS: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN \
    BWP BYN BZD CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS \
    GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL \
    MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP \
    PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT \
    TOP TRY TTD TWD TZS UAH USD UYU UZS VES WST XCD YER ZAR ZMW";
/// Those without a minor unit.
const NO_DECIMALS: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF";
/// Those whose minor unit is a thousandth.
const THREE_DECIMALS: &str = "BHD IQD JOD KWD LYD OMR TND";

/// A currency of ISO 4217.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency {
    code: [u8; 3],
    decimals: u8,
}

/// The code names no currency of ISO 4217 that circulates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no currency of ISO 4217: {code:?}")]
pub struct UnknownCurrency {
    /// What was given, cut to 16 characters.
    pub code: String,
}

impl Currency {
    /// The US dollar: two decimals.
    pub const USD: Self = Self { code: *b"USD", decimals: 2 };
    /// The euro: two decimals.
    pub const EUR: Self = Self { code: *b"EUR", decimals: 2 };
    /// The yen: no decimals.
    pub const JPY: Self = Self { code: *b"JPY", decimals: 0 };
    /// The Kuwaiti dinar: three decimals.
    pub const KWD: Self = Self { code: *b"KWD", decimals: 3 };

    /// The three capital letters.
    #[must_use]
    pub fn code(&self) -> &str {
        // Three ASCII letters by construction: every value comes from the tables above.
        std::str::from_utf8(&self.code).unwrap_or_default()
    }

    /// How many decimals the minor unit stands for: 0, 2 or 3.
    #[must_use]
    pub const fn decimals(&self) -> u8 {
        self.decimals
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    /// Takes the code in capitals or, as Stripe writes it, in small letters.
    fn from_str(text: &str) -> Result<Self, UnknownCurrency> {
        let unknown = || UnknownCurrency { code: text.chars().take(16).collect() };
        let code: [u8; 3] =
            text.to_ascii_uppercase().into_bytes().try_into().map_err(|_| unknown())?;
        let is_in = |table: &str| table.split_ascii_whitespace().any(|c| c.as_bytes() == code);
        // The table is in the order of how often a currency is met.
        let decimals = match () {
            () if is_in(TWO_DECIMALS) => 2,
            () if is_in(NO_DECIMALS) => 0,
            () if is_in(THREE_DECIMALS) => 3,
            () => return Err(unknown()),
        };
        Ok(Self { code, decimals })
    }
}

impl TryFrom<String> for Currency {
    type Error = UnknownCurrency;

    fn try_from(text: String) -> Result<Self, UnknownCurrency> {
        // What this crate wrote itself is met most often: no walk through the tables.
        [Self::USD, Self::EUR]
            .into_iter()
            .find(|known| known.code() == text)
            .map_or_else(|| text.parse(), Ok)
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

/// Why a number is no amount to be paid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Zero or less: nothing to be paid.
    #[error("not an amount to be paid: {minor} minor units")]
    NotPositive {
        /// What was given.
        minor: i64,
    },
    /// More than [`MAX_MINOR`].
    #[error("{minor} minor units are more than one payment may have ({MAX_MINOR})")]
    TooLarge {
        /// What was given.
        minor: i64,
    },
}

/// An amount to be paid: 1 to [`MAX_MINOR`] minor units of a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

impl Money {
    /// `minor` cents, or whatever the currency's smallest unit is.
    ///
    /// # Errors
    ///
    /// [`MoneyError`] for zero, negative and too large amounts.
    pub const fn new(minor: i64, currency: Currency) -> Result<Self, MoneyError> {
        match minor {
            ..=0 => Err(MoneyError::NotPositive { minor }),
            1..=MAX_MINOR => Ok(Self { minor, currency }),
            _ => Err(MoneyError::TooLarge { minor }),
        }
    }

    /// The amount in minor units.
    #[must_use]
    pub const fn minor(&self) -> i64 {
        self.minor
    }

    /// The currency.
    #[must_use]
    pub const fn currency(&self) -> Currency {
        self.currency
    }
}

impl fmt::Display for Money {
    /// With the currency's decimals: `10.50 USD`, `1050 JPY`, `1.050 KWD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = usize::from(self.currency.decimals);
        if decimals == 0 {
            return write!(f, "{} {}", self.minor, self.currency);
        }
        let unit = 10_i64.pow(u32::from(self.currency.decimals));
        write!(f, "{}.{:0decimals$} {}", self.minor / unit, self.minor % unit, self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_follow_the_currency() {
        let shown = |code: &str| Money::new(1050, code.parse().unwrap()).unwrap().to_string();
        assert_eq!(shown("usd"), "10.50 USD");
        assert_eq!(shown("JPY"), "1050 JPY");
        assert_eq!(shown("KWD"), "1.050 KWD");
    }

    #[test]
    fn amounts_are_bounded() {
        let usd = |minor| Money::new(minor, Currency::USD);
        assert_eq!(usd(0), Err(MoneyError::NotPositive { minor: 0 }));
        assert_eq!(usd(i64::MIN), Err(MoneyError::NotPositive { minor: i64::MIN }));
        assert!(usd(1).is_ok() && usd(MAX_MINOR).is_ok());
        assert_eq!(usd(MAX_MINOR + 1), Err(MoneyError::TooLarge { minor: MAX_MINOR + 1 }));
    }

    #[test]
    fn unknown_currencies_are_refused() {
        for code in ["", "US", "USDX", "ZZZ", "U$D", "\u{20ac}"] {
            assert!(code.parse::<Currency>().is_err(), "{code}");
        }
    }

    #[test]
    fn tables_agree_with_the_constants() {
        for known in [Currency::USD, Currency::EUR, Currency::JPY, Currency::KWD] {
            assert_eq!(known.code().parse(), Ok(known));
        }
    }
}
