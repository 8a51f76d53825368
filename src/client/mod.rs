//! Client middleware: adds credentials to the requests that a client sends.
//!
//! [`AttachLayer`] wraps the service that sends the requests, for example hyper-util's client, a
//! tonic `Channel` or reqwest:
//!
//! ```no_run
//! use tower::{Service, ServiceBuilder, ServiceExt};
//! use tower_auth::client::{AttachLayer, BasicAuthorization};
//! # use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! # async fn f() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # type Body = http_body_util::Empty<bytes::Bytes>;
//! # let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();
//!
//! let mut client = ServiceBuilder::new()
//!     .layer(AttachLayer::new(BasicAuthorization::new("alice", "correct horse")?))
//!     .service(client);
//! let request = http::Request::get("https://api.example/orders").body(Body::new())?;
//! let response = client.ready().await?.call(request).await?;
//! # Ok(()) }
//! ```
//!
//! | to send | use |
//! | --- | --- |
//! | a user id and a password | [`BasicAuthorization`] |
//! | a fixed token | [`BearerToken`] |
#![cfg_attr(
    feature = "client-oauth",
    doc = "| a token for this service, from an issuer | [`RefreshingToken`] with [`ClientCredentials`] |\n\
           | a token for a user, with a refresh token | [`RefreshingToken`] with [`RefreshGrant`] |\n\
           | a token for the caller of this service | [`ExchangedToken`] |"
)]
#![cfg_attr(
    not(feature = "client-oauth"),
    doc = "| a token from an issuer | [`RefreshingToken`], feature `client-oauth` |"
)]
#![cfg_attr(
    feature = "dpop",
    doc = "| a token with proofs that this client has its key (DPoP) | [`AttachLayer::dpop`] |"
)]
#![cfg_attr(
    not(feature = "dpop"),
    doc = "| a token with proofs that this client has its key (DPoP) | feature `dpop` |"
)]
//! | a token from another source | [`RefreshingToken`] with a [`TokenSource`], such as a closure |
//! | anything else | a custom [`AuthorizationSource`] |
#![cfg_attr(feature = "webhook", doc = "| a signed webhook | [`WebhookSigner`] |")]
#![cfg_attr(
    not(feature = "webhook"),
    doc = "| a signed webhook | `WebhookSigner`, feature `webhook` |"
)]
//!
//! # tonic
//!
//! Wrap the channel of a generated client in the layer. Calls then wait for a token if necessary.
//! If no token is available, the call fails with `Unknown`, and the [`AttachError`] is the source
//! of the status.
//!
//! ```no_run
//! # // Stand-ins for tonic, which is not a dependency.
//! # mod tonic { pub mod transport {
//! #     pub struct Channel;
//! #     impl Channel {
//! #         pub fn from_static(_: &'static str) -> Self { Self }
//! #         pub fn connect_lazy(self) -> Self { self }
//! #     }
//! # } }
//! # mod tonic_health { pub mod pb { pub mod health_client {
//! #     pub struct HealthClient<C>(pub C);
//! #     impl<C> HealthClient<C> { pub fn new(inner: C) -> Self { Self(inner) } }
//! # } } }
//! use tonic::transport::Channel;
//! use tonic_health::pb::health_client::HealthClient;
//! use tower::Layer;
//! use tower_auth::client::{AttachLayer, RefreshingToken};
//!
//! # async fn f(token: RefreshingToken) -> Result<(), Box<dyn std::error::Error>> {
//! let channel = Channel::from_static("https://api.example").connect_lazy();
//! let client = HealthClient::new(AttachLayer::new(token).layer(channel));
//! # Ok(()) }
//! ```
//!
//! # Interceptors
//!
//! An interceptor is synchronous. It uses the current token, and fails the call if there is none
//! yet:
//!
//! ```no_run
//! # mod tonic {
//! #     pub mod transport { pub struct Channel; }
//! #     pub mod metadata {
//! #         pub struct MetadataMap(http::HeaderMap);
//! #         impl AsMut<http::HeaderMap> for MetadataMap {
//! #             fn as_mut(&mut self) -> &mut http::HeaderMap { &mut self.0 }
//! #         }
//! #     }
//! #     pub struct Request<T>(T, metadata::MetadataMap);
//! #     impl<T> Request<T> {
//! #         pub fn metadata_mut(&mut self) -> &mut metadata::MetadataMap { &mut self.1 }
//! #     }
//! #     pub struct Status;
//! #     impl Status { pub fn unavailable(_: impl Into<String>) -> Self { Self } }
//! # }
//! # mod tonic_health { pub mod pb { pub mod health_client {
//! #     use super::super::super::tonic::{Request, Status};
//! #     pub struct HealthClient;
//! #     impl HealthClient {
//! #         pub fn with_interceptor<C, F>(_: C, _: F) -> Self
//! #         where F: FnMut(Request<()>) -> Result<Request<()>, Status> { Self }
//! #     }
//! # } } }
//! use http::header::AUTHORIZATION;
//! use tonic::{Request, Status, transport::Channel};
//! use tonic_health::pb::health_client::HealthClient;
//! # use tower_auth::client::RefreshingToken;
//!
//! # type Error = Box<dyn std::error::Error>;
//! # async fn f(channel: Channel, token: RefreshingToken) -> Result<(), Error> {
//! token.header_value().await?; // fetch the token before the first call
//! let client = HealthClient::with_interceptor(channel, move |mut request: Request<()>| {
//!     let value = token.try_header_value();
//!     let value = value.map_err(|error| Status::unavailable(format!("{error:#}")))?;
//!     request.metadata_mut().as_mut().insert(AUTHORIZATION, value);
//!     Ok(request)
//! });
//! # Ok(()) }
//! # fn main() {}
//! ```
//!
//! # reqwest
//!
//! reqwest's client is a service for its own request type. Tower's `filter` (Tower feature
//! `filter`) converts the requests, and returns an error if the URL is not absolute.
//!
#![cfg_attr(feature = "jwks-reqwest", doc = "```no_run")] // then reqwest is a dependency
#![cfg_attr(not(feature = "jwks-reqwest"), doc = "```ignore")]
//! use tower::ServiceBuilder;
//! use tower_auth::client::{AttachLayer, BearerToken};
//!
//! # fn f() -> Result<(), tower_auth::ConfigError> {
//! let client = ServiceBuilder::new()
//!     .layer(AttachLayer::new(BearerToken::new("mF_9.B5f-4.1JqM")?))
//!     .filter(|request: http::Request<reqwest::Body>| reqwest::Request::try_from(request))
//!     .service(reqwest::Client::new());
//! # Ok(()) }
//! ```
//!
//! # Tokens that a server rejects
//!
//! A 401 can mean that the token was revoked before it expired.
//! [`retry_unauthorized`](AttachLayer::retry_unauthorized) then gets a new token and sends the
//! request once more, if its body can be sent again:
//!
//! ```
//! use bytes::Bytes;
//! use http_body_util::Full;
//! use tower::ServiceBuilder;
//! use tower_auth::client::{AttachLayer, RefreshingToken};
//!
//! # fn f<S>(client: S, token: RefreshingToken) -> Result<(), tower_auth::ConfigError> {
//! let layer = AttachLayer::new(token)
//!     .only_to("https://api.example")?
//!     .retry_unauthorized(|body: &Full<Bytes>| Some(body.clone()));
//! let client = ServiceBuilder::new().layer(layer).service(client);
//! # Ok(()) }
//! ```
//!
//! In other code, for example in an interceptor, call [`RefreshingToken::invalidate`]. The next
//! request then fetches a new token.
//!
//! # Security
//!
//! - Credentials are not sent in plaintext. A request whose URL names a host fails unless the
//!   scheme is `https` or `wss`, or the host is loopback (`localhost`, 127.0.0.0/8, `::1`). To
//!   allow plaintext, call [`dangerous_allow_plaintext`](AttachLayer::dangerous_allow_plaintext).
//! - By default, the layer adds credentials for every host. If others can choose the host, for
//!   example through links in a response, restrict it with [`only_to`](AttachLayer::only_to).
//! - Neither rule can be checked if the URL has no host. A tonic `Channel` connects to its
//!   endpoint, whose scheme selects encryption. A bare hyper connection uses the transport that it
//!   was created with.
//! - The layer does not see what the inner service does with the URL, for example redirects.
//!   reqwest removes `Authorization` on a redirect to another origin. Make sure that other clients
//!   do the same, or disable redirects.
//! - A request that already has `Authorization` is passed through without any check.
//! - A bearer token can be used by everyone who gets it. Tokens that are [bound to a
//!   key](AttachLayer#method.dpop) cannot be used without the key (feature `dpop`).
//! - The header value is marked as sensitive, and no `Debug` output and no error contains it. Code
//!   inside the layer that logs headers must respect the mark.

pub(crate) mod authorization;
#[cfg(all(feature = "aws-lc-rs", feature = "client-oauth"))]
pub(crate) mod client_assertion;
#[cfg(feature = "client-oauth")]
pub(crate) mod client_authentication;
#[cfg(feature = "client-oauth")]
pub(crate) mod client_credentials;
pub(crate) mod current_token;
pub(crate) mod destination;
#[cfg(feature = "dpop")]
mod dpop_challenge;
#[cfg(feature = "dpop")]
pub(crate) mod dpop_layer;
#[cfg(feature = "dpop")]
mod dpop_nonces;
#[cfg(feature = "dpop")]
pub(crate) mod dpop_service;
#[cfg(feature = "dpop")]
mod dpop_url;
#[cfg(feature = "client-oauth")]
pub(crate) mod endpoint_failure;
#[cfg(feature = "client-oauth")]
mod endpoint_proofs;
pub(crate) mod error;
#[cfg(feature = "client-oauth")]
pub(crate) mod exchanged_token;
pub(crate) mod fixed;
#[cfg(feature = "client-oauth")]
pub(crate) mod grant_parameters;
#[cfg(feature = "client-oauth")]
pub(crate) mod issued_token;
pub(crate) mod layer;
#[cfg(feature = "client-oauth")]
pub(crate) mod login_state;
#[cfg(feature = "client-oauth")]
pub(crate) mod refresh_exchange;
#[cfg(feature = "client-oauth")]
pub(crate) mod refresh_grant;
pub(crate) mod refresher;
pub(crate) mod refreshing;
pub(crate) mod retry_unauthorized;
pub(crate) mod service;
pub(crate) mod source;
#[cfg(feature = "client-oauth")]
pub(crate) mod subject_token;
#[cfg(feature = "client-oauth")]
pub(crate) mod token_endpoint;
#[cfg(feature = "client-oauth")]
pub(crate) mod token_endpoint_builder;
#[cfg(feature = "client-oauth")]
pub(crate) mod token_response;
#[cfg(feature = "webhook")]
mod webhook_key;
#[cfg(feature = "webhook")]
pub(crate) mod webhook_signer;

#[cfg(feature = "webhook")]
pub use self::webhook_signer::WebhookSigner;
pub use self::{
    authorization::{Authorization, AuthorizationSource},
    error::{AttachError, AttachErrorKind},
    fixed::{BasicAuthorization, BearerToken},
    layer::AttachLayer,
    refreshing::RefreshingToken,
    retry_unauthorized::{RetryUnauthorized, RetryUnauthorizedFuture, RetryUnauthorizedLayer},
    service::{Attach, AttachFuture},
    source::{DynTokenSource, Token, TokenSource},
};
#[cfg(feature = "client-oauth")]
pub use self::{
    client_credentials::ClientCredentials, exchanged_token::ExchangedToken,
    refresh_grant::RefreshGrant, subject_token::SubjectToken, token_endpoint::TokenEndpoint,
    token_endpoint_builder::TokenEndpointBuilder,
};
#[cfg(feature = "dpop")]
pub use self::{
    dpop_layer::AttachDpopLayer,
    dpop_service::{AttachDpop, AttachDpopFuture},
    fixed::DpopToken,
};
