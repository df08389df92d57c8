//! What is asked of every style, and of every style that makes one request after the other.
//!
//! No style is named here: a criterion of one style does not see the others.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use grader_kit::{Cx, Diagnosis, Draw, Fail, Outcome, ensure, list, ms, short};
use level1::errors::FetchError;
use level1::model::{Post, Profile, User, UserId};
use level1::source::{Request, SourceError};
use tokio::time::{sleep, timeout};

use crate::fake::{AnySource, Fake, Plan, Quickly, answer, fail, panics, refuses};
use crate::told::{ending, parts, shown};
use crate::values::{self, difference};

/// What a load comes to; `None` when its callback was dropped uncalled.
pub type Answer = Option<Result<Profile, FetchError>>;

/// One way to load a profile.
#[derive(Clone, Copy)]
pub struct Style {
    pub name: &'static str,
    /// The module that it is written in.
    pub module: &'static str,
    /// Whether dropping the future of `load` gives the load up.
    pub cancels: bool,
    pub load: fn(Arc<dyn AnySource>, UserId) -> BoxFuture<'static, Answer>,
}

impl Style {
    /// Runs one load to its end, and says how long it took.
    pub async fn timed(
        self,
        cx: &Cx,
        fake: &Fake,
        id: UserId,
    ) -> Result<(Result<Profile, FetchError>, u64), Fail> {
        let call = cx.call(self.name, async { (self.load)(fake.shared(), id).await }).await?;
        let took = u64::try_from(call.took.as_millis()).unwrap_or(u64::MAX);
        let answer = call.value.ok_or_else(|| {
            Fail::new(format!("{} dropped its callback without calling it", self.name))
                .expected("one call of the callback, in every case")
                .observed("the callback is gone, and was never called")
                .help("every path through the function has to end in a call of the callback")
        })?;
        Ok((answer, took))
    }

    /// Runs one load to its end.
    pub async fn run(
        self,
        cx: &Cx,
        fake: &Fake,
        id: UserId,
    ) -> Result<Result<Profile, FetchError>, Fail> {
        Ok(self.timed(cx, fake, id).await?.0)
    }

    /// Runs one load whose end is another criterion's business.
    pub async fn works(self, cx: &Cx) -> Outcome {
        let fake = Source::drawn(&mut cx.draw()).fake(cx, answer(100), answer(200));
        cx.call(self.name, async { (self.load)(fake.shared(), fake.id()).await }).await.map(drop)
    }
}

/// Says in which case a call went wrong.
pub fn in_case(fail: Fail, case: &str) -> Fail {
    if matches!(fail.diagnosis, Some(Diagnosis::NotStarted)) {
        return fail;
    }
    Fail { headline: format!("when {case}: {}", fail.headline), ..fail }
}

/// An id and the profile that belongs to it.
pub struct Source {
    pub id: UserId,
    pub profile: Profile,
}

impl Source {
    pub fn drawn(draw: &mut Draw) -> Self {
        let id = values::id(draw);
        Self { id, profile: values::profile(draw, id) }
    }

    pub fn fake(&self, cx: &Cx, user: Plan, posts: Plan) -> Fake {
        Fake::new(cx.timeline(), self.id, &self.profile, user, posts)
    }
}

/// Ends the script unless the load gave the profile that the source holds.
fn same_profile(
    result: &Result<Profile, FetchError>,
    expected: &Profile,
    case: &str,
    help: &str,
) -> Outcome {
    let observed = match result {
        Ok(profile) => match difference(profile, expected) {
            None => return Ok(()),
            Some(difference) => difference,
        },
        Err(error) => shown(error),
    };
    Err(Fail::new(format!("{case}: the profile is not what the source holds"))
        .expected(format!(
            "the user {} and {} posts, as the source has them",
            expected.user.id,
            expected.posts.len()
        ))
        .observed(observed)
        .help(help))
}

/// More posts than a page of them has, or a limit would guess.
const MANY_POSTS: u64 = 10_500;

/// Sources whose profile is unusual: without posts, with many, with texts of every kind, with another id.
pub fn unusual(draw: &mut Draw) -> Vec<(String, Source)> {
    let mut cases = Vec::new();
    let mut empty = Source::drawn(draw);
    empty.profile.posts.clear();
    empty.profile.user.name.clear();
    cases.push((format!("user {}, who has no posts and no name", empty.id), empty));
    let mut many = Source::drawn(draw);
    let like = post(draw, 0);
    many.profile.posts =
        (0..MANY_POSTS).map(|number| Post { id: number % 700, ..like.clone() }).collect();
    cases.push((format!("user {}, who has {MANY_POSTS} posts", many.id), many));
    for text in values::texts(draw) {
        let mut odd = Source::drawn(draw);
        odd.profile.user = User { id: odd.id, name: text.clone(), email: text.clone() };
        odd.profile.posts = vec![Post { title: text.clone(), body: Some(text), ..post(draw, 7) }];
        cases.push((format!("user {}, whose texts are unusual", odd.id), odd));
    }
    let mut renamed = Source::drawn(draw);
    renamed.profile.user.id = renamed.id + draw.between(1..=500);
    let case = format!("user {}, whom the source calls {}", renamed.id, renamed.profile.user.id);
    cases.push((case, renamed));
    cases
}

/// What the source holds arrives as it is.
pub async fn gives_the_profile(cx: Cx, style: Style) -> Outcome {
    let mut draw = cx.draw();
    let mut cases = Vec::new();
    for id in values::ids(&mut draw) {
        cases.push((format!("user {id}"), Source { id, profile: values::profile(&mut draw, id) }));
    }
    cases.extend(unusual(&mut draw));
    for (case, source) in cases {
        let fake = source.fake(&cx, answer(draw.between(1..=200)), answer(draw.between(1..=200)));
        let result = style.run(&cx, &fake, source.id).await.map_err(|fail| in_case(fail, &case))?;
        same_profile(
            &result,
            &source.profile,
            &case,
            "take the user and the posts as they come: every field, every post, also one that stands \
             twice, in the source's order, and no text trimmed. Ask for both with the id that was \
             given; each id but 0 may exist",
        )?;
    }
    takes_its_time(&cx, style, 10, SLOW).await
}

fn post(draw: &mut Draw, id: u64) -> Post {
    Post { id, title: draw.word(), likes: Some(draw.below(3)), body: None }
}

/// The requests as a message shows them.
pub fn made(requests: &[(Request, u64)]) -> String {
    list(requests.iter().map(|(request, at)| format!("{request} at {at} ms")))
}

pub async fn no_posts_without_user(cx: Cx, style: Style) -> Outcome {
    let mut draw = cx.draw();
    for cause in values::causes(&mut draw) {
        let source = Source::drawn(&mut draw);
        let after = *draw.pick(&[0, 100]);
        let fake = source.fake(&cx, fail(after, cause.clone()), answer(200));
        let _ = style.run(&cx, &fake, source.id).await?;
        sleep(ms(1_000)).await;
        let asked = fake.when(Request::Posts(source.id), "requested");
        ensure!(asked.is_none(), "the posts were requested although the user failed";
            expected = format!("no request for the posts: {}", short(&cause.to_string())),
            observed = made(&fake.requests()),
            help = "look at the user's result before the second request, whatever the failure is");
    }
    let id = values::id(&mut draw);
    for OfStatus { status, asked, .. } in
        each_status(&cx, style, Request::User(id), &Quickly::Answer).await?
    {
        ensure!(asked.1 == 0, "the posts were requested although the user failed";
            expected = format!("no request for the posts: the user failed with the status {status}"),
            observed = of_both(asked),
            help = "look at the user's result before the second request, whatever the failure is");
    }
    Ok(())
}

/// The first of the two requests to fail, its cause and the plans for both.
struct Failure {
    case: String,
    request: Request,
    cause: SourceError,
    user: Plan,
    posts: Plan,
}

/// Every kind of failure of each of the two requests.
fn failures(draw: &mut Draw, id: UserId) -> Vec<Failure> {
    let mut all = Vec::new();
    for cause in values::causes(draw) {
        for request in [Request::User(id), Request::Posts(id)] {
            let late = draw.between(51..=100);
            for (after, other) in [(0, 50), (late, late + 50), (late, late - 50)] {
                let (failing, other) = (fail(after, cause.clone()), answer(other));
                let (user, posts) = match request {
                    Request::User(_) => (failing, other),
                    _ => (other, failing),
                };
                let case = format!("{request} fails ({})", short(&cause.to_string()));
                all.push(Failure { case, request, cause: cause.clone(), user, posts });
            }
        }
    }
    all
}

pub async fn names_the_request(cx: Cx, style: Style) -> Outcome {
    let mut draw = cx.draw();
    let mut source = Source::drawn(&mut draw);
    // The error names what was asked for, whatever the answer calls the user.
    source.profile.user.id += 1;
    for Failure { case, request, cause, user, posts } in failures(&mut draw, source.id) {
        let fake = source.fake(&cx, user, posts);
        let result = style.run(&cx, &fake, source.id).await.map_err(|fail| in_case(fail, &case))?;
        if fake.when(request, "requested").is_none() {
            continue; // with which id is asked elsewhere
        }
        names(&result, request, &cause)?;
    }
    let id = values::id(&mut draw);
    for request in [Request::User(id), Request::Posts(id)] {
        for OfStatus { status, answer, .. } in
            each_status(&cx, style, request, &Quickly::Answer).await?
        {
            // A callback that was dropped uncalled is found above.
            if let Some(result) = answer {
                names(&result, request, &SourceError::Status { status })?;
            }
        }
    }
    late_failures(&cx, style).await
}

/// A failure after 25 years is named like an early one.
async fn late_failures(cx: &Cx, style: Style) -> Outcome {
    let mut draw = cx.draw();
    let source = Source::drawn(&mut draw);
    let mut causes = values::one_of_each(&mut draw);
    draw.shuffle(&mut causes);
    for cause in causes.into_iter().take(4) {
        let failing = || fail(SLOW, cause.clone());
        for (request, user, posts) in [
            (Request::User(source.id), failing(), answer(10)),
            (Request::Posts(source.id), answer(10), failing()),
        ] {
            let Long { ended, .. } = runs_long(cx, style, &source, user, posts).await;
            match ended {
                Some((Some(result), at)) if at >= SLOW => names(&result, request, &cause)?,
                _ => {} // how long a load waits is asked elsewhere
            }
        }
    }
    Ok(())
}

/// Ends the script unless the error is that of the request, with its cause.
pub fn names(
    result: &Result<Profile, FetchError>,
    request: Request,
    cause: &SourceError,
) -> Outcome {
    let why = short(&format!("{cause:?}"));
    let error =
        match result {
            Err(error) => error,
            Ok(_) => {
                return Err(Fail::new(format!("the failure of {request} was swallowed"))
                .expected(format!("an error that names {request}, with the cause {why}"))
                .observed(ending(result))
                .help("no failure becomes a value, neither a 404 nor any other: a profile without \
                       posts says that there are none"));
            }
        };
    ensure!(parts(error) == Some((request, cause)), "the error does not say that {request} failed, and why";
        expected = format!("request {request:?} with cause {why}"),
        observed = shown(error),
        help = "make the error where the request is made, with the id that was asked for: \
                FetchError::new(the request, its cause)");
    Ok(())
}

pub async fn refuses_id_0(cx: Cx, style: Style) -> Outcome {
    let mut source = Source::drawn(&mut cx.draw());
    source.id = 0;
    let fake = source.fake(&cx, answer(0), answer(0));
    let (result, took) = style.timed(&cx, &fake, 0).await?;
    ensure!(matches!(result, Err(FetchError::Validation { field: "id", .. })), "id 0 was not refused";
        expected = "FetchError::Validation for the field id",
        observed = ending(&result),
        help = "errors::check_id says whether an id can be asked for");
    ensure!(took == 0, "id 0 was refused only after {took} ms";
        expected = "at once: there is nothing to wait for", observed = format!("{took} ms"));
    sleep(ms(1_000)).await;
    let asked = fake.requests();
    ensure!(asked.is_empty(), "id 0 was refused only after a request";
        expected = "no request at all", observed = made(&asked),
        help = "check the argument before anything else");
    Ok(())
}

/// Drops loads of these sources, each at an instant at which some of its requests are under way.
pub async fn stops_when_dropped(cx: Cx, style: Style, cases: &[(Plan, Plan, u64)]) -> Outcome {
    let mut draw = cx.draw();
    // What never begins, or never ends, has no merit in stopping.
    style.works(&cx).await?;
    let source = Source::drawn(&mut draw);
    let before = cx.alive_tasks();
    let fake = source.fake(&cx, answer(100), answer(100));
    cx.call_fn(style.name, || drop((style.load)(fake.shared(), source.id))).await?;
    nothing_goes_on(&cx, &fake, before, "before its first poll").await?;
    for (user, posts, at) in cases {
        let source = Source::drawn(&mut draw);
        let before = cx.alive_tasks();
        let fake = source.fake(&cx, user.clone(), posts.clone());
        let load = async { (style.load)(fake.shared(), source.id).await };
        // The last ones take 25 years.
        let most = ms(*at).saturating_add(Duration::from_secs(600));
        let cut = cx.call_within(most, style.name, timeout(ms(*at), load)).await?;
        if cut.value.is_ok() {
            continue; // a load that is over so early is judged elsewhere
        }
        let under_way = fake.under_way();
        let moment =
            if *at > SLOW / 2 { "after 25 years".to_owned() } else { format!("at {at} ms") };
        let when = match under_way.as_slice() {
            [] => moment,
            _ => format!("{moment}, during {}", list(&under_way)),
        };
        nothing_goes_on(&cx, &fake, before, &when).await?;
    }
    Ok(())
}

/// Ends the script when a load that was dropped still does something.
async fn nothing_goes_on(cx: &Cx, fake: &Fake, tasks_before: usize, when: &str) -> Outcome {
    let earlier = fake.requests();
    cx.settle().await;
    let open = fake.under_way();
    ensure!(open.is_empty(), "the load was dropped {when}, but the request for {} goes on", list(&open);
        expected = "the request is dropped together with the load",
        observed = "it is still under way",
        help = "a spawned task outlives the future that waits for it: do not spawn, or abort it \
                when the future is dropped (a JoinSet does)");
    sleep(Duration::from_secs(10)).await;
    let later = fake.requests();
    ensure!(later.len() == earlier.len(), "the load was dropped {when}, and made a request after that";
        expected = made(&earlier), observed = made(&later),
        help = "a dropped future stops, because it is no longer polled; a spawned task goes on unless it is aborted");
    let left = cx.alive_tasks().saturating_sub(tasks_before);
    ensure!(left == 0, "the load was dropped {when}, but {left} of its tasks live on";
        expected = "nothing is left", observed = format!("{left} tasks"),
        help = "abort what you spawned when the future is dropped");
    Ok(())
}

/// A panic of the source is the caller's to see.
pub async fn panics_pass(cx: Cx, style: Style) -> Outcome {
    let mut draw = cx.draw();
    style.works(&cx).await?;
    let text = format!("broken {}", draw.text(3..=9));
    for (case, user, posts) in [
        ("the user's request panics at 20 ms", panics(20, &text), answer(100)),
        ("the posts' request panics at 20 ms", answer(20), panics(20, &text)),
        ("the user's request panics at once", panics(0, &text), answer(100)),
        ("the posts' request panics at once", answer(20), panics(0, &text)),
        (
            "the posts have answered, and the user's request panics at 20 ms",
            panics(20, &text),
            answer(10),
        ),
        ("the user has answered, and the posts' request panics", answer(10), panics(20, &text)),
        ("ProfileSource::user panics", refuses(&text), answer(100)),
        ("ProfileSource::posts panics", answer(20), refuses(&text)),
    ] {
        let source = Source::drawn(&mut draw);
        let fake = source.fake(&cx, user, posts);
        let load =
            AssertUnwindSafe(async { (style.load)(fake.shared(), source.id).await }).catch_unwind();
        let ended = cx.call(style.name, load).await.map_err(|fail| in_case(fail, case))?.value;
        let help = "a panic is a fault of a program, not an answer: do not catch it. With a task, pass \
                    it on: std::panic::resume_unwind(error.into_panic())";
        match ended {
            Ok(Some(result)) => {
                ensure!(false, "when {case}, the load still returns";
                    expected = "the panic passes to the caller", observed = ending(&result), help = help);
            }
            Ok(None) => {
                ensure!(false, "when {case}, the load ends without a result and without a panic"; help = help)
            }
            Err(payload) => {
                let told = level1::panics::message(&*payload);
                ensure!(told == text, "when {case}, the caller sees another panic";
                    expected = format!("the panic of the source: {text:?}"),
                    observed = format!("{told:?}"), help = help);
            }
        }
    }
    Ok(())
}

mod apart;
mod order;
mod slow;
mod statuses;

pub use apart::loads_keep_apart;
pub use order::{ONCE, of_both, user_first};
pub use slow::{Long, SLOW, runs_long, takes_its_time};
pub use statuses::{OfStatus, each_status};
