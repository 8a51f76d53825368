//! Random changes of valid tokens and headers. Each run makes the same changes.

use std::{convert::Infallible, thread};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::FutureExt as _;
use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use serde_json::{Value, json};
use tower::{Layer as _, Service as _, service_fn};
use tower_auth::{
    AuthenticateLayer, Authenticator as _, BasicAuth, JwtAuth, Principal, any_of, basic::Users,
    jwt::Keys,
};
use tower_auth_test_support::{
    random::Random,
    token::{AUDIENCE, ISSUER, Signer, encode},
};

use super::parts;

const ALGORITHMS: [&str; 12] = [
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
    "ES384", "EdDSA",
];

/// Bytes that have a meaning in a header, a token or JSON.
const REPLACEMENTS: &[u8] = b"AZaz09-_.~+/= \t,;:\"\\{}[]\0\x7f\x80\xff";

fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "a", "exp": 4_102_444_800_u64 })
}

/// Changes the JSON of a header or of claims, and encodes it again.
fn mutate_json(random: &mut Random, part: &str) -> String {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let mut json = URL_SAFE_NO_PAD.decode(part).unwrap();
    if random.has(50) {
        random.mutate(&mut json, REPLACEMENTS);
        return encode(json);
    }
    let mut object: Value = serde_json::from_slice(&json).unwrap();
    let names =
        ["alg", "kid", "typ", "crit", "jwk", "iss", "aud", "sub", "exp", "scope", "cnf", "x"];
    let values = [
        json!("none"),
        json!(null),
        json!(1),
        json!([]),
        json!({}),
        json!("admin"),
        json!(["exp"]),
        json!(ISSUER),
        json!(*random.pick(&ALGORITHMS)),
        json!(u32::MAX),
    ];
    object[*random.pick(&names)] = random.pick(&values).clone();
    encode(object.to_string())
}

#[test]
fn twenty_thousand_mutated_tokens_over_12_algorithms_are_rejected() {
    const PER_ALGORITHM: usize = 1_700;
    let signers = ALGORITHMS.map(|name| Signer::generate(name, name));
    let keys: Vec<Value> = signers.iter().map(Signer::jwk).collect();
    let keys = Keys::from_json(json!({ "keys": keys }).to_string()).unwrap();
    let tokens = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE).build().unwrap();
    let valid: Vec<String> = signers.iter().map(|signer| signer.token(&claims())).collect();
    let is_admitted = |token: &[u8]| {
        let field = HeaderValue::from_bytes(&[b"Bearer ", token].concat()).ok()?;
        let request = Request::builder().header(AUTHORIZATION, field).body(()).unwrap();
        let result = tokens.authenticate(&request.into_parts().0).unwrap().now_or_never().unwrap();
        let result = result.into_result();
        let rejected = result.as_ref().err().map(|rejection| rejection.kind().status());
        assert!(rejected.is_none_or(|status| status.is_client_error()), "{rejected:?}");
        Some(result.is_ok())
    };
    for token in &valid {
        assert_eq!(is_admitted(token.as_bytes()), Some(true));
    }
    let attack = |seed: usize| {
        let mut random = Random::new(u64::try_from(seed).unwrap());
        let mut tried = 0;
        while tried < PER_ALGORITHM {
            let token = &valid[seed];
            let other = random.pick(&valid);
            let ([header, payload, signature], others) = (parts(token), parts(other));
            let mut changed = match random.below(6) {
                0 => format!("{}.{payload}.{signature}", mutate_json(&mut random, header)),
                1 => format!("{header}.{}.{signature}", mutate_json(&mut random, payload)),
                2 => format!("{}.{payload}.{signature}", others[0]),
                3 => format!("{header}.{payload}.{}", others[2]),
                _ => token.clone(),
            }
            .into_bytes();
            if changed == token.as_bytes() || random.has(30) {
                random.mutate(&mut changed, REPLACEMENTS);
            }
            // White space at the end is not part of the value of a header.
            if valid.iter().any(|token| token.as_bytes() == changed.trim_ascii()) {
                continue;
            }
            if let Some(is_admitted) = is_admitted(&changed) {
                assert!(!is_admitted, "seed {seed}: {}", String::from_utf8_lossy(&changed));
                tried += 1;
            }
        }
        tried
    };
    let tried: usize = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..ALGORITHMS.len()).map(|seed| scope.spawn(move || attack(seed))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(tried >= 20_000);
}

/// Reads one `Authorization` value as RFC 9110 §11.4 and RFC 6750 §2.1 define it, and returns the
/// subject of the valid credentials in it.
fn expected_subject(fields: &[Vec<u8>], token: &str, basic: &str) -> Option<&'static str> {
    let [field] = fields else { return None };
    let field = str::from_utf8(field).ok()?.trim_matches([' ', '\t']);
    let (scheme, credentials) = field.split_once(' ')?;
    let credentials = credentials.trim_start_matches(' ');
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" if credentials == token => Some("a"),
        "basic" if credentials == basic => Some("alice"),
        _ => None,
    }
}

#[test]
fn one_hundred_thousand_mutated_headers_admit_only_intact_credentials() {
    const MUTATIONS: usize = 100_000;
    let signer = Signer::secret("HS256", Some("1"), &[7; 32]);
    let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    let tokens = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE).build().unwrap();
    let staff = BasicAuth::new("staff", Users::new([("alice", "open sesame")]).unwrap()).unwrap();
    let inner = service_fn(async |request: Request<()>| {
        let caller = request.extensions().get::<Principal>().cloned();
        Ok::<_, Infallible>(Response::new(Body(caller)))
    });
    let mut service = AuthenticateLayer::new(any_of((tokens, staff))).layer(inner);

    let (token, basic) = (signer.token(&claims()), STANDARD.encode("alice:open sesame"));
    let valid = [format!("Bearer {token}"), format!("Basic {basic}")];
    let mut random = Random::new(6750);
    let mut seen = [0; 3];
    while seen.iter().sum::<usize>() < MUTATIONS {
        let count = if random.has(90) { 1 } else { 2 };
        let mut fields: Vec<Vec<u8>> =
            (0..count).map(|_| random.pick(&valid).clone().into_bytes()).collect();
        let field = fields.first_mut().unwrap();
        match random.below(8) {
            // Harmless: the case of the scheme, and the spaces after it and around the value.
            0 => field[random.below(6)] ^= 0x20,
            1 => drop(field.splice(6..6, b"  ".iter().copied().take(random.below(3)))),
            2 => field.extend(b" \t ".iter().take(random.below(4))),
            3 => drop(field.splice(0..0, *b" \t")),
            // Two values in one line.
            4 => field.extend([&b", "[..], random.pick(&valid).as_bytes()].concat()),
            _ => random.mutate(field, REPLACEMENTS),
        }
        let mut request = Request::new(());
        let values: Result<Vec<_>, _> =
            fields.iter().map(|field| HeaderValue::from_bytes(field)).collect();
        let Ok(values) = values else { continue };
        for value in values {
            request.headers_mut().append(AUTHORIZATION, value);
        }
        let response = service.call(request).now_or_never().unwrap().unwrap();
        let (status, has_challenge) =
            (response.status().as_u16(), response.headers().contains_key("www-authenticate"));
        let subject = response.body().0.as_ref().map(|caller| caller.subject().to_owned());
        let context =
            || fields.iter().map(|field| String::from_utf8_lossy(field)).collect::<Vec<_>>();
        let expected = expected_subject(&fields, &token, &basic);
        assert_eq!(subject.as_deref(), expected, "{:?}", context());
        match (status, expected) {
            (200, Some(_)) => seen[0] += 1,
            (400, None) if has_challenge => seen[1] += 1,
            (401, None) if has_challenge => seen[2] += 1,
            other => panic!("{other:?} for {:?}", context()),
        }
    }
    assert!(seen.iter().all(|count| *count > 5_000), "{seen:?}");
}

#[derive(Default)]
struct Body(Option<Principal>);
