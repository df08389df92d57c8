//! Double-entry postings: they add up to zero, and agree with the rows and the refunds.

use level3_adapters::postgres::{PostgresAddress, PostgresReader};
use level3_adapters::sql::TrialBalance;
use level3_adapters::sqlite::SqliteReader;

use crate::audit::{administrator, changes, refunded, whole};
use crate::backend::LONG;
use crate::payments::{PATIENCE, Place};

async fn balance(place: &Place) -> TrialBalance {
    let balance = match place {
        Place::File(path) => SqliteReader::open(path).await.unwrap().trial_balance().await,
        Place::Url(url) => {
            let address = PostgresAddress::new(url).unwrap();
            let reader = PostgresReader::connect(address, PATIENCE).await.unwrap();
            reader.trial_balance().await
        }
    };
    balance.unwrap().expect("the store has postings")
}

/// Everything adds up to zero, and this is what the provider has.
pub async fn balanced(place: &Place) -> i64 {
    let balance = balance(place).await;
    assert!(balance.is_fine(), "{balance:?}");
    balance.at_provider("USD")
}

/// Of 1000 charged, 400 were refunded and came back, and a refund of 100 was refused; another payment
/// was undone.
pub async fn postings_follow_the_money(place: Place) {
    let store = place.open(LONG).await;
    assert_eq!(balance(&place).await, TrialBalance::default());
    changes(&*store).await;
    assert_eq!(balanced(&place).await, 1000);
    refunded(&*store, "third", 300).await;
    let sums = |balance: TrialBalance| {
        let sums = balance.accounts.into_iter().map(|it| (it.account.clone(), it.balance()));
        sums.collect::<Vec<_>>()
    };
    let sum = |account: &str, sum| (account.to_owned(), sum);
    let expected = [sum("merchants", -700), sum("provider", 1000), sum("refunds in transit", -300)];
    assert_eq!(sums(balance(&place).await), expected);

    // A store of the version before gets the postings of what it has.
    drop(store);
    administrator(&place, "DROP TABLE postings; DELETE FROM level3_migrations WHERE version = 9")
        .await
        .unwrap();
    let store = place.open(LONG).await;
    assert_eq!(balanced(&place).await, 1000);
    assert_eq!(sums(balance(&place).await), expected);
    drop(store);
    whole(&place).await;
}

/// What an administrator does, and how many faults it makes.
const DAMAGE: [(&str, u64); 5] = [
    // The posting, the account and the currency.
    ("UPDATE postings SET minor = minor + 1 WHERE account = 'provider' AND reason = 'voided'", 3),
    ("DELETE FROM postings WHERE reason = 'refund failed'", 2),
    ("UPDATE postings SET currency = 'EUR' WHERE reason = 'voided'", 1),
    ("UPDATE payments SET minor = 900 WHERE intent = 'pi_a'", 2),
    ("UPDATE postings SET payment = 'pay_x' WHERE reason = 'voided'", 3),
];

pub async fn postings_that_do_not_fit_are_found(place: Place) {
    let store = place.open(LONG).await;
    changes(&*store).await;
    let keep = "CREATE TABLE kept AS SELECT * FROM postings;
                CREATE TABLE kept_minor AS SELECT number, minor FROM payments";
    administrator(&place, keep).await.unwrap();
    let undo = "DELETE FROM postings; INSERT INTO postings SELECT * FROM kept;
                UPDATE payments SET minor = (SELECT minor FROM kept_minor k WHERE k.number = payments.number)";
    for (damage, faults) in DAMAGE {
        assert_eq!(balanced(&place).await, 1000);
        administrator(&place, damage).await.unwrap();
        let found = balance(&place).await;
        assert_eq!(found.found, faults, "{damage}: {:#?}", found.faults);
        administrator(&place, undo).await.unwrap();
    }
}
