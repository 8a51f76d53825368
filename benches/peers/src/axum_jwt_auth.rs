//! An extractor, which axum converts to a layer. It drops the claims, and does not add them to the
//! extensions.

use std::sync::Arc;

use axum::middleware::from_extractor_with_state;
use axum_jwt_auth::{Claims as Extracted, Decoder, LocalDecoder};
use jsonwebtoken10::{Algorithm, DecodingKey, Validation};
use tower_auth_test_support::token::{AUDIENCE, ISSUER};

use crate::{Case, Claims, Row};

pub(crate) fn rows(case: &Case, rows: &mut Vec<Row>) {
    let (key, validation) = key_and_validation(case);
    let decoder = LocalDecoder::builder().keys(vec![key]).validation(validation).build().unwrap();
    let decoder: Decoder<Claims> = Arc::new(decoder);
    let layer = from_extractor_with_state::<Extracted<Claims>, _>(decoder);
    case.layer(rows, "axum-jwt-auth", layer);
}

pub(crate) fn key_and_validation(case: &Case) -> (DecodingKey, Validation) {
    let jwk = serde_json::from_value(case.jwk.clone()).unwrap();
    let mut validation = Validation::new(case.algorithm.parse::<Algorithm>().unwrap());
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.validate_nbf = true;
    (DecodingKey::from_jwk(&jwk).unwrap(), validation)
}
