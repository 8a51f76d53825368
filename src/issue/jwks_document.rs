use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, atomic::AtomicBool},
    task::{Context, Poll},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH},
    request::Parts,
};
use http_body_util::Full;
use tower_service::Service;

use super::keys::{
    key_ring::{KeyRing, PublishedKeys},
    keys_error::KeysError,
};
use crate::{
    later::Later,
    metadata::public_document,
    observe::observer::Observer,
    rejection::{Rejection, RejectionKind},
};

/// Publishes the keys of a `TokenIssuer` as a JWK set (RFC 7517 §5), for the services that verify
/// its tokens. `TokenIssuer::jwks_document` returns it.
///
/// ```
/// use axum::Router;
/// use tower_auth::issue::TokenIssuer;
///
/// # fn f(issuer: TokenIssuer) -> Router {
/// Router::new()
///     // Outside any authentication layer: the keys are public.
///     .route_service("/.well-known/jwks.json", issuer.jwks_document())
/// # }
/// ```
///
/// The set has the active key, its successor and the keys that are retained. With `HS256`, it is
/// empty.
///
/// # Responses
///
/// - 200 for `GET` and `HEAD`, with an `ETag`, and with a `Cache-Control` that fits the rotation:
///   at most 10 min, and a quarter of [`publish_ahead`](super::SigningKeys::publish_ahead).
/// - 304 if the `If-None-Match` of the request has the `ETag`.
/// - 204 for `OPTIONS`. Pages of any origin can read the keys (CORS).
/// - 405 for other methods.
/// - 503 with `Retry-After` if the keys cannot be read, and the last ones are too old.
#[derive(Clone)]
pub struct JwksDocument(Arc<State>);

struct State {
    keys: KeyRing,
    observer: Observer,
    reported_fault: AtomicBool,
}

impl JwksDocument {
    pub(super) fn new(keys: KeyRing, observer: Observer) -> Self {
        Self(Arc::new(State { keys, observer, reported_fault: AtomicBool::new(false) }))
    }

    fn respond(
        &self,
        published: Result<PublishedKeys, KeysError>,
        head: &Parts,
    ) -> Response<Full<Bytes>> {
        let PublishedKeys { jwks, max_age } = match published {
            Ok(published) => published,
            Err(error) => return self.unavailable(error, head),
        };
        let hash = digest(&SHA256, &jwks);
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(hash));
        let mut response = if is_known(&head.headers, &etag) {
            let mut response = public_document::public(Bytes::new());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            public_document::document("application/jwk-set+json", jwks)
        };
        let headers = response.headers_mut();
        insert(headers, ETAG, &etag);
        insert(headers, CACHE_CONTROL, &format!("public, max-age={}", max_age.as_secs()));
        response
    }

    fn unavailable(&self, error: KeysError, head: &Parts) -> Response<Full<Bytes>> {
        let rejection = Rejection::new(RejectionKind::Unavailable)
            .with_retry_after(Duration::from_secs(5))
            .with_source(error);
        let observer = self.0.observer.or_of(head);
        observer.observe_rejection(&rejection, head, &self.0.reported_fault);
        let mut response = public_document::public(Bytes::new());
        *response.status_mut() = rejection.kind().status();
        rejection.write_headers(response.headers_mut());
        insert(response.headers_mut(), CACHE_CONTROL, "no-store");
        response
    }
}

impl<B> Service<Request<B>> for JwksDocument {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Later<Result<Response<Full<Bytes>>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if !public_document::is_read(request.method()) {
            return Later::ready(Ok(public_document::other(request.method())));
        }
        let this = self.clone();
        let (head, _) = request.into_parts();
        self.0.keys.published().map(move |published| Ok(this.respond(published, &head)))
    }
}

/// Returns whether the client has the document with this `ETag` (RFC 9110 §13.1.2).
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let lines = headers.get_all(IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    let mut known = lines.flat_map(|line| line.split(',')).map(str::trim);
    known.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == etag)
}

fn insert(headers: &mut HeaderMap, name: http::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

impl fmt::Debug for JwksDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwksDocument").finish_non_exhaustive()
    }
}
