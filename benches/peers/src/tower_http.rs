//! A hand-written check: jsonwebtoken in tower-http's `AsyncRequireAuthorizationLayer`.

use std::{
    future::{Ready, ready},
    sync::Arc,
};

use axum::body::Body;
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use jsonwebtoken::decode;
use serde::de::DeserializeOwned;
use tower::{Layer, service_fn};
use tower_auth_test_support::token::User;
use tower_http::auth::AsyncRequireAuthorizationLayer;

use crate::{
    Case, Claims, Row,
    whole::{handler, is_allowed},
};

pub(crate) const NAME: &str = "tower-http + jsonwebtoken";

pub(crate) fn rows(case: &Case, rows: &mut Vec<Row>) {
    case.layer(rows, NAME, layer(case, |_: &Claims| true));
    case.whole(rows, NAME, layer::<User>(case, is_allowed).layer(service_fn(handler::<Body>)));
}

type Authorized = Result<Request<()>, Response<Body>>;

/// Creates a layer that inserts the claims into the extensions of the request.
fn layer<C: DeserializeOwned + Clone + Send + Sync + 'static>(
    case: &Case,
    check: fn(&C) -> bool,
) -> AsyncRequireAuthorizationLayer<impl Fn(Request<()>) -> Ready<Authorized> + Clone + use<C>> {
    let decoder = Arc::new(crate::jsonwebtoken::key_and_validation(case));
    AsyncRequireAuthorizationLayer::new(move |mut request: Request<()>| {
        let value = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = value.and_then(|value| value.strip_prefix("Bearer "));
        let (key, validation) = &*decoder;
        let data = token.and_then(|token| decode::<C>(token, key, validation).ok());
        ready(match data {
            Some(data) if check(&data.claims) => {
                request.extensions_mut().insert(data.claims);
                Ok(request)
            }
            Some(_) => Err(rejection(StatusCode::FORBIDDEN)),
            None => Err(rejection(StatusCode::UNAUTHORIZED)),
        })
    })
}

fn rejection(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = status;
    response
}
