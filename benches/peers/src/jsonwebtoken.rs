//! `decode`, with a prepared key and validation.

use std::hint::black_box;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::Value;
use tower_auth_test_support::token::{AUDIENCE, ISSUER};

use crate::{Case, Claims, Row, RowName, row::call_row};

pub(crate) fn rows(case: &Case, rows: &mut Vec<Row>) {
    let name = |name| RowName::new("decode", case.algorithm, name);
    let token = case.token.clone();
    let (key, validation) = key_and_validation(case);
    rows.push(call_row(name("jsonwebtoken"), move || {
        decode::<Claims>(black_box(&token), &key, &validation).unwrap()
    }));
    let token = case.token.clone();
    let (key, validation) = key_and_validation(case);
    rows.push(call_row(name("jsonwebtoken, all claims"), move || {
        decode::<Value>(black_box(&token), &key, &validation).unwrap()
    }));
    let token = case.token.clone();
    let (key, validation) = crate::axum_jwt_auth::key_and_validation(case);
    rows.push(call_row(name("jsonwebtoken 10, rust_crypto"), move || {
        jsonwebtoken10::decode::<Claims>(black_box(&token), &key, &validation).unwrap()
    }));
}

pub(crate) fn key_and_validation(case: &Case) -> (DecodingKey, Validation) {
    let jwk = serde_json::from_value(case.jwk.clone()).unwrap();
    let mut validation = Validation::new(case.algorithm.parse::<Algorithm>().unwrap());
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.validate_nbf = true;
    (DecodingKey::from_jwk(&jwk).unwrap(), validation)
}
