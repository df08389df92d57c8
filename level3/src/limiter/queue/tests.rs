use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Act {
    Join(Priority),
    Leave(prop::sample::Index),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let priority = prop_oneof![Just(Priority::Refund), Just(Priority::Charge)];
    let act = prop_oneof![
        priority.prop_map(Act::Join),
        any::<prop::sample::Index>().prop_map(Act::Leave),
    ];
    prop::collection::vec(act, 0..200)
}

proptest! {
    #[test]
    fn agrees_with_the_model(acts in acts()) {
        let mut queue = WaitQueue::default();
        // In the order in which they go.
        let mut model: Vec<(Priority, Ticket, Arc<Notify>)> = Vec::new();
        for act in acts {
            match act {
                Act::Join(priority) => {
                    let index = model.partition_point(|(other, ..)| *other <= priority);
                    prop_assert_eq!(queue.waiters_ahead(priority), index);
                    let caller = Arc::new(Notify::new());
                    let ticket = queue.join(priority, Arc::clone(&caller));
                    model.insert(index, (priority, ticket, caller));
                }
                Act::Leave(_) if model.is_empty() => {}
                Act::Leave(which) => queue.leave(model.remove(which.index(model.len())).1),
            }
            for (index, (_, ticket, _)) in model.iter().enumerate() {
                prop_assert_eq!(queue.is_first(*ticket), index == 0);
            }
            match (queue.first(), model.first()) {
                (Some(found), Some((.., expected))) => prop_assert!(Arc::ptr_eq(&found, expected)),
                (found, expected) => prop_assert!(found.is_none() && expected.is_none()),
            }
        }
        for (_, ticket, _) in model.drain(..) {
            queue.leave(ticket);
        }
        for fifo in [&queue.refunds, &queue.charges] {
            prop_assert!(fifo.places.is_empty() && fifo.waiting == 0, "nothing is left behind");
        }
    }
}
