//! Requests with sessions, with the sessions in memory.

use futures_util::FutureExt;
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{COOKIE, SET_COOKIE},
};
use serde_json::json;
use tower::{Layer, service_fn};
use tower_auth::{AuthenticateLayer, Principal, Scheme, session::Sessions, store::SealedStore};

use crate::prepared::{PreparedRequest, inner};

fn prepare(sessions: Sessions, cookie: HeaderValue, status: StatusCode) -> PreparedRequest {
    let mut request = Request::new(());
    request.headers_mut().insert(COOKIE, cookie);
    let service = AuthenticateLayer::new(sessions).layer(service_fn(inner));
    PreparedRequest::with(service, request, status)
}

fn sessions() -> Sessions {
    Sessions::builder(SealedStore::memory()).build().unwrap()
}

/// A session that the process has read before.
pub(crate) fn live() -> PreparedRequest {
    let sessions = sessions();
    let claims = json!({ "sub": "alice", "email": "alice@example.com", "roles": ["editor"] });
    let user = Principal::builder("alice", Scheme::COOKIE).scopes(["orders:read", "orders:write"]);
    let user = user.claims(&claims).unwrap().build();
    let (head, ()) = Request::new(()).into_parts();
    let mut response = Response::new(());
    sessions.start(&user, &head, &mut response).now_or_never().unwrap().unwrap();
    let cookie = response.headers()[SET_COOKIE].to_str().unwrap();
    let cookie = HeaderValue::from_str(cookie.split(';').next().unwrap()).unwrap();
    prepare(sessions, cookie, StatusCode::OK)
}

pub(crate) fn unknown() -> PreparedRequest {
    let cookie = HeaderValue::from_static("__Host-session=AAAAAAAAAAAAAAAAAAAAAA");
    prepare(sessions(), cookie, StatusCode::UNAUTHORIZED)
}
