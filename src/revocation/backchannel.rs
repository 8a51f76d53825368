use std::{
    convert::Infallible,
    error::Error,
    fmt,
    sync::{Arc, atomic::AtomicBool},
    task::{Context, Poll},
    time::SystemTime,
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE},
    request::Parts,
};
use http_body::Body;
use http_body_util::Full;
use tower_service::Service;

use super::{
    backchannel_builder::BackchannelLogoutBuilder, logout_request::read_logout_token,
    logout_token::LogoutToken, revocations::Revocations, target::RevocationTarget,
};
use crate::{
    clock::Clock,
    jwt::{error::TokenError, jws::compact::Compact, jwt_auth::JwtAuth, keys::source::KeySource},
    later::Later,
    observe::observer::Observer,
    rejection::{Rejection, RejectionKind},
    store::{key::Purpose, ttl::Ttl},
};

/// Receives the logouts of an OpenID provider ([back-channel logout]).
///
/// The provider sends a signed logout token in a `POST` request when a user logs out there, or an
/// administrator ends the session. This service verifies the token and revokes the session or the
/// subject, for all services that share the store of the [`Revocations`].
///
/// ```
/// use axum::{Router, routing::get};
/// use tower_auth::{AuthenticateLayer, JwtAuth, jwt::Keys};
/// use tower_auth::revocation::{BackchannelLogout, Revocations};
///
/// # fn f(keys: Keys, revocations: Revocations) -> Result<Router, tower_auth::ConfigError> {
/// let tokens = JwtAuth::builder(keys.clone())
///     .issuer("https://issuer.example")
///     .audience("orders")
///     .revocations(revocations.clone())
///     .build()?;
/// let logout = BackchannelLogout::builder(keys)
///     .issuer("https://issuer.example")
///     .client_id("orders-web")
///     .revocations(revocations)
///     .build()?;
///
/// let app = Router::new()
///     .route("/orders", get(async || "orders"))
///     .layer(AuthenticateLayer::new(tokens))
///     // Outside the authentication layer: the provider has no access token.
///     .route_service("/backchannel-logout", logout);
/// # Ok(app) }
/// ```
///
/// Register the URL of the route as the `backchannel_logout_uri` of the client.
///
/// # What is revoked
///
/// - A logout token with `sid` revokes the session: all tokens with this `iss` and `sid`, also
///   those that are issued later. If it has a `sub` as well, other sessions of the subject
///   continue.
/// - A logout token with `sub` only revokes all tokens with this `iss` and `sub` whose `iat` is not
///   later than that of the logout token.
///
/// A `sid` has no effect on tokens without `sid`. Many providers put it into ID tokens, but not
/// into access tokens. If yours does that, register the client with
/// `backchannel_logout_session_required: false`, so that the provider sends logout tokens without
/// `sid`, if it supports that.
///
/// # Responses
///
/// - 200: the logout has taken effect, in other processes after
///   [`staleness`](super::RevocationsBuilder::staleness).
/// - 400: the request or the token is invalid, or the token was sent before. The body is
///   `{"error":"invalid_request"}`. The [observer](BackchannelLogoutBuilder::observer) receives the
///   reason.
/// - 405: the method is not `POST`.
/// - 503: the store or the keys of the provider are unavailable. The provider should send the token
///   again. The response has `Retry-After`.
///
/// All of them have `Cache-Control: no-store`. Outside a tokio runtime, every `POST` request gets
/// 500. The runtime must have a timer (`enable_time` or `enable_all`), without which tokio panics.
///
/// The session or the subject is revoked first, then the `jti` is recorded. So if the service or
/// the store fails in between, the provider can send the same token again. If only the response was
/// lost, the provider gets 400 for a logout that has already taken effect. If the connection is
/// closed before the response, the logout may or may not have taken effect.
///
/// # Security
///
/// - The signature, `iss`, `aud`, `iat`, `exp` and `typ` are checked as for other tokens. `typ` is
///   `logout+jwt`, `JWT` or absent. `aud` must contain client ids of this service only. `jti`,
///   `exp`, and `sub` or `sid` are required, `events` must have the member of back-channel logout,
///   and `nonce` must be absent. An ID token or an access token is therefore no logout token.
/// - A token that is valid for more than a day is rejected, and each `jti` is accepted once.
/// - Encrypted logout tokens are not supported.
/// - The route is public, and needs no cross-site check: no credential of a browser is read. The
///   signed token alone authenticates the request.
/// - Requests are limited to 64 KiB, and their body must arrive within 10 s. Invalid requests are
///   rejected before any signature is verified. Connections and the rate of requests must be
///   limited in front of the service, as for other public routes.
///
/// [back-channel logout]: https://openid.net/specs/openid-connect-backchannel-1_0.html
#[derive(Clone)]
pub struct BackchannelLogout(Arc<State>);

pub(crate) struct State {
    pub(crate) tokens: JwtAuth,
    pub(crate) client_ids: Vec<Box<str>>,
    pub(crate) revocations: Revocations,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observer: Observer,
    pub(crate) reported_fault: AtomicBool,
}

impl BackchannelLogout {
    /// Creates a builder from the keys with which the provider signs logout tokens. They are the
    /// keys of its ID tokens.
    ///
    /// The keys are the same types as for [`JwtAuth::builder`](crate::JwtAuth::builder), for
    /// example [`Keys`](crate::jwt::Keys) or `Jwks`.
    pub fn builder(keys: impl Into<KeySource>) -> BackchannelLogoutBuilder {
        BackchannelLogoutBuilder::new(keys.into())
    }

    pub(crate) fn new(state: State) -> Self {
        Self(Arc::new(state))
    }

    async fn log_out<B>(&self, head: &Parts, body: B) -> Result<(), Rejection>
    where
        B: Body<Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        let state = &self.0;
        let token = read_logout_token(head, body).await?;
        // Text of another form must not wait for the keys of the provider.
        Compact::parse(token.as_bytes()).map_err(invalid)?;
        let principal = state.tokens.verify(&token).await?;
        let token = LogoutToken::of(&principal, &state.client_ids).map_err(invalid)?;
        // In this order: a token whose logout may have failed can be sent again.
        self.revoke(&token).await?;
        if self.accept_once(&token).await? {
            return Ok(());
        }
        Err(invalid(TokenError::LogoutToken("it was sent before")))
    }

    /// Revokes the session if the token names one, and otherwise the subject.
    async fn revoke(&self, token: &LogoutToken) -> Result<(), Rejection> {
        let revocations = &self.0.revocations;
        let revoked = match (&token.session, &token.subject) {
            (Some(sid), _) => revocations.session(&token.issuer, sid),
            (None, Some(subject)) => revocations.raise(
                RevocationTarget::Subject,
                &token.issuer,
                subject.as_bytes(),
                Some(token.issued_at),
            ),
            (None, None) => return Err(Rejection::new(RejectionKind::Misconfigured)),
        };
        Ok(revoked.await?)
    }

    /// Records the `jti`. Returns whether it is new.
    async fn accept_once(&self, token: &LogoutToken) -> Result<bool, Rejection> {
        let store = self.0.revocations.store();
        let parts = [token.issuer.as_bytes(), token.id.as_bytes()];
        let key = store.key(Purpose::Replay, "logout", &parts);
        let now: SystemTime = self.0.clock.now();
        let remaining = token.accepted_until.duration_since(now).unwrap_or_default();
        Ok(store.insert(&key, &[], Ttl::new(remaining)).await?)
    }

    async fn respond<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        let (head, body) = request.into_parts();
        match self.log_out(&head, body).await {
            Ok(()) => response(StatusCode::OK, Bytes::new()),
            Err(rejection) => {
                let observer = self.0.observer.or_of(&head);
                observer.observe_rejection(&rejection, &head, &self.0.reported_fault);
                rejected(&rejection)
            }
        }
    }
}

impl<B> Service<Request<B>> for BackchannelLogout
where
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Later<Result<Response<Full<Bytes>>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if *request.method() != Method::POST {
            let mut response = response(StatusCode::METHOD_NOT_ALLOWED, Bytes::new());
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return Later::ready(Ok(response));
        }
        let this = self.clone();
        Later::pending(async move { Ok(this.respond(request).await) })
    }
}

fn invalid(error: TokenError) -> Rejection {
    Rejection::new(RejectionKind::InvalidCredentials).with_source(error)
}

/// Creates the rejection of a request that has no acceptable logout token.
pub(crate) fn malformed(reason: &'static str) -> Rejection {
    Rejection::new(RejectionKind::MalformedRequest).because(reason)
}

/// An invalid request is 400, whatever is wrong with it (§2.8).
fn rejected(rejection: &Rejection) -> Response<Full<Bytes>> {
    let kind = rejection.kind();
    if matches!(kind, RejectionKind::Unavailable | RejectionKind::Misconfigured) {
        let mut response = response(kind.status(), Bytes::new());
        rejection.write_headers(response.headers_mut());
        return response;
    }
    let body = Bytes::from_static(br#"{"error":"invalid_request"}"#);
    let mut response = response(StatusCode::BAD_REQUEST, body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn response(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl fmt::Debug for BackchannelLogout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackchannelLogout").finish_non_exhaustive()
    }
}
