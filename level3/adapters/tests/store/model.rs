//! Random scripts, answered by a store and by the one in memory.

use std::sync::Arc;
use std::time::Duration;

use level3_domain::ids::TransactionId;
use level3_domain::journal::{Claimed, Journal, Lease, MemoryJournal, Opened, Record, Standing};
use level3_domain::provider::{Ledger, ProviderError};
use level3_sim::{Dice, Latencies, NoFaults, World};

use crate::backend::Subject;
use crate::contract::{begun, id, payment, row, started};

const STEPS: u32 = 300;
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// `STORE_SEED=n cargo test -p level3-adapters --test store random_scripts` runs the script of a seed again.
pub fn seed() -> u64 {
    let given = std::env::var("STORE_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| {
        let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
        random % 1_000_000
    })
}

/// Both give the same answers to all calls. No owner is silent for the length of a lease, so that only
/// what is parked can be claimed.
pub async fn random_scripts_agree(subject: Subject) {
    let seed = seed();
    println!("STORE_SEED={seed}");
    let dice = Dice::new(seed);
    let journal = MemoryJournal::new();
    let ledger = World::with(Latencies::NONE, Arc::new(NoFaults), None).providers().ledger;
    let pick = || NAMES[usize::try_from(dice.below(4)).unwrap_or(0)];
    for step in 0..STEPS {
        let name = pick();
        let asked = match dice.below(9) {
            0 => both_open(&subject, &journal, name).await,
            1..=3 => {
                let epoch = 1 + dice.below(3);
                let last = match dice.below(8) {
                    0 => Record::Parked,
                    1 => Record::Completed,
                    _ => started("create"),
                };
                both_append(&subject, &journal, name, epoch, vec![started("x"), last]).await
            }
            4 => both_claim(&subject, &journal, name).await,
            5 => both_list(&subject, &journal).await,
            6 => both_save(&subject, &ledger, name, dice.below(2)).await,
            7 => both_void(&subject, &ledger, name).await,
            _ => both_send(&subject, &ledger, name).await,
        };
        let (model, store) = asked;
        assert_eq!(model, store, "seed {seed}, step {step}, {name}");
    }
}

type Both = (String, String);

fn both(model: impl std::fmt::Debug, store: impl std::fmt::Debug) -> Both {
    (format!("{model:?}"), format!("{store:?}"))
}

async fn both_open(subject: &Subject, model: &MemoryJournal, name: &str) -> Both {
    let known = |opened: Opened| match opened {
        Opened::New(lease) => format!("{lease:?}"),
        Opened::Known(saga_log) => format!("{saga_log:?}"),
    };
    let mine = model.open(id(name), begun(name)).await.map(known);
    both(mine, subject.journal.open(id(name), begun(name)).await.map(known))
}

async fn both_append(
    subject: &Subject,
    model: &MemoryJournal,
    name: &str,
    epoch: u64,
    records: Vec<Record>,
) -> Both {
    let lease = Lease { saga: id(name), epoch };
    let mine = model.append(&lease, records.clone()).await;
    let theirs = subject.journal.append(&lease, records).await;
    let read = (model.read(id(name)).await, subject.journal.read(id(name)).await);
    both((mine, read.0), (theirs, read.1))
}

async fn both_claim(subject: &Subject, model: &MemoryJournal, name: &str) -> Both {
    let timeless = |claimed: Claimed| match claimed {
        Claimed::Busy { .. } => Claimed::Busy { remaining: Duration::ZERO },
        other => other,
    };
    let mine = model.claim(id(name)).await.map(timeless);
    both(mine, subject.journal.claim(id(name)).await.map(timeless))
}

async fn both_list(subject: &Subject, model: &MemoryJournal) -> Both {
    let mut lists = (Vec::new(), Vec::new());
    for standing in [Standing::Open, Standing::Parked, Standing::Ended] {
        lists.0.push(model.list(standing).await);
        lists.1.push(subject.journal.list(standing).await);
    }
    both(lists.0, lists.1)
}

/// The names of rows are each store's own affair.
async fn both_save(subject: &Subject, model: &Arc<dyn Ledger>, name: &str, more: u64) -> Both {
    let minor = 1000 + i64::try_from(more).unwrap_or(0);
    let nameless = |saved: Result<level3_domain::provider::Row, ProviderError>| {
        saved.map(|row| (row.payment, row.amount, row.status))
    };
    let mine = nameless(model.save(row(name, minor)).await);
    both(mine, nameless(subject.ledger.save(row(name, minor)).await))
}

async fn both_void(subject: &Subject, model: &Arc<dyn Ledger>, name: &str) -> Both {
    let mine = model.void(payment(name)).await;
    both(mine, subject.ledger.void(payment(name)).await)
}

async fn both_send(subject: &Subject, model: &Arc<dyn Ledger>, name: &str) -> Both {
    let mut left = Vec::new();
    for ledger in [model, &subject.ledger] {
        let pending = ledger.pending_receipts(10).await.expect("a list");
        let mine = pending.iter().find(|pending| pending.payment == payment(name));
        let sent: Option<TransactionId> = mine.map(|mine| mine.receipt.transaction.clone());
        if let Some(transaction) = sent {
            ledger.receipt_sent(transaction).await.expect("an answer");
        }
        let order: Vec<_> =
            pending.into_iter().map(|one| (one.payment, one.receipt.amount)).collect();
        left.push(order);
    }
    both(&left[0], &left[1])
}
