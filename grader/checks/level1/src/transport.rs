//! Reading one answer: status, chunks, limits.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use futures::{FutureExt, StreamExt, stream};
use grader_kit::{Cx, Fail, Outcome, ensure, list, ms, short};
use level1::source::SourceError;
use level1::transport::{check_status, read_text, within};
use tokio::task::unconstrained;
use tokio::time::{Duration, sleep, timeout};

use crate::values;

const READ: &str = "transport::read_text";
const WITHIN: &str = "transport::within";

/// A result as a message shows it.
fn shown<T: std::fmt::Debug>(result: &Result<T, SourceError>) -> String {
    short(&format!("{result:?}"))
}

pub async fn status(cx: Cx) -> Outcome {
    let all = || (0..=u16::MAX).map(check_status).collect::<Vec<_>>();
    for (status, observed) in (0..=u16::MAX).zip(cx.call_fn("transport::check_status", all).await?)
    {
        let expected = if (200..=299).contains(&status) {
            Ok(())
        } else {
            Err(SourceError::Status { status })
        };
        ensure!(observed == expected, "status {status} is judged wrong";
            expected = shown(&expected), observed = shown(&observed),
            help = "200 to 299 are successes, all others are not; the error keeps the number");
    }
    Ok(())
}

async fn read(
    cx: &Cx,
    chunks: Vec<Result<Vec<u8>, SourceError>>,
    limit: usize,
) -> Result<Result<String, SourceError>, Fail> {
    Ok(cx.call(READ, read_text(stream::iter(chunks), limit)).await?.value)
}

/// A text whose characters take one to four bytes, cut at every place.
pub async fn cut_characters(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let text = format!("Jos\u{e9} \u{2013} \u{1f980}{}", draw.text(1..=9));
    for cut in 0..=text.len() {
        let (head, tail) = text.as_bytes().split_at(cut);
        // Without empty chunks, which are asked for below.
        let parts = [head, tail].into_iter().filter(|part| !part.is_empty());
        let observed = read(&cx, parts.map(|part| Ok(part.to_vec())).collect(), 1000).await?;
        ensure!(observed.as_ref() == Ok(&text), "a text cut after byte {cut} does not arrive whole";
            expected = format!("{text:?}"), observed = shown(&observed),
            help = "the network cuts anywhere, also inside a character: collect bytes, and make text \
                    of them when all are there");
        for empty in [1, 2] {
            let empties = || std::iter::repeat_n(Ok(Vec::new()), empty);
            let parts = empties().chain([Ok(head.to_vec())]).chain(empties());
            let parts = parts.chain([Ok(tail.to_vec())]).chain(empties()).collect();
            let observed = read(&cx, parts, 1000).await?;
            ensure!(observed.as_ref() == Ok(&text), "a text with empty chunks before byte 0, before byte {cut} and at its end does not arrive whole";
                expected = format!("{text:?}"), observed = shown(&observed),
                help = "an empty chunk is not the end of the body: only the end of the stream is");
        }
    }
    let long = values::long(&mut draw);
    let bytes = long.as_bytes().chunks(5).map(|bytes| Ok(bytes.to_vec())).collect();
    let observed = read(&cx, bytes, usize::MAX).await?;
    ensure!(observed.as_ref() == Ok(&long), "a text of {} bytes in chunks of five does not arrive whole", long.len();
        expected = short(&format!("{long:?}")), observed = shown(&observed));
    // What looks like a thing to tidy is text, too, in one chunk and in chunks of one byte.
    let marks = [
        "\u{feff}a mark at the beginning",
        "\u{feff}\u{feff}two, \u{feff}in the text, and at its end\u{feff}",
        "\u{feff}",
        "\u{fffd} was in the text before",
    ];
    for text in values::texts(&mut draw).into_iter().chain(marks.map(str::to_owned)) {
        // Chunks of three bytes begin with the marks. No more chunks than may cost a poll each, and a few more.
        let least = text.len() / 2_000;
        for size in [1, 3, text.len().max(1)].map(|size| size.max(least)) {
            let chunks = text.as_bytes().chunks(size).map(|bytes| Ok(bytes.to_vec())).collect();
            let observed = read(&cx, chunks, 100_000).await?;
            ensure!(observed.as_ref() == Ok(&text), "a text was changed";
                expected = short(&format!("{text:?}")), observed = shown(&observed),
                help = "the bytes are the text: nothing is trimmed, replaced or added");
        }
    }
    slow_chunks(&cx, &text).await
}

/// Chunks that come one after the other, as they do from a network.
async fn slow_chunks(cx: &Cx, text: &str) -> Outcome {
    let chunks: Vec<_> = text.as_bytes().chunks(3).map(<[u8]>::to_vec).collect();
    let end = 10 * chunks.len();
    let chunks = stream::iter(chunks).then(|chunk| async {
        sleep(ms(10)).await;
        Ok(chunk)
    });
    let call = cx.call(READ, read_text(chunks, 1_000)).await?;
    ensure!(call.value.as_deref() == Ok(text), "a text whose chunks come every 10 ms does not arrive whole";
        expected = format!("{text:?}"), observed = shown(&call.value),
        help = "a stream that has nothing yet is not at its end: wait for the next chunk");
    let took = call.took.as_millis();
    ensure!(call.took == ms(u64::try_from(end).unwrap_or(u64::MAX)), "a text whose last chunk comes at {end} ms was there at {took} ms";
        expected = format!("{end} ms"), observed = format!("{took} ms"));
    // A pause of 25 years is not the end either.
    let (head, tail) = text.as_bytes().split_at(1);
    let chunks = stream::iter([head.to_vec(), tail.to_vec()]).enumerate();
    let chunks = chunks.then(|(number, chunk)| async move {
        if number > 0 {
            sleep(values::SLOW).await;
        }
        Ok(chunk)
    });
    let most = values::SLOW + Duration::from_secs(600);
    let observed = cx.call_within(most, READ, read_text(chunks, 1_000)).await?.value;
    ensure!(observed.as_deref() == Ok(text), "a text whose second chunk comes after 25 years does not arrive whole";
        expected = format!("{text:?}"), observed = shown(&observed),
        help = "a time limit is the business of `within`: wait for the next chunk however long it takes");
    Ok(())
}

pub async fn broken_text(cx: Cx) -> Outcome {
    for bytes in [
        &b"ab\xffcd"[..],
        b"ab\xc3",
        b"\xe2\x82",
        b"\xf0\x9f\xa6",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xa9",
    ] {
        for cut in [0, 1, bytes.len()] {
            let (head, tail) = bytes.split_at(cut);
            let observed = read(&cx, vec![Ok(head.to_vec()), Ok(tail.to_vec())], 1000).await?;
            ensure!(matches!(observed, Err(SourceError::Malformed { .. })), "bytes that are not UTF-8 were accepted: {bytes:x?}";
                expected = "SourceError::Malformed", observed = shown(&observed),
                help = "String::from_utf8 says when bytes are no text; from_utf8_lossy invents some");
        }
    }
    Ok(())
}

pub async fn length_limit(cx: Cx) -> Outcome {
    let most = usize::try_from(cx.draw().between(20..=2_000)).unwrap_or_default();
    for (chunks, limit, fits) in [
        (vec![4, most - 4], most, true),
        (vec![4, most - 3], most, false),
        (vec![most], most, true),
        (vec![most + 1], most, false),
        (vec![most, 0, 0], most, true),
        (vec![most, 0, 1], most, false),
        (vec![1; most], most, true),
        (vec![1; most + 1], most, false),
        (vec![most; 3], most, false),
        (vec![], 0, true),
        (vec![0, 0], 0, true),
        (vec![1], 0, false),
        (vec![most, most], usize::MAX, true),
        // More than two bytes can count.
        (vec![65_536], 65_536, true),
        (vec![65_536], 65_535, false),
        (vec![40_000, 30_000], 70_000, true),
        (vec![40_000, 30_001], 70_000, false),
    ] {
        let body: Vec<_> = chunks.iter().map(|length| Ok(vec![b'x'; *length])).collect();
        let length: usize = chunks.iter().sum();
        length_is(&cx, body, length, limit, fits.then(|| "x".repeat(length))).await?;
    }
    // Bytes are counted, not characters.
    for (limit, fits) in [(8, true), (7, false), (4, false)] {
        let text = "\u{1f980}\u{1f980}".to_owned();
        let body = vec![Ok(text.clone().into_bytes())];
        length_is(&cx, body, 8, limit, fits.then_some(text)).await?;
    }
    cut_at_the_limit(&cx).await?;
    // Limits of every width: one that is cut, or added to, accepts less or more.
    for limit in (8..usize::BITS).flat_map(|bit| [1 << bit, (1 << bit) + 1]) {
        let (length, body) = (100, vec![Ok(vec![b'x'; 50]), Ok(vec![b'x'; 50])]);
        length_is(&cx, body, length, limit, Some("x".repeat(length))).await?;
    }
    Ok(())
}

/// A text whose characters are cut counts byte by byte: limits at its end, and at each byte of its last characters.
async fn cut_at_the_limit(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    for last in ["\u{1f980}", "\u{20ac}", "\u{e9}", "\u{1f980}\u{1f980}"] {
        let text = format!("{}{}{last}", draw.text(0..=9), "\u{2013}\u{e9}".repeat(draw.index(3)));
        let length = text.len();
        for size in [1, 2, 3, 5, length] {
            let body = || text.as_bytes().chunks(size).map(|bytes| Ok(bytes.to_vec())).collect();
            // Whether a text that is cut arrives whole is asked elsewhere.
            if read(cx, body(), 1_000).await?.as_ref() != Ok(&text) {
                continue;
            }
            for limit in [length, length + 1].into_iter().chain(length.saturating_sub(6)..length) {
                length_is(cx, body(), length, limit, (limit >= length).then(|| text.clone()))
                    .await?;
            }
        }
    }
    Ok(())
}

async fn length_is(
    cx: &Cx,
    body: Vec<Result<Vec<u8>, SourceError>>,
    length: usize,
    limit: usize,
    text: Option<String>,
) -> Outcome {
    let chunks = body.len();
    let expected = text.ok_or(SourceError::TooLarge { limit });
    let observed = read(cx, body, limit).await?;
    ensure!(observed == expected, "a body of {length} bytes in {chunks} chunks under a limit of {limit}";
        expected = shown(&expected), observed = shown(&observed),
        help = "the limit counts bytes; the limit itself is still accepted, one byte more is not");
    Ok(())
}

/// A body without end must not be collected first and measured later.
pub async fn endless_body(cx: Cx) -> Outcome {
    for (length, limit, most) in [(100, 1_000, 11), (1, 5, 6), (7, 0, 1)] {
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        let chunks = stream::repeat_with(move || {
            count.fetch_add(1, SeqCst);
            Ok(vec![b'x'; length])
        });
        // Far beyond the limit the stream fails, so that a reader without a limit ends at all.
        let chunks = chunks.take(1_000).chain(stream::iter([Err(SourceError::CallbackDropped)]));
        let _ = cx.call(READ, read_text(chunks, limit)).await?;
        let taken = taken.load(SeqCst);
        ensure!(taken <= most, "read on after the limit: {taken} chunks of {length} bytes, limit {limit} bytes";
            expected = format!("{most} chunks at most: the last of them exceeds the limit"),
            observed = format!("{taken} chunks"),
            help = "compare after each chunk, not at the end: an endless body has none");
    }
    Ok(())
}

/// A connection that breaks in mid-body is an error, not a short text.
pub async fn broken_off(cx: Cx) -> Outcome {
    const LIMIT: usize = 1_000;
    let mut draw = cx.draw();
    let word = draw.word().into_bytes();
    // Also behind what looks complete.
    let bodies: [Vec<Vec<u8>>; 9] = [
        vec![],
        vec![vec![]],
        vec![word.clone()],
        vec![word.clone(), word],
        vec![b"{\"a\": [1]}".to_vec()],
        vec![b"[{}]".to_vec(), b"\n".to_vec()],
        vec![b"a line\r\n\r\n".to_vec()],
        // The text is looked at when all of it is there: these bytes are no UTF-8.
        vec![b"\xff".to_vec()],
        vec![b"ab\xc3".to_vec(), b"cd".to_vec()],
    ];
    for broken in values::causes(&mut draw) {
        for body in &bodies {
            let taken = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&taken);
            let (before, error) = (body.clone().into_iter().map(Ok), broken.clone());
            let after = [Err(error), Ok(b"7}".to_vec()), Err(SourceError::CallbackDropped)];
            let chunks = stream::iter(before.chain(after)).inspect(move |_| {
                count.fetch_add(1, SeqCst);
            });
            let observed = cx.call(READ, read_text(chunks, LIMIT)).await?.value;
            let text: String = body.iter().map(|chunk| String::from_utf8_lossy(chunk)).collect();
            ensure!(observed == Err(broken.clone()), "a body that broke off after {:?} was not reported as such", short(&text);
                expected = shown::<String>(&Err(broken)), observed = shown(&observed),
                help = "pass the first error of the stream on, unchanged, whatever came before it");
            let (taken, expected) = (taken.load(SeqCst), body.len() + 1);
            ensure!(taken == expected, "a body broke off, and the reading went on";
                expected = format!("{expected} chunks, the last of them the error"),
                observed = format!("{taken} chunks"),
                help = "the first error ends the reading");
        }
    }
    let all = async {
        let mut ends = Vec::new();
        for status in 0..1_000 {
            let chunks = [Ok(b"[]".to_vec()), Err(SourceError::Status { status })];
            ends.push((status, unconstrained(read_text(stream::iter(chunks), LIMIT)).await));
        }
        ends
    };
    for (status, observed) in cx.call(READ, all).await?.value {
        let expected = Err(SourceError::Status { status });
        ensure!(observed == expected, "a body broke off with the status {status}";
            expected = shown(&expected), observed = shown(&observed),
            help = "pass the first error of the stream on, unchanged, whatever it is");
    }
    Ok(())
}

pub async fn time_limit(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let late = "tokio::time::timeout ends the wait";
    for limit in [0, 1, draw.between(2..=500), 60_000] {
        let silent = within(ms(limit), std::future::pending::<Result<u8, SourceError>>());
        let call = cx.call(WITHIN, timeout(Duration::from_secs(300), silent)).await?;
        let took = call.took;
        ensure!(took == ms(limit), "a silent server kept the caller for {} ms, the limit is {limit} ms", took.as_millis();
            expected = format!("{limit} ms, the limit; a limit of 0 is one, too"),
            observed = format!("{} ms", took.as_millis()), help = late);
        let expected = Err(SourceError::Timeout { limit: ms(limit) });
        let observed = call.value.unwrap_or(Ok(0));
        ensure!(observed == expected, "a silent server gives the wrong error";
            expected = shown(&expected), observed = shown(&observed),
            help = "SourceError::Timeout with the limit that was given");
    }
    // Parts of a millisecond: tokio's clock has whole ones, the error has the limit that was given.
    for limit in
        [Duration::from_nanos(1), Duration::from_micros(1_500), Duration::new(2, 999_999_999)]
    {
        let silent = within(limit, std::future::pending::<Result<u8, SourceError>>());
        let call = cx.call(WITHIN, timeout(Duration::from_secs(300), silent)).await?;
        let (expected, observed) =
            (Err(SourceError::Timeout { limit }), call.value.unwrap_or(Ok(0)));
        ensure!(observed == expected, "a silent server gives the wrong error, with a limit of {limit:?}";
            expected = shown(&expected), observed = shown(&observed),
            help = "SourceError::Timeout with the limit that was given, not rounded");
        ensure!(call.took >= limit && call.took <= limit + ms(5), "a silent server kept the caller for {:?}, the limit is {limit:?}", call.took;
            expected = format!("{limit:?}, rounded up to what the clock can"),
            observed = format!("{:?}", call.took), help = late);
    }
    // A request that is polled now and then is not a new one.
    let restless = within(ms(200), async {
        loop {
            sleep(ms(30)).await;
            if false {
                return Ok(1_u8);
            }
        }
    });
    let call = cx.call(WITHIN, timeout(Duration::from_secs(10), restless)).await?;
    ensure!(call.took == ms(200), "a request that wakes up every 30 ms kept the caller for {} ms, the limit is 200 ms", call.took.as_millis();
        expected = "200 ms: the limit counts from the first poll",
        observed = format!("{} ms", call.took.as_millis()),
        help = "one timer for the whole request: a new one at each poll is never over");
    // Not even a long limit is cut.
    for limit in [values::SLOW + Duration::from_secs(1_000), Duration::MAX] {
        let patient = tokio::spawn(within(limit, async {
            sleep(values::SLOW).await;
            Ok(1_u8)
        }));
        cx.pass(values::SLOW + Duration::from_secs(1)).await;
        let ended = patient.now_or_never().and_then(Result::ok);
        ensure!(ended == Some(Ok(1)), "a request of 25 years under a limit of {limit:?}";
            expected = "its answer", observed = format!("{ended:?}"),
            help = "the limit is the caller's: no other one counts");
    }
    // The limit counts from the first poll: what is not awaited yet uses none of it.
    let request = within(ms(100), async {
        sleep(ms(80)).await;
        Ok(1)
    });
    sleep(ms(300)).await;
    let call = cx.call(WITHIN, request).await?;
    ensure!(call.value == Ok(1), "a request of 80 ms, first polled 300 ms after within(100 ms, ..) was called";
        expected = "its answer: the limit counts from the first poll",
        observed = shown(&call.value), help = "begin the limit where the waiting begins");
    for limit in [Duration::from_millis(200), Duration::from_secs(u64::MAX), Duration::MAX] {
        let inner = SourceError::Timeout { limit: ms(3) };
        let errors = values::causes(&mut draw).into_iter().chain([inner]).map(Err);
        for (number, expected) in [Ok(draw.word())].into_iter().chain(errors).enumerate() {
            let result = expected.clone();
            let after = if number % 2 == 0 { 0 } else { 100 };
            let quick = within(limit, async move {
                if after > 0 {
                    sleep(ms(after)).await;
                }
                result
            });
            let call = cx.call(WITHIN, quick).await?;
            ensure!(call.value == expected, "an answer in time was changed";
                expected = shown(&expected), observed = shown(&call.value),
                help = "the result of the request within its limit is passed on unchanged");
            ensure!(call.took == ms(after), "an answer came late, at {} ms", call.took.as_millis();
                expected = format!("{after} ms, when the request has it"),
                observed = format!("{} ms", call.took.as_millis()));
        }
    }
    Ok(())
}

pub async fn gives_up(cx: Cx) -> Outcome {
    let begun = Arc::new(AtomicUsize::new(0));
    let ended = Arc::new(AtomicUsize::new(0));
    let request = || {
        let (begun, ended) = (Arc::clone(&begun), Arc::clone(&ended));
        async move {
            begun.fetch_add(1, SeqCst);
            sleep(ms(5_000)).await;
            ended.fetch_add(1, SeqCst);
            Ok(1)
        }
    };
    let help = "do not spawn the request: a future that is dropped stops, a task does not";
    let before = cx.alive_tasks();
    let call = cx.call(WITHIN, within(ms(200), request())).await?;
    sleep(ms(10_000)).await;
    ensure!(ended.load(SeqCst) == 0 && call.leaked == 0, "the request ran on after its time was over";
        expected = "the request is dropped at the time limit", observed = "it ran to its end",
        help = help);
    // At its limit, not with the future of within.
    let held = Arc::new(());
    let holds = Arc::clone(&held);
    let mut silent = Box::pin(within(ms(200), async move {
        let _holds = holds;
        std::future::pending::<Result<u8, SourceError>>().await
    }));
    let _ = cx.call(WITHIN, &mut silent).await?;
    let kept = Arc::strong_count(&held) > 1;
    drop(silent);
    ensure!(!kept, "the time is over, and the request is kept until the future of within is dropped";
        expected = "the request is dropped at its limit", observed = "it is still there",
        help = "drop the request when its time is over, not later");
    // The caller's own end is the request's as well: after the first poll, and before it.
    let cut = timeout(ms(100), within(ms(2_000), request()));
    let _ = cx.call(WITHIN, cut).await?;
    let asked = begun.load(SeqCst);
    drop(within(ms(200), request()));
    sleep(ms(10_000)).await;
    ensure!(ended.load(SeqCst) == 0 && begun.load(SeqCst) == asked, "the caller dropped the wait, and the request ran on";
        expected = "the request is dropped with the future of within",
        observed = format!("{} requests ran to their end", ended.load(SeqCst)), help = help);
    let left = cx.alive_tasks().saturating_sub(before);
    ensure!(left == 0, "all requests were dropped, and {left} tasks are left";
        expected = "none", observed = left.to_string(), help = help);
    Ok(())
}

/// A panic of a request, or of a stream of chunks, is the caller's to see.
pub async fn panics_pass(cx: Cx) -> Outcome {
    let text = format!("broken {}", cx.draw().text(3..=9));
    let _ = read(&cx, vec![Ok(Vec::new())], 1).await?;
    let mut ends = Vec::new();
    for at in [0, 1] {
        let of_request = text.clone();
        let request = async move {
            if at > 0 {
                sleep(ms(20)).await;
            }
            std::panic::panic_any(of_request)
        };
        let request = AssertUnwindSafe(within::<u8, _>(ms(100), request)).catch_unwind();
        let of_stream = text.clone();
        let chunks = stream::iter(0..3).map(move |number| {
            if number == at {
                std::panic::panic_any(of_stream.clone());
            }
            Ok(vec![b'x'])
        });
        let body = AssertUnwindSafe(read_text(chunks, 100)).catch_unwind();
        ends.push((WITHIN, cx.call(WITHIN, request).await?.value.map(|result| shown(&result))));
        ends.push((READ, cx.call(READ, body).await?.value.map(|result| shown(&result))));
    }
    for (name, end) in ends {
        let seen = match end {
            Ok(result) => result,
            Err(payload) => level1::panics::message(&*payload),
        };
        ensure!(seen == text, "{name} keeps a panic from its caller";
            expected = format!("the panic {text:?} passes"), observed = list([seen]),
            help = "a panic is a fault of a program, not an answer of the server: do not catch it");
    }
    Ok(())
}
