//! A live key set and fixed keys for the same issuer.

use std::time::Duration;

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RsaPublicKeyComponents},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::FutureExt as _;
use serde_json::json;
use tower_auth::{
    JwtAuth,
    jwt::{Algorithm, Jwks, JwtAuthBuilder, KeySource, Keys},
};
use tower_auth_test_support::{
    stub::{StubResponse, StubServer, wait_until},
    token::{AUDIENCE, ISSUER, Signer, claims, encode, random},
};

use crate::{Service, signers};

const SECRET: [u8; 32] = [7; 32];

/// A signer with the fixed secret.
fn internal() -> Signer {
    Signer::secret("HS256", None, &SECRET)
}

fn live(stub: &StubServer) -> Jwks {
    Jwks::url(stub.url("/jwks")).timeout(Duration::from_secs(1))
}

fn keys_of(signer: &Signer) -> Keys {
    Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap()
}

/// Claims that outlive the shifts of the mock clock.
fn long_claims() -> serde_json::Value {
    let mut claims = claims();
    claims["exp"] = 4_102_444_800_u64.into();
    claims
}

#[tokio::test(flavor = "multi_thread")]
async fn token_of_a_fixed_key_does_not_wait_for_the_first_fetch() {
    let (stub, [published]) = (StubServer::start(), signers(["1"]));
    stub.set_response("/jwks", StubResponse::Hang);
    // The fetch does not end before the test ends, so a request that waits for it would fail.
    let jwks = Jwks::url(stub.url("/jwks")).timeout(Duration::from_secs(60));
    let service = Service::with(KeySource::from(jwks).and(Keys::hs256(&SECRET))).await;
    wait_until("the first fetch", async || stub.hits("/jwks") == 1).await;
    assert_eq!(service.status(&internal().token(&claims())).await, 200);
    let mut expired = claims();
    expired["exp"] = 1.into();
    assert_eq!(service.status(&internal().token(&expired)).await, 401);
    assert!(!service.health().is_ready());

    let token = published.token(&claims());
    let waiting = service.status(&token);
    let publish = async { stub.publish_keys([published.jwk()]) };
    assert_eq!(tokio::join!(waiting, publish).0, 200);
    assert!(service.health().is_ready());
    assert_eq!(service.status(&internal().token(&claims())).await, 200);
    assert_eq!(stub.hits("/jwks"), 1);
}

#[tokio::test]
async fn outage_rejects_only_tokens_of_live_keys() {
    let (stub, [published]) = (StubServer::start(), signers(["1"]));
    stub.set_response("/jwks", StubResponse::Status(500));
    let source = KeySource::from(live(&stub)).and(Keys::hs256(&SECRET));
    let service = Service::with(source).await;
    let (of_live, of_fixed) = (published.token(&long_claims()), internal().token(&long_claims()));
    assert_eq!(service.status(&of_live).await, 503);
    assert_eq!(service.status(&of_fixed).await, 200);
    // A forged token could be one of a live key, so it is not known to be invalid.
    let forged = Signer::secret("HS256", None, &random(32)).token(&long_claims());
    assert_eq!(service.status(&forged).await, 503);

    stub.publish_keys([published.jwk()]);
    service.clock.advance(31);
    assert_eq!(service.status(&of_live).await, 200);
    assert_eq!(service.status(&of_fixed).await, 200);
    assert_eq!(service.status(&forged).await, 401);

    // The live keys become too old.
    stub.set_response("/jwks", StubResponse::Status(500));
    service.clock.advance(600 + 3600 + 1);
    assert_eq!(service.status(&of_live).await, 503);
    assert_eq!(service.status(&of_fixed).await, 200);
}

#[tokio::test]
async fn kid_of_a_fixed_key_triggers_no_fetch() {
    let (stub, [published, unknown]) = (StubServer::start(), signers(["1", "2"]));
    stub.publish_keys([published.jwk()]);
    let source = KeySource::from(live(&stub)).and(Keys::hs256(&SECRET));
    let service = Service::with(source).await;
    assert_eq!(service.status(&published.token(&claims())).await, 200);
    assert_eq!(stub.hits("/jwks"), 1);
    for kid in [None, Some("unknown"), Some("1")] {
        let token = Signer::secret("HS256", kid, &SECRET).token(&claims());
        assert_eq!(service.status(&token).await, 200, "{kid:?}");
    }
    assert_eq!(stub.hits("/jwks"), 1);
    assert_eq!(service.status(&unknown.token(&claims())).await, 401);
    assert_eq!(stub.hits("/jwks"), 2);
    // The key of a known `kid` that does not match causes no fetch, as without fixed keys.
    let [other] = signers(["1"]);
    service.clock.advance(31);
    assert_eq!(service.status(&other.token(&claims())).await, 401);
    assert_eq!(stub.hits("/jwks"), 2);
}

#[tokio::test]
async fn live_and_fixed_keys_with_equal_ids_both_verify_their_tokens() {
    for id in [Some("same"), None] {
        let (stub, [mut published, mut fixed, mut other]) =
            (StubServer::start(), signers(["", "", ""]));
        for signer in [&mut published, &mut fixed, &mut other] {
            signer.id = id.map(str::to_owned);
        }
        stub.set_response("/jwks", StubResponse::Status(500));
        let service = Service::with(KeySource::from(live(&stub)).and(keys_of(&fixed))).await;
        assert_eq!(service.status(&fixed.token(&claims())).await, 200);
        assert_eq!(service.status(&published.token(&claims())).await, 503, "not 401: {id:?}");
        stub.publish_keys([published.jwk()]);
        service.clock.advance(31);
        for _ in 0..3 {
            assert_eq!(service.status(&published.token(&claims())).await, 200);
            assert_eq!(service.status(&fixed.token(&claims())).await, 200);
            assert_eq!(service.status(&other.token(&claims())).await, 401);
        }
    }
}

#[tokio::test]
async fn published_secrets_are_skipped_and_the_fixed_secret_is_kept() {
    let (stub, [published]) = (StubServer::start(), signers(["1"]));
    let attacker = Signer::secret("HS256", Some("evil"), &[9; 32]);
    let same_id = Signer::secret("HS256", Some("internal"), &[9; 32]);
    stub.publish_keys([published.jwk(), attacker.jwk(), same_id.jwk()]);
    let fixed = Keys::hs256(&SECRET).with_id("internal");
    let service = Service::with(KeySource::from(live(&stub)).and(fixed)).await;
    assert_eq!(service.status(&published.token(&claims())).await, 200);
    let internal = Signer::secret("HS256", Some("internal"), &SECRET);
    assert_eq!(service.status(&internal.token(&claims())).await, 200);
    for forged in [attacker, same_id] {
        assert_eq!(service.status(&forged.token(&claims())).await, 401, "{:?}", forged.id);
    }
    let skipped = service.tokens.skipped_keys();
    let skipped: Vec<_> = skipped.iter().map(|key| key.id().unwrap()).collect();
    assert_eq!(skipped, ["evil", "internal"]);
}

/// The attack on verifiers that choose the key without regard to the algorithm (RFC 8725 §2.1).
#[tokio::test]
async fn public_key_of_the_live_set_is_not_accepted_as_a_secret() {
    let stub = StubServer::start();
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
    let (n, e) = (encode(&public.n), encode(&public.e));
    let rsa = json!({ "kty": "RSA", "kid": "rsa", "alg": "RS256", "n": n, "e": e });
    // Keys with a contradictory or missing `alg`.
    let confused = json!({ "kty": "RSA", "kid": "confused", "alg": "HS256", "n": n, "e": e });
    let open = json!({ "kty": "RSA", "kid": "open", "n": n, "e": e });
    stub.publish_keys([rsa.clone(), confused, open]);
    let source = KeySource::from(live(&stub)).and(Keys::hs256(&SECRET));
    let service = Service::with(source).await;
    assert_eq!(service.status(&internal().token(&claims())).await, 200);

    let pkcs1 = pair.public_key().as_ref().to_vec();
    let spki = pair.public_key().as_der().unwrap().as_ref().to_vec();
    let pem = |label: &str, der: &[u8]| {
        let base64: Vec<_> =
            STANDARD.encode(der).into_bytes().chunks(64).map(<[u8]>::to_vec).collect();
        let base64 = String::from_utf8(base64.join(&b'\n')).unwrap();
        format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n").into_bytes()
    };
    let secrets = [
        pem("PUBLIC KEY", &spki),
        pem("RSA PUBLIC KEY", &pkcs1),
        rsa.to_string().into_bytes(),
        n.into_bytes(),
        public.n,
        pkcs1,
        spki,
        Vec::new(),
    ];
    for secret in secrets {
        for kid in [Some("rsa"), Some("confused"), Some("open"), None] {
            let forged = Signer::secret("HS256", kid, &secret).token(&claims());
            assert_eq!(service.status(&forged).await, 401, "{kid:?}, {} bytes", secret.len());
        }
    }
}

#[tokio::test]
async fn discovered_issuer_applies_to_fixed_keys() {
    let (stub, [published]) = (StubServer::start(), signers(["1"]));
    stub.publish_keys([published.jwk()]);
    let issuer = stub.publish_metadata("");
    let source = KeySource::from(Jwks::discover(&issuer)).and(Keys::hs256(&SECRET));
    let tokens = JwtAuth::builder(source).audience(AUDIENCE).build().unwrap();
    let address = crate::serve(tokens).await;
    for (issuer, expected) in [(issuer.as_str(), 200), (ISSUER, 401)] {
        let mut claims = claims();
        claims["iss"] = issuer.into();
        for signer in [&published, &internal()] {
            let response = crate::send(&address, &signer.token(&claims)).await;
            assert_eq!(response.status, expected, "{issuer}");
        }
    }
}

#[test]
fn fixed_key_needs_no_runtime() {
    let source = KeySource::from(Jwks::url("https://issuer.example/keys"));
    let source = source.and(Keys::hs256(&SECRET));
    let tokens = JwtAuth::builder(source).issuer(ISSUER).audience(AUDIENCE).build().unwrap();
    let caller = tokens.verify(&internal().token(&claims())).now_or_never().unwrap().unwrap();
    assert_eq!(caller.subject(), "user-1");
}

#[test]
fn unusable_combination_is_a_config_error() {
    let builder = |source: KeySource| JwtAuth::builder(source).audience(AUDIENCE);
    let error = |builder: JwtAuthBuilder| builder.build().unwrap_err().to_string();
    let jwks = || KeySource::from(Jwks::url("https://issuer.example/keys"));
    let discovered = |issuer: &str| KeySource::from(Jwks::discover(issuer));

    let two = builder(jwks().and(Jwks::url("https://other.example/keys"))).issuer(ISSUER);
    assert!(error(two).contains("several live key sets are combined: use one Jwks"));
    let two = discovered("https://a.example").and(discovered("https://b.example"));
    assert!(error(builder(two)).contains("several live key sets are combined"));
    let fixed_first = KeySource::from(Keys::hs256(&SECRET)).and(jwks()).and(jwks());
    assert!(error(builder(fixed_first).issuer(ISSUER)).contains("several live key sets"));

    let weak = builder(jwks().and(Keys::hs256(&[7; 31]))).issuer(ISSUER);
    assert!(error(weak).contains("the secret is shorter than its hash"));
    let excluded = builder(jwks().and(Keys::hs256(&SECRET))).issuer(ISSUER);
    assert!(error(excluded.algorithms([Algorithm::RS256])).contains("not among those allowed"));
    let small = json!({ "kty": "RSA", "kid": "small", "n": encode([0xff; 128]), "e": "AQAB" });
    let unusable = Keys::from_json(json!({ "keys": [small] }).to_string()).unwrap();
    assert!(error(builder(jwks().and(unusable)).issuer(ISSUER)).contains("no key can verify"));

    // No fixed key at all is the same as only the live set.
    assert!(builder(jwks().and(Keys::default())).issuer(ISSUER).build().is_ok());
    let reversed = KeySource::from(Keys::hs256(&SECRET)).and(Jwks::discover(ISSUER));
    assert!(builder(reversed).build().is_ok());
}
