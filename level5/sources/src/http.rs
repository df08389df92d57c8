//! A document on a web server.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::header::{
    ACCEPT, DATE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED,
};
use http::{StatusCode, Uri};
use jiff::Timestamp;
use level4::http_client::{Request, Response, Transport};
use level5::conflict::SourceId;
use level5::multi_source_cache::SourceError;
use level5::sync_engine::{Incoming, RecordId, Source};

use crate::known::Known;
use crate::layout::Layout;

/// Why a source over HTTP was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// The text is no absolute URL of HTTP.
    #[error("`{0}` is no URL that begins with http:// or https://")]
    NotHttp(String),
}

/// A JSON document with all records of a source, behind a URL.
///
/// Each request is conditional: a server that has nothing new answers 304, without the document. It is so with the
/// `ETag` of the last answer, and with its `Last-Modified` if it had no `ETag`. What a 304 confirms is delivered again, so
/// that it is fresh for the readers of the engine.
///
/// A record without a time of its own was written when the document was, as `Last-Modified` says; without that header,
/// when the answer was made (`Date`). A record that the document has no more was deleted then. After a restart the
/// source finds such a deletion only if it was made [with what was known](Self::with_known).
///
/// A failed request, and an answer with another status than 200 and 304, are failures of the source: a server that has
/// lost its document has not deleted its records. An answer with an older `Last-Modified` than an earlier one is a
/// failure too. It is an outdated copy, and what is missing in it was not deleted.
///
/// The transport bounds the time and the size of an answer.
///
/// # Cancellation
///
/// A dropped request has changed nothing. The next one asks for the same.
pub struct HttpSource<T> {
    id: SourceId,
    url: String,
    layout: Layout,
    headers: HeaderMap,
    transport: T,
    /// A lock of `std`: it is taken after an answer is complete, never across an await.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: Known,
    /// What the next request is conditional on. Of the document that `known` has taken, never of one that could not be
    /// read: a 304 would then confirm what was not understood.
    validator: Option<(HeaderName, HeaderValue)>,
    /// The newest `Last-Modified` of an answer.
    modified: Option<Timestamp>,
    /// The number of the last request.
    asked: u64,
    /// The number of the request whose answer was taken last. Answers to earlier requests are not taken any more.
    taken: u64,
}

impl<T> fmt::Debug for HttpSource<T> {
    // Without the headers: one may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("HttpSource");
        shown.field("id", &self.id).field("url", &self.url).finish_non_exhaustive()
    }
}

impl<T: Transport> HttpSource<T> {
    /// Makes a source of the document behind `url`. It sends no request yet.
    ///
    /// # Errors
    ///
    /// [`UrlError`].
    pub fn new(id: SourceId, url: &str, layout: Layout, transport: T) -> Result<Self, UrlError> {
        let parsed: Option<Uri> = url.parse().ok();
        let is_http = parsed.is_some_and(|url| {
            matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some()
        });
        if !is_http {
            return Err(UrlError::NotHttp(url.to_owned()));
        }
        let headers =
            HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
        let state = Mutex::default();
        Ok(Self { id, url: url.to_owned(), layout, headers, transport, state })
    }

    /// Sends this header with each request, `Authorization` for instance.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Begins with what the source has delivered in earlier runs: see [`known`](crate::known).
    #[must_use]
    pub fn with_known(self, known: Vec<Incoming>) -> Self {
        self.state().known = Known::new(known);
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the server, and takes what is new.
    async fn refresh(&self) -> Result<(), SourceError> {
        let mut request = Request::get(self.url.as_str());
        request.headers = self.headers.clone();
        let (number, validator) = {
            let mut state = self.state();
            state.asked += 1;
            (state.asked, state.validator.clone())
        };
        let is_conditional = validator.is_some();
        request.headers.extend(validator);
        let answer = self.transport.send(request).await;
        let answer = answer.map_err(|error| SourceError(error.to_string()))?;
        match answer.status {
            StatusCode::OK => self.taken(number, &answer),
            // The request was about the document that `known` has, or a later answer has replaced it.
            StatusCode::NOT_MODIFIED if is_conditional => Ok(()),
            status => Err(SourceError(format!("the server answers {status}"))),
        }
    }

    fn taken(&self, number: u64, answer: &Response) -> Result<(), SourceError> {
        // Before the lock: a document of some megabytes takes a while.
        let listed = self.layout.document(&answer.body);
        let listed = listed.map_err(|error| SourceError(error.to_string()))?;
        let modified = date(&answer.headers, &LAST_MODIFIED);
        let written = modified.or_else(|| date(&answer.headers, &DATE)).ok_or_else(|| {
            SourceError("the answer has neither Last-Modified nor Date".to_owned())
        })?;
        let mut state = self.state();
        if number < state.taken {
            // Overtaken by the answer to a later request, which is as new at least.
            return Ok(());
        }
        if let (Some(modified), Some(seen)) = (modified, state.modified)
            && modified < seen
        {
            let why = format!("an outdated copy: Last-Modified is {modified}, and was {seen}");
            return Err(SourceError(why));
        }
        state.known.take_all(listed, written);
        state.taken = number;
        state.modified = modified.or(state.modified);
        state.validator = validator(&answer.headers);
        Ok(())
    }
}

impl<T: Transport> Source for HttpSource<T> {
    fn id(&self) -> SourceId {
        self.id.clone()
    }

    async fn fetch_all(&self) -> Result<Vec<Incoming>, SourceError> {
        self.refresh().await?;
        Ok(self.state().known.all())
    }

    /// Asks for the document, as a poll does: for a server without news that is an answer without a body.
    async fn fetch(&self, ids: &[RecordId]) -> Result<Vec<Incoming>, SourceError> {
        self.refresh().await?;
        Ok(self.state().known.some(ids))
    }
}

/// What makes the next request conditional. The `ETag` as it is, a weak one with its `W/`.
fn validator(headers: &HeaderMap) -> Option<(HeaderName, HeaderValue)> {
    if let Some(etag) = headers.get(ETAG) {
        return Some((IF_NONE_MATCH, etag.clone()));
    }
    // A time has a resolution of a second. One that is as young as the answer would hide another change of that second.
    let (modified, made) = (date(headers, &LAST_MODIFIED)?, date(headers, &DATE)?);
    let value = headers.get(LAST_MODIFIED).filter(|_| modified < made)?;
    Some((IF_MODIFIED_SINCE, value.clone()))
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()?;
    Timestamp::try_from(date).ok()
}
