//! A plan: requests by name, what each needs, and the limits for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use level5::orchestrator::http_client::Request;
use level5::orchestrator::{RequestId, Settings, Spec};
use serde::Deserialize;

/// A plan as a file has it.
///
/// ```toml
/// [settings]
/// limit = 4
///
/// [request.user]
/// url = "https://api.example.com/users/7"
/// priority = 9
///
/// [request.orders]
/// url = "https://api.example.com/users/7/orders"
/// needs = ["user"]
/// timeout_ms = 2000
/// ```
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The limits for all requests.
    #[serde(default)]
    pub settings: Limits,
    /// The requests, by name.
    #[serde(default)]
    pub request: BTreeMap<RequestId, Line>,
}

/// The limits for all requests. What is missing has the value of [`Settings::default`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// [`Settings::limit`].
    pub limit: Option<NonZeroUsize>,
    /// [`Settings::lowest`].
    pub lowest: Option<NonZeroUsize>,
    /// [`Settings::highest`].
    pub highest: Option<NonZeroUsize>,
    /// [`Settings::ttl`], in milliseconds.
    pub ttl_ms: Option<u64>,
    /// [`Settings::stale_for`], in milliseconds.
    pub stale_for_ms: Option<u64>,
}

/// A request as a file has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// An absolute URL, `http` or `https`.
    pub url: String,
    /// The method; `GET` if it is missing.
    #[serde(default = "get")]
    pub method: String,
    /// Headers by name.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body, as text.
    #[serde(default)]
    pub body: String,
    /// [`Spec::priority`].
    #[serde(default)]
    pub priority: u8,
    /// [`Spec::timeout`], in milliseconds.
    pub timeout_ms: Option<u64>,
    /// [`Spec::retryable`]; true if it is missing.
    #[serde(default = "yes")]
    pub retryable: bool,
    /// [`Spec::cacheable`]; true if it is missing.
    #[serde(default = "yes")]
    pub cacheable: bool,
    /// The names of the requests that have to succeed before this one is sent.
    #[serde(default)]
    pub needs: Vec<RequestId>,
}

fn get() -> String {
    "GET".to_owned()
}

const fn yes() -> bool {
    true
}

/// Why a plan cannot be run. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The text is neither TOML nor JSON of a plan.
    #[error("{0}")]
    Syntax(String),
    /// There is no request.
    #[error("the plan has no request. Write one as [request.NAME] with a url")]
    Empty,
    /// A request needs one that does not exist.
    #[error("{request} needs {need}, and there is no request of this name")]
    Unknown {
        /// The request.
        request: RequestId,
        /// What it needs.
        need: RequestId,
    },
    /// Requests that need one another.
    #[error("these requests need one another, directly or not: {}", .0.join(", "))]
    Cycle(Vec<RequestId>),
    /// A method or a header cannot be sent.
    #[error("{request}: {what}")]
    Request {
        /// The request.
        request: RequestId,
        /// What is wrong.
        what: String,
    },
}

impl Plan {
    /// Reads a plan: JSON if the name of the file ends so, and TOML otherwise.
    ///
    /// # Errors
    ///
    /// [`PlanError::Syntax`], with the place in the text.
    pub fn read(path: &Path, text: &str) -> Result<Self, PlanError> {
        let is_json = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
        if is_json {
            serde_json::from_str(text).map_err(|why| PlanError::Syntax(why.to_string()))
        } else {
            toml::from_str(text).map_err(|why| PlanError::Syntax(why.to_string()))
        }
    }

    /// Returns the requests in layers: each request is in the first layer in which all that it needs is in the layers
    /// before.
    ///
    /// # Errors
    ///
    /// [`PlanError`], if the plan cannot be run.
    pub fn layers(&self) -> Result<Vec<Vec<&RequestId>>, PlanError> {
        if self.request.is_empty() {
            return Err(PlanError::Empty);
        }
        for (request, line) in &self.request {
            if let Some(need) = line.needs.iter().find(|need| !self.request.contains_key(*need)) {
                return Err(PlanError::Unknown { request: request.clone(), need: need.clone() });
            }
        }
        let mut layers = Vec::new();
        let mut placed: BTreeSet<&RequestId> = BTreeSet::new();
        while placed.len() < self.request.len() {
            let is_next = |line: &Line| line.needs.iter().all(|need| placed.contains(need));
            let open = self.request.iter().filter(|(name, _)| !placed.contains(name));
            let layer: Vec<_> =
                open.filter(|(_, line)| is_next(line)).map(|(name, _)| name).collect();
            if layer.is_empty() {
                let left = self.request.keys().filter(|name| !placed.contains(name));
                return Err(PlanError::Cycle(left.cloned().collect()));
            }
            placed.extend(&layer);
            layers.push(layer);
        }
        Ok(layers)
    }

    /// Returns the settings of the orchestrator.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let defaults = Settings::default();
        let Limits { limit, lowest, highest, ttl_ms, stale_for_ms } = self.settings.clone();
        let limit = limit.unwrap_or(defaults.limit);
        Settings {
            limit,
            // A limit beyond the bounds that the plan does not name moves them.
            lowest: lowest.unwrap_or_else(|| defaults.lowest.min(limit)),
            highest: highest.unwrap_or_else(|| defaults.highest.max(limit)),
            ttl: ttl_ms.map_or(defaults.ttl, Duration::from_millis),
            stale_for: stale_for_ms.map_or(defaults.stale_for, Duration::from_millis),
            ..defaults
        }
    }

    /// Returns the requests with their rules.
    ///
    /// # Errors
    ///
    /// [`PlanError::Request`].
    pub fn specs(&self) -> Result<Vec<(RequestId, Spec)>, PlanError> {
        let spec = |(name, line): (&RequestId, &Line)| Ok((name.clone(), line.spec(name)?));
        self.request.iter().map(spec).collect()
    }
}

impl Line {
    fn spec(&self, name: &str) -> Result<Spec, PlanError> {
        let wrong = |what: String| PlanError::Request { request: name.to_owned(), what };
        let method = Method::from_bytes(self.method.as_bytes())
            .map_err(|_| wrong(format!("{:?} is no method", self.method)))?;
        let mut headers = HeaderMap::new();
        for (header, value) in &self.headers {
            let name = header.parse::<HeaderName>();
            let name = name.map_err(|_| wrong(format!("{header:?} is no name of a header")))?;
            let value = value.parse::<HeaderValue>();
            // The value may be a key.
            let value = value.map_err(|_| wrong(format!("the value of {name} cannot be sent")))?;
            headers.insert(name, value);
        }
        let Spec { timeout, .. } = Spec::get("");
        Ok(Spec {
            request: Request {
                method,
                url: self.url.clone(),
                headers,
                body: self.body.clone().into(),
            },
            priority: self.priority,
            timeout: self.timeout_ms.map_or(timeout, Duration::from_millis),
            retryable: self.retryable,
            cacheable: self.cacheable,
            needs: self.needs.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toml(text: &str) -> Result<Plan, PlanError> {
        Plan::read(Path::new("plan.toml"), text)
    }

    #[test]
    fn requests_are_in_layers() {
        let text = "[request.c]\nurl = 'x'\nneeds = ['a', 'b']\n[request.a]\nurl = 'x'\n[request.b]\nurl = 'x'\nneeds = ['a']";
        let plan = toml(text).unwrap();
        assert_eq!(plan.layers().unwrap(), [["a"], ["b"], ["c"]]);
        let json = r#"{"request": {"a": {"url": "x"}, "b": {"url": "x", "needs": ["a"]}}}"#;
        let plan = Plan::read(Path::new("plan.JSON"), json).unwrap();
        assert_eq!(plan.layers().unwrap(), [["a"], ["b"]]);
    }

    #[test]
    fn a_plan_that_cannot_be_run_says_why() {
        assert_eq!(toml("").unwrap().layers(), Err(PlanError::Empty));
        let unknown = toml("[request.a]\nurl = 'x'\nneeds = ['z']").unwrap();
        let error = unknown.layers().unwrap_err().to_string();
        assert!(error.contains("a needs z"), "{error}");
        let cycle = "[request.a]\nurl = 'x'\nneeds = ['b']\n[request.b]\nurl = 'x'\nneeds = ['a']\n[request.c]\nurl = 'x'";
        let names = ["a", "b"].map(str::to_owned).to_vec();
        assert_eq!(toml(cycle).unwrap().layers(), Err(PlanError::Cycle(names)));
        let own = toml("[request.a]\nurl = 'x'\nneeds = ['a']").unwrap();
        assert!(matches!(own.layers(), Err(PlanError::Cycle(_))));
        for (text, words) in [
            ("[request.a]", "url"),
            ("[request.a]\nurl = 'x'\nneed = ['b']", "need"),
            ("[request.a]\nurl = 'x'\npriority = 300", "300"),
            ("[request.a\n", "line 1"),
        ] {
            let error = toml(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
        for (line, words) in
            [("method = 'GE T'", "no method"), ("headers = { 'a b' = 'c' }", "no name of a header")]
        {
            let plan = toml(&format!("[request.a]\nurl = 'x'\n{line}")).unwrap();
            let error = plan.specs().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_limit_moves_the_bounds_that_are_not_named() {
        let settings = |text: &str| {
            let Settings { lowest, limit, highest, .. } = toml(text).unwrap().settings();
            [lowest, limit, highest].map(NonZeroUsize::get)
        };
        assert_eq!(settings("[settings]\nlimit = 1"), [1, 1, 10]);
        assert_eq!(settings("[settings]\nlimit = 50"), [2, 50, 50]);
        assert_eq!(settings("[settings]\nlimit = 5\nlowest = 6"), [6, 5, 10]);
    }
}
