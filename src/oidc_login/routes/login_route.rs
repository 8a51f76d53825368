use std::{
    convert::Infallible,
    error::Error,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header::ALLOW};
use http_body::Body;
use http_body_util::Full;
use tower_service::Service;

use super::{
    error_page,
    reply::{self, Reply},
};
use crate::{
    later::Later,
    oidc_login::oidc_login::{OidcLogin, State},
};

/// One endpoint of an [`OidcLogin`]: a Tower service for requests with any body.
///
/// ```
/// use tower_auth::oidc_login::OidcLogin;
///
/// fn app(login: &OidcLogin) -> axum::Router {
///     axum::Router::new()
///         .route_service("/session/login", login.login())
///         .route_service("/session/callback", login.callback())
///         .route_service("/session/logout", login.logout())
/// }
/// ```
#[derive(Clone)]
pub struct LoginRoute {
    state: Arc<State>,
    endpoint: Endpoint,
}

#[derive(Clone, Copy, Debug)]
enum Endpoint {
    Login,
    Callback,
    Logout,
}

/// The routes. [`into_router`](Self::into_router) puts all of them into an axum router.
///
/// All responses have `Cache-Control: no-store` and `Referrer-Policy: no-referrer`. A failure is an
/// HTML page without its reason, unless
/// [`error_page`](super::super::OidcLoginBuilder::error_page) was called. The status of a failed
/// login is that of the [`LoginErrorKind`](super::super::LoginErrorKind). 503 has `Retry-After`. A
/// request with another method gets 405.
///
/// The observer gets the reason: of a failed login as
/// [`LoginFailed`](crate::observe::Event::LoginFailed), and of a rejected logout as
/// [`Rejected`](crate::observe::Event::Rejected).
impl OidcLogin {
    /// Returns the service that redirects a browser to the login page of the provider: `GET`, 303.
    ///
    /// The query can have these parameters, each at most once. What is not valid is ignored, like
    /// other parameters.
    ///
    /// - `return_to`: where the user continues, a [`ReturnTo`](crate::session::ReturnTo) other than
    ///   one of these routes. The default is
    ///   [`after_login`](super::super::OidcLoginBuilder::after_login).
    /// - `acr_values`, up to 512 bytes with spaces between the values, and `max_age`, in seconds:
    ///   what the login must fulfil, for a step-up.
    /// - `login_hint`, up to 256 bytes: the name that the login page of the provider shows.
    ///
    /// The request of a script or a frame, whose `Sec-Fetch-Mode` is not `navigate` or whose
    /// `Sec-Fetch-Dest` is not `document`, gets 403: it cannot show the page of the provider.
    #[must_use]
    pub fn login(&self) -> LoginRoute {
        self.route(Endpoint::Login)
    }

    /// Returns the service for the response of the provider: `GET`, or `POST` with
    /// [`form_post`](super::super::OidcLoginBuilder::form_post), 303.
    ///
    /// It starts the session and redirects to the page that the user requested. The login cookie is
    /// removed in any case. A form can have 64 KiB and must arrive within 10 s. A parameter that is
    /// sent twice is rejected.
    ///
    /// # Security
    ///
    /// There is no cross-site check: the response comes from the site of the provider. Its `state`
    /// must be that of a login that this browser has started.
    #[must_use]
    pub fn callback(&self) -> LoginRoute {
        self.route(Endpoint::Callback)
    }

    /// Returns the service that ends the session: `POST`, 303.
    ///
    /// The browser is redirected to the logout page of the provider, if the session is from this
    /// provider and it has such a page, and otherwise to
    /// [`after_logout`](super::super::OidcLoginBuilder::after_logout). A script, whose
    /// `Sec-Fetch-Mode` is not `navigate`, gets 204 instead, and the session at the provider
    /// continues. A browser without a session is redirected as well. If the store is unavailable,
    /// the session continues, and the cookie is kept: 503.
    ///
    /// ```html
    /// <form method="post" action="/logout"><button>Log out</button></form>
    /// ```
    ///
    /// # Security
    ///
    /// A request that another site may have caused is rejected with 403, by the rules of the
    /// [`Sessions`](crate::session::Sessions) and also if there is no session. `GET` is 405: a link
    /// or an image of another site must not log a user out.
    #[must_use]
    pub fn logout(&self) -> LoginRoute {
        self.route(Endpoint::Logout)
    }

    /// Returns an axum router with all routes, at the
    /// [login path](super::super::OidcLoginBuilder::login_path), the path of the
    /// [redirect URI](super::super::OidcLoginBuilder::redirect_uri) and the
    /// [logout path](super::super::OidcLoginBuilder::logout_path).
    ///
    /// Merge it with the other routes outside of their authentication layer: a user without a
    /// session must be able to log in. Do not nest it: the paths are those that the browser
    /// requests.
    ///
    /// ```
    /// use axum::Router;
    /// use tower_auth::oidc_login::OidcLogin;
    ///
    /// fn app(login: OidcLogin, pages: Router) -> Router {
    ///     pages.merge(login.into_router())
    /// }
    /// ```
    #[cfg(feature = "axum")]
    pub fn into_router<S>(self) -> axum::Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let routes = &self.0.routes;
        axum::Router::new()
            .route_service(&routes.login_path, self.login())
            .route_service(&routes.callback_path, self.callback())
            .route_service(&routes.logout_path, self.logout())
    }

    fn route(&self, endpoint: Endpoint) -> LoginRoute {
        LoginRoute { state: Arc::clone(&self.0), endpoint }
    }
}

impl LoginRoute {
    /// Returns the method of the endpoint.
    fn method(&self) -> Method {
        match self.endpoint {
            Endpoint::Callback if self.state.form_post => Method::POST,
            Endpoint::Login | Endpoint::Callback => Method::GET,
            Endpoint::Logout => Method::POST,
        }
    }

    async fn respond<B>(&self, request: Request<B>) -> Reply
    where
        B: Body<Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        let (head, body) = request.into_parts();
        let state = &*self.state;
        match self.endpoint {
            Endpoint::Login => {
                let result = state.log_in(&head).await;
                result.unwrap_or_else(|error| error_page::login_failed(state, &error, &head))
            }
            Endpoint::Callback => state.call_back(&head, body).await,
            Endpoint::Logout => {
                let result = state.log_out(&head).await;
                result.unwrap_or_else(|error| error_page::logout_failed(state, error, &head))
            }
        }
    }
}

impl<B> Service<Request<B>> for LoginRoute
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
        let method = self.method();
        if *request.method() != method {
            let mut reply = reply::empty(StatusCode::METHOD_NOT_ALLOWED);
            let allowed = if method == Method::GET { "GET" } else { "POST" };
            reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
            return Later::ready(Ok(reply));
        }
        let this = self.clone();
        Later::pending(async move { Ok(this.respond(request).await) })
    }
}

impl fmt::Debug for LoginRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginRoute").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
