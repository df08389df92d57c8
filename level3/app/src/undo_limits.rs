//! The limits of one attempt to undo a step.
//!
//! The limits of all undos are reserved in the ten seconds of a payment, so they cannot be wide. A
//! provider that needs longer than the limit for a call would leave every undo to an operator. So
//! the limits are, in this order: what the operator asks for (`--undo-limit`), what follows from the
//! latency that the provider shows at the start, within [`MOST`], or the defaults.
//!
//! A redrive has more patience ([`patient`]): no client waits for it, so nothing has to be reserved.
//!
//! The limits are those of a [`GatewayConfig`], which the program chooses once, at its start. A
//! gateway that changed them while it runs could not keep its reserve: the steps of the payments
//! under way have been given the rest of the time.

use std::time::Duration;

use level3::gateway::{GatewayConfig, UndoLimits};

/// The most that is reserved for an undo at the provider because of its latency. With the default of
/// the ledger the reserve is 5.4 s, which leaves 4.6 s for four steps.
const MOST: Duration = Duration::from_millis(2500);
/// The calls of an attempt at the provider that may follow one another: to find the intent, cancel
/// it and refund it; or to cancel it and refund it.
const CREATE_CALLS: u32 = 3;
const CONFIRM_CALLS: u32 = 2;

/// One attempt of a redrive. With the longest pause between two attempts, 8 s, it is less than the
/// 20 s of a lease: no other process takes the payment for one whose owner is gone.
const PATIENT: Duration = Duration::from_secs(10);
/// The time of a payment that a redrive finds open, undos included.
const PATIENT_TOTAL: Duration = Duration::from_secs(60);

/// Chooses the limits: `asked` by the operator, or by the latency that the provider has `shown` for
/// one call.
pub fn undo_limits(asked: Option<Duration>, shown: Option<Duration>) -> UndoLimits {
    let default = GatewayConfig::default().undo;
    if let Some(limit) = asked {
        return UndoLimits { create: limit, confirm: limit, save: limit };
    }
    let Some(shown) = shown else { return default };
    // Half as much again, since the next call may be slower than the one that was measured.
    let calls = |calls: u32| shown.saturating_mul(calls).saturating_mul(3) / 2;
    UndoLimits {
        create: calls(CREATE_CALLS).clamp(default.create, MOST),
        confirm: calls(CONFIRM_CALLS).clamp(default.confirm, MOST),
        // The ledger's, which the provider's latency says nothing about.
        save: default.save,
    }
}

/// Gives undos the patience of a redrive, unless the operator asks for another limit.
pub fn patient(config: GatewayConfig, asked: Option<Duration>) -> GatewayConfig {
    let limit = asked.unwrap_or(PATIENT);
    let undo = UndoLimits { create: limit, confirm: limit, save: limit };
    GatewayConfig { undo, total: PATIENT_TOTAL, ..config }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use level3::gateway::Gateway;
    use level3::saga::undo_backoff;
    use level3_domain::answer::Status;
    use level3_domain::event::NoObserver;
    use level3_domain::journal::{LEASE, MemoryJournal, Standing};
    use level3_harness::request;
    use level3_sim::{CallSite, Fault, Script, World};
    use tokio::time::sleep;

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn limits_follow_the_latency_within_bounds() {
        let default = GatewayConfig::default().undo;
        assert_eq!(undo_limits(None, None), default);
        for fast in [Duration::ZERO, ms(10), ms(200)] {
            assert_eq!(undo_limits(None, Some(fast)), default, "{fast:?}");
        }
        let slow = undo_limits(None, Some(ms(500)));
        assert_eq!(slow, UndoLimits { create: ms(2250), confirm: ms(1500), save: ms(400) });
        for slower in [ms(1000), Duration::from_secs(60), Duration::MAX] {
            let limits = undo_limits(None, Some(slower));
            assert_eq!(limits, UndoLimits { create: MOST, confirm: MOST, save: ms(400) });
        }
        // What the operator asks for is not changed.
        let asked = UndoLimits { create: ms(70), confirm: ms(70), save: ms(70) };
        assert_eq!(undo_limits(Some(ms(70)), Some(ms(1000))), asked);
    }

    #[test]
    fn a_patient_attempt_and_a_pause_are_shorter_than_a_lease() {
        assert!(PATIENT + undo_backoff().nominal(u32::MAX) < LEASE);
    }

    fn gateway(config: GatewayConfig, world: &World, journal: &MemoryJournal) -> Gateway {
        let journal = Arc::new(journal.clone());
        Gateway::new(config, world.providers(), journal, Arc::new(NoObserver)).expect("time to pay")
    }

    /// Pays once while the ledger refuses every row, so that the charge has to be refunded, and waits
    /// until the payment is undone or parked. A refund takes so much longer than usual.
    async fn undo_with(config: GatewayConfig, slow: Duration) -> (World, MemoryJournal) {
        let refusals = Script::new()
            .always(CallSite::Save, Fault::Decline)
            .always(CallSite::Refund, Fault::Slow(slow));
        let (world, journal) = (World::new(refusals), MemoryJournal::new());
        let gateway = gateway(config, &world, &journal);
        let reply = gateway.pay(request(1)).await.expect("an answer");
        assert!(!matches!(reply.answer.status, Status::Paid { .. }), "{reply:?}");
        gateway.drain(Duration::from_secs(3600)).await;
        (world, journal)
    }

    fn outcome(journal: &MemoryJournal) -> (usize, usize) {
        (journal.count(Standing::Parked), journal.count(Standing::Ended))
    }

    #[tokio::test(start_paused = true)]
    async fn limits_that_follow_the_provider_undo_what_the_defaults_park() {
        let slow = ms(950);
        let (_, journal) = undo_with(GatewayConfig::default(), slow).await;
        assert_eq!(outcome(&journal), (1, 0), "a second is less than the refund takes");

        let undo = undo_limits(None, Some(ms(1200)));
        let config = GatewayConfig { undo, ..GatewayConfig::default() };
        let (world, journal) = undo_with(config, slow).await;
        assert_eq!(outcome(&journal), (0, 1));
        assert_eq!(world.intents()[0].net(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_redrive_has_more_patience_than_the_first_round() {
        let (world, journal) = undo_with(GatewayConfig::default(), Duration::from_secs(7)).await;
        assert_eq!(outcome(&journal), (1, 0));
        sleep(Duration::from_secs(3600)).await;
        for (config, ended) in
            [(GatewayConfig::default(), (1, 0)), (patient(GatewayConfig::default(), None), (0, 1))]
        {
            let gateway = gateway(config, &world, &journal);
            gateway.recover().await.expect("a journal");
            gateway.redrive().await;
            gateway.drain(Duration::from_secs(3600)).await;
            assert_eq!(outcome(&journal), ended);
        }
        assert_eq!((world.intents()[0].net(), world.intents()[0].refunds), (0, 1));
    }
}
