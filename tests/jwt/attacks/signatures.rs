//! Attacks with signatures.

use serde_json::json;
use tower_auth::jwt::TokenError;
use tower_auth_test_support::token::{claims, encode};

use super::{Target, parts};

#[test]
fn empty_truncated_or_extended_signature_is_rejected() {
    let target = Target::new();
    for signer in target.signers() {
        let token = signer.token(&claims());
        target.accepts(&token);
        let [header, payload, signature] = parts(&token);
        assert_eq!(target.rejects(&format!("{header}.{payload}.")), TokenError::Signature);
        assert_eq!(target.rejects(&format!("{header}.{payload}")), TokenError::NotCompactJws);
        for length in 1..signature.len() {
            target.rejects(&format!("{header}.{payload}.{}", &signature[..length]));
        }
        let extended = format!("{header}.{payload}.{signature}AAAA");
        assert_eq!(target.rejects(&extended), TokenError::Signature);
        let zeros = encode(vec![0; signature.len() * 3 / 4]);
        assert_eq!(target.rejects(&format!("{header}.{payload}.{zeros}")), TokenError::Signature);
    }
}

/// CVE-2022-21449 and similar: `r` and `s` of zero, one, the curve order and all ones.
#[test]
fn ecdsa_signature_of_zero_one_or_curve_order_is_rejected() {
    let target = Target::new();
    let order_256 = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order_384 = "ffffffffffffffffffffffffffffffffffffffffffffffff\
                     c7634d81f4372ddf581a0db248b0a77aecec196accc52973";
    for (signer, order) in [(&target.p256, order_256), (&target.p384, order_384)] {
        let order = hex(order);
        let size = order.len();
        let number = |low: u8| {
            let mut number = vec![0; size];
            number[size - 1] = low;
            number
        };
        let values = [number(0), number(1), order, vec![0xff; size]];
        let token = signer.token(&claims());
        let [header, payload, _] = parts(&token);
        for (r, s) in values.iter().flat_map(|r| values.iter().map(move |s| (r, s))) {
            let signature = encode([r.as_slice(), s.as_slice()].concat());
            let error = target.rejects(&format!("{header}.{payload}.{signature}"));
            assert_eq!(error, TokenError::Signature);
        }
    }
}

#[test]
fn ecdsa_signature_in_der_is_rejected() {
    let target = Target::new();
    for signer in [&target.p256, &target.p384] {
        let token = signer.token(&claims());
        let [header, payload, signature] = parts(&token);
        let signature = decode(signature);
        let (r, s) = signature.split_at(signature.len() / 2);
        let integer = |number: &[u8]| {
            let number: Vec<_> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
            let pad = number.first().is_some_and(|first| first & 0x80 != 0);
            let mut der = vec![2, u8::try_from(number.len() + usize::from(pad)).unwrap()];
            der.extend(pad.then_some(0));
            der.extend(number);
            der
        };
        let body = [integer(r), integer(s)].concat();
        let der = [vec![0x30, u8::try_from(body.len()).unwrap()], body].concat();
        let error = target.rejects(&format!("{header}.{payload}.{}", encode(der)));
        assert_eq!(error, TokenError::Signature);
        // r and s swapped.
        let swapped = encode([s, r].concat());
        target.rejects(&format!("{header}.{payload}.{swapped}"));
    }
}

/// ECDSA signatures with `s` and with `n - s` both verify, and RFC 7518 §3.4 does not forbid it. No
/// code, such as a cache key, may therefore assume that a token has only one valid signature.
#[test]
fn alternative_signature_is_accepted_only_for_ecdsa_n_minus_s() {
    let target = Target::new();
    let token = target.ed.token(&claims());
    let [header, payload, signature] = parts(&token);
    // Ed25519: s + L, which RFC 8032 §5.1.7 forbids.
    let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut signature = decode(signature);
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    let error = target.rejects(&format!("{header}.{payload}.{}", encode(signature)));
    assert_eq!(error, TokenError::Signature);

    // ECDSA: n - s in place of s, which is valid.
    let token = target.p256.token(&claims());
    let [header, payload, signature] = parts(&token);
    let order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let mut signature = decode(signature);
    let mut borrow = 0;
    for (byte, n) in signature[32..].iter_mut().zip(order).rev() {
        let difference = i16::from(n) - i16::from(*byte) - borrow;
        *byte = difference.to_le_bytes()[0];
        borrow = i16::from(difference < 0);
    }
    target.accepts(&format!("{header}.{payload}.{}", encode(signature)));

    // RSA: a leading zero byte.
    let token = target.rsa.token(&claims());
    let [header, payload, signature] = parts(&token);
    let padded = [vec![0], decode(signature)].concat();
    target.rejects(&format!("{header}.{payload}.{}", encode(padded)));
}

#[test]
fn signature_by_key_of_another_algorithm_is_rejected() {
    let target = Target::new();
    for (signer, algorithm, kid) in [
        (&target.p256, "ES384", "ES384"),
        (&target.p256, "ES256", "ES384"),
        (&target.p384, "ES256", "ES256"),
        (&target.p384, "ES384", "ES256"),
        (&target.ed, "ES256", "EdDSA"),
        (&target.ed, "EdDSA", "ES256"),
        (&target.rsa, "PS256", "RS256"),
        (&target.rsa, "RS512", "RS256"),
    ] {
        let header = json!({ "alg": algorithm, "kid": kid });
        target.rejects(&signer.token_with(&header, &claims()));
    }
}

fn decode(text: &str) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}
