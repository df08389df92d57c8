//! Loads do not see one another: neither through a cache, nor through a lock, nor through a count.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, join, join_all};
use grader_kit::{Cx, Draw, Fail, Outcome, ensure, list, ms, short};
use level1::errors::FetchError;
use level1::model::{Post, Profile, User, UserId};
use level1::source::{Callback, CallbackSource, ProfileSource, Request, SourceError};
use tokio::task::unconstrained;
use tokio::time::{sleep, timeout};

use super::{Source, Style, in_case, made};
use crate::fake::{Fake, Plan, Quick, Quickly, Turning, answer, fail, status};
use crate::told::{ending, shown};
use crate::values;

/// A source that tells from its data which one it is.
fn tenant(draw: &mut Draw, id: UserId, name: &str) -> Source {
    let mut source = Source { id, profile: values::profile(draw, id) };
    source.profile.user = User { id, name: format!("user of {name}"), email: draw.word() };
    source.profile.posts.truncate(2);
    source.profile.posts[0].title = format!("post of {name}");
    source
}

/// Ends the script unless both halves of the profile are those of this source: whether they are whole is
/// asked elsewhere.
fn is_of(result: &Result<Profile, FetchError>, source: &Source, case: &str, help: &str) -> Outcome {
    let (name, title) = (&source.profile.user.name, &source.profile.posts[0].title);
    let right = result.as_ref().is_ok_and(|profile| {
        profile.user.name == *name && profile.posts.iter().any(|post| post.title == *title)
    });
    let observed = match result {
        Ok(Profile { user, posts }) => {
            let titles = list(posts.iter().map(|post| short(&format!("{:?}", post.title))));
            format!("the user {:?}, the posts {titles}", short(&user.name))
        }
        Err(error) => shown(error),
    };
    ensure!(right, "{case}";
        expected = format!("the user {name:?}, and the post {title:?} among the posts"),
        observed = observed, help = help);
    Ok(())
}

pub async fn loads_keep_apart(cx: Cx, style: Style) -> Outcome {
    let mut draw = cx.draw();
    style.works(&cx).await?;
    let id = values::id(&mut draw);
    let [first, second, third] = ["the first source", "the second source", "the third source"]
        .map(|n| tenant(&mut draw, id, n));
    let help = "keep what a load remembers in the load (its closures, its future), not in a static: each load asks the source that it was given, every time";
    let apart = "two loads influence each other";

    // One after the other, the same id of other sources, and of the first one again.
    for source in [&first, &second, &third, &first] {
        let fake = source.fake(&cx, answer(10), answer(10));
        let case = format!("{apart} (one after the other, with the same id)");
        let result = style.run(&cx, &fake, id).await.map_err(|fail| in_case(fail, &case))?;
        is_of(&result, source, &case, help)?;
    }
    // One source that changes: neither a value nor a failure is remembered.
    let mut turns = Vec::new();
    for cause in values::one_of_each(&mut draw) {
        turns.push((answer(10), answer(10), &first));
        turns.push((fail(10, cause.clone()), answer(10), &first));
        turns.push((answer(10), answer(10), &second));
        turns.push((answer(10), fail(10, cause), &first));
    }
    turns.push((answer(10), answer(10), &third));
    let fakes = turns.iter().map(|(user, posts, now)| now.fake(&cx, user.clone(), posts.clone()));
    let turning = Turning::new(fakes.collect());
    for (number, (user, posts, now)) in turns.iter().enumerate() {
        cx.timeline().restart();
        let load = async { (style.load)(turning.turn(number), id).await };
        let answer = cx.call(style.name, load).await?.value;
        if !user.answers() || !posts.answers() {
            continue; // what becomes of a failure is asked elsewhere
        }
        let before = number.checked_sub(1).and_then(|before| turns.get(before));
        let failed = before.is_some_and(|(user, posts, _)| !user.answers() || !posts.answers());
        let how = if failed { "the one before it failed" } else { "the source has changed" };
        let case = format!("{apart} (of one source, with the same id; {how})");
        let Some(result) = answer else {
            return Err(Fail::new(format!("{case}: the callback is dropped uncalled")).help(help));
        };
        is_of(&result, now, &case, help)?;
    }
    let other = tenant(&mut draw, id + 1, "another user");
    at_once(&cx, style, &mut draw, [&first, &second, &third, &other], help).await?;
    of_one_source(&cx, style, &first).await?;
    one_in_another(&cx, style, &first).await?;
    // One that hangs keeps no other one waiting.
    let hanging = second.fake(&cx, answer(10), silent());
    let fake = first.fake(&cx, answer(10), answer(10));
    let both = async {
        let hung = (style.load)(hanging.shared(), id);
        tokio::pin!(hung);
        let _ = timeout(ms(50), &mut hung).await;
        timeout(ms(5_000), (style.load)(fake.shared(), id)).await
    };
    let call = cx.call(style.name, both).await?;
    ensure!(matches!(call.value, Ok(Some(_))), "{apart}: a load waits for another one that hangs";
        expected = "a profile after its own two requests",
        observed = format!("nothing {} ms later", call.took.as_millis()), help = help);
    many_loads(&cx, style, &first).await
}

/// One of several loads that run at once: its source, and how long its requests take.
type Timed<'a> = (&'a Source, u64, u64);

/// Loads at once, whose requests end in every order: one around the other, one behind the other, and as drawn.
async fn at_once(
    cx: &Cx,
    style: Style,
    draw: &mut Draw,
    [first, second, third, other]: [&Source; 4],
    help: &str,
) -> Outcome {
    for inner in [second, other] {
        ends_apart(cx, style, &[(first, 100, 300), (inner, 200, 100)], help).await?;
        ends_apart(cx, style, &[(first, 100, 200), (inner, 200, 200)], help).await?;
    }
    for _ in 0..10 {
        let mut times: Vec<u64> = (1..=8).map(|number| 10 * number).collect();
        draw.shuffle(&mut times);
        let sources = [first, second, third, other].into_iter();
        let loads: Vec<Timed> =
            sources.zip(times.chunks(2)).map(|(source, pair)| (source, pair[0], pair[1])).collect();
        ends_apart(cx, style, &loads, help).await?;
    }
    Ok(())
}

/// Runs the loads at once, and ends the script unless each has its own profile.
async fn ends_apart(cx: &Cx, style: Style, loads: &[Timed<'_>], help: &str) -> Outcome {
    let fakes = loads.iter().map(|(source, user, posts)| {
        (source.fake(cx, answer(*user), answer(*posts)).shared(), source.id)
    });
    let fakes: Vec<_> = fakes.collect();
    let all = async { join_all(fakes.into_iter().map(|(fake, id)| (style.load)(fake, id))).await };
    let count = loads.len();
    for (answer, (source, ..)) in cx.call(style.name, all).await?.value.into_iter().zip(loads) {
        let Some(result) = answer else {
            let what = format!("of {count} loads at once, one drops its callback uncalled");
            return Err(Fail::new(what).help(help));
        };
        is_of(&result, source, "two loads influence each other (both at once)", help)?;
    }
    Ok(())
}

/// Loads of one source with one id, one of which begins while another is under way: each makes its own requests,
/// and waits for no other one.
async fn of_one_source(cx: &Cx, style: Style, source: &Source) -> Outcome {
    let alone = source.fake(cx, answer(100), answer(100));
    let _ = style.run(cx, &alone, source.id).await?;
    for later in [0, 50, 150] {
        let fake = source.fake(cx, answer(100), answer(100));
        let shared = fake.shared();
        let both = async {
            let second = async {
                sleep(ms(later)).await;
                (style.load)(shared.clone(), source.id).await
            };
            join((style.load)(shared.clone(), source.id), second).await
        };
        let _ = cx.call(style.name, both).await?;
        let asked = in_order(fake.requests());
        // Which requests a load makes, and when, is asked elsewhere.
        let twice = [0, later].map(|begin| {
            alone.requests().into_iter().map(move |(request, at)| (request, at + begin))
        });
        let expected = in_order(twice.into_iter().flatten().collect());
        ensure!(asked == expected, "two loads of one source with the same id, the second one {later} ms after the first, do not make the requests of two loads";
            expected = made(&expected), observed = made(&asked),
            help = "a load neither joins another one that is under way nor waits for it: it asks its source \
                    itself, at once, and ends with what it got");
    }
    Ok(())
}

/// A source that begins a load of its own when it is asked, as a cache does that loads what it has not.
struct Nested {
    style: Style,
    inner: Arc<Quick>,
    fake: Fake,
}

impl Nested {
    fn load(&self) {
        let inner = (self.style.load)(self.inner.clone(), self.fake.id());
        let _ = unconstrained(inner).now_or_never();
    }
}

impl ProfileSource for Nested {
    fn user(&self, id: UserId) -> BoxFuture<'static, Result<User, SourceError>> {
        self.load();
        ProfileSource::user(&self.fake, id)
    }

    fn posts(&self, id: UserId) -> BoxFuture<'static, Result<Vec<Post>, SourceError>> {
        self.load();
        ProfileSource::posts(&self.fake, id)
    }
}

impl CallbackSource for Nested {
    fn user(&self, id: UserId, callback: Callback<User>) {
        self.load();
        CallbackSource::user(&self.fake, id, callback);
    }

    fn posts(&self, id: UserId, callback: Callback<Vec<Post>>) {
        self.load();
        CallbackSource::posts(&self.fake, id, callback);
    }
}

/// A load whose source begins another load before it answers.
async fn one_in_another(cx: &Cx, style: Style, source: &Source) -> Outcome {
    for (user, posts) in [(0, 0), (10, 10)] {
        let fake = source.fake(cx, answer(user), answer(posts));
        let inner = Quick::new(Quickly::Answer, Quickly::Answer);
        let nested = Arc::new(Nested { style, inner, fake });
        let load = async { timeout(ms(5_000), (style.load)(nested, source.id)).await };
        let case = "a load whose source begins another load when it is asked";
        let call = cx.call(style.name, load).await.map_err(|fail| in_case(fail, case))?;
        let help = "hold no lock, and no place of a limit, while the source is asked";
        match call.value {
            Ok(Some(result)) => is_of(&result, source, case, help)?,
            _ => {
                return Err(Fail::new(format!("{case} does not end"))
                    .expected("a profile after its own two requests")
                    .observed("nothing after 5 s")
                    .help(help));
            }
        }
    }
    Ok(())
}

/// The requests by their time; those of the same instant in one order.
fn in_order(mut requests: Vec<(Request, u64)>) -> Vec<(Request, u64)> {
    requests.sort_by_key(|(request, at)| (*at, matches!(request, Request::Posts(_))));
    requests
}

/// A request that is under way for an hour.
fn silent() -> Plan {
    answer(3_600_000)
}

/// Loads of each kind that come before the one that is looked at.
const MANY: usize = 3_000;

/// Loads that fail for a reason of which there are many.
const FEW: usize = 200;

/// Loads that panic: each costs much more than one of the others.
const PANICS: usize = 100;

/// Loads that hang, each second one at its posts.
const HANGING: usize = 10_000;

/// The loads that end in one way: the ends of their requests, and their id.
struct Kind {
    name: String,
    user: Quickly,
    posts: Quickly,
    id: UserId,
    /// Whether they are dropped during a request.
    cut: bool,
    /// How many there are.
    count: usize,
}

/// Every way in which a load can end.
fn kinds(draw: &mut Draw, style: Style, id: UserId) -> Vec<Kind> {
    use Quickly::{Answer, Drop, Fail, Hang, Panic, Refuse};
    let kind = |name: &str, user, posts| Kind {
        name: name.to_owned(),
        user,
        posts,
        id,
        cut: false,
        count: MANY,
    };
    let few = |name: &str, count, user, posts| Kind { count, ..kind(name, user, posts) };
    let mut all = vec![
        kind("that succeed", Answer, Answer),
        Kind { id: 0, ..kind("with the id 0", Answer, Answer) },
    ];
    let mut causes = values::one_of_each(draw);
    causes.sort_by_key(|cause| *cause != status(503));
    for cause in causes {
        // One of the causes stands for what counts to thousands, and each for what counts to a few.
        let count = if cause == status(503) { MANY } else { FEW };
        let why = short(&cause.to_string());
        let failing = Fail(cause);
        all.push(few(&format!("whose user fails ({why})"), count, failing.clone(), Answer));
        all.push(few(&format!("whose posts fail ({why})"), count, Answer, failing));
    }
    if style.cancels {
        let cut = |name, user, posts| Kind { cut: true, ..kind(name, user, posts) };
        all.push(cut("that are dropped during the user", Hang, Answer));
        all.push(cut("that are dropped during the posts", Answer, Hang));
        all.push(few("whose request for the user panics", PANICS, Panic, Answer));
        all.push(few("whose request for the posts panics", PANICS, Answer, Panic));
    } else {
        all.push(kind("whose source drops the callback for the user", Drop, Answer));
        all.push(kind("whose source drops the callback for the posts", Answer, Drop));
    }
    all.push(few("whose source panics when it is asked for the user", PANICS, Refuse, Answer));
    all.push(few("whose source panics when it is asked for the posts", PANICS, Answer, Refuse));
    all
}

/// A load is like the first one after thousands of others, however those ended, and beside thousands that
/// hang.
async fn many_loads(cx: &Cx, style: Style, source: &Source) -> Outcome {
    // So many in one call that it does not count as a loop without an end.
    const AT_ONCE: usize = 500;
    let before = cx.alive_tasks();
    for kind in kinds(&mut cx.draw(), style, source.id) {
        let quick = Quick::new(kind.user, kind.posts);
        let at_once = AT_ONCE.min(kind.count);
        for round in 0..kind.count / at_once {
            let loads = async {
                let mut answers = Vec::with_capacity(at_once);
                for _ in 0..at_once {
                    let load = async { unconstrained((style.load)(quick.clone(), kind.id)).await };
                    if kind.cut {
                        let _ = load.now_or_never();
                    } else {
                        // What becomes of a panic is asked elsewhere.
                        answers.push(AssertUnwindSafe(load).catch_unwind().await.ok().flatten());
                    }
                }
                answers
            };
            let first = round * AT_ONCE + 1;
            let case = format!(
                "loads {first} to {} {} run one after the other",
                first + at_once - 1,
                kind.name
            );
            let answers =
                cx.call(style.name, loads).await.map_err(|fail| in_case(fail, &case))?.value;
            if kind.name != "that succeed" {
                continue; // what becomes of each is asked elsewhere
            }
            for (number, answer) in (first..).zip(answers) {
                let right = matches!(&answer, Some(Ok(profile)) if profile.user.id == source.id);
                ensure!(right, "load number {number} of thousands";
                    expected = "the profile, as for the first one",
                    observed = answer.as_ref().map_or_else(|| "nothing".to_owned(), ending),
                    help = "no load counts the others");
            }
        }
        let when = format!("after {} loads {}", kind.count, kind.name);
        is_like_the_first(cx, style, source, &when).await?;
        cx.settle().await;
        let left = cx.alive_tasks().saturating_sub(before);
        // What is left of loads that were dropped, or panicked, is asked elsewhere.
        ensure!(kind.cut || kind.count == PANICS || left == 0, "after many loads {}, {left} tasks are left", kind.name;
            expected = "a load that has ended leaves nothing behind",
            observed = format!("{left} tasks"));
    }
    let sources =
        [Quick::new(Quickly::Hang, Quickly::Answer), Quick::new(Quickly::Answer, Quickly::Hang)];
    let hang = || {
        let begin = |number: usize| {
            let mut load = (style.load)(sources[number % 2].clone(), source.id);
            let _ = unconstrained(&mut load).now_or_never();
            load
        };
        (0..HANGING).map(begin).collect::<Vec<_>>()
    };
    let hanging = cx.call_fn(style.name, hang).await?;
    is_like_the_first(cx, style, source, &format!("beside {} loads that hang", hanging.len()))
        .await?;
    drop(hanging);
    cx.settle().await;
    is_like_the_first(cx, style, source, "after thousands of loads that hung").await
}

/// Ends the script unless a load of the source gives its profile now.
async fn is_like_the_first(cx: &Cx, style: Style, source: &Source, when: &str) -> Outcome {
    let fake = source.fake(cx, answer(10), answer(10));
    let load = async { timeout(ms(5_000), (style.load)(fake.shared(), source.id)).await };
    let call = cx.call(style.name, load).await.map_err(|fail| in_case(fail, when))?;
    let help = "a load waits for its own two requests only: it does not count other loads, and what it \
                holds is dropped however it ends";
    match call.value {
        Ok(Some(result)) => is_of(&result, source, &format!("a load {when}"), help),
        Ok(None) => {
            Err(Fail::new(format!("a load {when}: its callback is dropped uncalled")).help(help))
        }
        Err(_) => Err(Fail::new(format!("a load {when} does not end"))
            .expected("a profile after its own two requests")
            .observed("nothing after 5 s")
            .help(help)),
    }
}
