//! What is asked of every style that makes one request after the other: which requests, how often, and when.

use grader_kit::{Cx, Fail, Outcome, ensure, ms, short};
use level1::model::UserId;
use level1::source::Request;
use tokio::time::sleep;

use super::{OfStatus, SLOW, Source, Style, each_status, made, runs_long, takes_its_time, unusual};
use crate::fake::{End, Fake, Quickly, answer, fail};
use crate::values;

pub async fn user_first(cx: Cx, style: Style) -> Outcome {
    let mut draw = cx.draw();
    for (user, posts) in
        [(draw.between(50..=200), draw.between(50..=200)), (0, draw.between(1..=100)), (30, 0)]
    {
        let mut source = Source::drawn(&mut draw);
        // The posts belong to the id that was asked for, whatever the answer calls the user.
        source.profile.user.id += 1;
        one_after_the_other(&cx, style, &source, "", (user, posts)).await?;
    }
    for (case, source) in unusual(&mut draw) {
        one_after_the_other(&cx, style, &source, &format!(", for {case}"), (10, 10)).await?;
    }
    for cause in values::causes(&mut draw) {
        let source = Source::drawn(&mut draw);
        let case = short(&cause.to_string());
        let fake = source.fake(&cx, fail(20, cause.clone()), answer(20));
        let took = failed_at(&cx, style, &fake).await?;
        let asked = fake.requests();
        of_failed_user(&asked, source.id, &case)?;
        if asked.len() == 1 {
            ends_with_its_failure(took, 20, &case)?;
        }
        let fake = source.fake(&cx, answer(10), fail(20, cause));
        let took = failed_at(&cx, style, &fake).await?;
        of_failed_posts(&fake.requests(), source.id, &case)?;
        ends_with_its_failure(took, 30, &case)?;
    }
    let id = values::id(&mut draw);
    for (request, expected) in [(Request::User(id), (1, 0)), (Request::Posts(id), (1, 1))] {
        for OfStatus { status, asked, took, .. } in
            each_status(&cx, style, request, &Quickly::Answer).await?
        {
            // Whether the posts of a user who failed are requested is asked elsewhere.
            let asked = if expected.1 == 0 { (asked.0, 0) } else { asked };
            ensure!(asked == expected, "{request} failed with the status {status}, and the requests are not the user, then the posts, each once";
                expected = of_both(expected), observed = of_both(asked), help = ONCE);
            ends_with_its_failure(Some(took), 0, &format!("status {status}"))?;
        }
    }
    slow_requests(&cx, style).await?;
    takes_its_time(&cx, style, SLOW, 10).await
}

/// What is said of a request that was made more than once.
pub const ONCE: &str = "each request is made once, also when it fails and however long it takes: whether a second try makes \
                    sense is for the caller to say";

/// How often the two requests were made, as a message shows it.
pub fn of_both((user, posts): (usize, usize)) -> String {
    format!("{user} for the user, {posts} for the posts")
}

/// Ends the script unless the load makes its two requests in turn, each once, and ends with the second.
async fn one_after_the_other(
    cx: &Cx,
    style: Style,
    source: &Source,
    case: &str,
    (user, posts): (u64, u64),
) -> Outcome {
    let id = source.id;
    let fake = source.fake(cx, answer(user), answer(posts));
    let (result, took) = style.timed(cx, &fake, id).await?;
    // A request that is made behind the load's end counts, too.
    sleep(ms(1_000)).await;
    let expected = [(Request::User(id), 0), (Request::Posts(id), user)];
    ensure!(fake.requests() == expected, "the requests are not the user, then the posts{case}";
        expected = made(&expected),
        observed = made(&fake.requests()),
        help = "this version makes one request after the other: the user at once (0 ms), the posts \
                as soon as the user is there, each once and with the id that was given, not with \
                the id in the answer");
    let end = user + posts;
    ensure!(result.is_err() || took == end, "the posts were there at {end} ms, the load returned at {took} ms{case}";
        expected = format!("the profile at {end} ms, the moment of the second answer"),
        observed = format!("{took} ms"),
        help = "return the profile as soon as both answers are there: nothing is left to wait for");
    Ok(())
}

/// Ends the script unless the user, who failed, was requested once.
fn of_failed_user(asked: &[(Request, u64)], id: UserId, case: &str) -> Outcome {
    let count = asked.iter().filter(|(request, _)| *request == Request::User(id)).count();
    ensure!(count > 0, "the user was not requested (a source whose user fails: {case})";
        expected = "one request for the user", observed = made(asked),
        help = "each load makes its own request, however earlier ones ended");
    ensure!(count == 1, "the user failed ({case}) and was requested again";
        expected = "one request for the user", observed = made(asked), help = ONCE);
    Ok(())
}

/// Ends the script unless the posts failed behind one request for each.
fn of_failed_posts(asked: &[(Request, u64)], id: UserId, case: &str) -> Outcome {
    let expected = [(Request::User(id), 0), (Request::Posts(id), 10)];
    ensure!(asked == expected, "the posts failed ({case}), and the requests are not the user, then the posts, each once";
        expected = made(&expected), observed = made(asked), help = ONCE);
    Ok(())
}

/// A request that takes 25 years is made once, and the load ends at the moment at which the last one does.
async fn slow_requests(cx: &Cx, style: Style) -> Outcome {
    let mut draw = cx.draw();
    let source = Source::drawn(&mut draw);
    let (user, posts) = (Request::User(source.id), Request::Posts(source.id));
    let cause = draw.pick(&values::one_of_each(&mut cx.draw())).clone();
    for (of_user, of_posts) in [
        (answer(SLOW), answer(10)),
        (answer(10), answer(SLOW)),
        (fail(SLOW, cause.clone()), answer(10)),
        (answer(10), fail(SLOW, cause)),
    ] {
        let expected = match of_user.end {
            End::Fail(_) => vec![(user, 0)],
            _ => vec![(user, 0), (posts, of_user.after)],
        };
        let long = runs_long(cx, style, &source, of_user.clone(), of_posts).await;
        if long.ended.as_ref().is_some_and(|(_, at)| *at < SLOW) {
            continue; // whether it has a limit of its own is asked elsewhere
        }
        if let Some((Some(Err(_)), at)) = long.ended {
            let end = if of_user.answers() { SLOW + 10 } else { SLOW };
            ends_with_its_failure(Some(at), end, "after 25 years")?;
        }
        let mut asked = long.fake.requests();
        if of_user.answers() {
            ensure!(asked == expected, "a request took 25 years, and the requests are not the user, then the posts, each once";
                expected = made(&expected), observed = made(&asked), help = ONCE);
            continue;
        }
        // Whether the posts of a user who failed are requested is asked elsewhere.
        asked.retain(|(request, _)| *request == user);
        of_failed_user(&asked, source.id, "after 25 years")?;
    }
    Ok(())
}

/// Runs a load of which one request fails, and waits for what it does behind its end. Returns when it ended
/// with an error: what becomes of a failure otherwise is asked elsewhere.
async fn failed_at(cx: &Cx, style: Style, fake: &Fake) -> Result<Option<u64>, Fail> {
    let call = cx.call(style.name, (style.load)(fake.shared(), fake.id())).await?;
    sleep(ms(1_000)).await;
    let took = u64::try_from(call.took.as_millis()).unwrap_or(u64::MAX);
    Ok(matches!(call.value, Some(Err(_))).then_some(took))
}

/// Ends the script unless the load ended at the moment of the failure.
fn ends_with_its_failure(took: Option<u64>, at: u64, case: &str) -> Outcome {
    let took = took.unwrap_or(at);
    ensure!(took == at, "a request failed at {at} ms ({case}), the load returned at {took} ms";
        expected = format!("the end at {at} ms, the moment of the failure"),
        observed = format!("{took} ms"),
        help = "return the error as soon as it is there: nothing is left to wait for");
    Ok(())
}
