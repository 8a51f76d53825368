use std::{
    convert::Infallible,
    error::Error,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header::ALLOW, request::Parts};
use http_body::Body;
use http_body_util::Full;
use tower_service::Service;

use super::{
    failure::Failure,
    parameters::Parameters,
    reply::{self, Reply},
    token_routes::RoutesState,
};
use crate::{later::Later, observe::observer::Observer};

/// One endpoint of [`TokenRoutes`](super::TokenRoutes): a Tower service for requests with any body.
///
/// ```
/// use tower_auth::issue::TokenRoutes;
///
/// fn app(routes: &TokenRoutes) -> axum::Router {
///     axum::Router::new().route_service("/session", routes.login())
/// }
/// ```
#[derive(Clone)]
pub struct TokenRoute {
    state: Arc<RoutesState>,
    endpoint: Endpoint,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Endpoint {
    Login,
    Token,
    Refresh,
    Exchange,
    Logout,
    LogoutEverywhere,
    Revoke,
    Introspect,
}

impl Endpoint {
    /// Returns the longest body, in bytes. An access token of another service can have 16 KiB.
    fn max_body_bytes(self) -> usize {
        match self {
            Self::Token | Self::Exchange | Self::Introspect => 24 * 1024,
            _ => 8 * 1024,
        }
    }
}

impl TokenRoute {
    pub(super) fn new(state: &Arc<RoutesState>, endpoint: Endpoint) -> Self {
        Self { state: Arc::clone(state), endpoint }
    }

    async fn respond<B>(&self, request: Request<B>) -> Reply
    where
        B: Body<Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        let (mut head, body) = request.into_parts();
        self.state.observer.add_to(&mut head);
        let failure = match self.run(&head, body).await {
            Ok(reply) => return reply,
            Err(failure) => failure,
        };
        let RoutesState { cross_site, reported_fault, .. } = &*self.state;
        let observer = Observer::of(&head).or_forwarded(cross_site.forwarded());
        observer.observe_rejection(&failure.rejection, &head, reported_fault);
        failure.into_reply()
    }

    async fn run<B>(&self, head: &Parts, body: B) -> Result<Reply, Failure>
    where
        B: Body<Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        let state = &*self.state;
        // Without the cookie, no credential is sent that another site could use.
        if state.cookie.is_some() {
            state.cross_site.check(head)?;
        }
        let parameters = Parameters::read(head, body, self.endpoint.max_body_bytes()).await?;
        match self.endpoint {
            Endpoint::Login => state.log_in(head, parameters).await,
            Endpoint::Token => state.token(head, parameters).await,
            Endpoint::Exchange => state.exchange_only(head, parameters).await,
            Endpoint::Refresh => state.refresh(head, parameters).await,
            Endpoint::Logout => state.log_out(head, parameters).await,
            Endpoint::LogoutEverywhere => state.log_out_everywhere(head).await,
            Endpoint::Revoke => state.revoke(head, parameters).await,
            Endpoint::Introspect => state.introspect(head, parameters).await,
        }
    }
}

impl<B> Service<Request<B>> for TokenRoute
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
            let mut reply = reply::empty(StatusCode::METHOD_NOT_ALLOWED);
            reply.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return Later::ready(Ok(reply));
        }
        let this = self.clone();
        Later::pending(async move { Ok(this.respond(request).await) })
    }
}

impl fmt::Debug for TokenRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRoute").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
