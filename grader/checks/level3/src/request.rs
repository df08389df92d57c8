//! What is refused before anything is called.

use grader_kit::{Cx, Outcome, ensure};
use level3::request::{InvalidRequest, Payment, PaymentRequest};

use crate::requests::request;

fn refused(
    request: &PaymentRequest,
    what: &str,
    as_it: fn(&InvalidRequest) -> bool,
) -> Result<(), grader_kit::Fail> {
    let result: Result<Payment, InvalidRequest> = request.validate();
    let observed = format!("{:?}", result.as_ref().map(|_| "a payment"));
    ensure!(
        result.as_ref().is_err_and(as_it),
        "{what} is not refused as what it is";
        expected = "the InvalidRequest that names it", observed = observed,
        help = "check before anything is called; repair nothing silently"
    );
    Ok(())
}

pub async fn refuses_bad_amounts(_cx: Cx) -> Outcome {
    for amount in [0, -1, i64::MIN, 100_000_000, i64::MAX] {
        let bad = PaymentRequest { amount, ..request("a") };
        refused(&bad, &format!("an amount of {amount}"), |e| {
            matches!(e, InvalidRequest::Amount(_))
        })?;
    }
    let good = request("a").validate();
    ensure!(
        good.as_ref().is_ok_and(|payment| payment.amount.minor() == 1999),
        "a good amount is not taken as it is"; observed = format!("{good:?}")
    );
    Ok(())
}

pub async fn refuses_unknown_currencies(_cx: Cx) -> Outcome {
    for currency in ["", "DOLLAR", "ZZZ", "US"] {
        let bad = PaymentRequest { currency: currency.to_owned(), ..request("a") };
        refused(&bad, &format!("the currency {currency:?}"), |e| {
            matches!(e, InvalidRequest::Currency(_))
        })?;
    }
    for (code, decimals) in [("jpy", 0), ("USD", 2), ("KWD", 3)] {
        let good = PaymentRequest { currency: code.to_owned(), ..request("a") }.validate();
        ensure!(
            good.as_ref().is_ok_and(|payment| payment.amount.currency().decimals() == decimals),
            "{code} is not taken as a currency with {decimals} decimals";
            observed = format!("{good:?}")
        );
    }
    Ok(())
}

pub async fn refuses_bad_keys(_cx: Cx) -> Outcome {
    for (key, what) in
        [(String::new(), "an empty key"), ("k".repeat(256), "a key of 256 characters")]
    {
        let bad = PaymentRequest { key, ..request("a") };
        refused(&bad, what, |e| matches!(e, InvalidRequest::Key(_)))?;
    }
    let longest = PaymentRequest { key: "k".repeat(255), ..request("a") }.validate();
    ensure!(
        longest.as_ref().is_ok_and(|payment| payment.key.as_str().len() == 255),
        "a key of 255 characters is not taken as it is";
        observed = format!("{:?}", longest.map(|payment| payment.key))
    );
    Ok(())
}

pub async fn refuses_broken_addresses(_cx: Cx) -> Outcome {
    for email in ["", "someone", "someone@", "@example.com", "some one@example.com", "a@b"] {
        let bad = PaymentRequest { email: email.to_owned(), ..request("a") };
        refused(&bad, &format!("the address {email:?}"), |e| {
            matches!(e, InvalidRequest::Email(_))
        })?;
    }
    Ok(())
}
