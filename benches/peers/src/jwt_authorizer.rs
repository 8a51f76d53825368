//! jwt-authorizer depends on axum 0.7, so the rows use the body of that version.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
};

use axum07::{body::Body, extract::FromRequestParts};
use futures_util::FutureExt;
use http::{Request, Response};
use jwt_authorizer::{AuthorizerBuilder, IntoLayer, JwtAuthorizer, JwtClaims, Validation};
use serde::de::DeserializeOwned;
use tower::{Layer, service_fn};
use tower_auth_test_support::token::{AUDIENCE, ISSUER, User};

use crate::{Case, Claims, Row, whole::is_allowed};

pub(crate) fn rows(case: &Case, rows: &mut Vec<Row>) {
    let authorizer = builder::<Claims>(case).build().now_or_never().unwrap().unwrap();
    case.layer::<_, _, Body>(rows, "jwt-authorizer", authorizer.into_layer());
    let builder = builder::<User>(case).check(is_allowed);
    let layer = builder.build().now_or_never().unwrap().unwrap().into_layer();
    case.whole(rows, "jwt-authorizer", layer.layer(service_fn(handler)));
}

fn builder<C: DeserializeOwned + Clone + Send + Sync>(case: &Case) -> AuthorizerBuilder<C> {
    let validation = Validation::new().iss(&[ISSUER]).aud(&[AUDIENCE]).nbf(true);
    JwtAuthorizer::from_jwks_text(&case.jwks).validation(validation)
}

/// The claims reach a handler through this extractor, which clones them.
fn handler(request: Request<()>) -> Ready<Result<Response<Body>, Infallible>> {
    let mut head = request.into_parts().0;
    let extract = JwtClaims::<User>::from_request_parts(&mut head, &());
    black_box(extract.now_or_never().unwrap().unwrap());
    ready(Ok(Response::new(Body::default())))
}
