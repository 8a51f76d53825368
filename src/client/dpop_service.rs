use std::{
    fmt,
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderValue, Request, Response, Uri, request::Parts};
use tower_service::Service;

use super::{
    authorization::AuthorizationSource,
    destination::Disposition,
    dpop_challenge::asks_for_nonce,
    dpop_layer::CloneBody,
    dpop_nonces::{DPOP, Nonces},
    dpop_url::ProofUrl,
    error::{AttachError, AttachErrorKind, BoxError},
    retry_unauthorized::rejects_token,
    service::{Shared, with_authorization},
};
use crate::{dpop::DpopKey, header::Scheme, later::BoxFuture};

/// What all services of a layer share.
pub(super) struct DpopState<C> {
    pub(super) shared: Shared<C>,
    pub(super) key: DpopKey,
    pub(super) nonces: Nonces,
    /// Discards a token that a server rejected.
    pub(super) discard: Option<fn(&C, &HeaderValue)>,
}

impl<C> DpopState<C> {
    /// Returns a copy that shares no nonces with this one.
    pub(super) fn fork(&self) -> Self {
        let (shared, key) = (self.shared.clone(), self.key.clone());
        Self { shared, key, nonces: Nonces::new(), discard: self.discard }
    }

    fn url(&self, uri: &Uri) -> Result<ProofUrl, AttachError> {
        let fallback = match &*self.shared.rules.origins {
            [only] => Some(only),
            _ => None,
        };
        ProofUrl::of(uri, fallback).ok_or_else(|| {
            AttachError::because(
                AttachErrorKind::Proof,
                "a DPoP proof needs the whole URL of the request: send requests with absolute \
                 URLs, or name the origin of the others with a single only_to",
            )
        })
    }

    /// Adds the credentials and a new proof. The nonce can be another one than that of the last
    /// attempt.
    fn prove<B>(
        &self,
        mut head: Parts,
        body: B,
        url: &ProofUrl,
        value: &HeaderValue,
    ) -> Result<Request<B>, AttachError> {
        let token = bound_token(value)?;
        let nonce = self.nonces.get(&url.origin);
        let proof = self.key.proof(&head.method, &url.htu, Some(token), nonce.as_deref());
        let proof = proof.map_err(|error| {
            let message = format!("the DPoP key cannot sign: {error}");
            AttachError::because(AttachErrorKind::Proof, message)
        })?;
        head.headers.insert(DPOP, proof);
        Ok(with_authorization(value.clone(), head, body))
    }
}

/// Returns the token in a value of `Authorization` with the scheme `DPoP`.
///
/// A bearer token is not bound to the key. Sent as `DPoP`, it would seem to be protected.
fn bound_token(value: &HeaderValue) -> Result<&str, AttachError> {
    let parts = value.to_str().ok().and_then(|value| value.split_once(' '));
    match parts {
        Some((scheme, token)) if Scheme::DPOP.matches(scheme) => Ok(token),
        _ => Err(AttachError::because(
            AttachErrorKind::Source,
            "the credentials are not a token that is bound to a DPoP key: request such a token \
             with TokenEndpointBuilder::dpop, or create it with Token::dpop or DpopToken",
        )),
    }
}

/// The middleware of [`AttachDpopLayer`](super::AttachDpopLayer).
///
/// Its error is a box that contains the error of the inner service or an [`AttachError`].
pub struct AttachDpop<S, C, F> {
    pub(super) inner: S,
    pub(super) state: Arc<DpopState<C>>,
    pub(super) clone_body: F,
}

impl<S, C, F> AttachDpop<S, C, F> {
    /// Returns the inner service.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the inner service, to change it.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the inner service, and drops the middleware.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, C, F, B, R> Service<Request<B>> for AttachDpop<S, C, F>
where
    S: Service<Request<B>, Response = Response<R>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
    C: AuthorizationSource + 'static,
    F: CloneBody<B> + Clone + Send + 'static,
    B: Send + 'static,
    R: Send + 'static,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = AttachDpopFuture<Response<R>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // Only this instance was polled ready. Its clone is polled before the next request. The
        // clone also releases a permit of the inner service if the request is not sent.
        let clone = self.inner.clone();
        let mut service = mem::replace(&mut self.inner, clone);
        let url = match self.state.shared.disposition(&request) {
            Ok(Disposition::PassThrough) => {
                let response = service.call(request);
                return AttachDpopFuture(Box::pin(async { response.await.map_err(Into::into) }));
            }
            Ok(Disposition::Attach) => self.state.url(request.uri()),
            Err(error) => Err(error),
        };
        let url = match url {
            Ok(url) => url,
            Err(error) => return AttachDpopFuture(Box::pin(async { Err(error.into()) })),
        };
        let (head, body) = request.into_parts();
        let clone_body = self.clone_body.clone();
        let again = copy(&head, &body, &clone_body);
        let state = Arc::clone(&self.state);
        let attempts = Attempts { service, state, clone_body, url, again };
        AttachDpopFuture(Box::pin(attempts.send(head, body)))
    }
}

/// Returns a copy of a request, if its body can be cloned.
fn copy<B>(head: &Parts, body: &B, clone_body: &impl CloneBody<B>) -> Option<(Parts, B)> {
    clone_body.clone_body(body).map(|body| (head.clone(), body))
}

/// A request that is sent until it needs no other nonce and no other token.
struct Attempts<S, C, F, B> {
    service: S,
    state: Arc<DpopState<C>>,
    clone_body: F,
    url: ProofUrl,
    /// The request without credentials, if it can be sent again.
    again: Option<(Parts, B)>,
}

impl<S, C, F, B, R> Attempts<S, C, F, B>
where
    S: Service<Request<B>, Response = Response<R>, Error: Into<BoxError>>,
    C: AuthorizationSource,
    F: CloneBody<B>,
{
    async fn send(mut self, mut head: Parts, mut body: B) -> Result<Response<R>, BoxError> {
        let mut value = self.state.shared.source.authorization(&head).await?;
        let mut may_ask_for_nonce = true;
        let mut discard = self.state.discard;
        loop {
            let request = self.state.prove(head, body, &self.url, &value)?;
            let response = self.service.call(request).await.map_err(Into::into)?;
            let nonce = self.state.nonces.keep(&self.url.origin, response.headers());
            if !rejects_token(&response) {
                return Ok(response);
            }
            if asks_for_nonce(response.headers()) {
                // Once, so that a server that is never satisfied does not cause a loop.
                if !mem::take(&mut may_ask_for_nonce) || nonce.is_none() {
                    return Ok(response);
                }
            } else {
                let Some(discard) = discard.take() else { return Ok(response) };
                discard(&self.state.shared.source, &value);
                let Some((head, _)) = &self.again else { return Ok(response) };
                // If there is no other token, the response tells more than the error.
                let other = self.state.shared.source.authorization(head);
                match other.await {
                    Ok(other) if other != value => value = other,
                    _ => return Ok(response),
                }
            }
            let Some(again) = self.again.take() else { return Ok(response) };
            self.again = copy(&again.0, &again.1, &self.clone_body);
            (head, body) = again;
            drop(response);
            poll_fn(|cx| self.service.poll_ready(cx)).await.map_err(Into::into)?;
        }
    }
}

impl<S: Clone, C, F: Clone> Clone for AttachDpop<S, C, F> {
    fn clone(&self) -> Self {
        let state = Arc::clone(&self.state);
        Self { inner: self.inner.clone(), state, clone_body: self.clone_body.clone() }
    }
}

impl<S: fmt::Debug, C, F> fmt::Debug for AttachDpop<S, C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttachDpop").field("inner", &self.inner).finish_non_exhaustive()
    }
}

/// The response future of [`AttachDpop`].
#[must_use = "futures do nothing unless polled"]
pub struct AttachDpopFuture<T>(BoxFuture<'static, Result<T, BoxError>>);

impl<T> Future for AttachDpopFuture<T> {
    type Output = Result<T, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<T> fmt::Debug for AttachDpopFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttachDpopFuture").finish_non_exhaustive()
    }
}
