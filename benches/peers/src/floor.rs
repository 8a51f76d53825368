//! The signature verification alone, with a prepared key and decoded bytes.

use std::hint::black_box;

use aws_lc_rs::{
    hmac,
    signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
        RsaPublicKeyComponents,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{Case, Row, RowName, row::call_row};

pub(crate) fn rows(case: &Case, rows: &mut Vec<Row>) {
    let name = RowName::new("baseline", case.algorithm, "floor");
    let (message, signature) = case.token.rsplit_once('.').unwrap();
    let (message, signature) = (message.as_bytes().to_vec(), decode(signature));
    rows.push(if case.algorithm == "HS256" {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &part(case, "k"));
        call_row(name, move || hmac::verify(&key, black_box(&message), &signature).unwrap())
    } else {
        let key = public_key(case);
        call_row(name, move || key.verify_sig(black_box(&message), &signature).unwrap())
    });
}

fn public_key(case: &Case) -> ParsedPublicKey {
    match case.algorithm {
        "RS256" => RsaPublicKeyComponents { n: part(case, "n"), e: part(case, "e") }
            .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256),
        "ES256" => {
            let point = [vec![4], part(case, "x"), part(case, "y")].concat();
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        }
        _ => ParsedPublicKey::new(&ED25519, part(case, "x")),
    }
    .unwrap()
}

fn part(case: &Case, name: &str) -> Vec<u8> {
    decode(case.jwk[name].as_str().unwrap())
}

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}
