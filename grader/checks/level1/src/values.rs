//! The values that the criteria of level 1 are run with: the boundaries, and what is drawn beside them.

use std::time::Duration;

use grader_kit::Draw;
use level1::model::{Post, Profile, User, UserId};
use level1::source::{Request, SourceError};

/// Ids at boundaries where an id could be cut, rounded or refused, and drawn ones.
pub fn ids(draw: &mut Draw) -> Vec<UserId> {
    let boundaries = [1, 2, 255, 256, 65_536, 999_999, 1_000_001, u64::from(u32::MAX) + 1];
    let large = [(1 << 53) + 1, u64::MAX - 1, u64::MAX];
    let drawn = [id(draw), draw.between(1_000_000..=u64::MAX)];
    boundaries.into_iter().chain(large).chain(drawn).collect()
}

/// An everyday id.
pub fn id(draw: &mut Draw) -> UserId {
    draw.between(2..=99_999)
}

/// Longer than any time limit that a solution could have of its own, and shorter than the longest that
/// tokio's `timeout` keeps.
pub const SLOW: Duration = Duration::from_secs(25 * 365 * 24 * 60 * 60);

/// A text that is kept as it is: white space at both ends, inside and in several forms.
pub fn untidy(draw: &mut Draw) -> String {
    format!(" \t{}  {} \u{a0}\r\n", draw.text(1..=6), draw.text(1..=6))
}

/// Longer than any line of a log, with characters of several bytes.
pub fn long(draw: &mut Draw) -> String {
    format!("{}{}", "\u{20ac}".repeat(100), draw.text(5_000..=5_000))
}

/// Texts of every kind that a log line could spoil: each is kept whole and as it is.
pub fn texts(draw: &mut Draw) -> Vec<String> {
    vec![
        untidy(draw),
        long(draw),
        draw.word(),
        String::new(),
        format!("line one of {}\nline two\r\n\n", draw.word()),
        format!("\"{}\" \\ {{0}} %s\u{1b}[1m\0", draw.text(1..=6)),
        // Words from which a reader of texts could guess what happened.
        format!(
            "{} Mixed CASE, 404: 7, EOF, unexpected end of input, timed out, timeout, Timeout, \
             connection refused, connection reset by peer, broken pipe, dns error, no such host, \
             network unreachable, certificate has expired, tls handshake, unauthorized, forbidden, \
             access denied, authentication failed, password, token expired, not found, no such user, \
             no rows, does not exist, empty, null, abandoned, canceled, closed, deadlock, locked, \
             duplicate key, too many connections, too many requests, rate limit, try again, temporary, \
             unavailable, overloaded, syntax error, invalid type, missing field, expected value, \
             trailing characters, unknown, panicked, dropped, internal error, bug",
            draw.word()
        ),
        format!("{}{}", "0123456789".repeat(2_000), draw.word()),
    ]
}

/// The user under this id and the posts: with likes, with a body, with both, with neither; not sorted
/// by id; one of them twice.
pub fn profile(draw: &mut Draw, id: UserId) -> Profile {
    let user = User { id, name: untidy(draw), email: untidy(draw) };
    let mut post = |likes, body: Option<String>| Post {
        id: draw.between(1..=1_000_000),
        title: untidy(draw),
        likes,
        body,
    };
    let mut posts = vec![
        post(Some(0), None),
        post(None, Some(String::new())),
        post(Some(u64::MAX), Some(" A body. ".to_owned())),
        post(None, None),
    ];
    posts.sort_by_key(|post| std::cmp::Reverse(post.id));
    posts.extend(posts.clone());
    // Neighbours that are equal, and such that share the id or the title only.
    let last = Post { id: 7, title: draw.word(), likes: Some(3), body: None };
    posts.extend([
        last.clone(),
        last.clone(),
        last.clone(),
        Post { title: untidy(draw), ..last.clone() },
        Post { id: 8, ..last },
    ]);
    posts.push(Post { id: u64::MAX, title: String::new(), likes: Some(1), body: None });
    Profile { user, posts }
}

/// Where a profile differs from the expected one, in words.
pub fn difference(observed: &Profile, expected: &Profile) -> Option<String> {
    let differs = |what: String, observed: String, expected: String| {
        (observed != expected).then(|| {
            let (expected, observed) = grader_kit::difference(&expected, &observed);
            format!("{what} is {observed}, the source has {expected}")
        })
    };
    let pairs = observed.posts.iter().zip(&expected.posts).enumerate();
    let posts = pairs.flat_map(|(index, (observed, expected))| {
        let field = |name: &str| format!("posts[{index}].{name}");
        [
            differs(field("id"), observed.id.to_string(), expected.id.to_string()),
            differs(field("title"), quoted(&observed.title), quoted(&expected.title)),
            differs(
                field("likes"),
                format!("{:?}", observed.likes),
                format!("{:?}", expected.likes),
            ),
            differs(field("body"), format!("{:?}", observed.body), format!("{:?}", expected.body)),
        ]
    });
    let (user, wanted) = (&observed.user, &expected.user);
    let count = |profile: &Profile| profile.posts.len().to_string();
    [
        differs("user.id".to_owned(), user.id.to_string(), wanted.id.to_string()),
        differs("user.name".to_owned(), quoted(&user.name), quoted(&wanted.name)),
        differs("user.email".to_owned(), quoted(&user.email), quoted(&wanted.email)),
    ]
    .into_iter()
    .chain(posts)
    .chain([differs("the number of posts".to_owned(), count(observed), count(expected))])
    .flatten()
    .next()
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// Every kind of failure of a source, with statuses of every class and texts of every length.
pub fn causes(draw: &mut Draw) -> Vec<SourceError> {
    let statuses = [
        100, 199, 204, 301, 304, 400, 401, 402, 403, 404, 405, 408, 409, 410, 418, 422, 429, 451,
        499, 500, 502, 503, 504, 599, 600, 999,
    ];
    statuses
        .into_iter()
        .map(|status| SourceError::Status { status })
        .chain(other_causes(draw))
        .collect()
}

/// Every kind of failure that is not a status, with texts, limits and times of every size.
pub fn other_causes(draw: &mut Draw) -> Vec<SourceError> {
    let limit = usize::try_from(draw.between(2..=1_000_000)).unwrap_or_default();
    let time = Duration::from_millis(draw.between(1..=99_999));
    let times = [Duration::ZERO, Duration::from_nanos(1), time, Duration::MAX];
    let limits = [0, 1, limit, usize::MAX];
    let of_text = texts(draw).into_iter().flat_map(|reason| {
        [
            SourceError::Connection { reason: reason.clone() },
            SourceError::Malformed { reason: reason.clone() },
            SourceError::Database { reason },
        ]
    });
    let of_text: Vec<_> = of_text.collect();
    let of_times = times.into_iter().map(|limit| SourceError::Timeout { limit });
    let of_limits = limits
        .into_iter()
        .flat_map(|limit| [SourceError::TooLarge { limit }, SourceError::Redirects { limit }]);
    of_text
        .into_iter()
        .chain(of_times)
        .chain(of_limits)
        .chain([SourceError::CallbackDropped])
        .collect()
}

/// A failure of each kind, and of each class of statuses.
pub fn one_of_each(draw: &mut Draw) -> Vec<SourceError> {
    let limit = usize::try_from(draw.between(2..=1_000_000)).unwrap_or_default();
    let reason = draw.word();
    [301, 400, 401, 404, 410, 429, 500, 503]
        .into_iter()
        .map(|status| SourceError::Status { status })
        .chain([
            SourceError::Connection { reason: reason.clone() },
            SourceError::Timeout { limit: Duration::from_millis(draw.between(1..=99_999)) },
            SourceError::Malformed { reason: reason.clone() },
            SourceError::TooLarge { limit },
            SourceError::Redirects { limit },
            SourceError::Database { reason },
            SourceError::CallbackDropped,
        ])
        .collect()
}

/// Requests of every kind, with numbers at the boundaries.
pub fn requests(draw: &mut Draw) -> Vec<Request> {
    let page = u32::try_from(draw.between(1..=1_000_000)).unwrap_or_default();
    // As many of each kind: users, posts, pages.
    vec![
        Request::User(id(draw)),
        Request::User(u64::MAX),
        Request::User(1),
        Request::User(0),
        Request::User(1 << 32),
        Request::Posts(id(draw)),
        Request::Posts(u64::MAX),
        Request::Posts(1),
        Request::Posts(0),
        Request::Posts(1 << 32),
        Request::Page(page),
        Request::Page(u32::MAX),
        Request::Page(1),
        Request::Page(0),
        Request::Page(65_537),
    ]
}
