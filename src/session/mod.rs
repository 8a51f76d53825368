//! Sessions: users of browsers stay logged in with a cookie.
//!
//! The browser has a random id in a cookie. Who the user is, and what the user may do, is in a
//! [store](crate::store). [`Sessions`] starts and ends sessions, and is the
//! [`Authenticator`](crate::Authenticator):
//!
//! ```
//! use axum::{
//!     Form, Router,
//!     extract::{Request, State},
//!     response::{Html, IntoResponse, Redirect, Response},
//!     routing::{get, post},
//! };
//! use tower_auth::{
//!     AuthenticateLayer, Principal, Rejection, RejectionKind, Scheme, session::Sessions,
//!     store::SealedStore,
//! };
//!
//! /// Logs a user in. The password was read from a form.
//! async fn log_in(
//!     sessions: &Sessions,
//!     user: &str,
//!     password: &str,
//!     request: Request,
//! ) -> Result<Response, Rejection> {
//!     let scopes = verify_password(user, password).await?;
//!     let user = Principal::builder(user, Scheme::COOKIE).scopes(scopes).build();
//!     let mut response = Redirect::to("/account").into_response();
//!     sessions.start(&user, &request.into_parts().0, &mut response).await?;
//!     Ok(response)
//! }
//!
//! async fn log_out(
//!     State(sessions): State<Sessions>,
//!     caller: Principal,
//! ) -> Result<Response, Rejection> {
//!     let mut response = Redirect::to("/").into_response();
//!     sessions.end(&caller, &mut response).await?;
//!     Ok(response)
//! }
//!
//! /// A page with the sessions of the user. `SessionInfo::user_agent` has to be escaped in HTML.
//! async fn account(
//!     State(sessions): State<Sessions>,
//!     caller: Principal,
//! ) -> Result<Html<String>, Rejection> {
//!     let list = sessions.list(&caller).await?;
//!     Ok(Html(format!("{} sessions", list.len())))
//! }
//!
//! /// Ends a session that the page shows, also that of another browser of the user.
//! async fn end_session(
//!     State(sessions): State<Sessions>,
//!     caller: Principal,
//!     id: String,
//! ) -> Result<Redirect, Rejection> {
//!     sessions.end_one(&caller, &id).await?;
//!     Ok(Redirect::to("/account"))
//! }
//!
//! # async fn verify_password(user: &str, _: &str) -> Result<Vec<String>, Rejection> {
//! #     Err(Rejection::new(RejectionKind::InvalidCredentials))
//! # }
//! # fn f() -> Result<Router, tower_auth::ConfigError> {
//! let sessions = Sessions::builder(SealedStore::memory()).build()?;
//! let app = Router::new()
//!     .route("/account", get(account))
//!     .route("/account/end", post(end_session))
//!     .route("/logout", post(log_out))
//!     .with_state(sessions.clone())
//!     .layer(AuthenticateLayer::new(sessions));
//! // Outside of the layer: "/login", which calls `log_in`.
//! # Ok(app) }
//! ```
//!
#![cfg_attr(
    feature = "oidc-login",
    doc = "For logins at a provider, see [`oidc_login`](crate::oidc_login)."
)]
//!
//! | you want to | use |
//! | --- | --- |
//! | start a session after a login, also after a second factor | [`Sessions::start`] |
//! | log a user out | [`Sessions::end`] |
//! | log a user out everywhere, for example after a new password | [`Sessions::end_all`] |
//! | show a user the sessions, or end one of them | [`Sessions::list`], [`Sessions::end_one`] |
//! | change the scopes of users who are logged in | [`SessionsBuilder::refresh`] |
//! | check a WebSocket from time to time | [`Sessions::check`] |
//! | learn which session a request has | [`SessionInfo`], an extension of the principal |
//! | share sessions between processes | a [`SealedStore`](crate::store::SealedStore) with `Redis` |
//! | end sessions when the provider logs a user out | [`BackchannelLogout`] with [`revocations`] |
//! | accept sessions and tokens | [`any_of`](crate::any_of) |
//!
//! [`BackchannelLogout`]: crate::revocation::BackchannelLogout
//! [`revocations`]: SessionsBuilder::revocations
//!
//! # Requests
//!
//! | request | response |
//! | --- | --- |
//! | no cookie of this name | 401, or as for any anonymous request |
//! | unknown, expired, ended or revoked session; malformed id | 401; the cookie is removed |
//! | two cookies of this name | 400; the cookie is removed |
//! | a form or a script of another site | 403, before the store is asked |
//! | the store or the closure of [`refresh`] fails | 503 with `Retry-After`; the cookie is kept |
//! | live session | the principal of the login, with the scheme [`Scheme::COOKIE`] |
//!
//! A request takes one operation of the store, which reads the session, all that can revoke it, and
//! whether the store has lost records. These requests take more: the first one of a session in a
//! process (two reads), one per minute (a write of the last use), and those that call the closure.
//! With [`staleness`](SessionsBuilder::staleness), most requests take none.
//!
//! | limit | value |
//! | --- | --- |
//! | time without a request until a session ends ([`idle_timeout`]) | 30 min by default |
//! | time from the login until a session ends ([`absolute_lifetime`]) | 12 h by default |
//! | sessions of a user | 100; a further login ends the oldest |
//! | size of a session | 64 KiB |
//! | sessions that a process keeps decoded | those that fit into 64 MiB |
//!
//! [`Scheme::COOKIE`]: crate::Scheme::COOKIE
//! [`refresh`]: SessionsBuilder::refresh
//! [`idle_timeout`]: SessionsBuilder::idle_timeout
//! [`absolute_lifetime`]: SessionsBuilder::absolute_lifetime
//!
//! # Revocation
//!
//! The records of [`Revocations`](crate::revocation::Revocations) apply to sessions as they do to
//! tokens. They are looked up for the issuer and the subject of the principal, and for those of the
//! provider where the user logged in. Subjects and issuers are compared with the start of the
//! session. So a logout at the provider ends the sessions here, and [`Sessions::end_all`] also
//! revokes the tokens of the same user.
//!
//! # Security
//!
//! - **Fixation**: each login has a new id, and ends the session of the request. Ids are 128 random
//!   bits that only the server creates. The store has their SHA-256, so a copy of the store does
//!   not contain a usable id.
//! - **Theft**: anyone who has the cookie has the session. It is sent over TLS only, hidden from
//!   scripts, and bound to one host (`__Host-`, `Secure`, `HttpOnly`, `SameSite=Lax`). The layer
//!   removes it from the request before the handler runs. Its `Max-Age` is the absolute lifetime,
//!   so it outlives the window of the browser; a session that is not used ends after the idle
//!   timeout.
//! - **Requests of other sites** (CSRF) are rejected if their method is not safe, so a handler of
//!   GET must not change anything. The login itself has no session yet: protect it with a
//!   [`SameOriginLayer`](crate::transport::SameOriginLayer). Otherwise, an attacker can log a user
//!   in with the account of the attacker.
//! - **A logout takes effect at once** in all processes that share the store. With a
//!   [`staleness`](SessionsBuilder::staleness), other processes accept the session until then. No
//!   parallel request brings an ended session back: only an existing record is ever replaced.
//! - **A store that loses records** never lets a user act as another one. If it was emptied, all
//!   users are logged out. If it goes back to an earlier state, such as a copy or a replica that
//!   lacks the last writes, sessions that were ended since exist again. A process that has seen
//!   the later state detects this, rejects all sessions that were started before, and reports
//!   [`StoreReverted`](crate::observe::Event::StoreReverted). If no running process has seen it,
//!   the session is accepted. With Redis, use `durable`.
//! - A login does not end the sessions that the user has in other browsers. Call
//!   [`Sessions::end_all`] after a change of the password.
//! - A session is not a token: [`Revocations::token`](crate::revocation::Revocations::token) and a
//!   token exchange reject it. A principal that is bound to a key cannot have a session.

mod ambient;
mod authenticate;
pub(crate) mod builder;
mod end;
pub(crate) mod error;
mod find;
mod index;
pub(crate) mod info;
mod known;
mod list;
pub(crate) mod login_redirect;
pub(crate) mod owner;
pub(crate) mod record;
mod refresh;
pub(crate) mod return_to;
mod session_id;
pub(crate) mod sessions;
mod slide;
pub(crate) mod start;

pub use self::{
    builder::SessionsBuilder, error::SessionError, info::SessionInfo,
    login_redirect::LoginRedirect, owner::SessionOwner, return_to::ReturnTo, sessions::Sessions,
};

#[cfg(test)]
mod tests;
