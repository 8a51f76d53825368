//! Logins: access and refresh tokens, and their end.
//!
//! A [`TokenIssuer`] issues a pair of tokens when a user has logged in. The access token is a JWT
//! (RFC 9068), valid for 10 minutes. The refresh token is exchanged for the next pair, for up to 90
//! days.
//!
//! ```
//! use tower_auth::{AuthenticateLayer, issue::TokenIssuer, store::SealedStore};
//! # use tower_auth::Principal;
//!
//! # async fn f(user: Principal) -> Result<(), Box<dyn std::error::Error>> {
//! let issuer = TokenIssuer::builder()
//!     .issuer("https://login.example")
//!     .audience("orders")
//!     .store(SealedStore::memory()) // or Redis, for several instances
//!     .build()?;
//!
//! // After the password was checked:
//! let tokens = issuer.issue(&user).await?;
//! // Later, with the refresh token:
//! let tokens = issuer.refresh(tokens.refresh_token()).await?;
//! issuer.logout(tokens.refresh_token()).await?;
//!
//! // Routes that accept the access tokens:
//! let layer = AuthenticateLayer::new(issuer.verifier());
//! # Ok(()) }
//! ```
//!
//! | you want to | use |
//! | --- | --- |
//! | issue tokens to a user | [`TokenIssuer::issue`], with a [`Grant`] for details |
//! | add claims to access tokens | [`TokenIssuerBuilder::claims`] |
//! | end a login, or all logins of a user | [`TokenIssuer::logout`], [`logout_everywhere`] |
//! | accept the access tokens | [`TokenIssuer::verifier`], [`verifier_builder`] |
//! | issue access tokens that are not JWTs | [`TokenIssuerBuilder::opaque_access_tokens`] |
//! | issue tokens that are bound to a key | [`Grant::confirmation`] |
//! | call another service in the name of a user | [`TokenIssuer::exchange`] |
//! | issue a token to a service or a program for itself | [`TokenIssuer::issue_to_client`] |
//! | serve login, refresh, logout and revocation over HTTP | [`TokenRoutes`] |
//! | serve token exchange and tokens of clients | [`TokenRoutesBuilder::client_passwords`] |
//! | tell other services what a token says | [`TokenRoutes::introspect`] |
//! | ask for a second factor | [`TokenRoutesBuilder::second_factor`] |
//! | publish the keys and the metadata | [`JwksDocument`] and [`IssuerMetadata`] |
//! | choose the algorithm, or keep the keys in a file | [`SigningKeys`] |
//!
//! [`logout_everywhere`]: TokenIssuer::logout_everywhere
//! [`verifier_builder`]: TokenIssuer::verifier_builder
//!
//! # Refresh
//!
//! The tokens of a login are a *family*. Each refresh creates the next generation, and replaces the
//! refresh token.
//!
//! - Several tabs that refresh at the same time get the same new refresh token. So does a client
//!   that has lost a response and tries again within the grace period (20 s).
//! - A refresh token that was replaced more than the grace period ago was probably stolen. The
//!   login then ends, and its access tokens are rejected
//!   ([`RefreshError::Reused`]).
//! - A token that was issued less than twice the grace period ago is not replaced yet. The client
//!   gets a new access token and the same refresh token.
//! - An outage is [`RefreshError::Unavailable`], and the refresh token stays valid. A client must
//!   not delete it then.
//!
//! # Logout
//!
//! A logout takes effect at once in this process, and within 5 s in the others that share the store
//! (see [`staleness`](TokenIssuerBuilder::staleness)), or at once for opaque tokens. Other services
//! accept the access tokens until their `exp`, for up to 10 minutes. See
//! [`revocation`](crate::revocation).
//!
//! # Between services
//!
//! A service that passes the token of a user on to another service would give it all that the user
//! may do. Instead, it [exchanges](TokenIssuer::exchange) the token for one that only the other
//! service accepts, with the scopes that are needed there (RFC 8693). The claim `act` names the
//! services that act for the user, the last one first:
//!
//! ```
//! use tower_auth::{Principal, issue::TokenIssuer, store::SealedStore};
//!
//! # async fn f(caller: Principal) -> Result<(), Box<dyn std::error::Error>> {
//! let issuer = TokenIssuer::builder()
//!     .issuer("https://login.example")
//!     .audience("orders") // logins
//!     .service_audiences(["invoices", "payments"]) // tokens between services
//!     .store(SealedStore::memory())
//!     .build()?;
//!
//! // In a handler of `orders`, which was called with the token of a user:
//! let token = issuer.exchange(&caller, "invoices", ["invoices:read"]).await?;
//! let call = http::Request::get("https://invoices.example/42")
//!     .header("authorization", format!("Bearer {}", token.access_token()));
//! # Ok(()) }
//! ```
//!
//! The exchanged token never has more scopes than the original, never expires later, and ends with
//! the login of the user. A service without a [`TokenIssuer`] sends the token to
//! [`TokenRoutes::exchange`]. For this, it authenticates itself with a password or an API key, and
//! the token must have been issued to it.
//!
//! A service that acts for itself, such as a nightly job, gets a token with
//! [`issue_to_client`](TokenIssuer::issue_to_client) or the grant `client_credentials` of
//! [`TokenRoutes::token`].
//!
//! # Opaque tokens
//!
//! With [`opaque_access_tokens`](TokenIssuerBuilder::opaque_access_tokens), access tokens are
//! random texts, such as `at_k3Jx…` with 57 characters. Their claims are in the store.
//!
//! | | JWTs | opaque tokens |
//! | --- | --- | --- |
//! | a token tells its holder | the subject, the scopes and all other claims | nothing |
//! | a logout takes effect in other instances | within [`staleness`], by default 5 s | at once |
//! | a request of a known token asks the store | at most once in 5 s | twice |
//! | services without the store accept it | by the published keys | by [`introspect`] |
//!
//! So use them for clients of other parties, and where a logout must take effect at once. A service
//! without the store asks [`TokenRoutes::introspect`] (RFC 7662), or gets a JWT with a token
//! exchange: `requested_token_type` is `urn:ietf:params:oauth:token-type:jwt`.
//!
//! [`verifier`](TokenIssuer::verifier) accepts both forms. Behind an [`Issuers`], also call
//! [`otherwise`] with the verifier. A [`TokenCache`] is used for JWTs only.
//!
//! The record of a token is removed when it expires or is [revoked](TokenRoutes::revoke). A logout
//! rejects the tokens by the record of the login. If the store is unavailable, requests get 503. If
//! it is full, logins and refreshes get 503: a token takes about 600 bytes for the time of
//! [`access_lifetime`](TokenIssuerBuilder::access_lifetime).
//!
//! [`staleness`]: TokenIssuerBuilder::staleness
//! [`introspect`]: TokenRoutes::introspect
//! [`Issuers`]: crate::jwt::Issuers
//! [`otherwise`]: crate::jwt::Issuers::otherwise
//! [`TokenCache`]: crate::jwt::TokenCache
//!
//! # Several instances
//!
//! Instances that share a store and its secret share logins, revocations and, by default, the keys.
//! Their clocks may differ by 30 s. All must have the same settings. During a rotation of the
//! [secret of the store](crate::store::StoreSecret), keep the old one until the last login from
//! before has ended (90 days).
//!
//! # Outages
//!
//! | store | login, refresh and logout | access tokens |
//! | --- | --- | --- |
//! | unavailable or full | an error (503): try again | 503, see [`revocation`](crate::revocation) |
//! | lost the last writes, after a failover | users stay logged in | accepted |
//! | was emptied | users must log in again | rejected |
//!
//! # Security
//!
//! - A thief who uses a stolen refresh token before the user does is detected when the user
//!   refreshes, and both are logged out. **A thief who refreshes within the grace period of each
//!   refresh of the user is not detected.** Access tokens that are bound to a key are of no use to
//!   the thief: see [`Grant::confirmation`].
//! - A client that loses a response and tries again after the grace period is logged out. Requests
//!   that take longer than half of the grace period can have the same effect.
//! - Refresh tokens are authenticated before the store is asked, so forged ones cost nothing. A
//!   login is refreshed at most 120 times per minute by each instance, and a subject has at most 50
//!   logins: another one ends the oldest.
//! - Opaque tokens contain 256 random bits and a tag of 64 bits, which is checked before the store
//!   is asked. So made-up tokens are rejected without a call of the store. The store finds a token
//!   by its HMAC.
//! - The store contains neither tokens nor the names of users in plain text. See
//!   [`store`](crate::store#security).
//! - The store is asked at most twice for an exchange, and not at all for a token that is not
//!   exchanged. No record is written, except that of an opaque token. A client can ask for any
//!   number of tokens, so limit the rate of requests in front of the service.
//! - The revocation of one access token does not end those that it was exchanged for. A logout
//!   does.
//! - Keep refresh tokens away from scripts: in a browser, in a cookie that they cannot read.

mod access_token;
mod builder;
mod claims;
mod client_token;
mod error;
mod exchange;
mod exchange_error;
mod family;
mod grant;
mod issuer_metadata;
mod jwks_document;
pub(crate) mod keys;
mod login;
mod logout;
mod manage_keys;
mod opaque_tokens;
mod original_token;
mod rate_limit;
mod refresh;
mod refresh_request;
mod refresh_token;
mod remaining_access;
mod routes;
mod service_token;
mod subject_index;
pub(crate) mod token_issuer;
mod token_pair;
mod verifier;

pub use self::{
    builder::TokenIssuerBuilder,
    claims::{AccessClaims, ClaimsRequest},
    client_token::ClientToken,
    error::{IssueError, RefreshError, Unavailable},
    exchange::Exchange,
    exchange_error::ExchangeError,
    grant::Grant,
    issuer_metadata::{IssuerMetadata, IssuerMetadataBuilder},
    jwks_document::JwksDocument,
    keys::{
        key_info::{KeyInfo, KeyState, KeyUse},
        signing_keys::SigningKeys,
    },
    refresh_request::RefreshRequest,
    remaining_access::RemainingAccess,
    routes::{
        AuthenticationInfo, LoginAttempt, SecondFactor, TokenRoute, TokenRoutes, TokenRoutesBuilder,
    },
    service_token::ServiceToken,
    token_issuer::TokenIssuer,
    token_pair::TokenPair,
};
