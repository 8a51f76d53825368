//! A request with a token that is not in the cache.

use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, time::timeout};
use zeroize::Zeroizing;

use super::{
    asking::{Asking, Attempt},
    error::{IntrospectionError, IntrospectionErrorKind},
    failure::Failure,
    flight::{Joined, Waiting},
    state::State,
    token_digest::TokenDigest,
};
use crate::{basic::client_address::ClientAddress, principal::Principal, rejection::Rejection};

/// A request with a token that is not in the cache.
pub(super) struct Question {
    state: Arc<State>,
    digest: TokenDigest,
    token: Zeroizing<String>,
    /// The sender of the request, if there is a throttle.
    client: Option<ClientAddress>,
}

impl Question {
    pub(super) fn new(
        state: Arc<State>,
        digest: TokenDigest,
        token: &str,
        client: Option<ClientAddress>,
    ) -> Self {
        Self { state, digest, token: Zeroizing::new(token.to_owned()), client }
    }

    /// Waits for the answer of the endpoint.
    pub(super) async fn ask(self) -> Result<Principal, Rejection> {
        let state = Arc::clone(&self.state);
        let waiting = match state.flights.join(&self.digest) {
            Some(waiting) => waiting,
            None => match self.start()? {
                Started::Decided(result) => return result.and_then(|caller| state.check(caller)),
                Started::Waiting(waiting) => waiting,
            },
        };
        state.check(state.wait(waiting).await?)
    }

    /// Starts a request to the endpoint, unless another one with the same token has done so.
    ///
    /// It runs in a task of its own, so that it does not end if the caller disconnects.
    fn start(self) -> Result<Started, Rejection> {
        let Self { state, digest, token, client } = self;
        let runtime = Handle::try_current().map_err(|_| {
            Failure::unavailable(IntrospectionError::new(
                IntrospectionErrorKind::Runtime,
                "no tokio runtime to ask the introspection endpoint in: verify tokens from within \
                 a tokio runtime",
            ))
        })?;
        let is_known = state.known.contains(&digest, state.clock.elapsed());
        let attempt = match (&state.throttle, client) {
            (Some(throttle), Some(client)) if !is_known => {
                Some(throttle.begin_attempt(client, digest.as_bytes())?)
            }
            _ => None,
        };
        let attempt = Attempt::new(attempt);
        Ok(match state.flights.join_or_start(digest, || state.lookup(&digest)) {
            Joined::Decided(result) => Started::Decided(result),
            Joined::Waiting(waiting) => Started::Waiting(waiting),
            Joined::Started(flight, waiting) => {
                let asking = Asking::new(state, flight, is_known, attempt);
                // A runtime that shuts down drops the task, which ends the flight.
                runtime.spawn(asking.run(token));
                Started::Waiting(waiting)
            }
        })
    }
}

enum Started {
    Decided(Result<Principal, Rejection>),
    Waiting(Waiting),
}

impl State {
    /// Waits for the result of a request to the endpoint.
    async fn wait(&self, mut waiting: Waiting) -> Result<Principal, Rejection> {
        // The time limit of the request does not fire if its runtime makes no progress.
        let limit = self.timeout.saturating_add(Duration::from_secs(1));
        let outcome = match timeout(limit, waiting.wait_for(Option::is_some)).await {
            Ok(Ok(outcome)) => outcome.clone(),
            Ok(Err(_)) | Err(_) => None,
        };
        let outcome = outcome.unwrap_or_else(|| {
            Err(Failure::unavailable(IntrospectionError::new(
                IntrospectionErrorKind::Runtime,
                "the request to the introspection endpoint was abandoned: its tokio runtime has \
                 shut down or makes no progress",
            )))
        });
        outcome.map_err(Rejection::from)
    }
}
