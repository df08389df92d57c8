//! The criteria of the load with callbacks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use grader_kit::{Cx, Outcome, ensure, list, lock, ms};
use level1::callbacks::fetch_user_profile;
use level1::source::{Request, SourceError};
use tokio::time::sleep;

use crate::fake::{Fake, answer, dropped, fail, panics, status};
use crate::style_callbacks::CALLBACKS;
use crate::styles::{self, Long, Source, in_case};
use crate::syntax;
use crate::told::{ending, parts};

pub async fn profile(cx: Cx) -> Outcome {
    styles::gives_the_profile(cx, CALLBACKS).await
}

pub async fn user_first(cx: Cx) -> Outcome {
    styles::user_first(cx.clone(), CALLBACKS).await?;
    when_dropped(&cx).await
}

/// A request whose callback is dropped is not made again, and ends the load at that moment.
async fn when_dropped(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    let broken = "the source is broken";
    for (at, how, end) in [
        (0, "at once", dropped(0)),
        (20, "at 20 ms", dropped(20)),
        (20, "in a panic at 20 ms", panics(20, broken)),
        (styles::SLOW, "after 25 years", dropped(styles::SLOW)),
    ] {
        let mut source = Source::drawn(&mut draw);
        source.profile.posts.clear();
        let (of_user, of_posts) = (Request::User(source.id), Request::Posts(source.id));
        for (request, user, posts, expected, ends) in [
            (of_user, end.clone(), answer(10), vec![(of_user, 0)], at),
            (of_posts, answer(10), end.clone(), vec![(of_user, 0), (of_posts, 10)], at + 10),
        ] {
            let Long { fake, ended } = styles::runs_long(cx, CALLBACKS, &source, user, posts).await;
            let asked = fake.requests();
            ensure!(asked == expected, "the source dropped its callback for {request} {how}, and the requests are not the user, then the posts, each once";
                expected = styles::made(&expected), observed = styles::made(&asked),
                help = styles::ONCE);
            // That there is an answer is asked elsewhere.
            let Some((Some(_), took)) = ended else { continue };
            ensure!(took == ends, "the source dropped its callback for {request} {how}, and the answer came at {took} ms";
                expected = format!("{ends} ms, the moment of the drop"),
                observed = format!("{took} ms"),
                help = "answer as soon as the callback is dropped: nothing is left to wait for");
        }
    }
    Ok(())
}

pub async fn no_posts_without_user(cx: Cx) -> Outcome {
    styles::no_posts_without_user(cx, CALLBACKS).await
}

pub async fn names_the_request(cx: Cx) -> Outcome {
    styles::names_the_request(cx, CALLBACKS).await
}

pub async fn refuses_id_0(cx: Cx) -> Outcome {
    styles::refuses_id_0(cx, CALLBACKS).await
}

pub async fn own_work(cx: Cx) -> Outcome {
    syntax::stands_alone(cx, CALLBACKS).await
}

/// A source that answers at once must not make the callback come before the function returned.
pub async fn never_early(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let source = Source::drawn(&mut draw);
    for (case, id, user, posts) in [
        ("both requests are answered at once", source.id, answer(0), answer(0)),
        ("the user fails at once", source.id, fail(0, status(404)), answer(0)),
        ("the posts fail at once", source.id, answer(0), fail(0, status(500))),
        ("the source drops its callback for the user at once", source.id, dropped(0), answer(0)),
        ("the source drops its callback for the posts at once", source.id, answer(0), dropped(0)),
        ("the id is 0", 0, answer(0), answer(0)),
    ] {
        let fake = source.fake(&cx, user, posts);
        let returned = Arc::new(AtomicBool::new(false));
        let early = Arc::new(AtomicUsize::new(0));
        let (seen, count) = (Arc::clone(&returned), Arc::clone(&early));
        cx.call_fn(CALLBACKS.name, move || {
            fetch_user_profile(fake.shared(), id, move |_| {
                if !seen.load(SeqCst) {
                    count.fetch_add(1, SeqCst);
                }
            });
            returned.store(true, SeqCst);
        })
        .await?;
        cx.settle().await;
        ensure!(early.load(SeqCst) == 0, "when {case}, the callback ran before fetch_user_profile had returned";
            expected = "the function returns first, the callback comes later",
            observed = "the callback ran inside the function",
            help = "the caller cannot know whether the line after the call runs before or after its \
                    callback. Hand the result to a task (tokio::spawn) that calls back");
    }
    Ok(())
}

/// A callback that the source drops uncalled is an error, not silence.
pub async fn dropped_callback(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let source = Source::drawn(&mut draw);
    let (of_user, of_posts) = (Request::User(source.id), Request::Posts(source.id));
    let help = "put a guard into the closure that the source gets: its Drop answers if the closure was not called";
    for (how, user, posts, request) in [
        ("after 100 ms", dropped(100), answer(100), of_user),
        ("after 100 ms", answer(100), dropped(100), of_posts),
        ("at once", dropped(0), answer(100), of_user),
        ("at once", answer(0), dropped(0), of_posts),
        ("in a panic", panics(100, "the source is broken"), answer(100), of_user),
        ("in a panic", answer(100), panics(100, "the source is broken"), of_posts),
    ] {
        let fake = source.fake(&cx, user, posts);
        let what = format!("the source dropped the callback for {request} {how}");
        let result = CALLBACKS.run(&cx, &fake, source.id).await.map_err(|failure| {
            in_case(failure, &what)
                .expected("a call with SourceError::CallbackDropped as the cause")
                .help(help)
        })?;
        let told = result.as_ref().err().and_then(parts);
        ensure!(told == Some((request, &SourceError::CallbackDropped)),
            "{what}, and the error does not say so";
            expected = format!("request {request:?} with cause CallbackDropped"),
            observed = ending(&result), help = help);
    }
    for (user, posts, request) in [
        (panics(0, "the source is broken"), answer(100), of_user),
        (answer(0), panics(0, "the source is broken"), of_posts),
        (answer(50), panics(0, "the source is broken"), of_posts),
    ] {
        let fake = source.fake(&cx, user, posts);
        in_its_method(&cx, &fake, request, help).await?;
    }
    Ok(())
}

/// The method of the source panics, maybe inside of `fetch_user_profile`, and drops its callback by that.
async fn in_its_method(cx: &Cx, fake: &Fake, request: Request, help: &str) -> Outcome {
    let called = Arc::new(Mutex::new(Vec::new()));
    let call = Arc::clone(&called);
    let load = || {
        let load =
            || fetch_user_profile(fake.shared(), fake.id(), move |end| lock(&call).push(end));
        // Whether the panic passes to the caller is left open.
        let _ = catch_unwind(AssertUnwindSafe(load));
    };
    cx.call_fn(CALLBACKS.name, load).await?;
    cx.call(CALLBACKS.name, sleep(ms(1_000))).await?;
    let called = lock(&called);
    let right = |end: &Result<_, _>| {
        end.as_ref().err().and_then(parts) == Some((request, &SourceError::CallbackDropped))
    };
    ensure!(matches!(called.as_slice(), [end] if right(end)), "the source's method panicked at {request}: the calls of the callback";
        expected = format!("one, with request {request:?} and cause CallbackDropped"),
        observed = list(called.iter().map(ending)), help = help);
    Ok(())
}

pub async fn loads_keep_apart(cx: Cx) -> Outcome {
    styles::loads_keep_apart(cx.clone(), CALLBACKS).await?;
    a_panic_stays_alone(&cx).await?;
    one_task::answers_of_one_task(&cx).await
}

/// A callback that panics ends its own task and nothing else.
async fn a_panic_stays_alone(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    let called = Arc::new(Mutex::new(Vec::new()));
    for (number, user, posts) in [(0, 5, 5), (1, 10, 30), (2, 20, 40), (3, 0, 0)] {
        let source = Source::drawn(&mut draw);
        let fake = source.fake(cx, answer(user), answer(posts));
        let called = Arc::clone(&called);
        cx.call_fn(CALLBACKS.name, move || {
            fetch_user_profile(fake.shared(), source.id, move |_| {
                lock(&called).push(number);
                if number < 2 {
                    std::panic::panic_any("this callback is broken");
                }
            });
        })
        .await?;
        cx.settle().await;
    }
    cx.call(CALLBACKS.name, sleep(ms(1_000))).await?;
    let mut called = lock(&called).clone();
    called.sort_unstable();
    ensure!(called == [0, 1, 2, 3], "a callback that panics prevents the answers of other loads";
        expected = "four loads, four calls; the callbacks of loads 0 and 1 panic",
        observed = format!("the callbacks of loads {called:?} ran"),
        help = "call each callback in a task of its own: a panic in it ends that task alone");
    Ok(())
}

mod one_task;
/// What happens on the threads that share a load.
mod threads;

pub use threads::other_threads;
