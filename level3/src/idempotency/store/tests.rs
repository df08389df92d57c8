use std::cell::RefCell;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::future::{join, pending, ready};
use proptest::prelude::*;
use tokio::time::{sleep, timeout};

use super::*;
use crate::idempotency::Completion::{Released, Stored};
use crate::idempotency::{Key, KeyError, LONGEST_KEY};

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

type TestStore = Store<Key, u32, String>;
type TestResult = Result<Answered<String>, IdempotencyError>;

fn store(retention: u64, capacity: usize) -> TestStore {
    let capacity = NonZeroUsize::new(capacity).expect("some room");
    Store::new(StoreConfig { retention: ms(retention), capacity })
}

fn key(text: &str) -> Key {
    Key::new(text).expect("a valid key")
}

async fn ask(store: &TestStore, text: &str, params: u32, answer: Completion<&str>) -> TestResult {
    let answer = owned(answer);
    store.run(&key(text), params, || ready(answer)).await
}

fn owned(completion: Completion<&str>) -> Completion<String> {
    match completion {
        Stored(value) => Stored(value.to_owned()),
        Released(value) => Released(value.to_owned()),
    }
}

fn answer(value: &str, replayed: bool) -> TestResult {
    Ok(Answered { completion: Stored(value.to_owned()), replayed })
}

fn released(value: &str, replayed: bool) -> TestResult {
    Ok(Answered { completion: Released(value.to_owned()), replayed })
}

#[tokio::test(start_paused = true)]
async fn a_repeat_gets_the_stored_answer() {
    let store = store(1000, 10);
    assert_eq!(ask(&store, "k", 1, Stored("paid")).await, answer("paid", false));
    assert_eq!(ask(&store, "k", 1, Stored("again")).await, answer("paid", true));
    assert_eq!(ask(&store, "other", 1, Stored("other")).await, answer("other", false));
}

#[tokio::test(start_paused = true)]
async fn other_parameters_are_a_mismatch() {
    let store = store(1000, 10);
    ask(&store, "k", 1, Stored("paid")).await.expect("new");
    assert_eq!(ask(&store, "k", 2, Stored("again")).await, Err(IdempotencyError::Mismatch));
    // Also while the first is running.
    let slow = key("slow");
    let slow = store.run(&slow, 1, || async {
        sleep(ms(100)).await;
        Stored("slow".to_owned())
    });
    let (slow, other) = join(slow, ask(&store, "slow", 2, Stored("x"))).await;
    assert_eq!((slow, other), (answer("slow", false), Err(IdempotencyError::Mismatch)));
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_frees_the_key() {
    let store = store(1000, 10);
    let failed = ask(&store, "k", 1, Released("down")).await;
    assert_eq!(failed, released("down", false));
    assert!(store.is_empty());
    assert_eq!(ask(&store, "k", 2, Stored("paid")).await, answer("paid", false));
}

#[tokio::test(start_paused = true)]
async fn concurrent_callers_join() {
    for result in [Stored("paid"), Released("down")] {
        let (store, calls) = (store(1000, 10), Arc::new(AtomicU32::new(0)));
        let call = || {
            let calls = Arc::clone(&calls);
            let work = move || async move {
                calls.fetch_add(1, Ordering::Relaxed);
                sleep(ms(100)).await;
                owned(result)
            };
            let store = store.clone();
            async move { store.run(&key("k"), 1, work).await }
        };
        let (one, other) = join(call(), call()).await;
        let expected = |replayed| match result {
            Stored(value) => answer(value, replayed),
            Released(value) => released(value, replayed),
        };
        assert_eq!((one, other), (expected(false), expected(true)));
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn work_outlives_its_caller() {
    let store = store(100_000, 10);
    let work = || async {
        sleep(ms(1000)).await;
        Stored("paid".to_owned())
    };
    assert!(timeout(ms(100), store.run(&key("k"), 1, work)).await.is_err());
    let began = Instant::now();
    assert_eq!(ask(&store, "k", 1, Stored("again")).await, answer("paid", true));
    assert_eq!(began.elapsed(), ms(900));
}

#[tokio::test(start_paused = true)]
async fn a_panic_frees_the_key() {
    let store = store(1000, 10);
    let lost = store.run(&key("k"), 1, || async { panic!("a bug") }).await;
    assert_eq!(lost, Err(IdempotencyError::Lost));
    assert_eq!(ask(&store, "k", 1, Stored("paid")).await, answer("paid", false));
}

#[tokio::test(start_paused = true)]
async fn answers_are_forgotten_at_their_age() {
    let store = store(1000, 10);
    ask(&store, "k", 1, Stored("paid")).await.expect("new");
    sleep(ms(999)).await;
    assert_eq!(ask(&store, "k", 1, Stored("again")).await, answer("paid", true));
    sleep(ms(1)).await;
    assert_eq!(ask(&store, "k", 1, Stored("again")).await, answer("again", false));
}

#[tokio::test(start_paused = true)]
async fn running_work_is_never_forgotten() {
    let store = store(100, 10);
    let work = || async {
        sleep(ms(1000)).await;
        Stored("paid".to_owned())
    };
    let late = async {
        sleep(ms(900)).await;
        ask(&store, "k", 1, Stored("again")).await
    };
    let (_, late) = join(store.run(&key("k"), 1, work), late).await;
    assert_eq!(late, answer("paid", true));
}

#[tokio::test(start_paused = true)]
async fn is_bounded() {
    let store = store(1000, 2);
    ask(&store, "a", 1, Stored("a")).await.expect("new");
    let hung = store.clone();
    let hung = tokio::spawn(async move { hung.run(&key("b"), 1, pending).await });
    tokio::task::yield_now().await;
    assert_eq!(ask(&store, "c", 1, Stored("c")).await, Err(IdempotencyError::Full { capacity: 2 }));
    assert_eq!(
        ask(&store, "a", 1, Stored("x")).await,
        answer("a", true),
        "what is known is answered"
    );
    sleep(ms(1000)).await;
    assert_eq!(ask(&store, "c", 1, Stored("c")).await, answer("c", false));
    hung.abort();
}

#[test]
fn work_ends_with_its_runtime() {
    let store = store(1000, 10);
    let new =
        || tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let runtime = new();
    let key = key("k");
    let asked = async { timeout(ms(1), store.run(&key, 1, pending)).await };
    assert!(runtime.block_on(asked).is_err());
    drop(runtime);
    assert!(store.is_empty());
    assert_eq!(new().block_on(ask(&store, "k", 1, Stored("paid"))), answer("paid", false));
}

#[test]
fn keys_have_a_length() {
    assert_eq!(Key::new(""), Err(KeyError::Empty));
    assert_eq!(Key::new(&"é".repeat(LONGEST_KEY)).map(|key| key.as_str().len()), Ok(510));
    assert_eq!(Key::new(&"é".repeat(256)), Err(KeyError::TooLong { characters: 256 }));
}

#[tokio::test(start_paused = true)]
async fn debug_shows_no_contents() {
    let store = store(1000, 10);
    assert_eq!(ask(&store, "k", 1, Stored("secret")).await, answer("secret", false));
    assert!(!format!("{store:?}").contains("secret"));
}

#[derive(Debug, Clone)]
enum Act {
    Wait(u64),
    // Key, parameters, and whether the work succeeds.
    Ask(u8, u32, bool),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        1 => prop_oneof![0_u64..50, Just(99), Just(100), Just(101)].prop_map(Act::Wait),
        4 => (0_u8..5, 0_u32..2, any::<bool>()).prop_map(|(k, p, ok)| Act::Ask(k, p, ok)),
    ];
    prop::collection::vec(act, 0..100)
}

proptest! {
    #[test]
    fn agrees_with_the_model(acts in acts()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            const CAPACITY: usize = 3;
            let (store, calls) = (store(100, CAPACITY), Rc::new(RefCell::new(0)));
            let mut model: HashMap<u8, (u64, u32, String)> = HashMap::new();
            let (mut now, mut expected_calls) = (0, 0);
            for (number, act) in acts.into_iter().enumerate() {
                let (name, params, works) = match act {
                    Act::Wait(time) => {
                        sleep(ms(time)).await;
                        now += time;
                        continue;
                    }
                    Act::Ask(name, params, works) => (name, params, works),
                };
                model.retain(|_, (at, ..)| now - *at < 100);
                let value = format!("answer {number}");
                let expected = match model.get(&name) {
                    Some((_, known, _)) if *known != params => Err(IdempotencyError::Mismatch),
                    Some((.., stored)) => answer(stored, true),
                    None if model.len() == CAPACITY => {
                        Err(IdempotencyError::Full { capacity: CAPACITY })
                    }
                    None => {
                        expected_calls += 1;
                        if works {
                            model.insert(name, (now, params, value.clone()));
                            answer(&value, false)
                        } else {
                            released("down", false)
                        }
                    }
                };
                let work = || {
                    *calls.borrow_mut() += 1;
                    ready(if works { Stored(value) } else { Released("down".to_owned()) })
                };
                let found = store.run(&key(&name.to_string()), params, work).await;
                prop_assert_eq!(found, expected);
                prop_assert_eq!(store.len(), model.len());
            }
            prop_assert_eq!(*calls.borrow(), expected_calls);
            Ok(())
        })?;
    }
}
