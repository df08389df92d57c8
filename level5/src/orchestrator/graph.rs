//! The order in which requests run that need one another.

use std::collections::HashMap;

use super::RequestId;

/// Why requests have no order in which they could run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// No request is registered under this id.
    #[error("no request is registered as `{id}`{}", needed_by.as_ref().map(|by| format!(", which `{by}` needs")).unwrap_or_default())]
    Unknown {
        /// The id.
        id: RequestId,
        /// The request that needs it; `None` if the caller passed the id.
        needed_by: Option<RequestId>,
    },
    /// Each of these requests needs the next one. The last id is the first one again.
    #[error("requests that need one another: {}", .0.join(" -> "))]
    Cycle(Vec<RequestId>),
}

/// The request `root` and all requests that it needs, directly or not. Each is listed once, after those that it needs.
///
/// `needs` returns the ids that a request needs, or `None` if there is no such request.
pub(super) fn order(
    root: &RequestId,
    needs: impl Fn(&str) -> Option<Vec<RequestId>>,
) -> Result<Vec<RequestId>, GraphError> {
    let look = |id: &RequestId, needed_by: Option<&RequestId>| {
        let unknown = || GraphError::Unknown { id: id.clone(), needed_by: needed_by.cloned() };
        needs(id).map(Vec::into_iter).ok_or_else(unknown)
    };
    let mut order = Vec::new();
    // `false` while the request is on the path, `true` when it is in `order`. The two are apart because a second way to
    // a request that is in the order is a diamond, and a second way to one on the path is a cycle.
    let mut seen = HashMap::from([(root.clone(), false)]);
    // A depth-first search with a stack of its own: a long chain must not overflow that of the thread. Each element is
    // a request with those of its needs that the search has not followed yet.
    let mut path = vec![(root.clone(), look(root, None)?)];
    while let Some((id, rest)) = path.last_mut() {
        let Some(next) = rest.next() else {
            // All that it needs is in the order, so it may follow.
            seen.insert(id.clone(), true);
            order.push(id.clone());
            path.pop();
            continue;
        };
        match seen.get(&next) {
            Some(true) => {}
            Some(false) => {
                // The path may begin before the cycle, with requests that only lead to it. They are left out.
                let ids = path.iter().map(|(id, _)| id.clone()).skip_while(|id| *id != next);
                return Err(GraphError::Cycle(ids.chain([next.clone()]).collect()));
            }
            None => {
                let rest = look(&next, Some(id))?;
                seen.insert(next.clone(), false);
                path.push((next, rest));
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(root: &str, edges: &[(&str, &[&str])]) -> Result<Vec<RequestId>, GraphError> {
        order(&root.to_owned(), |id| {
            let (_, needs) = edges.iter().find(|(name, _)| *name == id)?;
            Some(needs.iter().map(|&need| need.to_owned()).collect())
        })
    }

    #[test]
    fn each_request_comes_once_after_what_it_needs() {
        let diamond: &[(&str, &[&str])] =
            &[("a", &[]), ("b", &["a"]), ("c", &["a"]), ("d", &["b", "c"])];
        assert_eq!(ordered("d", diamond), Ok(["a", "b", "c", "d"].map(str::to_owned).to_vec()));
    }

    #[test]
    fn a_cycle_is_named_as_a_path() {
        let edges: &[(&str, &[&str])] = &[("x", &["a"]), ("a", &["b"]), ("b", &["a"])];
        let path = ["a", "b", "a"].map(str::to_owned).to_vec();
        assert_eq!(ordered("x", edges), Err(GraphError::Cycle(path)));
    }

    #[test]
    fn an_unknown_id_is_named() {
        let error = ordered("a", &[("a", &["b"])]).map_err(|error| error.to_string());
        assert_eq!(error, Err("no request is registered as `b`, which `a` needs".to_owned()));
    }
}
