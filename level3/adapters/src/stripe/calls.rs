//! One request to Stripe and its answer.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use level3_domain::provider::ProviderKey;
use reqwest::{Method, RequestBuilder};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::API_VERSION;
use super::body::read;
use super::config::StripeConfig;
use super::error::StripeError;
use crate::http::{Http, SetupError};

/// An account at Stripe, and the time until which it must not be called.
#[derive(Debug)]
pub(super) struct Calls {
    http: Http,
    /// The end of the pause that Stripe has asked for.
    pause: Mutex<Option<Instant>>,
}

impl Calls {
    pub(super) fn new(config: &StripeConfig) -> Result<Self, SetupError> {
        let http = Http::new(&config.base_url, config.key.expose(), config.limits)?;
        Ok(Self { http, pause: Mutex::default() })
    }

    /// Makes a request without an effect.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        what: &'static str,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, StripeError> {
        self.send(what, self.http.get(path, query)).await
    }

    /// Makes a request with an effect, which Stripe executes once for each key.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        key: &ProviderKey,
        path: &[&str],
        form: &[(&str, &str)],
    ) -> Result<T, StripeError> {
        self.post_with(key.operation.name(), &key.to_string(), path, form).await
    }

    /// The same with the text of a key.
    pub(super) async fn post_with<T: DeserializeOwned>(
        &self,
        what: &'static str,
        key: &str,
        path: &[&str],
        form: &[(&str, &str)],
    ) -> Result<T, StripeError> {
        let request = self.http.request(Method::POST, path);
        self.send(what, request.header("Idempotency-Key", key).form(form)).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        what: &'static str,
        request: RequestBuilder,
    ) -> Result<T, StripeError> {
        if let Some(remaining) = self.remaining_pause() {
            return Err(StripeError::Paused { remaining });
        }
        let answered = self.http.send(request.header("Stripe-Version", API_VERSION)).await?;
        let replayed = answered.header("idempotent-replayed") == Some("true");
        let request = answered.header("request-id").unwrap_or("none");
        tracing::debug!(what, status = answered.status.as_u16(), request, replayed, "Stripe");
        let answer = read(&answered);
        if let Err(StripeError::Refused(refusal)) = &answer
            && let Some(after) = refusal.retry_after
        {
            // Also for a 503: its effect is unknown, and the error for that has no field for the
            // wait.
            self.pause_for(after);
        }
        answer
    }

    fn pause_for(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        *pause = Some(pause.map_or(until, |before| before.max(until)));
    }

    fn remaining_pause(&self) -> Option<Duration> {
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        let remaining = pause.map(|until| until.duration_since(Instant::now()));
        match remaining {
            Some(remaining) if !remaining.is_zero() => Some(remaining),
            _ => {
                *pause = None;
                None
            }
        }
    }
}
