//! Pages of a merchant's payments, the newest first.

use axum::extract::Query;
use axum::http::Uri;
use futures::future::try_join_all;
use level3_adapters::sql::{LabelQuery, Store, StoreError, UnixMillis};
use level3_domain::journal::SagaId;
use serde_json::{Value, json};

use super::story::State;
use super::view::{self, Found};
use crate::filed::{name_of, run_of};
use crate::merchants::MerchantId;
use crate::problem::Problem;
use crate::time;

/// The payments of a page, unless the client asks for another number.
const DEFAULT_LIMIT: usize = 20;
/// The most payments of a page.
const MAX_LIMIT: usize = 100;
/// The most payments that are read for one page. A filter by state reads payments that it leaves
/// out; a page ends here, and the next one goes on.
const MOST_READ: usize = 400;

/// The parameters of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListQuery {
    limit: usize,
    after: Option<SagaId>,
    state: Option<State>,
    from: Option<UnixMillis>,
    to: Option<UnixMillis>,
}

impl ListQuery {
    /// Reads the parameters of a request.
    pub(crate) fn read(uri: &Uri) -> Result<Self, Problem> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| Problem::field("query", "is not a list of names and values"))?;
        let mut query =
            Self { limit: DEFAULT_LIMIT, after: None, state: None, from: None, to: None };
        let mut seen = Vec::new();
        for (name, value) in pairs.0 {
            let refused = |why: &str| Err(Problem::field(&name, why));
            match name.as_str() {
                "limit" => match value.parse() {
                    Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => query.limit = limit,
                    _ => return refused(&format!("is not a number from 1 to {MAX_LIMIT}")),
                },
                "after" => match run_of(&value, 1) {
                    Some(run) => query.after = Some(SagaId::from(&run)),
                    None => return refused("is not the id of a payment"),
                },
                "state" => match State::from_name(&value) {
                    Some(state) => query.state = Some(state),
                    None => return refused("is not a state of a payment"),
                },
                "created_from" | "created_to" => {
                    let Some(at) = time::read(&value) else {
                        return refused("is not a time of RFC 3339, such as 2026-01-01T00:00:00Z");
                    };
                    let field =
                        if name == "created_from" { &mut query.from } else { &mut query.to };
                    *field = Some(at);
                }
                _ => {
                    let known =
                        "has another name than limit, after, state, created_from, created_to";
                    return Err(Problem::field("query", known));
                }
            }
            if seen.contains(&name) {
                return Err(Problem::field(&name, "is there twice"));
            }
            seen.push(name);
        }
        Ok(query)
    }
}

/// Returns one page. `next` is the value of `after` for the next page, or null at the end.
pub(crate) async fn page(
    store: &dyn Store,
    merchant: &MerchantId,
    query: ListQuery,
) -> Result<Value, StoreError> {
    let ListQuery { limit, mut after, state, from, to } = query;
    // With a filter, most of what is read may be left out.
    let chunk = if state.is_some() { MAX_LIMIT } else { limit };
    let mut data = Vec::new();
    let mut read = 0;
    loop {
        let (label, before) = (merchant.as_str().to_owned(), after.clone());
        // One more than is needed shows whether there is another page.
        let query = LabelQuery { label, before, from, to, most: chunk + 1 };
        let mut found = store.labelled(query).await?;
        let has_more = found.len() > chunk;
        found.truncate(chunk);
        // At the same time, so that the store reads them in one transaction.
        let reading = found.iter().map(|one| view::find(store, merchant, name(&one.saga)));
        let payments = try_join_all(reading).await?;
        let count = found.len();
        for (place, (one, payment)) in found.into_iter().zip(payments).enumerate() {
            after = Some(one.saga);
            let fits = |payment: &Found| state.is_none_or(|state| payment.state() == state);
            data.extend(payment.filter(fits).map(|payment| payment.summary()));
            if data.len() >= limit {
                let is_last = place + 1 == count && !has_more;
                return Ok(json_page(data, after.filter(|_| !is_last).as_ref()));
            }
        }
        read += count;
        if !has_more {
            return Ok(json_page(data, None));
        }
        if read >= MOST_READ {
            return Ok(json_page(data, after.as_ref()));
        }
    }
}

fn json_page(data: Vec<Value>, next: Option<&SagaId>) -> Value {
    json!({ "data": data, "next": next.map(name) })
}

/// Returns the name of a payment from its first run, which is what a list is made of.
fn name(saga: &SagaId) -> &str {
    name_of(saga.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<ListQuery, Problem> {
        ListQuery::read(&format!("/v1/payments?{query}").parse().unwrap())
    }

    #[test]
    fn parameters_are_read() {
        assert_eq!(read("").unwrap().limit, DEFAULT_LIMIT);
        let query = read("limit=5&state=paid&created_from=2026-01-01T00:00:00Z").unwrap();
        assert_eq!((query.limit, query.state), (5, Some(State::Paid)));
        assert!(query.from.is_some() && query.to.is_none());
    }

    #[test]
    fn wrong_parameters_are_refused() {
        for wrong in [
            "limit=0",
            "limit=101",
            "limit=x",
            "state=done",
            "after=pay_1",
            "created_to=now",
            "page=2",
            "limit=1&limit=2",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
