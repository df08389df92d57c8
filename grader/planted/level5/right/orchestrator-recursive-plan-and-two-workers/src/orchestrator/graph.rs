//! In which order requests run that need one another.

use std::collections::HashSet;

use super::RequestId;

/// Why requests have no order in which they could run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// No request is registered under this id.
    #[error("no request is registered as `{id}`{}", needed_by.as_ref().map(|by| format!(", which `{by}` needs")).unwrap_or_default())]
    Unknown {
        /// The id.
        id: RequestId,
        /// The request that needs it; `None` if the caller has asked for it.
        needed_by: Option<RequestId>,
    },
    /// Each of these requests needs the next one. The last one is the first one again.
    #[error("requests that need one another: {}", .0.join(" -> "))]
    Cycle(Vec<RequestId>),
}

/// The request `root` and all that it needs, each once, and none before what it needs itself.
///
/// `needs` returns the ids that a request needs, or `None` if there is no such request.
pub(super) fn order(
    root: &RequestId,
    needs: impl Fn(&str) -> Option<Vec<RequestId>>,
) -> Result<Vec<RequestId>, GraphError> {
    let mut search = Search { needs, path: Vec::new(), done: HashSet::new(), order: Vec::new() };
    search.visit(root)?;
    Ok(search.order)
}

struct Search<F> {
    needs: F,
    path: Vec<RequestId>,
    done: HashSet<RequestId>,
    order: Vec<RequestId>,
}

impl<F: Fn(&str) -> Option<Vec<RequestId>>> Search<F> {
    fn visit(&mut self, id: &RequestId) -> Result<(), GraphError> {
        if self.done.contains(id) {
            return Ok(());
        }
        if let Some(start) = self.path.iter().position(|known| known == id) {
            let mut cycle = self.path.split_off(start);
            cycle.push(id.clone());
            return Err(GraphError::Cycle(cycle));
        }
        let Some(needs) = (self.needs)(id) else {
            let needed_by = self.path.last().cloned();
            return Err(GraphError::Unknown { id: id.clone(), needed_by });
        };
        self.path.push(id.clone());
        needs.iter().try_for_each(|need| self.visit(need))?;
        self.path.pop();
        self.done.insert(id.clone());
        self.order.push(id.clone());
        Ok(())
    }
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
