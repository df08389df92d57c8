use std::path::Path;

use level3_domain::ids::{CardToken, Email, OrderId, PaymentId, PaymentKey, TransactionId};
use level3_domain::journal::StoreId;
use level3_domain::money::{Currency, Money};
use level3_domain::provider::{
    CreateIntent, IntentStatus, MailTrace, Operation, ProviderError, ProviderKey, Providers,
    Receipt,
};
use tokio::time::Duration;

use super::AppendLog;
use crate::{CallSite, Fault, Faults, Latencies, NoFaults, Script, World};

fn world(name: &Path, faults: impl Faults + 'static) -> World {
    World::with(Latencies::ASSIGNMENT, std::sync::Arc::new(faults), None).kept_in(name).unwrap()
}

fn payment(name: &str) -> PaymentId {
    PaymentId::derive(&StoreId::unnamed(), &PaymentKey::new(name).unwrap(), 1)
}

fn key(name: &str, operation: Operation) -> ProviderKey {
    ProviderKey::new(payment(name), operation)
}

async fn create(
    services: &Providers,
    name: &str,
) -> Result<level3_domain::ids::IntentId, ProviderError> {
    let request = CreateIntent {
        key: key(name, Operation::CreateIntent),
        payment: payment(name),
        amount: Money::new(1999, Currency::USD).unwrap(),
        card: CardToken::new("pm_card_visa").unwrap(),
    };
    services.payments.create_intent(request).await.map(|intent| intent.id)
}

#[tokio::test(start_paused = true)]
async fn the_provider_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("sim");
    let first = world(&name, NoFaults);
    let services = first.providers();
    let intent = create(&services, "a").await.unwrap();
    services.payments.confirm(key("a", Operation::Confirm), intent.clone()).await.unwrap();
    let before = first.intents();

    let second = world(&name, NoFaults);
    assert_eq!(second.intents(), before);
    // The key is known there: no second charge.
    let services = second.providers();
    services.payments.confirm(key("a", Operation::Confirm), intent).await.unwrap();
    assert_eq!(second.intents(), before);
}

#[tokio::test(start_paused = true)]
async fn two_processes_have_one_account() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("sim");
    let (one, other) = (world(&name, NoFaults), world(&name, NoFaults));
    let (mine, theirs) = (one.providers(), other.providers());
    // The same request at the same time, neither knowing of the other's.
    let both = tokio::join!(create(&mine, "a"), create(&theirs, "a"));
    assert_eq!(both.0, both.1);
    let intent = both.0.unwrap();
    assert!(theirs.payments.find_intent(payment("a")).await.unwrap().is_some());
    let confirm = |services: &Providers| {
        services.payments.confirm(key("a", Operation::Confirm), intent.clone())
    };
    let _ = tokio::join!(confirm(&mine), confirm(&theirs));
    one.catch_up().unwrap();
    other.catch_up().unwrap();
    assert_eq!(one.intents(), other.intents());
    assert_eq!(one.intents().iter().map(|truth| truth.charges).collect::<Vec<_>>(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_charge_that_came_late_has_come_in_every_process() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("sim");
    let late = Fault::Processing(Duration::from_secs(5));
    let first = world(&name, Script::new().always(CallSite::Confirm, late));
    let services = first.providers();
    let intent = create(&services, "a").await.unwrap();
    let shown = services.payments.confirm(key("a", Operation::Confirm), intent.clone()).await;
    assert_eq!(shown.unwrap().status, IntentStatus::Processing);
    tokio::time::sleep(Duration::from_secs(6)).await;
    services.payments.refund(key("a", Operation::Refund), intent).await.unwrap();
    let second = world(&name, NoFaults);
    assert_eq!(second.intents(), first.intents());
    assert_eq!(second.intents().iter().map(|truth| truth.refunds).collect::<Vec<_>>(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_mail_goes_out_once_for_all_processes() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("sim");
    let receipt = Receipt {
        transaction: TransactionId::new("txn_1").unwrap(),
        order: OrderId::new("order").unwrap(),
        amount: Money::new(1999, Currency::USD).unwrap(),
        email: Email::new("someone@example.com").unwrap(),
    };
    let (one, other) = (world(&name, NoFaults), world(&name, NoFaults));
    one.providers().receipts.send(receipt.clone()).await.unwrap();
    other.providers().receipts.send(receipt.clone()).await.unwrap();
    assert_eq!(other.mails(), [receipt]);
    assert_eq!(world(&name, NoFaults).mails().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_knows_no_transactions_sends_a_repeat_and_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("sim");
    let receipt = |transaction: &str| Receipt {
        transaction: TransactionId::new(transaction).unwrap(),
        order: OrderId::new("order").unwrap(),
        amount: Money::new(1999, Currency::USD).unwrap(),
        email: Email::new("someone@example.com").unwrap(),
    };
    let (one, other) = (world(&name, NoFaults), world(&name, NoFaults));
    let (one, other) = (one.repeating_mail(), other.repeating_mail());
    let look = |transaction: &str| {
        let transaction = TransactionId::new(transaction).unwrap();
        world(&name, NoFaults).mail_feed().look(transaction)
    };
    assert_eq!(look("txn_1").await, Ok(MailTrace::NotShown));
    one.providers().receipts.send(receipt("txn_1")).await.unwrap();
    other.providers().receipts.send(receipt("txn_1")).await.unwrap();
    assert_eq!(other.mails().len(), 2);
    assert_eq!(world(&name, NoFaults).mails().len(), 2);
    assert_eq!(look("txn_1").await, Ok(MailTrace::Accepted));
    assert_eq!(look("txn_2").await, Ok(MailTrace::NotShown));
}

#[test]
fn a_torn_line_was_never_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book");
    std::fs::write(&path, "1\n2\n3").unwrap();
    let mut book: AppendLog<u32> = AppendLog::open(&path).unwrap();
    let mut seen = Vec::new();
    let mut turn = book.turn().unwrap();
    turn.read(|line| seen.push(line)).unwrap();
    turn.write(&4).unwrap();
    drop(turn);
    assert_eq!(seen, [1, 2]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n2\n4\n");
}

#[test]
fn a_file_of_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book");
    std::fs::write(&path, "something else\n").unwrap();
    let mut book: AppendLog<u32> = AppendLog::open(&path).unwrap();
    assert!(book.turn().unwrap().read(|_| ()).is_err());
}
