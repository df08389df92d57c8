//! A check binary whose "criteria" misbehave in every way known to us.
//!
//! The bodies stand where a learner's code would: inside [`Cx::call`]. What the grader must say of
//! each stands in `tests/supervise.rs`. Run one by hand: `specimens --self specimen/...`.
#![allow(clippy::unwrap_used, reason = "code that misbehaves is the point")]
#![allow(clippy::disallowed_methods, reason = "code that misbehaves is the point")]

use std::future::{Future as _, pending};
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use grader_kit::{Cx, MOST_THREADS, Outcome, criteria, ensure_eq};
use tokio::task::yield_now;
use tokio::time::sleep;

fn main() -> ExitCode {
    let criteria = criteria! {
        "specimen/right/passes" => passes,
        "specimen/right/contains-a-panic" => contains_a_panic,
        "specimen/right/waits-an-hour-in-short-steps" => many_sleeps,
        "specimen/right/waits-more-than-a-year" => waits_more_than_a_year,
        "specimen/right/draws" => draws,
        threads "specimen/threads/work" => threads_work,
        threads "specimen/threads/wait-for-one-another" => threads_wait,
        threads "specimen/threads/panic" => threads_panic,
        threads "specimen/threads/start-a-thread" => threads_start_one,
        "specimen/threads/not-asked-for" => threads_work,
        "specimen/wrong/fails" => fails,
        "specimen/wrong/todo" => not_started,
        "specimen/wrong/todo-in-a-task" => not_started_in_a_task,
        "specimen/wrong/catches-its-own-todo" => catches_its_own_todo,
        "specimen/hang/never-resolves" => never_resolves,
        "specimen/hang/waits-for-silence" => waits_for_silence,
        "specimen/hang/waits-for-a-task" => waits_for_a_task,
        "specimen/hang/locks-itself-out" => locks_itself_out,
        "specimen/hang/spins" => spins,
        "specimen/hang/spins-yielding" => spins_yielding,
        "specimen/hang/spins-in-a-task" => spins_in_a_task,
        "specimen/hang/polls-on-a-ticker" => polls_on_a_ticker,
        "specimen/hang/never-ends" => never_ends,
        "specimen/hang/takes-too-long-in-all" => takes_too_long_in_all,
        "specimen/clock/advances" => advances,
        "specimen/clock/advances-in-a-task" => advances_in_a_task,
        "specimen/clock/enters-another-runtime" => enters_another_runtime,
        "specimen/clock/borrows-another-clock" => borrows_another_clock,
        "specimen/block/thread-sleep" => thread_sleep,
        "specimen/block/channel-recv" => channel_recv,
        "specimen/block/nested-block-on" => nested_block_on,
        "specimen/block/real-time" => real_time,
        "specimen/thread/spawn-blocking" => spawn_blocking,
        "specimen/thread/spawn-blocking-for-ever" => spawn_blocking_for_ever,
        "specimen/thread/own-thread" => own_thread,
        "specimen/thread/own-runtime" => own_runtime,
        "specimen/thread/bomb" => thread_bomb,
        "specimen/crash/panics" => panics,
        "specimen/crash/panics-unseen" => panics_unseen,
        "specimen/crash/aborts" => aborts,
        "specimen/crash/overflows" => overflows,
        "specimen/crash/eats-memory" => eats_memory,
        "specimen/crash/asks-for-all-memory" => asks_for_all_memory,
        "specimen/crash/panics-in-drop" => panics_in_drop,
        "specimen/crash/poisons-a-lock" => poisons_a_lock,
        "specimen/cheat/exits" => exits,
        "specimen/cheat/prints-a-result-and-exits" => prints_a_result_and_exits,
        "specimen/cheat/prints-a-verdict" => prints_a_verdict,
        "specimen/cheat/writes-to-descriptors" => writes_to_descriptors,
        "specimen/cheat/reads-its-memory" => reads_its_memory,
        "specimen/cheat/starts-a-process" => starts_a_process,
        "specimen/cheat/opens-a-socket" => opens_a_socket,
        "specimen/cheat/floods" => floods,
        "specimen/right/prints-much" => prints_much,
        "specimen/block/sleeps-and-works" => sleeps_and_works,
        "specimen/text/is-long" => long_text,
        "specimen/text/draws-over" => escapes,
        "specimen/text/chooses-a-diagnosis" => chooses_a_diagnosis,
    };
    grader_kit::main(criteria, &[])
}

async fn passes(cx: Cx) -> Outcome {
    let call = cx.call("code", sleep(Duration::from_millis(400))).await?;
    ensure_eq!(call.took.as_millis(), 400, "a sleep of 400 ms");
    ensure_eq!(call.leaked, 0, "tasks");
    Ok(())
}

async fn contains_a_panic(cx: Cx) -> Outcome {
    let call =
        cx.call("code", async { tokio::spawn(async { panic!("contained") }).await.is_err() });
    ensure_eq!(call.await?.value, true, "the panic of a task is an error of its handle");
    Ok(())
}

/// A right solution may be slow in virtual time: 36 000 timers are no hang.
async fn many_sleeps(cx: Cx) -> Outcome {
    let steps = async {
        for _ in 0..5_000 {
            sleep(Duration::from_millis(100)).await;
        }
    };
    ensure_eq!(cx.call("code", steps).await?.took.as_secs(), 500, "5000 sleeps of 100 ms");
    Ok(())
}

/// Says what it has drawn.
async fn draws(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    cx.note(format!("{} {} {}", draw.word(), draw.below(1 << 40), cx.draw().text(8..=8)));
    Ok(())
}

async fn threads_work(cx: Cx) -> Outcome {
    let count = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let shared = count.clone();
    let numbers = cx.on_threads("code", MOST_THREADS, move |number| {
        shared.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // A lock that is taken and kept for a moment, and a runtime of the thread's own.
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async { sleep(Duration::from_secs(60)).await });
        number
    })?;
    ensure_eq!(numbers, (0..MOST_THREADS).collect::<Vec<_>>(), "what the threads returned");
    ensure_eq!(count.load(std::sync::atomic::Ordering::Relaxed), 8, "threads");
    Ok(())
}

async fn threads_wait(cx: Cx) -> Outcome {
    let (keep, receive) = std::sync::mpsc::channel::<()>();
    let receive = std::sync::Mutex::new((keep, receive));
    cx.on_threads("code", 2, move |_| receive.lock().unwrap().1.recv().ok()).map(drop)
}

async fn threads_panic(cx: Cx) -> Outcome {
    cx.on_threads("code", 3, |number| assert!(number != 1, "thread {number}")).map(drop)
}

async fn threads_start_one(cx: Cx) -> Outcome {
    cx.on_threads("code", 1, |_| std::thread::spawn(|| ()).join().is_ok()).map(drop)
}

async fn fails(cx: Cx) -> Outcome {
    cx.timeline().record("users", "called");
    let call = cx.call("code", async { 4 }).await?;
    ensure_eq!(call.value, 5, "a wrong number"; help = "count again");
    Ok(())
}

async fn not_started(cx: Cx) -> Outcome {
    cx.call("code", async { todo() }).await.map(drop)
}

async fn not_started_in_a_task(cx: Cx) -> Outcome {
    let work = async {
        let (tell, told) = tokio::sync::oneshot::channel::<()>();
        let keep = std::sync::Arc::new(std::sync::Mutex::new(Some(tell)));
        let task = keep.clone();
        tokio::spawn(async move {
            let _task = task;
            todo()
        });
        told.await.ok();
        drop(keep);
    };
    cx.call("code", work).await.map(drop)
}

#[allow(clippy::todo, reason = "a starter's body")]
fn todo() {
    todo!()
}

async fn never_resolves(cx: Cx) -> Outcome {
    let work = async {
        sleep(Duration::from_millis(100)).await;
        pending::<()>().await;
    };
    cx.call("code", work).await.map(drop)
}

async fn waits_for_silence(cx: Cx) -> Outcome {
    let timeline = cx.timeline().clone();
    let work = async {
        sleep(Duration::from_millis(10)).await;
        timeline.no_answer::<()>("capture").await;
    };
    // One that is dropped is not waited for any more.
    let dropped =
        tokio::time::timeout(Duration::from_millis(5), timeline.no_answer::<()>("reserve"));
    let _ = dropped.await;
    cx.call("code", work).await.map(drop)
}

async fn waits_for_a_task(cx: Cx) -> Outcome {
    let work = async {
        let task = tokio::spawn(async {
            loop {
                sleep(Duration::from_secs(1)).await;
            }
        });
        task.await
    };
    cx.call("code", work).await.map(drop)
}

async fn catches_its_own_todo(cx: Cx) -> Outcome {
    let work = async { std::panic::catch_unwind(todo).is_ok() };
    let value = cx.call("code", work).await?.value;
    ensure_eq!(value, true, "another value");
    Ok(())
}

async fn locks_itself_out(cx: Cx) -> Outcome {
    let work = async {
        let lock = tokio::sync::Mutex::new(());
        let _first = lock.lock().await;
        let _second = lock.lock().await;
    };
    cx.call("code", work).await.map(drop)
}

async fn spins(cx: Cx) -> Outcome {
    let work = async {
        let mut turns = 0_u64;
        while std::hint::black_box(true) {
            turns = std::hint::black_box(turns.wrapping_add(1));
        }
    };
    cx.call("code", work).await.map(drop)
}

async fn spins_yielding(cx: Cx) -> Outcome {
    let work = async {
        while std::hint::black_box(true) {
            yield_now().await;
        }
    };
    cx.call("code", work).await.map(drop)
}

async fn spins_in_a_task(cx: Cx) -> Outcome {
    let task = async {
        while std::hint::black_box(true) {
            yield_now().await;
        }
    };
    cx.call("code", async { tokio::spawn(task).await.unwrap() }).await.map(drop)
}

async fn polls_on_a_ticker(cx: Cx) -> Outcome {
    let work = async {
        while std::hint::black_box(true) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    cx.call("code", work).await.map(drop)
}

async fn never_ends(cx: Cx) -> Outcome {
    let work = async {
        while std::hint::black_box(true) {
            sleep(Duration::from_secs(1)).await;
        }
    };
    cx.call("code", work).await.map(drop)
}

async fn advances(cx: Cx) -> Outcome {
    let work = async {
        sleep(Duration::from_millis(100)).await;
        tokio::time::advance(Duration::from_millis(300)).await;
    };
    ensure_eq!(cx.call("code", work).await?.took.as_millis(), 400, "virtual time");
    Ok(())
}

async fn advances_in_a_task(cx: Cx) -> Outcome {
    let task = async { tokio::time::advance(Duration::from_millis(400)).await };
    let work = async { tokio::spawn(task).await.unwrap() };
    ensure_eq!(cx.call("code", work).await?.took.as_millis(), 400, "virtual time");
    Ok(())
}

fn paused_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

async fn enters_another_runtime(cx: Cx) -> Outcome {
    let work = async {
        let other = Box::leak(Box::new(paused_runtime()));
        std::mem::forget(other.enter());
        drop(tokio::spawn(pending::<()>()));
    };
    let call = cx.call("code", work).await?;
    ensure_eq!(call.leaked, 0, "tasks");
    Ok(())
}

/// What the fakes record must not depend on the runtime that is entered for the time of a poll.
async fn borrows_another_clock(cx: Cx) -> Outcome {
    let timeline = cx.timeline().clone();
    let work = async {
        let other = paused_runtime();
        let entered = other.enter();
        let mut advance = Box::pin(tokio::time::advance(Duration::from_secs(60)));
        let waker = std::task::Waker::noop();
        let _ = advance.as_mut().poll(&mut std::task::Context::from_waker(waker));
        timeline.record("fake", "called");
        drop(entered);
        std::mem::forget(other);
    };
    cx.call("code", work).await?;
    ensure_eq!(cx.timeline().events()[0].at_us, 0, "recorded at");
    Ok(())
}

async fn waits_more_than_a_year(cx: Cx) -> Outcome {
    let days = |count: u64| Duration::from_secs(count * 24 * 60 * 60);
    cx.call_within(days(400), "code", sleep(days(370))).await?;
    cx.pass(days(370)).await;
    cx.call("code", sleep(Duration::from_secs(500))).await.map(drop)
}

/// No call reaches its own limit.
async fn takes_too_long_in_all(cx: Cx) -> Outcome {
    for _ in 0..100 {
        cx.call("code", sleep(Duration::from_secs(500))).await?;
    }
    Ok(())
}

async fn thread_sleep(cx: Cx) -> Outcome {
    cx.call("code", async { std::thread::sleep(Duration::from_millis(100)) }).await.map(drop)
}

async fn channel_recv(cx: Cx) -> Outcome {
    let (_keep, receive) = std::sync::mpsc::channel::<()>();
    cx.call("code", async { receive.recv().ok() }).await.map(drop)
}

async fn nested_block_on(cx: Cx) -> Outcome {
    let work = async { futures::executor::block_on(sleep(Duration::from_millis(100))) };
    cx.call("code", work).await.map(drop)
}

async fn real_time(cx: Cx) -> Outcome {
    let work = async {
        tokio::time::resume();
        sleep(Duration::from_millis(200)).await;
    };
    cx.call("code", work).await.map(drop)
}

async fn spawn_blocking(cx: Cx) -> Outcome {
    let work = async { tokio::task::spawn_blocking(|| 1).await.unwrap() };
    cx.call("code", work).await.map(drop)
}

async fn spawn_blocking_for_ever(cx: Cx) -> Outcome {
    let work = async {
        drop(tokio::task::spawn_blocking(|| {
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        }));
    };
    cx.call("code", work).await.map(drop)
}

async fn own_thread(cx: Cx) -> Outcome {
    let work = async {
        let (tell, told) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            tell.send(()).ok();
        });
        told.await.unwrap();
    };
    cx.call("code", work).await.map(drop)
}

async fn own_runtime(cx: Cx) -> Outcome {
    let work = async {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {});
    };
    cx.call("code", work).await.map(drop)
}

/// Passes if no thread can be started: the bomb did not go off.
async fn thread_bomb(cx: Cx) -> Outcome {
    let work = async {
        let threads = (0..3000).map(|_| {
            std::thread::Builder::new().spawn(|| std::thread::sleep(Duration::from_secs(1)))
        });
        threads.filter(Result::is_ok).count()
    };
    ensure_eq!(cx.call("code", work).await?.value, 0, "threads started");
    Ok(())
}

async fn panics(cx: Cx) -> Outcome {
    let empty: Vec<u8> = Vec::new();
    cx.call("code", async { empty[3] }).await.map(drop)
}

/// The hook is the grader's way to know where; without it the verdict must be the same.
async fn panics_unseen(cx: Cx) -> Outcome {
    let work = async {
        std::panic::set_hook(Box::new(|_| ()));
        panic!("quietly");
    };
    cx.call("code", work).await.map(drop)
}

async fn aborts(cx: Cx) -> Outcome {
    cx.call("code", async { std::process::abort() }).await.map(drop)
}

async fn overflows(cx: Cx) -> Outcome {
    fn deep(n: u64) -> u64 {
        if std::hint::black_box(n) == u64::MAX { n } else { deep(n + 1) + 1 }
    }
    cx.call("code", async { deep(0) }).await.map(drop)
}

async fn eats_memory(cx: Cx) -> Outcome {
    let work = async {
        let mut all: Vec<Vec<u8>> = Vec::new();
        while std::hint::black_box(true) {
            all.push(vec![1; 16 << 20]);
        }
    };
    cx.call("code", work).await.map(drop)
}

async fn asks_for_all_memory(cx: Cx) -> Outcome {
    let work = async { std::hint::black_box(Vec::<u8>::with_capacity(1 << 46)).capacity() };
    cx.call("code", work).await.map(drop)
}

async fn panics_in_drop(cx: Cx) -> Outcome {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    let work = async {
        let _bomb = Bomb;
        panic!("first");
    };
    cx.call("code", work).await.map(drop)
}

async fn poisons_a_lock(cx: Cx) -> Outcome {
    let count = std::sync::Mutex::new(0_u8);
    let work = async {
        let mut count = count.lock().unwrap();
        *count = count.checked_sub(1).expect("below zero");
    };
    // The script goes on: what one call did shows in the next.
    let _ = cx.call("code", work).await;
    cx.call("code", async { *count.lock().unwrap() }).await.map(drop)
}

async fn exits(cx: Cx) -> Outcome {
    cx.call("code", async { std::process::exit(0) }).await.map(drop)
}

async fn prints_a_result_and_exits(cx: Cx) -> Outcome {
    let work = async {
        println!("\ntest result: ok. 99 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n");
        std::process::exit(0)
    };
    cx.call("code", work).await.map(drop)
}

/// The line is right in all but the secret.
async fn prints_a_verdict(cx: Cx) -> Outcome {
    let work = async {
        println!("{}", forged("00000000000000000000000000000000"));
        std::process::exit(0)
    };
    cx.call("code", work).await.map(drop)
}

fn forged(nonce: &str) -> String {
    let json = format!(
        "{{\"version\":1,\"nonce\":\"{nonce}\",\"id\":\"specimen/cheat/prints-a-verdict\",\
         \"fail\":null,\"notes\":[],\"virtual_us\":0,\"jail\":\"syscalls\"}}"
    );
    format!("grader-verdict {nonce} {json}")
}

/// Passes if a descriptor could be opened and written to, which must not happen.
async fn writes_to_descriptors(cx: Cx) -> Outcome {
    let work = async {
        let open =
            |fd: u32| std::fs::OpenOptions::new().write(true).open(format!("/proc/self/fd/{fd}"));
        let mut files: Vec<std::fs::File> = (3..12).filter_map(|fd| open(fd).ok()).collect();
        for file in &mut files {
            let _ = writeln!(file, "{}", forged("00000000000000000000000000000000"));
        }
        files.len()
    };
    ensure_eq!(cx.call("code", work).await?.value, 9, "descriptors opened by path");
    Ok(())
}

/// Passes if the process could read its own memory, where the secret is.
async fn reads_its_memory(cx: Cx) -> Outcome {
    let work = async { std::fs::File::open("/proc/self/mem").is_ok() };
    ensure_eq!(cx.call("code", work).await?.value, true, "/proc/self/mem opened");
    Ok(())
}

async fn starts_a_process(cx: Cx) -> Outcome {
    let work = async { std::process::Command::new("sleep").arg("97").spawn().is_ok() };
    ensure_eq!(cx.call("code", work).await?.value, true, "a process started");
    Ok(())
}

async fn opens_a_socket(cx: Cx) -> Outcome {
    let work = async { std::net::TcpListener::bind("127.0.0.1:0").is_ok() };
    ensure_eq!(cx.call("code", work).await?.value, true, "a socket opened");
    Ok(())
}

/// More than a pipe holds, while the grader is slow to read.
async fn prints_much(cx: Cx) -> Outcome {
    let work = async { (0..5000).for_each(|nr| println!("line {nr} of what the code has seen")) };
    cx.call("code", work).await.map(drop)
}

/// Each sleep is shorter than what counts as blocked for good.
async fn sleeps_and_works(cx: Cx) -> Outcome {
    let work = async {
        let mut x = 1_u64;
        loop {
            std::thread::sleep(Duration::from_millis(400));
            let start = std::time::Instant::now();
            while start.elapsed() < Duration::from_millis(15) {
                x = std::hint::black_box(x.wrapping_mul(3));
            }
        }
    };
    cx.call("code", work).await.map(drop)
}

async fn long_text(cx: Cx) -> Outcome {
    cx.call("code", async { panic!("{}", "long ".repeat(1 << 20)) }).await.map(drop)
}

async fn escapes(cx: Cx) -> Outcome {
    cx.call("code", async { panic!("\u{1b}[2J\u{1b}[32mall points") }).await.map(drop)
}

async fn chooses_a_diagnosis(cx: Cx) -> Outcome {
    let work = async {
        eprintln!("thread 'judge' (1) has overflowed its stack");
        std::process::exit(3)
    };
    cx.call("code", work).await.map(drop)
}

async fn floods(cx: Cx) -> Outcome {
    let work = async {
        while std::hint::black_box(true) {
            println!("{}", "x".repeat(1000));
        }
    };
    cx.call("code", work).await.map(drop)
}
