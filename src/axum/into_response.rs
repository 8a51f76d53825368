//! Rejections that handlers return.

use axum::response::{IntoResponse, Response};

use crate::{authorize::Denial, rejection::Rejection};

/// Lets a handler reject a request, for example because a lookup failed.
///
/// The responder of the enclosing layer renders it, and the layer adds the challenges of the
/// caller's scheme if the kind requires them. Without a responder, the response is an HTTP status,
/// also for a gRPC request.
///
/// ```
/// use tower_auth::{Principal, Rejection, RejectionKind};
///
/// async fn show(caller: Principal) -> Result<String, Rejection> {
///     match load_account(caller.subject()).await {
///         Ok(account) => Ok(account),
///         Err(error) => Err(Rejection::new(RejectionKind::Unavailable).because(error)),
///     }
/// }
/// # async fn load_account(_: &str) -> Result<String, String> { Ok(String::new()) }
/// # let _: axum::Router = axum::Router::new().route("/", axum::routing::get(show));
/// ```
impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        self.into()
    }
}

/// Lets a handler deny access, for example after it has loaded the resource.
///
/// It becomes the same response as the denial of a policy: the enclosing layer adds the challenge,
/// and anonymous callers get 401. Without a responder, it is an HTTP status, also for a gRPC
/// request.
///
/// ```
/// use axum::extract::Path;
/// use tower_auth::{Denial, Principal};
///
/// async fn show(caller: Principal, Path(id): Path<u64>) -> Result<String, Denial> {
///     let order = load_order(id).await;
///     if order.owner != caller.subject() {
///         return Err(Denial::forbidden());
///     }
///     Ok(order.text)
/// }
/// # struct Order { owner: String, text: String }
/// # async fn load_order(_: u64) -> Order { Order { owner: String::new(), text: String::new() } }
/// # let _: axum::Router = axum::Router::new().route("/orders/{id}", axum::routing::get(show));
/// ```
impl IntoResponse for Denial {
    fn into_response(self) -> Response {
        self.into()
    }
}
