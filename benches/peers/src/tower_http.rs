//! A hand-written check: jsonwebtoken in tower-http's `AsyncRequireAuthorizationLayer`.

use std::sync::Arc;

use axum::body::Body;
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use jsonwebtoken::{DecodingKey, Validation, decode};
use tower_http::auth::AsyncRequireAuthorizationLayer;

use crate::{Case, Claims, Rows};

pub(crate) fn rows(case: &Case, rows: &mut impl Rows) {
    let decoder = Arc::new(crate::jsonwebtoken::key_and_validation(case));
    let layer = AsyncRequireAuthorizationLayer::new(move |request| {
        std::future::ready(authorize(request, &decoder))
    });
    case.layer(rows, "tower-http + jsonwebtoken", layer);
}

#[allow(clippy::result_large_err)] // The layer requires this type.
fn authorize(
    mut request: Request<()>,
    (key, validation): &(DecodingKey, Validation),
) -> Result<Request<()>, Response<Body>> {
    let value = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = value.and_then(|value| value.strip_prefix("Bearer "));
    match token.and_then(|token| decode::<Claims>(token, key, validation).ok()) {
        Some(data) => {
            request.extensions_mut().insert(data.claims);
            Ok(request)
        }
        None => {
            let mut response = Response::new(Body::default());
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            Err(response)
        }
    }
}
