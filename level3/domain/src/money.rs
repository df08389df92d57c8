//! Money: an integer number of minor units, and a currency.
//!
//! A float cannot represent 0.10 exactly, and an amount that is rounded twice is charged wrongly.
//! Stripe counts in minor units as well: 1099 with `usd` is 10.99 USD, 1099 with `jpy` is 1099 JPY,
//! since the yen has no minor unit (<https://docs.stripe.com/currencies#zero-decimal>).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

/// The largest amount of one payment in minor units: Stripe takes at most eight digits
/// (<https://docs.stripe.com/api/payment_intents/create#create_payment_intent-amount>).
pub const MAX_MINOR: i64 = 99_999_999;

/// A currency of ISO 4217.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Currency {
    code: [u8; 3],
    decimals: u8,
}

/// The code is not that of a circulating currency of ISO 4217.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no currency of ISO 4217: {code:?}")]
pub struct UnknownCurrency {
    /// The given text, cut to 16 characters.
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
        // Three ASCII letters by construction: every code was found in the list.
        std::str::from_utf8(&self.code).unwrap_or_default()
    }

    /// Returns the number of decimals of the minor unit: 0, 2 or 3.
    #[must_use]
    pub const fn decimals(&self) -> u8 {
        self.decimals
    }
}

/// Returns the number of decimals of a circulating currency of ISO 4217; `None` for every other
/// text.
const fn decimals(code: [u8; 3]) -> Option<u8> {
    match &code {
        b"AED" | b"AFN" | b"ALL" | b"AMD" | b"AOA" | b"ARS" | b"AUD" | b"AWG" | b"AZN" | b"BAM"
        | b"BBD" | b"BDT" | b"BMD" | b"BND" | b"BOB" | b"BRL" | b"BSD" | b"BTN" | b"BWP"
        | b"BYN" | b"BZD" | b"CAD" | b"CDF" | b"CHF" | b"CNY" | b"COP" | b"CRC" | b"CUP"
        | b"CVE" | b"CZK" | b"DKK" | b"DOP" | b"DZD" | b"EGP" | b"ERN" | b"ETB" | b"EUR"
        | b"FJD" | b"FKP" | b"GBP" | b"GEL" | b"GHS" | b"GIP" | b"GMD" | b"GTQ" | b"GYD"
        | b"HKD" | b"HNL" | b"HTG" | b"HUF" | b"IDR" | b"ILS" | b"INR" | b"IRR" | b"JMD"
        | b"KES" | b"KGS" | b"KHR" | b"KPW" | b"KYD" | b"KZT" | b"LAK" | b"LBP" | b"LKR"
        | b"LRD" | b"LSL" | b"MAD" | b"MDL" | b"MGA" | b"MKD" | b"MMK" | b"MNT" | b"MOP"
        | b"MRU" | b"MUR" | b"MVR" | b"MWK" | b"MXN" | b"MYR" | b"MZN" | b"NAD" | b"NGN"
        | b"NIO" | b"NOK" | b"NPR" | b"NZD" | b"PAB" | b"PEN" | b"PGK" | b"PHP" | b"PKR"
        | b"PLN" | b"QAR" | b"RON" | b"RSD" | b"RUB" | b"SAR" | b"SBD" | b"SCR" | b"SDG"
        | b"SEK" | b"SGD" | b"SHP" | b"SLE" | b"SOS" | b"SRD" | b"SSP" | b"STN" | b"SVC"
        | b"SYP" | b"SZL" | b"THB" | b"TJS" | b"TMT" | b"TOP" | b"TRY" | b"TTD" | b"TWD"
        | b"TZS" | b"UAH" | b"USD" | b"UYU" | b"UZS" | b"VES" | b"WST" | b"XCD" | b"YER"
        | b"ZAR" | b"ZMW" => Some(2),
        b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG" | b"RWF"
        | b"UGX" | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => Some(0),
        b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => Some(3),
        _ => None,
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    /// Takes the code in capitals or, as Stripe writes it, in small letters.
    fn from_str(text: &str) -> Result<Self, UnknownCurrency> {
        let unknown = || UnknownCurrency { code: text.chars().take(16).collect() };
        let mut code: [u8; 3] = text.as_bytes().try_into().map_err(|_| unknown())?;
        code.make_ascii_uppercase();
        let decimals = decimals(code).ok_or_else(unknown)?;
        Ok(Self { code, decimals })
    }
}

impl TryFrom<String> for Currency {
    type Error = UnknownCurrency;

    fn try_from(text: String) -> Result<Self, UnknownCurrency> {
        text.parse()
    }
}

/// Writes the code. Written by hand, because serde's `into = "String"` would allocate a `String`
/// first.
impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
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

/// Why a number is not an amount that can be paid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The amount is zero or negative.
    #[error("not an amount to be paid: {minor} minor units")]
    NotPositive {
        /// The refused amount, in minor units.
        minor: i64,
    },
    /// The amount is above [`MAX_MINOR`].
    #[error("{minor} minor units are more than one payment may have ({MAX_MINOR})")]
    TooLarge {
        /// The refused amount, in minor units.
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
    /// Makes an amount of `minor` units: cents, for instance.
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

    /// Returns the currency.
    #[must_use]
    pub const fn currency(&self) -> Currency {
        self.currency
    }
}

impl fmt::Display for Money {
    /// Shows the amount with the currency's decimals: `10.50 USD`, `1050 JPY`, `1.050 KWD`.
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
    fn the_list_agrees_with_the_constants() {
        for known in [Currency::USD, Currency::EUR, Currency::JPY, Currency::KWD] {
            assert_eq!(known.code().parse(), Ok(known));
        }
    }
}
