use std::error::Error as _;

use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, LOCATION},
    request::Parts,
};

use super::return_to::ReturnTo;
use crate::{
    authorize::denial::Denial,
    config_error::ConfigError,
    path::is_plain_path,
    rejection::{Rejection, RejectionKind},
    respond::{http::HttpStatus, navigation::Navigation, responder::Respond},
};

/// A responder that redirects browsers to the login page. Everything else gets the response of
/// another responder, by default an [`HttpStatus`].
///
/// ```
/// use axum::{Router, routing::get};
/// use tower_auth::{
///     AuthenticateLayer,
///     session::{LoginRedirect, Sessions},
/// };
///
/// fn app(sessions: Sessions) -> Router {
///     Router::new()
///         .route("/orders", get(async || "your orders"))
///         .layer(AuthenticateLayer::new(sessions).responder(LoginRedirect::to("/login")))
/// }
/// ```
///
/// A request is redirected if
///
/// - its credentials are missing or invalid (401), or, with [`step_up`](Self::step_up), it requires
///   a stronger or more recent login;
/// - it is a `GET`, and the browser says that it is the navigation of a window or tab: its only
///   `Sec-Fetch-Mode` is `navigate`, its `Sec-Fetch-Dest` is `document` or missing, and it is no
///   prefetch (`Sec-Purpose`);
/// - it is not for the login page itself, which would be an endless loop.
///
/// The response is 303 to `/login?return_to=..`, with the requested path and query as `return_to`,
/// if these are a [`ReturnTo`]. It has `Cache-Control: no-store`. Fetches of scripts, frames,
/// `HEAD` and `POST` requests, gRPC, and clients that do not send `Sec-Fetch-Mode` are never
/// redirected: a script cannot follow a redirect to the login page of a provider.
///
/// With the feature `axum`, `return_to` also has the prefix of a nested router. Other frameworks
/// must have the layer where the URI is still complete.
///
/// # Security
///
/// `return_to` is part of the URL of the login page, which proxies may log. If the URLs of pages
/// contain secrets, set a responder of your own.
#[derive(Clone, Debug)]
#[must_use]
pub struct LoginRedirect<R = HttpStatus> {
    login_path: Box<str>,
    has_step_up: bool,
    other: R,
}

/// The longest list of classes that is sent to a login page, in bytes.
pub(crate) const MAX_ACR_VALUES: usize = 512;

impl LoginRedirect {
    /// Redirects to a login page at this path, such as `/login`.
    ///
    /// # Panics
    ///
    /// Panics if the path does not start with `/`, or has a query, empty or dot segments, or
    /// characters that need encoding. [`try_to`](Self::try_to) returns an error instead.
    #[track_caller]
    pub fn to(login_path: impl Into<Box<str>>) -> Self {
        ConfigError::or_panic(Self::try_to(login_path))
    }

    /// Like [`to`](Self::to), for a path from the configuration.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases in which [`to`](Self::to) panics.
    pub fn try_to(login_path: impl Into<Box<str>>) -> Result<Self, ConfigError> {
        let login_path = login_path.into();
        if !is_plain_path(&login_path) {
            return Err(ConfigError::invalid(format!(
                "login path: {login_path:?} is not a path of this service: write it like /login, \
                 without a host and a query"
            )));
        }
        Ok(Self { login_path, has_step_up: false, other: HttpStatus::default() })
    }
}

impl<R> LoginRedirect<R> {
    /// Also redirects callers who must log in again, or with another method (RFC 9470), such as
    /// those that a `RequireAuthentication` rejects.
    ///
    /// The query then has `acr_values` and `max_age` with what the policy requires. Without either,
    /// it has `max_age=0`, so that the provider asks the user in any case. A policy with
    /// `acr_values` of more than 512 bytes leads to no redirect.
    ///
    /// ```
    /// use std::time::Duration;
    /// use axum::{Router, routing::get};
    /// use tower_auth::{
    ///     AuthenticateLayer, RequireAuthentication,
    ///     session::{LoginRedirect, Sessions},
    /// };
    ///
    /// fn app(sessions: Sessions) -> Router {
    ///     let fresh = RequireAuthentication::max_age(Duration::from_secs(300));
    ///     let responder = LoginRedirect::to("/login").step_up();
    ///     Router::new()
    ///         // Leads to /login?return_to=%2Ftransfers&max_age=300
    ///         .route("/transfers", get(async || "transfer money").layer(fresh))
    ///         .layer(AuthenticateLayer::new(sessions).responder(responder))
    /// }
    /// ```
    ///
    /// The principals of the sessions must have the claims that the policy checks (`auth_time`,
    /// `acr`), and the login page must pass the parameters on to the provider. Otherwise, the user
    /// is redirected again and again.
    pub fn step_up(mut self) -> Self {
        self.has_step_up = true;
        self
    }

    /// Sets the responder for everything that is not redirected. The default is [`HttpStatus`].
    ///
    /// ```
    /// use tower_auth::{respond::ProblemJson, session::LoginRedirect};
    ///
    /// let responder = LoginRedirect::to("/login").otherwise(ProblemJson::default());
    /// ```
    pub fn otherwise<T>(self, responder: T) -> LoginRedirect<T> {
        let Self { login_path, has_step_up, .. } = self;
        LoginRedirect { login_path, has_step_up, other: responder }
    }

    /// Returns where the browser must go, or `None` if the request is not redirected.
    fn location(&self, rejection: &Rejection, head: &Parts) -> Option<HeaderValue> {
        let is_step_up = match rejection.kind() {
            RejectionKind::MissingCredentials | RejectionKind::InvalidCredentials => false,
            RejectionKind::InsufficientAuthentication if self.has_step_up => true,
            _ => return None,
        };
        let Navigation(page) = Navigation::of(head)?;
        if page.path() == &*self.login_path {
            return None;
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Some(page) = ReturnTo::of_uri(&page) {
            query.append_pair("return_to", page.as_str());
        }
        if is_step_up {
            let denial = rejection.source().and_then(|source| source.downcast_ref::<Denial>());
            let (acr_values, max_age) = denial.map(Denial::required_login).unwrap_or_default();
            // The login page would not read it, and the user would be redirected without an end.
            if acr_values.len() > MAX_ACR_VALUES {
                return None;
            }
            if !acr_values.is_empty() {
                query.append_pair("acr_values", &acr_values);
            }
            if let Some(age) = max_age.or(acr_values.is_empty().then_some(0)) {
                query.append_pair("max_age", &age.min(u32::MAX.into()).to_string());
            }
        }
        let (path, query) = (&self.login_path, query.finish());
        let separator = if query.is_empty() { "" } else { "?" };
        HeaderValue::try_from(format!("{path}{separator}{query}")).ok()
    }
}

impl<B: Default, R: Respond<B>> Respond<B> for LoginRedirect<R> {
    fn respond(&self, rejection: &Rejection, head: &Parts) -> Response<B> {
        let Some(location) = self.location(rejection, head) else {
            return self.other.respond(rejection, head);
        };
        let mut response = Response::new(B::default());
        *response.status_mut() = StatusCode::SEE_OTHER;
        let headers = response.headers_mut();
        headers.insert(LOCATION, location);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    fn redirects_navigations(&self) -> bool {
        true
    }
}

#[cfg(test)]
#[path = "login_redirect_tests.rs"]
mod tests;
