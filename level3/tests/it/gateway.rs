//! One payment at a time.

use std::time::Duration;

use level3::answer::{PayError, Status};
use level3_sim::{CallSite, Fault, NoFaults, Script};
use tokio::time::{Instant, sleep};

use crate::request::request;
use crate::support::setup;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test(start_paused = true)]
async fn a_payment_takes_the_sum_of_its_critical_steps() {
    let setup = setup(NoFaults);
    let begun = Instant::now();
    let reply = setup.gateway.pay(request("a")).await.unwrap();
    assert_eq!(begun.elapsed(), ms(1100));
    assert!(matches!(reply.answer.status, Status::Paid { .. }), "{reply:?}");
    assert!(!reply.replayed);
    assert_eq!(setup.world.mails().len(), 0);
    sleep(ms(1000)).await;
    assert_eq!(setup.world.mails().len(), 1);
    assert_eq!(setup.world.outbox(), 0);
    assert_eq!(setup.terminal_events(), std::slice::from_ref(&reply.answer.status));
    assert_eq!(setup.net(), 1999);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_gets_the_same_bytes_and_calls_nobody() {
    let setup = setup(NoFaults);
    let first = setup.gateway.pay(request("a")).await.unwrap();
    sleep(ms(1000)).await;
    let calls = setup.world.all_calls();
    let again = setup.gateway.pay(request("a")).await.unwrap();
    assert!(again.replayed);
    assert_eq!(first.answer.to_json().unwrap(), again.answer.to_json().unwrap());
    assert_eq!(setup.world.all_calls(), calls);
    let other = level3::request::PaymentRequest { amount: 5, ..request("a") };
    assert_eq!(setup.gateway.pay(other).await, Err(PayError::KeyReused));
}

#[tokio::test(start_paused = true)]
async fn a_save_that_never_works_gives_the_money_back() {
    let setup = setup(Script::new().always(CallSite::Save, Fault::FailBefore));
    let reply = setup.gateway.pay(request("a")).await.unwrap();
    assert!(matches!(reply.answer.status, Status::Failed { retryable: true, .. }), "{reply:?}");
    assert_eq!(setup.net(), 0);
    assert_eq!(setup.world.calls(CallSite::Refund), 1);
    assert_eq!(setup.world.calls(CallSite::Cancel), 0);
}

#[tokio::test(start_paused = true)]
async fn a_confirm_that_hangs_is_called_off_in_time() {
    let setup = setup(Script::new().always(CallSite::Confirm, Fault::SwallowReply));
    let begun = Instant::now();
    let reply = setup.gateway.pay(request("a")).await.unwrap();
    assert!(begun.elapsed() <= ms(10_000), "{:?}", begun.elapsed());
    assert!(matches!(reply.answer.status, Status::Failed { .. }), "{reply:?}");
    assert_eq!(setup.net(), 0);
}
