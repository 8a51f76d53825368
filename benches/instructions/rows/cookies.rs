//! Requests of a browser, with the token in a cookie or in `Authorization`.

use http::{
    HeaderName, HeaderValue, Method, Request, StatusCode,
    header::{AUTHORIZATION, HOST, ORIGIN},
};
use tower::{Layer, service_fn};
use tower_auth::{AuthenticateLayer, credentials::TokenLocation};

use crate::{
    bearer::{AcceptAnySignature, bearer, builder, fixed_token},
    prepared::{PreparedRequest, inner},
};

/// The headers that can carry the token.
pub(crate) const HEADER: HeaderName = AUTHORIZATION;
pub(crate) const COOKIE: HeaderName = http::header::COOKIE;

const NAME: &str = "__Host-token";
const OTHERS: [&str; 3] =
    ["theme=dark", "_ga=GA1.1.1234567890.1700000000", "consent=2024-01-01T00:00:00Z"];

pub(crate) fn get(carrier: HeaderName) -> PreparedRequest {
    prepare(carrier, Method::GET, &[])
}

pub(crate) fn get_among_three(carrier: HeaderName) -> PreparedRequest {
    prepare(carrier, Method::GET, &OTHERS)
}

pub(crate) fn post(carrier: HeaderName) -> PreparedRequest {
    prepare(carrier, Method::POST, &[])
}

pub(crate) fn post_among_three(carrier: HeaderName) -> PreparedRequest {
    prepare(carrier, Method::POST, &OTHERS)
}

/// Prepares a service that reads the token from a cookie or from `Authorization` alone.
fn prepare(carrier: HeaderName, method: Method, others: &[&str]) -> PreparedRequest {
    let location = match carrier {
        HEADER => TokenLocation::authorization(),
        _ => TokenLocation::cookie(NAME),
    };
    prepare_with(&[location], carrier, method, others)
}

/// Prepares a request with a header, to a service that would also accept a cookie.
pub(crate) fn unused_fallback() -> PreparedRequest {
    let locations = [TokenLocation::authorization(), TokenLocation::cookie(NAME).fallback()];
    prepare_with(&locations, HEADER, Method::GET, &[])
}

fn prepare_with(
    locations: &[TokenLocation],
    carrier: HeaderName,
    method: Method,
    others: &[&str],
) -> PreparedRequest {
    let (jwk, token) = fixed_token("ES256");
    let builder = builder(&[jwk]).backend(AcceptAnySignature);
    let builder =
        locations.iter().cloned().fold(builder, |builder, location| builder.token_from(location));
    let service = AuthenticateLayer::new(builder.build().unwrap()).layer(service_fn(inner));

    let mut request = Request::new(());
    let mut cookies: Vec<_> = others.iter().map(|&cookie| cookie.to_owned()).collect();
    let headers = request.headers_mut();
    match carrier {
        HEADER => _ = headers.insert(AUTHORIZATION, bearer(&token).parse().unwrap()),
        _ => cookies.insert(cookies.len().min(1), format!("{NAME}={token}")),
    }
    if !cookies.is_empty() {
        headers.insert(COOKIE, cookies.join("; ").parse().unwrap());
    }
    headers.insert(HOST, HeaderValue::from_static("app.example"));
    if method == Method::POST {
        headers.insert(ORIGIN, HeaderValue::from_static("https://app.example"));
        headers.insert("sec-fetch-site", HeaderValue::from_static("same-origin"));
    }
    *request.method_mut() = method;
    PreparedRequest::with(service, request, StatusCode::OK)
}
