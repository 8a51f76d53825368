//! Tower middleware for HTTP authentication and authorization: Basic, Bearer JWT, scopes, roles and
//! more, for axum, tonic, hyper and any other [`tower::Service`].
//!
//! [`tower::Service`]: tower_service::Service
//! [`TokenLocation::cookie`]: credentials::TokenLocation::cookie
//!
//! This example needs the feature `axum`: `cargo add tower-auth --features axum`.
//!
//! ```
//! use axum::{Router, routing::get};
//! use tower_auth::{
//!     AuthenticateLayer, BasicAuth, JwtAuth, Principal, RequireScopes, any_of,
//!     basic::Users, jwt::Keys,
//! };
//!
//! # let secret = [7; 32];
//! let tokens = JwtAuth::builder(Keys::hs256(&secret))
//!     .issuer("https://issuer.example")
//!     .audience("orders")
//!     .build()?;
//! let staff = BasicAuth::new("staff", Users::new([("alice", "correct horse")])?)?;
//!
//! let app: Router = Router::new()
//!     .route("/orders", get(list).layer(RequireScopes::all(["orders:read"])))
//!     .layer(AuthenticateLayer::new(any_of((tokens, staff))));
//!
//! async fn list(caller: Principal) -> String {
//!     format!("hello {}", caller.subject())
//! }
//! # Ok::<(), tower_auth::ConfigError>(())
//! ```
//!
//! Requests without credentials, or with invalid ones, get 401 with a challenge for each scheme. A
//! caller without the scope gets 403, and the challenge names the scopes that the route requires.
//! gRPC clients get `UNAUTHENTICATED` (16) or `PERMISSION_DENIED` (7).
//!
//! # Overview
//!
//! The [guide] has a page for each task. This table lists the main items.
//!
//! | you want to | use |
//! | --- | --- |
//! | verify JWTs | [`JwtAuth`] with [`jwt::Keys`] |
#![cfg_attr(
    feature = "jwks",
    doc = "| fetch the keys from the issuer | [`JwtAuth`] with [`jwt::Jwks`] |\n\
           | accept several issuers or tenants | [`jwt::Issuers`], [`jwt::Tenants`] |"
)]
#![cfg_attr(
    not(feature = "jwks"),
    doc = "| fetch the keys from the issuer | `JwtAuth` with `jwt::Jwks` (feature `jwks-reqwest`) |\n\
           | accept several issuers | [`jwt::Issuers`] |"
)]
//! | accept other tokens | [`bearer::BearerAuth`] with your [`bearer::TokenVerifier`] |
//! | introspect opaque tokens | `introspection::Introspection` (feature `introspection`) |
//! | read tokens from a cookie, with CSRF protection | [`TokenLocation::cookie`] |
//! | store a token in a cookie, and remove it | [`credentials::SetCookie`] |
//! | read tokens from another place | [`credentials::TokenLocation`] |
//! | verify a token without a request | [`JwtAuth::verify`] |
//! | accept tokens that are bound to certificates | `mtls::CertificateBinding` (feature `mtls`) |
//! | accept DPoP-bound tokens | `dpop::DpopBinding` (feature `dpop`) |
//! | identify services by their client certificates | `mtls::CertificateAuth` (feature `mtls`) |
//! | check passwords | [`BasicAuth`] with [`basic::Users`] or a [`basic::PasswordVerifier`] |
#![cfg_attr(
    feature = "password-hash",
    doc = "| check passwords against stored hashes | [`password::HashVerifier`] |"
)]
#![cfg_attr(
    not(feature = "password-hash"),
    doc = "| check passwords against stored hashes | `password::HashVerifier` (feature `password-hash`) |"
)]
//! | log users in: issue and refresh tokens | `issue::TokenIssuer` (feature `issue`) |
//! | serve login, refresh and logout | `issue::TokenRoutes` (feature `issue`) |
//! | exchange tokens between services | `issue::TokenIssuer::exchange` (feature `issue`) |
//! | keep users logged in with a cookie | `session::Sessions` (feature `session`) |
//! | redirect browsers to a login page | `session::LoginRedirect` (feature `session`) |
//! | log users in at a provider, such as GitHub | `oidc_login::OidcLogin` (feature `oidc-login`) |
//! | let programs authenticate with API keys | `api_key::ApiKeys` (feature `api-key`) |
//! | verify webhooks, and handle each event once | `webhook::WebhookLayer` (feature `webhook`) |
//! | revoke tokens, and log users out | `revocation::Revocations` (feature `revocation`) |
//! | accept back-channel logouts | `revocation::BackchannelLogout` (feature `revocation`) |
//! | share state between instances | `store::SealedStore` (feature `store`), `store::Redis` |
//! | rate-limit failed logins | `throttle::Throttle` (feature `throttle`) |
//! | check the password of a login form | [`BasicAuth::verify`] |
//! | reject login forms that other sites send | [`transport::SameOriginLayer`] |
//! | change the scopes of callers | [`Authenticator::map_principal`], also on every verifier |
//! | accept several schemes | [`any_of`] |
//! | choose schemes at run time | [`AnyOf::from_iter`] |
//! | also accept anonymous requests | [`AuthenticateLayer::optional`] |
//! | implement your own scheme | [`Authenticator`] |
//! | add headers to responses | [`authenticate::Outcome::with_header`] |
//! | require scopes | [`RequireScopes`] |
//! | require roles, claims, a recent login and more | the policies in [`authorize`] |
//! | implement your own policy | [`policy_fn`], [`Policy`] |
//! | protect every route | `GuardedRouter` (feature `axum`), [`authorize::Routes`] |
//! | read the caller in a handler | [`Principal`], in the extensions, or as an extractor of axum |
//! | customize all error responses in one place | [`AuthenticateLayer::responder`], [`respond`] |
//! | reject a request in a handler | return `Err(`[`Denial`]`)` or `Err(`[`Rejection`]`)` in axum |
//! | log, count or audit decisions | [`observe::set_default`] with observers |
//! | count decisions, for Prometheus and others | `observe::Metrics` (feature `metrics`) |
//! | write an audit log | `observe::AuditLog` (feature `audit`) |
//! | serve readiness probes | `health::Health` (feature `health`) |
//! | publish metadata for OAuth and MCP clients | [`ResourceMetadata`] |
//! | determine the client address, scheme and host behind proxies | [`transport::Forwarded`] |
//! | reject or redirect plain HTTP, and send HSTS | [`transport::HttpsLayer`] |
//! | close a connection when the caller's token expires | `Principal::expired` (feature `tokio`) |
//! | send credentials to other services | `client::AttachLayer` (feature `client`) |
//! | get tokens from an issuer | `client::TokenEndpoint` (feature `client-oauth`) |
//! | call other services in the name of a user | `client::ExchangedToken` (same feature) |
//! | send DPoP-bound tokens | `client::AttachLayer::dpop` (features `client` and `dpop`) |
//! | sign webhooks | `client::WebhookSigner` (features `client` and `webhook`) |
//! | test your handlers and policies | `test_util` (feature `test-util`) |
//!
//! A layer wraps the routes that were added to a router *before* it. A policy must be inside an
//! [`AuthenticateLayer`]. If that layer is missing, each request gets 500, and the default
//! [observer](observe) logs an error.
//!
//! # Features
//!
//! | feature | adds | default |
//! | --- | --- | --- |
//! | `basic` | [`BasicAuth`] | yes |
//! | `password-hash` | the module `password`: password hashes and htpasswd files; needs tokio | |
//! | `throttle` | the module `throttle`: rate limits for failed logins | |
//! | `jwt` | [`JwtAuth`] | yes |
//! | `aws-lc-rs` | the default signature backend of `jwt` (see [`jwt::crypto`]) | yes |
//! | `jwks` | `jwt::Jwks`, `jwt::Tenants`: keys from a file or your own client; needs tokio | |
//! | `jwks-reqwest` | `jwks` with a built-in HTTP client (reqwest, rustls) | |
//! | `token-cache` | `jwt::TokenCache`: a cache of verified tokens | |
//! | `store` | the module `store`: records that the instances of a service share | |
//! | `redis` | `store::Redis`: records in Redis or Valkey; needs tokio | |
//! | `revocation` | the module `revocation`: logout and revocation of tokens; needs tokio | |
//! | `issue` | the module `issue`: logins, access and refresh tokens; needs tokio | |
//! | `session` | the module `session`: sessions with cookies; needs tokio | |
//! | `oidc-login` | the module `oidc_login`: login with OAuth and OpenID Connect; needs tokio | |
//! | `api-key` | the module `api_key`: API keys | |
//! | `webhook` | the module `webhook`: verifies webhooks; needs tokio | |
//! | `audit` | `observe::AuditLog`: writes events as JSON lines | |
//! | `metrics` | `observe::Metrics`: counts [events](observe) with the crate `metrics` | |
//! | `health` | `health::Health`: a service for readiness probes; needs tokio | |
//! | `mtls` | the module `mtls`: client certificates, and tokens that are bound to them | |
//! | `dpop` | the module `dpop`: tokens that are sent with a proof of possession; needs tokio | |
//! | `introspection` | the module `introspection`: checks opaque tokens at their issuer | |
//! | `client` | the module `client`: credentials for outgoing requests; needs tokio | |
//! | `client-oauth` | tokens of an issuer for outgoing requests: `client::TokenEndpoint` | |
//! | `axum` | extractors, `GuardedRouter`; handlers can return `Err(Denial)`, `Err(Rejection)` | |
//! | `tokio` | `Principal::expired`, a timer | |
//! | `tonic` | the client address of a tonic server, for [`transport::Forwarded`] | |
//! | `tracing` | [events](observe) of rejections, outages and faults, with `tracing` | yes |
//! | `test-util` | the module `test_util`, for `[dev-dependencies]` only | |
//!
//! A feature never changes how a request is authenticated or authorized. The crate does not use
//! jsonwebtoken's `aws_lc_rs` and `rust_crypto` backends, so a program can enable any of them.
//!
//! # Security
//!
//! Terminate TLS in front of every service that accepts credentials. The `# Security` sections of
//! [`basic`], [`bearer`] and [`jwt`] describe what each scheme protects against and what it does
//! not.
//!
//! - Invalid credentials for a supported scheme are always rejected, even on a route that accepts
//!   anonymous requests.
//! - A rejection contains only the codes that the RFCs define. The reason is available to the
//!   operator, in the extensions of the response and in the [events](observe).
//! - If a request cannot be checked because of an outage, it gets 503 and not 401.
//! - The rejection of a gRPC request has HTTP status 200. A proxy that reads only the HTTP status
//!   (`auth_request`, ForwardAuth) would accept it. Use [`respond::HttpStatus`] behind such a
//!   proxy, and in services without gRPC.
//! - [`AuthenticateLayer`] hides credentials from inner services: it marks their headers as
//!   sensitive, and removes tokens from cookies and from WebSocket headers. Outer layers, such as
//!   logging, still see them.
//! - Credentials that a browser or a proxy adds on its own (cookies, Basic) are rejected with 403
//!   if another site may have caused the request. [The guide to browsers][browsers] describes the
//!   check.
//!
//! [browsers]: https://docs.rs/tower-auth/latest/tower_auth/guide/browsers/
//! [guide]: https://docs.rs/tower-auth/latest/tower_auth/guide/
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
// A request must not cause a panic or output. Tests may panic.
#![cfg_attr(
    not(test),
    warn(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::print_stderr,
        clippy::print_stdout,
        clippy::unwrap_used,
    )
)]

#[cfg(feature = "api-key")]
pub mod api_key;
pub mod authenticate;
pub mod authorize;
#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "basic")]
pub mod basic;
#[cfg(feature = "jwt")]
pub mod bearer;
#[cfg(feature = "jwt")]
pub mod binding;
#[cfg(feature = "client")]
pub mod client;
pub mod clock;
mod config_error;
pub mod credentials;
#[cfg(feature = "dpop")]
pub mod dpop;
#[cfg(any(feature = "jwt", feature = "webhook"))]
mod ed25519_point;
mod error_chain;
mod header;
// The guides are about all features, and link to their items.
#[cfg(all(
    any(doc, doctest),
    feature = "api-key",
    feature = "audit",
    feature = "axum",
    feature = "dpop",
    feature = "health",
    feature = "introspection",
    feature = "issue",
    feature = "jwks-reqwest",
    feature = "metrics",
    feature = "mtls",
    feature = "oidc-login",
    feature = "password-hash",
    feature = "redis",
    feature = "test-util",
    feature = "tokio",
    feature = "tonic",
    feature = "tracing",
    feature = "webhook"
))]
pub mod guide;
#[cfg(any(feature = "health", feature = "jwks"))]
pub mod health;
#[cfg(feature = "introspection")]
pub mod introspection;
#[cfg(feature = "issue")]
pub mod issue;
#[cfg(feature = "jwt")]
mod json;
#[cfg(feature = "jwks")]
pub mod jwks;
#[cfg(feature = "jwt")]
pub mod jwt;
mod later;
#[cfg(feature = "jwt")]
pub mod metadata;
#[cfg(feature = "mtls")]
pub mod mtls;
pub mod observe;
#[cfg(feature = "oidc-login")]
pub mod oidc_login;
mod one_or_many;
mod origin;
#[cfg(feature = "password-hash")]
pub mod password;
mod path;
#[cfg(any(feature = "password-hash", feature = "revocation", feature = "token-cache"))]
mod prehashed;
mod principal;
#[cfg(any(
    feature = "api-key",
    feature = "audit",
    feature = "store",
    all(feature = "aws-lc-rs", feature = "client-oauth")
))]
mod random;
mod rejection;
#[cfg(any(feature = "revocation", feature = "webhook"))]
mod request_body;
pub mod respond;
#[cfg(feature = "revocation")]
pub mod revocation;
#[cfg(any(feature = "audit", feature = "store"))]
mod secret_check;
#[cfg(feature = "session")]
pub mod session;
#[cfg(feature = "store")]
pub mod store;
#[cfg(feature = "test-util")]
pub mod test_util;
#[cfg(feature = "throttle")]
pub mod throttle;
pub mod transport;
mod url;
#[cfg(feature = "webhook")]
pub mod webhook;

#[cfg(feature = "axum")]
#[doc(inline)]
pub use self::axum::{extract, guarded_router::GuardedRouter};
#[cfg(feature = "basic")]
#[doc(inline)]
pub use self::basic::BasicAuth;
#[doc(inline)]
pub use self::{
    authenticate::{AnyOf, AuthenticateLayer, Authentication, Authenticator, any_of},
    authorize::{AuthorizeLayer, Decision, Denial, Policy, RequireScopes, policy_fn},
    config_error::{ConfigError, ConfigErrorKind},
    header::{Challenge, Challenges, Scheme},
    later::Later,
    one_or_many::OneOrMany,
    principal::{MapPrincipal, Principal, PrincipalBuilder, Scopes, ScopesIter},
    rejection::{Rejection, RejectionKind},
};
#[cfg(feature = "jwt")]
#[doc(inline)]
pub use self::{
    authorize::{RequireAuthentication, RequireRoles},
    jwt::JwtAuth,
    metadata::ResourceMetadata,
    principal::ClaimsError,
};

/// Compiles the examples in the README.
#[cfg(all(doctest, feature = "axum", feature = "basic", feature = "jwks", feature = "test-util"))]
#[doc = include_str!("../README.md")]
struct Readme;
