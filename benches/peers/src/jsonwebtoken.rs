//! `decode`, with a prepared key and validation.

use std::hint::black_box;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::Value;
use tower_auth_test_support::token::{AUDIENCE, ISSUER};

use crate::{Case, Claims, Row, Rows};

pub(crate) fn rows(case: &Case, rows: &mut impl Rows) {
    let row = |name| Row::new("decode", case.algorithm, name);
    let token = case.token.as_str();
    let (key, validation) = key_and_validation(case);
    rows.call(row("jsonwebtoken"), || {
        decode::<Claims>(black_box(token), &key, &validation).unwrap()
    });
    rows.call(row("jsonwebtoken, all claims"), || {
        decode::<Value>(black_box(token), &key, &validation).unwrap()
    });

    let (key, validation) = crate::axum_jwt_auth::key_and_validation(case);
    rows.call(row("jsonwebtoken 10, rust_crypto"), || {
        jsonwebtoken10::decode::<Claims>(black_box(token), &key, &validation).unwrap()
    });
}

pub(crate) fn key_and_validation(case: &Case) -> (DecodingKey, Validation) {
    let jwk = serde_json::from_value(case.jwk.clone()).unwrap();
    let mut validation = Validation::new(case.algorithm.parse::<Algorithm>().unwrap());
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.validate_nbf = true;
    (DecodingKey::from_jwk(&jwk).unwrap(), validation)
}
