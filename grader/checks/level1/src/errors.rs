//! The classes of errors, what they mean, and what they say.

use std::error::Error;
use std::mem::discriminant;
use std::time::Duration;

use grader_kit::{Cx, Diagnosis, Fail, Outcome, ensure, ensure_eq};
use level1::errors::FetchError;
use level1::source::{Request, SourceError};

use crate::fake::{Fake, answer, fail, status};
use crate::styles::{CALLBACKS, COMBINATORS, PARALLEL, SEQUENTIAL, parts};

const NEW: &str = "FetchError::new";

type Variant = fn(Request, SourceError) -> FetchError;

const NOT_FOUND: Variant = |request, cause| FetchError::NotFound { request, cause };
const AUTHENTICATION: Variant = |request, cause| FetchError::Authentication { request, cause };
const NETWORK: Variant = |request, cause| FetchError::Network { request, cause };
const DATABASE: Variant = |request, cause| FetchError::Database { request, cause };
const BUG: Variant = |request, cause| FetchError::Bug { request, cause };

fn validation() -> FetchError {
    FetchError::Validation { field: "colour", reason: "must be a primary one".to_owned() }
}

/// One error of each class; Validation last.
fn one_of_each() -> Vec<FetchError> {
    let request = Request::Posts(31);
    let cause = SourceError::Connection { reason: "cable cut".to_owned() };
    let variants = [NOT_FOUND, AUTHENTICATION, NETWORK, DATABASE, BUG];
    let made = variants.iter().map(|variant| variant(request, cause.clone()));
    made.chain([validation()]).collect()
}

async fn classify(cx: &Cx, cause: SourceError, expected: Variant) -> Outcome {
    let request = Request::User(31);
    let error = cx.call_fn(NEW, || FetchError::new(request, cause.clone())).await?;
    ensure_eq!(error, expected(request, cause.clone()), "{:?} is in the wrong class", cause;
        help = "the table at the top of errors.rs says which cause belongs to which class; the \
                request and the cause are kept as they are");
    Ok(())
}

pub async fn statuses(cx: Cx) -> Outcome {
    for code in 100..=999 {
        let expected = match code {
            401 | 403 => AUTHENTICATION,
            404 | 410 => NOT_FOUND,
            408 | 429 | 500..=599 => NETWORK,
            _ => BUG,
        };
        classify(&cx, status(code), expected).await?;
    }
    Ok(())
}

fn other_causes() -> Vec<(SourceError, Variant)> {
    vec![
        (SourceError::Connection { reason: "refused".to_owned() }, NETWORK),
        (SourceError::Timeout { limit: Duration::from_secs(3) }, NETWORK),
        (SourceError::TooLarge { limit: 9 }, NETWORK),
        (SourceError::Redirects { limit: 5 }, NETWORK),
        (SourceError::Database { reason: "disk full".to_owned() }, DATABASE),
        (SourceError::Malformed { reason: "not JSON".to_owned() }, BUG),
        (SourceError::CallbackDropped, BUG),
    ]
}

pub async fn causes(cx: Cx) -> Outcome {
    for (cause, expected) in other_causes() {
        classify(&cx, cause, expected).await?;
    }
    Ok(())
}

pub async fn status_codes(cx: Cx) -> Outcome {
    for (error, code) in one_of_each().into_iter().zip([404, 401, 503, 500, 500, 400]) {
        let observed = cx.call_fn("FetchError::status_code", || error.status_code()).await?;
        ensure_eq!(observed, code, "the wrong status for {:?}", error;
            help = "validation 400, authentication 401, not found 404, network 503, and 500 for the rest");
    }
    Ok(())
}

pub async fn operational(cx: Cx) -> Outcome {
    for error in one_of_each() {
        let observed = cx.call_fn("FetchError::is_operational", || error.is_operational()).await?;
        let expected = !matches!(error, FetchError::Bug { .. });
        ensure_eq!(observed, expected, "is_operational is wrong for {:?}", error;
            help = "operational errors happen to correct programs; only a bug is not one");
    }
    Ok(())
}

pub async fn request(cx: Cx) -> Outcome {
    for error in one_of_each() {
        let observed = cx.call_fn("FetchError::request", || error.request()).await?;
        let expected = parts(&error).map(|(request, _)| request);
        ensure_eq!(observed, expected, "request() is wrong for {:?}", error;
            help = "a validation error comes before any request; every other names its own");
    }
    Ok(())
}

pub async fn text(cx: Cx) -> Outcome {
    for error in one_of_each() {
        let text = cx.call_fn("FetchError::fmt", || error.to_string()).await?;
        let words = match &error {
            FetchError::Validation { field, reason } => vec![(*field).to_owned(), reason.clone()],
            _ => parts(&error)
                .map(|(request, cause)| vec![request.to_string(), cause.to_string()])
                .unwrap_or_default(),
        };
        for word in words {
            ensure!(text.contains(&word), "the text of an error leaves out {word:?}";
                expected = format!("a text with {word:?} in it"), observed = format!("{text:?}"),
                help = "whoever reads one line of a log wants to know which request failed, and why: \
                        Display of Request and of SourceError have the words");
        }
    }
    let mut texts = Vec::new();
    for variant in [NOT_FOUND, AUTHENTICATION, NETWORK, DATABASE, BUG] {
        let error = variant(Request::User(31), SourceError::Status { status: 418 });
        let text = cx.call_fn("FetchError::fmt", || error.to_string()).await?;
        ensure!(!texts.contains(&text), "two classes of errors have the same text";
            expected = "a text from which the class can be told",
            observed = format!("{text:?}, for {error:?} and for another class"),
            help = "one or two words for each class, for example \"not found\"");
        texts.push(text);
    }
    Ok(())
}

pub async fn source(cx: Cx) -> Outcome {
    for error in one_of_each() {
        let observed = cx
            .call_fn("FetchError::source", || {
                error.source().map(|source| source.downcast_ref::<SourceError>().cloned())
            })
            .await?;
        let expected = parts(&error).map(|(_, cause)| Some(cause.clone()));
        ensure_eq!(observed, expected, "source() is wrong for {:?}", error;
            help = "the cause itself, as a SourceError, so that a program can look at it; a \
                    validation error has none");
    }
    Ok(())
}

/// The same cause at the same request is the same class of error in every style.
pub async fn same_everywhere(cx: Cx) -> Outcome {
    let mut causes: Vec<_> = other_causes().into_iter().map(|(cause, _)| cause).collect();
    causes.extend([401, 404, 500, 418].map(status));
    for cause in causes {
        for (user, posts) in
            [(fail(10, cause.clone()), answer(20)), (answer(20), fail(10, cause.clone()))]
        {
            let mut first = None;
            let mut unusable = None;
            for style in [CALLBACKS, COMBINATORS, SEQUENTIAL, PARALLEL] {
                let fake = Fake::new(cx.timeline(), user.clone(), posts.clone());
                let error = match style.run(&cx, &fake, 7).await {
                    Ok(Err(error)) => error,
                    Err(failure) if failure.diagnosis == Some(Diagnosis::NotStarted) => {
                        return Err(failure);
                    }
                    // A style that gives no error at all fails its own criteria.
                    Ok(Ok(_)) => continue,
                    Err(failure) => {
                        unusable = Some(failure);
                        continue;
                    }
                };
                let (reference, expected) = first.get_or_insert((style.name, error.clone()));
                ensure!(discriminant(expected) == discriminant(&error),
                    "{cause:?}: {} and {} disagree about the class", reference, style.name;
                    expected = format!("as from {reference}: {expected:?}"),
                    observed = format!("from {}: {error:?}", style.name),
                    help = "let FetchError::new decide the class, in every style");
            }
            if first.is_none() {
                let none = || Fail::new(format!("no style gives an error for {cause:?}"));
                return Err(unusable.unwrap_or_else(none));
            }
        }
    }
    Ok(())
}
