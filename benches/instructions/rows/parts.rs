//! The parts of a layer, measured alone.

use std::hint::black_box;

use aws_lc_rs::{
    hmac,
    signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
        RsaPublicKeyComponents,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::FutureExt;
use http::{Request, header::AUTHORIZATION, request::Parts};
use tower_auth::{Authenticator, JwtAuth, Policy, Principal, Rejection, RequireScopes, Scheme};

use crate::bearer::{SECRET, bearer, builder, fixed_token};

pub(crate) struct HeadAuthentication {
    tokens: JwtAuth,
    head: Parts,
}

pub(crate) fn head(algorithm: &'static str) -> HeadAuthentication {
    let (jwk, token) = fixed_token(algorithm);
    let request = Request::builder().header(AUTHORIZATION, bearer(&token)).body(()).unwrap();
    let tokens = builder(&[jwk]).build().unwrap();
    let head = HeadAuthentication { tokens, head: request.into_parts().0 };
    for _ in 0..2 {
        assert!(head.authenticate().is_ok());
    }
    head
}

impl HeadAuthentication {
    fn authenticate(&self) -> Result<Principal, Rejection> {
        self.tokens
            .authenticate(black_box(&self.head))
            .unwrap()
            .now_or_never()
            .unwrap()
            .into_result()
    }

    pub(crate) fn run(self) -> (Result<Principal, Rejection>, Self) {
        (self.authenticate(), self)
    }
}

pub(crate) struct SignatureVerification {
    key: Key,
    message: Vec<u8>,
    signature: Vec<u8>,
}

enum Key {
    Secret(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

pub(crate) fn hmac_verification() -> SignatureVerification {
    verification(
        Key::Secret(hmac::Key::new(hmac::HMAC_SHA256, &SECRET).into()),
        &fixed_token("HS256").1,
    )
}

pub(crate) fn public_key_verification(algorithm: &'static str) -> SignatureVerification {
    let (jwk, token) = fixed_token(algorithm);
    let part = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let key = match algorithm {
        "RS256" => RsaPublicKeyComponents { n: part("n"), e: part("e") }
            .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256),
        "ES256" => {
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, [vec![4], part("x"), part("y")].concat())
        }
        _ => ParsedPublicKey::new(&ED25519, part("x")),
    };
    verification(Key::Public(key.unwrap()), &token)
}

fn verification(key: Key, token: &str) -> SignatureVerification {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let verification =
        SignatureVerification { key, message: message.as_bytes().to_vec(), signature };
    assert!(verification.verify());
    verification
}

impl SignatureVerification {
    fn verify(&self) -> bool {
        let (message, signature) = black_box((&*self.message, &*self.signature));
        match &self.key {
            Key::Secret(key) => hmac::verify(key, message, signature).is_ok(),
            Key::Public(key) => key.verify_sig(message, signature).is_ok(),
        }
    }

    pub(crate) fn run(self) -> (bool, Self) {
        (self.verify(), self)
    }
}

pub(crate) struct ScopeChecks {
    checks: Vec<(Principal, RequireScopes)>,
    head: Parts,
}

/// Prepares 5000 checks, which require every scope of every caller once.
///
/// The position of a scope depends on a hash with a random seed, so the count of a single check
/// would vary by about 10 % between processes.
pub(crate) fn scope_checks(count: usize) -> ScopeChecks {
    let mut checks = Vec::new();
    for caller in 0..10_000 / count {
        let name = |number: usize| format!("orders-{caller}:{number}");
        let principal = Principal::builder("user-1", Scheme::BEARER);
        let principal = principal.scopes((0..count).map(name)).build();
        let policy = |number| RequireScopes::all([name(number), name(count - 1 - number)]);
        checks.extend((0..count / 2).map(|number| (principal.clone(), policy(number))));
    }
    let checks = ScopeChecks { checks, head: Request::new(()).into_parts().0 };
    assert!(checks.all_pass());
    checks
}

impl ScopeChecks {
    fn all_pass(&self) -> bool {
        let checks = black_box(&self.checks);
        let allows = |policy: &RequireScopes, caller| {
            matches!(policy.evaluate(caller, &self.head).into_ready(), Ok(Ok(())))
        };
        checks.iter().all(|(caller, policy)| allows(policy, caller))
    }

    pub(crate) fn run(self) -> (bool, Self) {
        (self.all_pass(), self)
    }
}
