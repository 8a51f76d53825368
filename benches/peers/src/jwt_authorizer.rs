//! jwt-authorizer depends on axum 0.7, so the rows use the body of that version.

use axum07::body::Body;
use futures_util::FutureExt;
use jwt_authorizer::{Authorizer, IntoLayer, JwtAuthorizer, Validation};
use tower_auth_test_support::token::{AUDIENCE, ISSUER};

use crate::{Case, Claims, Rows};

pub(crate) fn rows(case: &Case, rows: &mut impl Rows) {
    let validation = Validation::new().iss(&[ISSUER]).aud(&[AUDIENCE]).nbf(true);
    let builder = JwtAuthorizer::from_jwks_text(&case.jwks).validation(validation);
    let authorizer: Authorizer<Claims> = builder.build().now_or_never().unwrap().unwrap();
    case.layer::<_, _, Body>(rows, "jwt-authorizer", authorizer.into_layer());
}
