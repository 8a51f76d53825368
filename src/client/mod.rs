//! The other side: credentials on the requests that a client sends.
//!
//! An [`AttachLayer`] goes around whatever sends requests. It is the same around hyper-util's client, a
//! tonic `Channel`, or reqwest:
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
//! | a user-id and a password | [`BasicAuthorization`] |
//! | a token that stays the same | [`BearerToken`] |
//! | a token that expires | [`RefreshingToken`], with a [`TokenSource`], which may be a closure |
//! | something else | [`AuthorizationSource`] of your own |
//!
//! # tonic
//!
//! A generated client takes the layer around its channel, and so its calls can wait for a token. Where there is none to
//! be had, a call fails with `Unknown`, and the [`AttachError`] is the status's source.
//!
//! ```no_run
//! # // Stand-ins for tonic, which is not a dependency.
//! # mod tonic { pub mod transport {
//! #     pub struct Channel;
//! #     impl Channel { pub fn from_static(_: &'static str) -> Self { Self } pub fn connect_lazy(self) -> Self { self } }
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
//! An interceptor cannot wait. It takes the token that is there, and fails the call where there is none yet:
//!
//! ```no_run
//! # mod tonic {
//! #     pub mod transport { pub struct Channel; }
//! #     pub mod metadata {
//! #         pub struct MetadataMap(http::HeaderMap);
//! #         impl AsMut<http::HeaderMap> for MetadataMap { fn as_mut(&mut self) -> &mut http::HeaderMap { &mut self.0 } }
//! #     }
//! #     pub struct Request<T>(T, metadata::MetadataMap);
//! #     impl<T> Request<T> { pub fn metadata_mut(&mut self) -> &mut metadata::MetadataMap { &mut self.1 } }
//! #     pub struct Status;
//! #     impl Status { pub fn unavailable(_: impl Into<String>) -> Self { Self } }
//! # }
//! # mod tonic_health { pub mod pb { pub mod health_client {
//! #     use super::super::super::tonic::{Request, Status};
//! #     pub struct HealthClient;
//! #     impl HealthClient {
//! #         pub fn with_interceptor<C>(_: C, _: impl FnMut(Request<()>) -> Result<Request<()>, Status>) -> Self { Self }
//! #     }
//! # } } }
//! use http::header::AUTHORIZATION;
//! use tonic::{Request, Status, transport::Channel};
//! use tonic_health::pb::health_client::HealthClient;
//! # use tower_auth::client::RefreshingToken;
//!
//! # async fn f(channel: Channel, token: RefreshingToken) -> Result<(), Box<dyn std::error::Error>> {
//! token.header_value().await?; // so that the first call finds it there
//! let client = HealthClient::with_interceptor(channel, move |mut request: Request<()>| {
//!     let value = token.try_header_value().map_err(|error| Status::unavailable(error.to_string()))?;
//!     request.metadata_mut().as_mut().insert(AUTHORIZATION, value);
//!     Ok(request)
//! });
//! # Ok(()) }
//! # fn main() {}
//! ```
//!
//! # reqwest
//!
//! reqwest's client is a service for requests of its own type. Tower's `filter`, a feature of it, makes them of
//! `http`'s, and fails where a URL is not absolute.
//!
#![cfg_attr(feature = "jwks", doc = "```no_run")] // with `jwks`, reqwest is a dependency
#![cfg_attr(not(feature = "jwks"), doc = "```ignore")]
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
//! # A token that a server refuses
//!
//! A 401 may mean that a token was withdrawn before its expiry. Say so, and the next request fetches another:
//!
//! ```
//! use http::{Response, StatusCode};
//! use tower::ServiceBuilder;
//! use tower_auth::client::{AttachLayer, RefreshingToken};
//!
//! # fn f<S, B>(client: S, token: RefreshingToken)
//! # where S: tower::Service<http::Request<()>, Response = Response<B>> {
//! let refused = token.clone();
//! let client = ServiceBuilder::new()
//!     .layer(AttachLayer::new(token))
//!     .map_response(move |response: Response<B>| {
//!         if response.status() == StatusCode::UNAUTHORIZED {
//!             refused.invalidate();
//!         }
//!         response
//!     })
//!     .service(client);
//! # }
//! ```
//!
//! # Security
//!
//! - Credentials do not go in the clear. A request whose URL names a host fails unless its scheme is `https` or
//!   `wss`, or the host is loopback (`localhost`, 127.0.0.0/8, `::1`), or
//!   [`dangerous_allow_plaintext`](AttachLayer::dangerous_allow_plaintext) says otherwise.
//! - They go to every host that requests go to. Where that is for others to choose, as with links from an
//!   answer, keep them to their origin with [`only_to`](AttachLayer::only_to).
//! - Neither can be seen where the URL is a path alone. Where a tonic `Channel` leads, and whether it encrypts, is its
//!   endpoint's scheme; of a bare hyper connection, only its maker knows.
//! - What the inner service makes of the URL is not seen, such as a redirect that it follows. reqwest strips
//!   `Authorization` where one leads to another origin; see to it that others do, or follow none.
//! - An `Authorization` that is there already is left alone, and goes wherever the request goes.
//! - The value is marked as sensitive, and no `Debug` and no error shows it. What logs headers inside the layer sees
//!   that mark, and has to honour it.

pub(crate) mod authorization;
pub(crate) mod destination;
pub(crate) mod engine;
pub(crate) mod error;
pub(crate) mod fixed;
pub(crate) mod layer;
pub(crate) mod present;
pub(crate) mod refreshing;
pub(crate) mod service;
pub(crate) mod source;

pub use self::{
    authorization::{Authorization, AuthorizationSource},
    error::{AttachError, AttachErrorKind},
    fixed::{BasicAuthorization, BearerToken},
    layer::AttachLayer,
    refreshing::RefreshingToken,
    service::{Attach, AttachFuture},
    source::{Token, TokenSource},
};
