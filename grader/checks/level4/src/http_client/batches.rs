//! Batches.

use grader_kit::{Cx, Outcome, ensure, ensure_eq, list, ms};
use http::Method;
use level4::http_client::{BatchError, HttpError, Request, Response, Settings, TransportError};

use super::fakes::{Ends, Server};
use super::{BATCH, body, client, short};
use crate::ops::nz;

fn shown(answer: &Result<Response, BatchError>) -> String {
    match answer {
        Ok(response) => body(response),
        Err(error) => format!("{error:?}"),
    }
}

/// A request that has no copy and is not shared, however often its URL is in a batch.
fn post(host: &str, path: usize) -> Request {
    Request { method: Method::POST, ..Request::get(format!("http://{host}/{path}")) }
}

pub async fn batches_are_of_one_host(cx: Cx) -> Outcome {
    const HELP: &str = "group by host, cut each group into batches, and run so many batches at once; a batch is over when all its requests are";
    let size = cx.draw().between(2..=7);
    let other = |size, batches| Settings { batch_size: nz(size), batches: nz(batches), ..short() };
    let drawn = usize::try_from(size).unwrap_or(2);
    type Script<'a> = (Settings, Vec<(&'a str, usize)>, Vec<(u64, usize)>);
    let scripts: Vec<Script<'_>> = vec![
        (Settings::default(), vec![("a", 25), ("b", 5)], vec![(0, 25), (100, 5)]),
        (Settings::default(), vec![("a", 10), ("b", 1), ("c", 10)], vec![(0, 21)]),
        (Settings::default(), vec![("a", 11), ("b", 11)], vec![(0, 21), (100, 1)]),
        (Settings::default(), vec![("a", 61)], vec![(0, 30), (100, 30), (200, 1)]),
        (Settings::default(), vec![("a", 1), ("A", 1), ("b", 1), ("c", 1)], vec![(0, 4)]),
        // Two ports of one host, and one batch at a time.
        (other(4, 1), vec![("a:81", 1), ("a:82", 1), ("a", 1), ("b", 1)], vec![(0, 3), (100, 1)]),
        // An address has colons of its own, and what stands before an `@` is no part of a host.
        (other(4, 1), vec![("[::1]:81", 1), ("[::1]", 2), ("[::2]", 1)], vec![(0, 3), (100, 1)]),
        (other(4, 1), vec![("[::1]", 1), ("[::2]:1", 1)], vec![(0, 1), (100, 1)]),
        (other(4, 1), vec![("u:p@a", 1), ("a:81", 1), ("u:q@b", 2)], vec![(0, 2), (100, 2)]),
        (other(2, 1), vec![("a", 3), ("b", 2)], vec![(0, 2), (100, 1), (200, 2)]),
        (other(drawn, 2), vec![("a", 3 * drawn)], vec![(0, 2 * drawn), (100, drawn)]),
    ];
    for (settings, hosts, expected) in scripts {
        let server = Server::new(100);
        let client = client(&cx, &server, settings.clone()).await?;
        let mut requests = Vec::new();
        for (host, count) in &hosts {
            requests.extend((0..*count).map(|path| post(host, path)));
        }
        let all: Vec<_> = requests.into_iter().enumerate().collect();
        let call = cx.call(BATCH, client.batch(all)).await?;
        let seen = server.seen();
        let mut began: Vec<(u64, usize)> = Vec::new();
        for seen in &seen {
            match began.iter_mut().find(|(at, _)| *at == seen.began) {
                Some((_, count)) => *count += 1,
                None => began.push((seen.began, 1)),
            }
        }
        let names = list(hosts.iter().map(|(host, count)| format!("{count} of {host}")));
        let (most, at_once) = (settings.batch_size, settings.batches);
        let show = |began: &[(u64, usize)]| {
            list(began.iter().map(|(at, count)| format!("{count} at {at} ms")))
        };
        ensure_eq!(show(&began), show(&expected), "requests of 100 ms, {names}; batches of at most {most}, {at_once} at once: how many began when"; help = HELP);
        let end = expected.last().map_or(0, |(at, _)| at + 100);
        ensure!(call.took == ms(end), "{names} took {} ms", call.took.as_millis(); expected = format!("{end} ms"), help = HELP);
    }
    Ok(())
}

pub async fn a_batch_keeps_its_order(cx: Cx) -> Outcome {
    const HELP: &str = "note the place of each request before you group them";
    let mut draw = cx.draw();
    let server = Server::new(10);
    let client = client(&cx, &server, Settings { batch_size: nz(3), ..short() }).await?;
    let none: Vec<(u8, Request)> = Vec::new();
    let call = cx.call(BATCH, client.batch(none)).await?;
    ensure!(call.value.is_empty() && call.took.is_zero(), "an empty batch has {} results after {} ms", call.value.len(), call.took.as_millis(); expected = "none, at once");
    let mut places: Vec<usize> = (0..40).collect();
    draw.shuffle(&mut places);
    let bodies: Vec<&'static str> = vec!["zero", "one", "two", "three", "four", "five", "six"];
    let mut requests = Vec::new();
    for place in &places {
        let request = post(["a", "b", "c", "d"][place % 4], *place);
        server.next(&request.url, [Ends::With(200, &[], bodies[place % 7])]);
        requests.push((format!("id {place}"), request));
    }
    let answers = cx.call(BATCH, client.batch(requests)).await?.value;
    let observed: Vec<_> =
        answers.iter().map(|(id, answer)| format!("{id}: {}", shown(answer))).collect();
    let expected: Vec<_> =
        places.iter().map(|place| format!("id {place}: {}", bodies[place % 7])).collect();
    ensure_eq!(list(observed), list(expected), "40 requests of four hosts in a random order: ids and answers"; help = HELP);
    // Ids are the caller's own business: they need not differ.
    let twice = vec![((), post("a", 1)), ((), post("b", 2)), ((), post("a", 1))];
    let before = server.count();
    let answers = cx.call(BATCH, client.batch(twice)).await?.value;
    ensure!(answers.len() == 3, "three requests with equal ids have {} answers", answers.len(); expected = "3");
    let sent = server.count() - before;
    ensure!(sent == 3, "a batch of three POSTs, two of them equal: the server got {sent}";
        expected = "3: only GET and HEAD are shared", help = "an equal POST is a second order");
    Ok(())
}

pub async fn one_failure_stays_one(cx: Cx) -> Outcome {
    const HELP: &str = "each id has a result of its own: a URL that is refused, an answer that is missing, and a status that is an error are `Err` of that id";
    let error = |error| format!("{:?}", BatchError::Error(error));
    let server = Server::new(10);
    let client = client(&cx, &server, short()).await?;
    let (broken, empty, missing) = (post("a", 2), post("a", 3), post("b", 4));
    server.next(&broken.url, [Ends::NoAnswer(TransportError::Connect("reset".to_owned()))]);
    server.next(&empty.url, [Ends::NoAnswer(TransportError::Incomplete)]);
    let not_found = super::fakes::response(404, &[], "no");
    server.next(&missing.url, [Ends::With(404, &[], "no")]);
    for (number, request) in [post("a", 1), post("b", 5), post("c", 6)].iter().enumerate() {
        server.next(&request.url, [Ends::With(200, &[], ["first", "second", "third"][number])]);
    }
    let bad = Request::get("no URL");
    let requests = vec![bad, post("a", 1), broken, empty, missing, post("b", 5), post("c", 6)];
    let requests = requests.into_iter().enumerate().collect();
    let call = cx.call(BATCH, client.batch(requests)).await?;
    let reset = TransportError::Connect("reset".to_owned());
    let expected = [
        error(HttpError::BadUrl("no URL".to_owned())),
        "first".to_owned(),
        error(HttpError::Transport(reset)),
        error(HttpError::Transport(TransportError::Incomplete)),
        error(HttpError::Status(not_found)),
        "second".to_owned(),
        "third".to_owned(),
    ];
    for (expected, (id, answer)) in expected.iter().zip(&call.value) {
        ensure_eq!(&shown(answer), expected, "a bad URL, an answer, two requests without one, a 404 and two answers: number {id}"; help = HELP);
    }
    ensure!(call.value.len() == expected.len(), "{} requests have {} results", expected.len(), call.value.len(); expected = "one for each", help = HELP);
    Ok(())
}
