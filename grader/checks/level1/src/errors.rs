//! The classes of errors, what they mean, and what they say.

use std::error::Error;

use grader_kit::{Cx, Draw, Fail, Outcome, ensure, short};
use level1::errors::{self, FetchError};
use level1::source::{Request, SourceError};

use crate::fake::{Plan, Quickly, answer, dropped, fail, panics, status};
use crate::style_async::{PARALLEL, SEQUENTIAL};
use crate::style_callbacks::CALLBACKS;
use crate::style_combinators::COMBINATORS;
use crate::styles::{OfStatus, Source, Style, each_status, in_case};
use crate::told::{Class, class, parts, shown};
use crate::values;

const NEW: &str = "FetchError::new";

/// Errors of every class but Validation, each with every kind of request and every kind of cause.
fn of_requests(draw: &mut Draw) -> Vec<(Class, Request, SourceError)> {
    let (requests, causes) = (values::requests(draw), values::causes(draw));
    // Of each kind of request another number for each cause.
    let kinds: Vec<&[Request]> = requests.chunks(requests.len() / 3).collect();
    let pairs = causes
        .iter()
        .enumerate()
        .flat_map(|(index, cause)| kinds.iter().map(move |kind| (kind[index % kind.len()], cause)));
    let all = pairs.flat_map(|(request, cause)| {
        Class::OF_REQUESTS.map(|class| (class, request, cause.clone()))
    });
    all.collect()
}

/// The first error of a status, in any class, for which `right` is false: all are looked at in one call.
async fn first_wrong(
    cx: &Cx,
    draw: &mut Draw,
    name: &str,
    right: impl Fn(Class, &FetchError) -> bool,
) -> Result<Option<(Class, Request, SourceError)>, Fail> {
    let requests = values::requests(draw);
    let all = (0..1_000_u16).flat_map(|code| Class::OF_REQUESTS.map(|class| (class, code)));
    let all = all.zip(requests.into_iter().cycle());
    let all = all.map(|((class, code), request)| (class, request, status(code)));
    let all: Vec<_> = all.collect();
    let errors: Vec<_> =
        all.iter().map(|(class, request, cause)| class.error(*request, cause.clone())).collect();
    let wrong = || all.iter().zip(&errors).position(|((class, ..), error)| !right(*class, error));
    let wrong = cx.call_fn(name, wrong).await?;
    Ok(wrong.and_then(|index| all.into_iter().nth(index)))
}

/// Validation errors: the field and the reason.
fn validations(draw: &mut Draw) -> Vec<(&'static str, String)> {
    let reasons = values::texts(draw).into_iter().chain([draw.text(3..=9)]);
    reasons
        .flat_map(|reason| ["id", "colour", "größe"].map(|field| (field, reason.clone())))
        .collect()
}

fn validation((field, reason): &(&'static str, String)) -> FetchError {
    FetchError::Validation { field, reason: reason.clone() }
}

/// Ends the script unless the error has the class of the cause, and the request and the cause as given.
fn classified(error: &FetchError, request: Request, cause: &SourceError) -> Outcome {
    let expected = Class::of(cause);
    let wanted = || shown(&expected.error(request, cause.clone()));
    ensure!(class(error) == expected, "{} is in the wrong class", short(&format!("{cause:?}"));
        expected = wanted(), observed = shown(error),
        help = "the table at the top of errors.rs says which cause belongs to which class");
    ensure!(parts(error) == Some((request, cause)), "{NEW} changes the request or the cause";
        expected = wanted(), observed = shown(error),
        help = "the request and the cause are kept as they are");
    Ok(())
}

pub async fn statuses(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let requests = values::requests(&mut draw);
    let any = *draw.pick(&requests);
    // Every status of HTTP at every request, and every number at one.
    let pairs = requests.iter().flat_map(|request| (0..=1_000).map(|code| (*request, code)));
    let pairs: Vec<_> = pairs.chain((0..=u16::MAX).map(|code| (any, code))).collect();
    let all = || pairs.iter().map(|(request, code)| FetchError::new(*request, status(*code)));
    let errors: Vec<FetchError> = cx.call_fn(NEW, || all().collect()).await?;
    for ((request, code), error) in pairs.into_iter().zip(&errors) {
        classified(error, request, &status(code))?;
    }
    Ok(())
}

pub async fn causes(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for cause in values::other_causes(&mut draw) {
        for request in values::requests(&mut draw) {
            let error = cx.call_fn(NEW, || FetchError::new(request, cause.clone())).await?;
            classified(&error, request, &cause)?;
        }
    }
    Ok(())
}

pub async fn status_codes(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let help = "validation 400, authentication 401, not found 404, network 503, and 500 for the rest: \
                the class decides, not the cause";
    let ask = async |error: FetchError, code: u16| -> Outcome {
        let observed = cx.call_fn("FetchError::status_code", || error.status_code()).await?;
        ensure!(observed == code, "the wrong status for {}", shown(&error);
            expected = code.to_string(), observed = observed.to_string(), help = help);
        Ok(())
    };
    let code_of = |class| match class {
        Class::Validation => 400,
        Class::Authentication => 401,
        Class::NotFound => 404,
        Class::Network => 503,
        Class::Database | Class::Bug => 500,
    };
    let name = "FetchError::status_code";
    let wrong = first_wrong(&cx, &mut draw, name, |class, e| e.status_code() == code_of(class));
    for (class, request, cause) in wrong.await?.into_iter().chain(of_requests(&mut draw)) {
        ask(class.error(request, cause), code_of(class)).await?;
    }
    for parts in validations(&mut draw) {
        ask(validation(&parts), 400).await?;
    }
    Ok(())
}

pub async fn operational(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let ask = async |error: FetchError, expected: bool| -> Outcome {
        let observed = cx.call_fn("FetchError::is_operational", || error.is_operational()).await?;
        ensure!(observed == expected, "is_operational is wrong for {}", shown(&error);
            expected = expected.to_string(), observed = observed.to_string(),
            help = "operational errors happen to correct programs; only a bug is not one. The class \
                    decides, not the cause");
        Ok(())
    };
    let name = "FetchError::is_operational";
    let right = |class, e: &FetchError| e.is_operational() == (class != Class::Bug);
    let wrong = first_wrong(&cx, &mut draw, name, right).await?;
    for (class, request, cause) in wrong.into_iter().chain(of_requests(&mut draw)) {
        ask(class.error(request, cause), class != Class::Bug).await?;
    }
    for parts in validations(&mut draw) {
        ask(validation(&parts), true).await?;
    }
    Ok(())
}

pub async fn request(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let ask = async |error: FetchError, expected: Option<Request>| -> Outcome {
        let observed = cx.call_fn("FetchError::request", || error.request()).await?;
        ensure!(observed == expected, "request() is wrong for {}", shown(&error);
            expected = format!("{expected:?}"), observed = format!("{observed:?}"),
            help = "a validation error comes before any request; every other names its own");
        Ok(())
    };
    let right = |_, e: &FetchError| e.request() == parts(e).map(|(request, _)| request);
    let wrong = first_wrong(&cx, &mut draw, "FetchError::request", right).await?;
    for (class, request, cause) in wrong.into_iter().chain(of_requests(&mut draw)) {
        ask(class.error(request, cause), Some(request)).await?;
    }
    for parts in validations(&mut draw) {
        ask(validation(&parts), None).await?;
    }
    Ok(())
}

pub async fn text(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let ask = async |error: FetchError, words: [String; 2]| -> Outcome {
        let text = cx.call_fn("FetchError::fmt", || error.to_string()).await?;
        for word in words {
            ensure!(text.contains(&word), "the text of an error leaves out {:?}", short(&word);
                expected = format!("a text with {:?} in it, whole", short(&word)),
                observed = format!("{:?}", short(&text)),
                help = "one line of a log has to say which request failed, and why: Display of Request \
                        and of SourceError have the words. Pass them on as they are, however long");
        }
        Ok(())
    };
    let right = |_, e: &FetchError| {
        let text = e.to_string();
        parts(e).is_some_and(|(request, cause)| {
            text.contains(&request.to_string()) && text.contains(&cause.to_string())
        })
    };
    let wrong = first_wrong(&cx, &mut draw, "FetchError::fmt", right).await?;
    for (class, request, cause) in wrong.into_iter().chain(of_requests(&mut draw)) {
        ask(class.error(request, cause.clone()), [request.to_string(), cause.to_string()]).await?;
    }
    for (field, reason) in validations(&mut draw) {
        ask(validation(&(field, reason.clone())), [field.to_owned(), reason]).await?;
    }
    let requests = values::requests(&mut draw);
    for (cause, request) in values::causes(&mut draw).into_iter().zip(requests.into_iter().cycle())
    {
        let mut texts = Vec::new();
        for class in Class::OF_REQUESTS {
            let error = class.error(request, cause.clone());
            let text = cx.call_fn("FetchError::fmt", || error.to_string()).await?;
            ensure!(!texts.contains(&text), "two classes of errors have the same text";
                expected = "a text that shows the class",
                observed = format!("{:?}, for {} and for another class", short(&text), shown(&error)),
                help = "one or two words for each class, for example \"not found\"");
            texts.push(text);
        }
    }
    Ok(())
}

pub async fn source(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let ask = async |error: FetchError, expected: Option<SourceError>| -> Outcome {
        let observed = cx
            .call_fn("FetchError::source", || {
                error.source().map(|source| source.downcast_ref::<SourceError>().cloned())
            })
            .await?;
        let told = match &observed {
            None => "no source".to_owned(),
            Some(None) => "an error that is no SourceError".to_owned(),
            Some(Some(cause)) => short(&format!("{cause:?}")),
        };
        ensure!(observed == expected.clone().map(Some), "source() is wrong for {}", shown(&error);
            expected = expected.map_or_else(|| "no source".to_owned(), |e| short(&format!("{e:?}"))),
            observed = told,
            help = "the cause itself, as a SourceError, so that a program can look at it; a \
                    validation error has none");
        Ok(())
    };
    let right = |_, e: &FetchError| {
        let cause = e.source().and_then(|source| source.downcast_ref::<SourceError>());
        cause == parts(e).map(|(_, cause)| cause)
    };
    let wrong = first_wrong(&cx, &mut draw, "FetchError::source", right).await?;
    for (class, request, cause) in wrong.into_iter().chain(of_requests(&mut draw)) {
        ask(class.error(request, cause.clone()), Some(cause)).await?;
    }
    for parts in validations(&mut draw) {
        ask(validation(&parts), None).await?;
    }
    Ok(())
}

/// 0 is refused, and nothing else.
pub async fn check_id(cx: Cx) -> Outcome {
    let refused = cx.call_fn("errors::check_id", || errors::check_id(0)).await?;
    ensure!(matches!(refused, Err(FetchError::Validation { field: "id", .. })), "id 0 was not refused";
        expected = "FetchError::Validation for the field id",
        observed = refused.as_ref().map_or_else(shown, |id| format!("Ok({id})")),
        help = "users are numbered from 1");
    for id in values::ids(&mut cx.draw()) {
        let passed = cx.call_fn("errors::check_id", || errors::check_id(id)).await?;
        ensure!(matches!(passed, Ok(same) if same == id), "check_id does not pass {id} on";
            expected = format!("Ok({id})"),
            observed = passed.as_ref().map_or_else(shown, |id| format!("Ok({id})")),
            help = "only 0 cannot be right: whether any other id exists is for the source to say");
    }
    Ok(())
}

/// The same cause at the same request is the same class of error in every style.
pub async fn same_everywhere(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let source = Source::drawn(&mut draw);
    let styles = [CALLBACKS, COMBINATORS, SEQUENTIAL, PARALLEL];
    for cause in values::causes(&mut draw) {
        let (failing, other) = (fail(10, cause.clone()), answer(20));
        for (request, user, posts) in [
            (Request::User(source.id), failing.clone(), other.clone()),
            (Request::Posts(source.id), other, failing),
        ] {
            let case = format!("{request} fails ({})", short(&cause.to_string()));
            let mut first = None;
            for style in styles {
                let fake = source.fake(&cx, user.clone(), posts.clone());
                let result = style.run(&cx, &fake, source.id).await;
                let error = match result.map_err(|fail| in_case(fail, &case))? {
                    Err(error) => error,
                    Ok(_) => {
                        ensure!(false, "when {case}, {} gives no error", style.name;
                            expected = "the same class of error from all four loads",
                            observed = "a profile",
                            help = "a failure of either request ends the load in every style");
                        continue;
                    }
                };
                let (of, expected) = first.get_or_insert((style.name, class(&error)));
                ensure!(*expected == class(&error), "when {case}, {of} and {} disagree about the class", style.name;
                    expected = format!("as from {of}: FetchError::{expected:?}"),
                    observed = format!("from {}: {}", style.name, shown(&error)),
                    help = "let FetchError::new decide the class, in every style");
            }
        }
    }
    of_each_status(&cx, &styles).await?;
    of_dropped_callbacks(&cx, &source).await
}

/// No status is special to one of the styles.
async fn of_each_status(cx: &Cx, styles: &[Style; 4]) -> Outcome {
    let id = values::id(&mut cx.draw());
    for request in [Request::User(id), Request::Posts(id)] {
        let mut first: Option<(&str, Vec<Option<Class>>)> = None;
        for style in styles {
            let all = each_status(cx, *style, request, &Quickly::Answer).await?;
            let of = |one: &OfStatus| Some(class(one.answer.as_ref()?.as_ref().err()?));
            let classes: Vec<_> = all.iter().map(of).collect();
            let (of, expected) = first.get_or_insert_with(|| (style.name, classes.clone()));
            let differs = expected.iter().zip(&classes).position(|(one, other)| one != other);
            if let Some(status) = differs {
                let told = |class: Option<Class>| {
                    class.map_or("no error".to_owned(), |class| format!("FetchError::{class:?}"))
                };
                ensure!(false, "when {request} fails with the status {status}, {of} and {} disagree about the class", style.name;
                    expected = format!("as from {of}: {}", told(expected[status])),
                    observed = format!("from {}: {}", style.name, told(classes[status])),
                    help = "let FetchError::new decide the class, in every style");
            }
        }
    }
    Ok(())
}

/// A callback that is dropped uncalled has the class that its cause has in the other styles.
async fn of_dropped_callbacks(cx: &Cx, source: &Source) -> Outcome {
    let cause = SourceError::CallbackDropped;
    for request in [Request::User(source.id), Request::Posts(source.id)] {
        let plans = |failing: Plan| match request {
            Request::User(_) => (failing, answer(20)),
            _ => (answer(20), failing),
        };
        let (user, posts) = plans(fail(10, cause.clone()));
        let told = SEQUENTIAL.run(cx, &source.fake(cx, user, posts), source.id).await?;
        let Some(expected) = told.as_ref().err().map(class) else { continue };
        for (how, failing) in [
            ("later", dropped(10)),
            ("at once", dropped(0)),
            ("in a panic", panics(10, "the source is broken")),
        ] {
            let (user, posts) = plans(failing);
            let ended = CALLBACKS.run(cx, &source.fake(cx, user, posts), source.id).await;
            let Ok(Err(error)) = ended else { continue };
            if parts(&error) != Some((request, &cause)) {
                continue; // what a dropped callback becomes is asked elsewhere
            }
            ensure!(class(&error) == expected, "when the callback for {request} is dropped {how}, {} and {} disagree about the class", SEQUENTIAL.name, CALLBACKS.name;
                expected = format!("as from {} for the same cause: FetchError::{expected:?}", SEQUENTIAL.name),
                observed = format!("from {}: {}", CALLBACKS.name, shown(&error)),
                help = "let FetchError::new decide the class, also for a callback that was dropped");
        }
    }
    Ok(())
}
