//! Reading one answer: status, chunks, limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use futures::{StreamExt, stream};
use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, ms};
use level1::source::SourceError;
use level1::transport::{check_status, read_text, within};
use tokio::time::sleep;

const READ: &str = "transport::read_text";
const WITHIN: &str = "transport::within";

pub async fn status(cx: Cx) -> Outcome {
    for status in 100..=999 {
        let expected = if status / 100 == 2 { Ok(()) } else { Err(SourceError::Status { status }) };
        let observed = cx.call_fn("transport::check_status", || check_status(status)).await?;
        ensure_eq!(observed, expected, "status {} is judged wrong", status;
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
    let text = "Jos\u{e9} \u{2013} \u{1f980}!";
    for cut in 0..=text.len() {
        let (head, tail) = text.as_bytes().split_at(cut);
        let chunks = vec![Ok(head.to_vec()), Ok(tail.to_vec())];
        let observed = read(&cx, chunks, 1000).await?;
        ensure_eq!(observed, Ok(text.to_owned()), "a text cut after byte {} does not arrive whole", cut;
            help = "the network cuts anywhere, also inside a character: collect bytes, and make text \
                    of them when all are there");
    }
    Ok(())
}

pub async fn broken_text(cx: Cx) -> Outcome {
    for bytes in [&b"ab\xffcd"[..], b"ab\xc3"] {
        let observed = read(&cx, vec![Ok(bytes.to_vec())], 1000).await?;
        ensure!(matches!(observed, Err(SourceError::Malformed { .. })), "bytes that are not UTF-8 were accepted";
            expected = "SourceError::Malformed", observed = format!("{observed:?}"),
            help = "String::from_utf8 says when bytes are no text; from_utf8_lossy invents some");
    }
    Ok(())
}

pub async fn length_limit(cx: Cx) -> Outcome {
    for (chunks, limit, fits) in
        [(vec![4, 6], 10, true), (vec![4, 7], 10, false), (vec![11], 10, false), (vec![], 0, true)]
    {
        let body: Vec<_> = chunks.iter().map(|length| Ok(vec![b'x'; *length])).collect();
        let length: usize = chunks.iter().sum();
        let expected =
            if fits { Ok("x".repeat(length)) } else { Err(SourceError::TooLarge { limit }) };
        let observed = read(&cx, body, limit).await?;
        ensure_eq!(observed, expected, "a body of {} bytes under a limit of {}", length, limit;
            help = "the limit itself is still accepted, one byte more is not");
    }
    Ok(())
}

/// A body without end must not be collected first and measured later.
pub async fn endless_body(cx: Cx) -> Outcome {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let chunks = stream::repeat_with(move || {
        count.fetch_add(1, SeqCst);
        Ok(vec![b'x'; 100])
    });
    // Far beyond the limit the stream fails, so that a reader without a limit ends at all.
    let chunks = chunks.take(100).chain(stream::iter([Err(SourceError::CallbackDropped)]));
    let _ = cx.call(READ, read_text(chunks, 1000)).await?;
    let taken = taken.load(SeqCst);
    ensure!(taken <= 11, "read on after the limit: {taken} chunks of 100 bytes, limit 1000 bytes";
        expected = "11 chunks at most: the eleventh exceeds the limit",
        observed = format!("{taken} chunks"),
        help = "compare after each chunk, not at the end: an endless body has none");
    Ok(())
}

/// A connection that breaks in mid-body is an error, not a short text.
pub async fn broken_off(cx: Cx) -> Outcome {
    let broken = SourceError::Connection { reason: "reset by peer".to_owned() };
    let chunks = vec![Ok(b"{\"id\":".to_vec()), Err(broken.clone()), Ok(b"7}".to_vec())];
    let observed = read(&cx, chunks, 1000).await?;
    ensure_eq!(observed, Err(broken), "a body that broke off was not reported as such";
        help = "pass the first error of the stream on, unchanged");
    Ok(())
}

pub async fn time_limit(cx: Cx) -> Outcome {
    let limit = ms(200);
    let silent = within(limit, async {
        sleep(ms(5_000)).await;
        Ok(1)
    });
    let call = cx.call(WITHIN, silent).await?;
    ensure!(call.took == limit, "a silent server kept the caller for {} ms", call.took.as_millis();
        expected = "200 ms, the limit", observed = format!("{} ms", call.took.as_millis()),
        help = "tokio::time::timeout ends the wait");
    ensure_eq!(
        call.value,
        Err(SourceError::Timeout { limit }),
        "a silent server gives the wrong error"
    );
    for expected in [Ok(7), Err(SourceError::Status { status: 500 })] {
        let result = expected.clone();
        let quick = within(limit, async {
            sleep(ms(100)).await;
            result
        });
        let observed = cx.call(WITHIN, quick).await?.value;
        ensure_eq!(observed, expected, "an answer in time was changed";
            help = "what the request gives within its limit is passed on as it is");
    }
    Ok(())
}

pub async fn gives_up(cx: Cx) -> Outcome {
    let ended = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ended);
    let request = async move {
        sleep(ms(5_000)).await;
        count.fetch_add(1, SeqCst);
        Ok(1)
    };
    let call = cx.call(WITHIN, within(ms(200), request)).await?;
    sleep(ms(10_000)).await;
    ensure!(ended.load(SeqCst) == 0 && call.leaked == 0, "the request ran on after its time was over";
        expected = "the request is dropped with the time limit", observed = "it ran to its end",
        help = "do not spawn the request: a future that is dropped stops, a task does not");
    Ok(())
}
