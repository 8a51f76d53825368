//! Login with OAuth 2.0 and OpenID Connect: the authorization code flow with PKCE.
//!
//! An [`OidcLogin`] sends the browser of a user to a provider, such as Keycloak, Entra or Google,
//! checks what comes back, and asks the application which principal that user is. The result is a
//! [session](crate::session), or the tokens of a `TokenIssuer` (feature `issue`).
//!
//! ```
//! use axum::{Router, routing::get};
//! use tower_auth::{
//!     AuthenticateLayer, ConfigError, Principal, Rejection, RejectionKind,
//!     oidc_login::{Login, OidcLogin},
//!     session::{LoginRedirect, Sessions},
//!     store::SealedStore,
//! };
//!
//! # #[cfg(feature = "jwks-reqwest")]
//! fn app(store: SealedStore, secret: String) -> Result<Router, ConfigError> {
//!     let sessions = Sessions::builder(store).build()?;
//!     let login = OidcLogin::discover("https://id.example")
//!         .client_id("orders")
//!         .client_secret(secret)
//!         .redirect_uri("https://orders.example/callback")
//!         .scopes(["openid", "email"])
//!         .then(account)
//!         .sessions(sessions.clone())
//!         .build()?;
//!     let pages = Router::new()
//!         .route("/", get(home))
//!         .layer(AuthenticateLayer::new(sessions).responder(LoginRedirect::to("/login")));
//!     Ok(pages.merge(login.into_router()))
//! }
//!
//! /// Finds or creates the account of a user who has logged in.
//! async fn account(login: Login) -> Result<Principal, Rejection> {
//!     let is_verified = login.claim("email_verified").unwrap_or(false);
//!     let email: String = login.claim("email").unwrap_or_default();
//!     if !is_verified || !email.ends_with("@orders.example") {
//!         return Err(Rejection::new(RejectionKind::Forbidden));
//!     }
//!     // The key of an account is the pair of `issuer` and `subject`.
//!     Ok(login.principal().scopes(["orders:read"]).build())
//! }
//!
//! async fn home(user: Principal) -> String {
//!     format!("hello {}", user.subject())
//! }
//! ```
//!
//! # The flow
//!
//! 1. `/login` redirects to the provider, with a fresh `state`, `nonce` and PKCE challenge. They
//!    are in a sealed cookie, which is valid for ten minutes. Each tab has its own; a browser keeps
//!    at most five. The server stores nothing.
//! 2. The provider redirects to the callback with a code. The callback finds the cookie of the
//!    `state`, accepts each `state` once, and exchanges the code for tokens.
//! 3. It verifies the ID token, and [optionally](OidcLoginBuilder::userinfo) fetches more claims.
//! 4. [`then`](OidcLoginBuilder::then) returns the principal, or refuses the login.
//!
//! The endpoints are found in the metadata of the issuer at the first login, and kept until the
//! process ends. The keys are [refreshed](crate::jwks).
//!
//! # Errors
//!
//! | kind | status | cause |
//! | --- | --- | --- |
//! | [`InvalidState`](LoginErrorKind::InvalidState) | 400 | another browser, expired, used before |
//! | [`Denied`](LoginErrorKind::Denied) | 403 | the user cancelled the login |
//! | [`Insufficient`](LoginErrorKind::Insufficient) | 403 | the login is too weak or too old |
//! | [`Forbidden`](LoginErrorKind::Forbidden) | 403 | the application refused the login |
//! | [`Misconfigured`](LoginErrorKind::Misconfigured) | 500 | the configuration or metadata |
//! | [`Provider`](LoginErrorKind::Provider) | 502 | an error or an invalid token of the provider |
//! | [`Unavailable`](LoginErrorKind::Unavailable) | 503 | an outage of the provider or the store |
//!
//! # OAuth 2.0 without OpenID Connect
//!
//! GitHub issues no ID tokens. A closure asks its API who the user is:
//!
//! ```
//! use serde_json::json;
//! use tower_auth::oidc_login::{Identity, OidcLogin, OidcLoginBuilder, ProviderToken};
//!
//! # type Error = Box<dyn std::error::Error + Send + Sync>;
//! fn github(id: &str, secret: &str) -> OidcLoginBuilder {
//!     OidcLogin::oauth2(
//!         "https://github.com/login/oauth/authorize",
//!         "https://github.com/login/oauth/access_token",
//!     )
//!     .client_id(id)
//!     .client_secret(secret)
//!     .redirect_uri("https://orders.example/github/callback")
//!     .scopes(["read:user"])
//!     .identity(identity)
//! }
//!
//! async fn identity(token: ProviderToken) -> Result<Identity, Error> {
//!     // GET https://api.github.com/user with `Authorization: Bearer` and `User-Agent`
//!     let user = get_user(token.as_str()).await?;
//!     let identity = Identity::new("https://github.com", user.id.to_string());
//!     Ok(identity.claims(&json!({ "login": user.login }))?)
//! }
//! # struct User { id: u64, login: String }
//! # async fn get_user(_: &str) -> Result<User, Error> { Err("not used".into()) }
//! ```
//!
//! # Security
//!
//! - **Login CSRF**: a response is accepted only in the browser that started the login, so that an
//!   attacker cannot log a user in with the account of the attacker. A second response with the
//!   same `state` is rejected, on all instances that share the store.
//! - **Stolen codes** are useless without the PKCE verifier in the sealed cookie, and the `nonce`
//!   binds the ID token to the login.
//! - **Mix-up of providers**: the login cookie names the provider, and the `iss` of the response
//!   must be its issuer (RFC 9207), if the provider supports that. Give each provider its own
//!   redirect URI: OAuth 2.0 providers have no `iss`.
//! - **ID tokens** must obey OpenID Connect Core §3.1.3.7, also those that come from the provider
//!   over TLS. Tokens that are signed with the client secret (HS256) are rejected, and so are
//!   tokens for several clients.
//! - **Accounts** are identified by the issuer and the subject. E-mail addresses change owners, and
//!   a provider can let users enter any address.
//! - **Claims** of the provider become claims of [`Login::principal`], and policies read them. Use
//!   the scopes and roles of your own accounts unless the provider may assign them.
//! - **Errors** of the provider are text that anyone can put into a link. They are shortened,
//!   escaped, and only logged.
//! - **TLS** is required, except for loopback: the login cookie is `Secure` with the prefix
//!   `__Host-`.
//!
//! Encrypted ID tokens, signed request objects, signed userinfo responses, front-channel logout and
//! the implicit flow are not supported.

pub(crate) mod authorization_request;
mod backchannel;
mod build;
pub(crate) mod builder;
pub(crate) mod callback;
mod end_session;
mod id_token;
mod identify;
pub(crate) mod identity;
pub(crate) mod login;
pub(crate) mod login_error;
#[allow(clippy::module_inception)] // the type that the module is named after
pub(crate) mod oidc_login;
mod pending_login;
mod routes;
mod userinfo;

#[cfg(test)]
mod build_tests;
#[cfg(test)]
mod client_key_tests;
#[cfg(test)]
mod cookie_tests;
#[cfg(test)]
mod id_token_tests;
#[cfg(test)]
mod login_tests;
#[cfg(test)]
mod oauth2_tests;
#[cfg(test)]
mod outage_tests;
#[cfg(test)]
mod test_provider;
#[cfg(test)]
mod userinfo_tests;

pub use self::{
    builder::OidcLoginBuilder,
    identity::{Identity, ProviderToken},
    login::Login,
    login_error::{LoginError, LoginErrorKind},
    oidc_login::OidcLogin,
    routes::LoginRoute,
};
