//! Any payload under a good signature: what is admitted is what the claims say, read by another parser, and what that
//! parser finds good is admitted.
#![no_main]

use std::{
    collections::BTreeMap,
    fmt,
    sync::LazyLock,
    time::{Duration, UNIX_EPOCH},
};

use futures_util::FutureExt as _;
use http::{Request, header::AUTHORIZATION};
use libfuzzer_sys::fuzz_target;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use tower_auth::{
    Authenticator as _, JwtAuth, Principal,
    jwt::{Algorithm, DecodingKey, Keys},
};
use tower_auth_test_support::token::{AUDIENCE, ISSUER, Signer, encode};

const SECRET: [u8; 32] = [7; 32];
const NOW: u64 = 1_800_000_000;

static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::secret("HS256", None, &SECRET));

static TOKENS: LazyLock<JwtAuth> = LazyLock::new(|| {
    let keys = Keys::new(Algorithm::HS256, DecodingKey::from_secret(&SECRET));
    let builder = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE).require_claim("jti");
    builder
        .clock(|| UNIX_EPOCH + Duration::from_secs(NOW))
        .max_token_bytes(1 << 20)
        .build()
        .unwrap()
});

fuzz_target!(|payload: &[u8]| {
    let token = SIGNER.sign(&encode(r#"{"alg":"HS256"}"#), &encode(payload));
    let field = format!("Bearer {token}");
    let head = Request::builder().header(AUTHORIZATION, field).body(()).unwrap().into_parts().0;
    let answer = TOKENS.authenticate(&head).map(|answer| answer.now_or_never().unwrap());
    match (answer.unwrap(), serde_json::from_slice::<Once>(payload)) {
        (Ok(caller), Ok(Once(claims))) => is_what_they_say(&caller, &claims),
        (Ok(_), Err(error)) => panic!("admitted, and yet {error}"),
        (Err(error), Ok(Once(claims))) => {
            assert!(
                !is_good(&claims),
                "refused, and yet good: {:?}",
                std::error::Error::source(&error)
            );
        }
        (Err(_), Err(_)) => {}
    }
});

fn is_what_they_say(caller: &Principal, claims: &Value) {
    assert_eq!(claims["iss"], ISSUER);
    let ours = |aud: &Value| aud == AUDIENCE;
    assert!(ours(&claims["aud"]) || claims["aud"].as_array().unwrap().iter().any(ours));
    assert!(claims["exp"].as_f64().unwrap() + 60.0 > NOW as f64);
    assert!(claims["nbf"].as_f64().is_none_or(|nbf| nbf <= NOW as f64 + 60.0));
    assert_eq!(claims["sub"], caller.subject());
    assert!(!claims["jti"].is_null());
    if let Some(scope) = claims["scope"].as_str() {
        assert!(caller.scopes().iter().eq(scope.split(' ').filter(|scope| !scope.is_empty())));
    }
    assert_eq!(&caller.claims::<Value>().unwrap(), claims);
}

/// Whether nothing can be said against them, by the narrowest reading of each claim.
fn is_good(claims: &Value) -> bool {
    let has_text = |name: &str| claims[name].as_str().is_some_and(|text| !text.is_empty());
    let date = |name: &str| match claims.get(name) {
        None => Some(None),
        Some(date) => date.as_u64().filter(|date| *date < 1 << 53).map(Some),
    };
    let starts = |name: &str| date(name).is_some_and(|start| start.is_none_or(|at| at <= NOW));
    claims["iss"] == ISSUER
        && claims["aud"] == AUDIENCE
        && has_text("sub")
        && has_text("jti")
        && date("exp").is_some_and(|end| end.is_some_and(|end| end > NOW))
        && starts("nbf")
        && starts("iat")
        && (claims.get("scope").is_none() || claims["scope"].is_string())
        && levels(claims) < 20
}

fn levels(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(levels).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(levels).max().unwrap_or(0),
        _ => 0,
    }
}

/// A JSON value in which no name is there twice.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnceVisitor;

        impl<'de> Visitor<'de> for OnceVisitor {
            type Value = Once;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E: Error>(self) -> Result<Once, E> {
                Ok(Once(Value::Null))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Once, E> {
                Ok(Once(value.into()))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Once, E> {
                Ok(Once(value.into()))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Once, E> {
                Ok(Once(value.into()))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Once, E> {
                Ok(Once(value.into()))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Once, E> {
                Ok(Once(value.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Once, A::Error> {
                let mut all = Vec::new();
                while let Some(Once(item)) = items.next_element()? {
                    all.push(item);
                }
                Ok(Once(all.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Once, A::Error> {
                let mut all = BTreeMap::new();
                while let Some((name, Once(value))) = members.next_entry::<String, _>()? {
                    if all.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name is there twice"));
                    }
                }
                Ok(Once(all.into_iter().collect()))
            }
        }

        deserializer.deserialize_any(OnceVisitor)
    }
}
