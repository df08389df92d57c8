//! What is refused before any service is called, and what is taken as it is.

use std::fmt::Debug;

use grader_kit::{Cx, Draw, Fail, Outcome, ensure};
use level3::ids::InvalidText;
use level3::money::{MAX_MINOR, MoneyError};
use level3::request::{InvalidRequest, Payment, PaymentRequest};

use crate::requests::request;

const NAME: &str = "PaymentRequest::validate";

/// Currencies with no, two and three decimals, in capital and in small letters.
const CURRENCIES: [(&str, &str, u8); 6] = [
    ("JPY", "JPY", 0),
    ("krw", "KRW", 0),
    ("USD", "USD", 2),
    ("eur", "EUR", 2),
    ("KWD", "KWD", 3),
    ("bhd", "BHD", 3),
];

async fn validate(
    cx: &Cx,
    request: &PaymentRequest,
) -> Result<Result<Payment, InvalidRequest>, Fail> {
    cx.call_fn(NAME, || request.validate()).await
}

/// The payment that a request with right fields becomes.
async fn payment(cx: &Cx, request: &PaymentRequest, what: &str) -> Result<Payment, Fail> {
    validate(cx, request).await?.map_err(|error| {
        Fail::new(format!("{what} is refused"))
            .expected("a payment: the field is within its rules")
            .observed(format!("{error:?}"))
    })
}

/// Holds a field of the payment against the field of the request.
fn taken<T: PartialEq + Debug + ?Sized>(what: &str, given: &T, found: &T) -> Outcome {
    ensure!(
        given == found,
        "{what} is not taken as it is";
        expected = format!("{given:?}"), observed = format!("{found:?}"),
        help = "validate checks and converts; it neither repairs nor shortens what the client sent"
    );
    Ok(())
}

/// A request that has to be refused, with the error that names its fault.
async fn refused(
    cx: &Cx,
    request: &PaymentRequest,
    what: &str,
    expected: &str,
    fits: impl Fn(&InvalidRequest) -> bool,
) -> Outcome {
    let result = validate(cx, request).await?;
    let observed = match &result {
        Ok(_) => "a payment".to_owned(),
        Err(error) => format!("{error:?}"),
    };
    ensure!(
        result.as_ref().is_err_and(fits),
        "{what} is not refused as what it is";
        expected = expected, observed = observed,
        help = "check before anything is called; repair nothing silently"
    );
    Ok(())
}

pub async fn refuses_bad_amounts(cx: Cx) -> Outcome {
    // Some of them are good amounts once they are cut to 32 bits or rounded to a float.
    let too_small = [0, -1, -1999, i64::MIN, i64::MIN + 1];
    let too_large = [MAX_MINOR + 1, 1 << 31, (1 << 32) + 1999, (1 << 53) + 1, i64::MAX];
    for (code, _, _) in CURRENCIES {
        for amount in too_small.into_iter().chain(too_large) {
            let bad = PaymentRequest { amount, currency: code.to_owned(), ..request("a") };
            let (named, expected) = if amount < 1 {
                (MoneyError::NotPositive { minor: amount }, "NotPositive")
            } else {
                (MoneyError::TooLarge { minor: amount }, "TooLarge")
            };
            let expected = format!("InvalidRequest::Amount, {expected} with {amount}");
            let what = format!("an amount of {amount} {code}");
            refused(
                &cx,
                &bad,
                &what,
                &expected,
                |error| matches!(error, InvalidRequest::Amount(why) if *why == named),
            )
            .await?;
        }
        // 2^24 + 1 and the largest amount are no `f32`.
        for amount in [1, 99, 100, 1999, (1 << 24) - 1, (1 << 24) + 1, MAX_MINOR - 1, MAX_MINOR] {
            let good = PaymentRequest { amount, currency: code.to_owned(), ..request("a") };
            let what = format!("an amount of {amount} minor units of {code}");
            let found = payment(&cx, &good, &what).await?;
            taken(&what, &amount, &found.amount.minor())?;
        }
    }
    Ok(())
}

pub async fn refuses_unknown_currencies(cx: Cx) -> Outcome {
    for code in [
        "",
        "US",
        "DOLLAR",
        "USDX",
        "ZZZ",
        "XXX",
        "U$D",
        " USD",
        "USD ",
        "USD\n",
        "U SD",
        "\u{20ac}",
        "\u{ff35}\u{ff33}\u{ff24}",
        "840",
        // These become ASCII letters when Unicode makes capital or small letters of them.
        "\u{131}nr",
        "\u{130}nr",
        "u\u{17f}d",
        "\u{212a}rw",
    ] {
        let bad = PaymentRequest { currency: code.to_owned(), ..request("a") };
        let what = format!("the currency {code:?}");
        refused(
            &cx,
            &bad,
            &what,
            "InvalidRequest::Currency with this code",
            |error| matches!(error, InvalidRequest::Currency(why) if why.code == code),
        )
        .await?;
    }
    for (given, code, decimals) in CURRENCIES {
        let good = PaymentRequest { currency: given.to_owned(), ..request("a") };
        let found = payment(&cx, &good, &format!("the currency {given}")).await?.amount.currency();
        ensure!(
            found.code() == code && found.decimals() == decimals,
            "{given} is not taken as a currency with {decimals} decimals";
            expected = format!("{code} with {decimals} decimals"),
            observed = format!("{} with {} decimals", found.code(), found.decimals())
        );
    }
    Ok(())
}

/// Texts that a bounded field refuses, and why.
fn bad_texts(most: usize) -> Vec<(String, String, InvalidText)> {
    let long = |chars: usize| {
        let error = InvalidText::TooLong { chars, most };
        ("k".repeat(chars), format!("of {chars} characters"), error)
    };
    let mut texts = vec![
        (String::new(), "that is empty".to_owned(), InvalidText::Empty),
        long(most + 1),
        long(most + 10_000),
    ];
    // What a form, a file or a terminal leaves behind: in the middle, and at either end.
    for mark in ["\n", "\r\n", "\r", "\t", "\0", "\u{1b}", "\u{7f}", "\u{85}"] {
        for text in [format!("a{mark}b"), format!("ab{mark}"), format!("{mark}ab")] {
            let which = format!("with a control character, {text:?},");
            texts.push((text, which, InvalidText::Characters));
        }
    }
    texts
}

/// Whether blanks around the key, the order and the card token are taken as they are: that is a criterion of its own,
/// and a solution that removes them removes the marks at both ends as well.
async fn keeps_blanks(cx: &Cx) -> Result<[bool; 3], Fail> {
    let blank = " a ";
    let given = PaymentRequest {
        key: blank.into(),
        order: blank.into(),
        card: blank.into(),
        ..request("a")
    };
    let Ok(found) = validate(cx, &given).await? else { return Ok([true; 3]) };
    Ok([found.key.as_str(), found.order.as_str(), found.card.expose()].map(|text| text == blank))
}

/// Whether the text is one to judge a field with whose blanks are kept, or not.
fn is_judged(text: &str, keeps_blanks: bool) -> bool {
    keeps_blanks || text.trim() == text
}

pub async fn refuses_bad_keys(cx: Cx) -> Outcome {
    let [keeps, ..] = keeps_blanks(&cx).await?;
    let foreign = ["\u{e9}", "order \u{20ac}", "\u{43a}\u{43b}\u{44e}\u{447}"].map(|key| {
        (key.to_owned(), "with other than ASCII characters".to_owned(), InvalidText::Characters)
    });
    let bad = bad_texts(255).into_iter().chain(foreign);
    for (key, which, error) in bad.filter(|(key, ..)| is_judged(key, keeps)) {
        let bad = PaymentRequest { key, ..request("a") };
        let (what, expected) =
            (format!("a key {which}"), format!("InvalidRequest::Key, {error:?}"));
        refused(
            &cx,
            &bad,
            &what,
            &expected,
            |found| matches!(found, InvalidRequest::Key(why) if *why == error),
        )
        .await?;
    }
    // All printable ASCII characters there are, and each of them alone.
    let all: String = (b' '..=b'~').map(char::from).collect();
    let alone = all.chars().map(String::from);
    for key in alone.chain([all.clone(), " ".repeat(255)]) {
        let good = PaymentRequest { key: key.clone(), ..request("a") };
        let what = format!("the key {key:?}");
        let found = payment(&cx, &good, &what).await?;
        taken(&what, key.as_str(), found.key.as_str())?;
    }
    // They share their first 16 characters, and all but the last one.
    for length in [1, 15, 16, 17, 254, 255] {
        for last in ["a", "b", "A", "~", " "] {
            let key = "payment of order 1, ".repeat(13)[..length - 1].to_owned() + last;
            let good = PaymentRequest { key: key.clone(), ..request("a") };
            let what = format!("a key of {length} characters");
            let found = payment(&cx, &good, &what).await?;
            taken(&what, key.as_str(), found.key.as_str())?;
        }
    }
    Ok(())
}

pub async fn refuses_broken_addresses(cx: Cx) -> Outcome {
    let long = format!("{}@example.com", "a".repeat(65));
    for email in [
        "",
        "someone",
        "someone@",
        "@example.com",
        "some one@example.com",
        "a@b",
        "a@b.",
        "a@.com",
        "a@@b.com",
        "a@b..com",
        "a..b@c.com",
        " someone@example.com",
        "someone@example.com ",
        "someone@example.com\n",
        "<someone@example.com>",
        "someone@example.com,other@example.com",
        &long,
    ] {
        let bad = PaymentRequest { email: email.to_owned(), ..request("a") };
        let what = format!("the address {email:?}");
        refused(&cx, &bad, &what, "InvalidRequest::Email", |error| {
            matches!(error, InvalidRequest::Email(_))
        })
        .await?;
    }
    let longest = format!("{}@example.com", "a".repeat(64));
    for email in [
        "a@b.de",
        "Some.One+Tag@Example.COM",
        "s\u{f6}me@ex\u{e4}mple.com",
        "a@b.c.d.example.org",
        "1@2.3.example",
        "o'brien@example.ie",
        "a-b_c%d/e@ex-ample.museum",
        "root@127.0.0.1",
        &longest,
    ] {
        let good = PaymentRequest { email: email.to_owned(), ..request("a") };
        let what = format!("the address {email:?}");
        let found = payment(&cx, &good, &what).await?;
        taken(&what, email, found.email.expose())?;
    }
    Ok(())
}

pub async fn refuses_bad_orders_and_cards(cx: Cx) -> Outcome {
    let [_, keeps_order, keeps_card] = keeps_blanks(&cx).await?;
    let orders = bad_texts(100).into_iter().filter(|(order, ..)| is_judged(order, keeps_order));
    for (order, which, error) in orders {
        let bad = PaymentRequest { order, ..request("a") };
        let expected = format!("InvalidRequest::Order, {error:?}");
        refused(
            &cx,
            &bad,
            &format!("an order {which}"),
            &expected,
            |found| matches!(found, InvalidRequest::Order(why) if *why == error),
        )
        .await?;
    }
    let cards = bad_texts(255).into_iter().filter(|(card, ..)| is_judged(card, keeps_card));
    for (card, which, error) in cards {
        let bad = PaymentRequest { card, ..request("a") };
        let expected = format!("InvalidRequest::Card, {error:?}");
        refused(
            &cx,
            &bad,
            &format!("a card token {which}"),
            &expected,
            |found| matches!(found, InvalidRequest::Card(why) if *why == error),
        )
        .await?;
    }
    Ok(())
}

pub async fn takes_each_field_as_it_is(cx: Cx) -> Outcome {
    let given = PaymentRequest {
        key: " Key  of a Client ".to_owned(),
        order: " Bestellung N\u{ba} 7/\u{e4} \u{6ce8}\u{6587} ".to_owned(),
        amount: 10_50,
        currency: "kwd".to_owned(),
        email: "Some.One@Example.COM".to_owned(),
        card: " pm_Card visa ".to_owned(),
    };
    let found = payment(&cx, &given, "a request whose fields are all good").await?;
    taken("the key", given.key.as_str(), found.key.as_str())?;
    taken("the order", given.order.as_str(), found.order.as_str())?;
    taken("the amount", &given.amount, &found.amount.minor())?;
    taken("the e-mail address", given.email.as_str(), found.email.expose())?;
    taken("the card token", given.card.as_str(), found.card.expose())?;
    // Marks that no reader sees are characters too; and what a text looks like decides nothing.
    let unseen = ("\u{feff}order \u{200b}7\u{2060}", "\u{200b}pm\u{a0}\u{feff}");
    let mut draw = cx.draw();
    let digits = draw.between(1_000_000_000_000_000..=9_999_999_999_999_999).to_string();
    let drawn = draw.text(1..=100);
    let texts = [
        ("o", "c"),
        unseen,
        (" ", " "),
        ("\u{3000}\u{3000}", "   "),
        (&*digits, &*digits),
        ("0", "0"),
        ("-1.5", "-"),
        (&*drawn, &*drawn),
        ("null", "undefined"),
        ("a@b.de", "a@b.de"),
        ("'; DROP TABLE rows; --", "<card name=\"x\">"),
        ("https://shop.example/order?id=7&x=%00", "../../etc/passwd"),
        ("{\"order\": 7}", "\\n${card}"),
        ("\u{1f980}", "\u{1f980}"),
        (&*"\u{e4}".repeat(100), &*"\u{e4}".repeat(255)),
    ];
    for (order, card) in texts {
        let given =
            PaymentRequest { order: order.to_owned(), card: card.to_owned(), ..request("a") };
        let (long, longer) = (order.chars().count(), card.chars().count());
        let what = match longer {
            0..=40 => format!("the order {order:?} with the card token {card:?}"),
            _ => format!("an order of {long} characters with a card token of {longer}"),
        };
        let found = payment(&cx, &given, &what).await?;
        taken(&what, &(order, card), &(found.order.as_str(), found.card.expose()))?;
    }
    Ok(())
}

pub async fn checks_the_currency_first(cx: Cx) -> Outcome {
    let bad = PaymentRequest {
        key: String::new(),
        order: String::new(),
        amount: 0,
        currency: "ZZZ".to_owned(),
        email: "nobody".to_owned(),
        card: String::new(),
    };
    refused(&cx, &bad, "a request without a good field", "InvalidRequest::Currency", |error| {
        matches!(error, InvalidRequest::Currency(_))
    })
    .await
}

/// Letters of an address and those of a token that the rest of a request has none of: each of them in the output is a
/// part of a secret.
const RARE: [&[char]; 2] = [&['ა', 'ბ', 'გ', 'დ', 'ე', 'ვ'], &['ზ', 'თ', 'ი', 'კ', 'ლ', 'მ']];

/// Letters of which no name of a field and no word for a hidden value has three in a row.
const PLAIN: [&[char]; 2] = [&['J', 'Q', 'Z'], &['K', 'V', 'W']];

/// Plain letters in a row that are a part of a secret and no chance.
const PART: usize = 3;

/// A text in which no letter follows itself: a row of one letter may stand for what is hidden.
fn text_of(letters: &[char], draw: &mut Draw, length: usize) -> String {
    let mut at = draw.index(letters.len());
    (0..length)
        .map(|_| {
            at = (at + 1 + draw.index(letters.len() - 1)) % letters.len();
            letters[at]
        })
        .collect()
}

/// What the output shows of a secret.
fn part_of(secret: &str, shown: &str) -> Option<String> {
    let letters: Vec<char> = secret.chars().collect();
    let is_of = |sets: [&[char]; 2], letter: &char| sets.iter().any(|set| set.contains(letter));
    let is_shown = |letter: &&char| is_of(RARE, letter) && shown.contains(**letter);
    if let Some(letter) = letters.iter().find(is_shown) {
        return Some(letter.to_string());
    }
    let are_plain = |part: &&[char]| part.iter().all(|letter| is_of(PLAIN, letter));
    let mut parts =
        letters.windows(PART).filter(are_plain).map(|part| part.iter().collect::<String>());
    parts.find(|part| shown.contains(part.as_str()))
}

pub async fn debug_shows_no_secret(cx: Cx) -> Outcome {
    // A level whose `validate` is still to be written scores nothing here.
    validate(&cx, &request("a")).await?.ok();
    let mut draw = cx.draw();
    // A part may be the first letter of an address, or the last four characters of a token.
    let length = 4 + draw.index(40);
    let mut secrets =
        vec![("ada.lovelace@analytical.example".to_owned(), "pm_1Qz8secretToken".to_owned())];
    for [address, token] in [RARE, PLAIN] {
        let mut part = |length| text_of(address, &mut draw, length);
        let email = format!("{}.{}@{}.{}", part(3), part(length), part(7), part(3));
        secrets.push((email, text_of(token, &mut draw, length)));
        // Neither need be valid: what is shown of it ends up in the log before it is refused.
        secrets.push((text_of(address, &mut draw, 6), text_of(token, &mut draw, 5)));
    }
    for (email, card) in secrets {
        let secret =
            PaymentRequest { email: email.clone(), card: card.clone(), ..request("order-1") };
        let shown = cx
            .call_fn("the Debug output of PaymentRequest", || {
                // Every flag that a caller may set.
                format!("{secret:?} {secret:#?} {secret:x?} {secret:#X?} {secret:9?} {secret:+.99?} {secret:05?}")
            })
            .await?;
        let words = ["ada.lovelace", "analytical.example", "pm_1Qz", "secretToken"];
        for (secret, what) in [(&email, "e-mail address"), (&card, "card token")] {
            let word = words.iter().find(|word| secret.contains(**word) && shown.contains(**word));
            let part = word.map(|word| (*word).to_owned()).or_else(|| part_of(secret, &shown));
            ensure!(
                part.is_none(),
                "the Debug output of PaymentRequest shows the {what}, or a part of it: {:?} of {secret:?}", part.unwrap_or_default();
                expected = "key, order, amount and currency at most", observed = shown,
                help = "a request ends up in logs: implement Debug by hand, without the secret fields, their beginnings and their ends"
            );
        }
    }
    Ok(())
}
