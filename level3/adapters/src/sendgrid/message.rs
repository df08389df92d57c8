//! Writes the mail of a receipt.

use level3_domain::provider::Receipt;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::config::SendGridConfig;

/// The request body of `/v3/mail/send`
/// (<https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send>).
pub(super) fn body(config: &SendGridConfig, receipt: &Receipt) -> Value {
    let mut from = json!({ "email": config.from.expose() });
    if let Some(name) = &config.from_name {
        from["name"] = json!(name);
    }
    json!({
        "personalizations": [{ "to": [{ "email": receipt.email.expose() }] }],
        "from": from,
        "subject": format!("Receipt for order {}", receipt.order),
        "content": [{ "type": "text/plain", "value": text(receipt) }],
        // SendGrid repeats it in every event, so that an operator can see a second mail.
        "custom_args": { "transaction": receipt.transaction.as_str() },
        "headers": { "Message-ID": message_id(config, receipt) },
        "mail_settings": { "sandbox_mode": { "enable": config.sandbox } },
    })
}

fn text(receipt: &Receipt) -> String {
    let Receipt { transaction, order, amount, .. } = receipt;
    format!(
        "We have received your payment.\n\n\
         Order:       {order}\n\
         Amount:      {amount}\n\
         Transaction: {transaction}\n\n\
         Please keep this mail as your receipt.\n"
    )
}

/// Makes the `Message-ID`. It is the same for every attempt, so that a mailbox that gets two mails
/// can show one. RFC 5322, 3.6.4 demands that it is unique and has the form of an address. It is a
/// hash, since a transaction's name may contain any character.
fn message_id(config: &SendGridConfig, receipt: &Receipt) -> String {
    let digest = Sha256::digest(receipt.transaction.as_str().as_bytes());
    let digits: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let domain = config.from.expose().rsplit('@').next().unwrap_or_default();
    format!("<receipt.{digits}@{domain}>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sendgrid::SendGridKey;
    use level3_domain::ids::{Email, OrderId, TransactionId};
    use level3_domain::money::Money;

    fn receipt(transaction: &str, minor: i64, currency: &str) -> Receipt {
        Receipt {
            transaction: TransactionId::new(transaction).unwrap(),
            order: OrderId::new("order 7").unwrap(),
            amount: Money::new(minor, currency.parse().unwrap()).unwrap(),
            email: Email::new("someone@example.com").unwrap(),
        }
    }

    fn config() -> SendGridConfig {
        let key = SendGridKey::new("SG.key").unwrap();
        SendGridConfig::new(key, Email::new("shop@example.org").unwrap())
    }

    #[test]
    fn the_amount_has_its_currencys_decimals() {
        for (minor, currency, shown) in
            [(1050, "USD", "10.50 USD"), (1050, "JPY", "1050 JPY"), (1050, "KWD", "1.050 KWD")]
        {
            let text = text(&receipt("txn_1", minor, currency));
            assert!(text.contains(&format!("Amount:      {shown}\n")), "{text}");
        }
    }

    #[test]
    fn the_message_id_is_the_transactions() {
        let id = |transaction: &str| message_id(&config(), &receipt(transaction, 1, "USD"));
        assert_eq!(id("txn_1"), id("txn_1"));
        assert_ne!(id("txn_1"), id("txn_2"));
        let odd = id("a> b\u{e4}<");
        assert!(odd.starts_with("<receipt.") && odd.ends_with("@example.org>"), "{odd}");
        assert!(odd.bytes().all(|byte| byte.is_ascii_graphic()), "{odd}");
    }
}
