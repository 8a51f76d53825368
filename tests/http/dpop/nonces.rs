//! Nonces (RFC 9449 §9).

use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;
use tower_auth::{
    dpop::ProofError,
    store::{Memory, SealedStore, StoreSecret},
};
use tower_auth_test_support::raw::RawResponse;

use super::{ALGORITHMS, Fixture, SECOND, assert_admitted};

async fn fixture() -> Fixture {
    let fixture = Fixture::with(|binding| binding.nonces()).await;
    // The start of a step.
    fixture.clock.set(UNIX_EPOCH + SECOND * u32::try_from(fixture.now() / 60 * 60).unwrap());
    fixture
}

fn send(fixture: &Fixture, nonce: &str) -> RawResponse {
    let token = fixture.token();
    let mut claims = fixture.claims(&token);
    claims["nonce"] = nonce.into();
    fixture.get_with_claims(&token, &claims)
}

/// Returns the nonce of a response that asks for one.
#[track_caller]
fn assert_nonce_required(fixture: &Fixture, response: &RawResponse) -> String {
    assert_eq!(response.status, 401);
    assert_eq!(fixture.reasons.take_last(), ProofError::Nonce.to_string());
    // Clients such as oauth4webapi look for the error only in a single challenge.
    let challenge = format!(r#"DPoP realm="api", algs="{ALGORITHMS}", error="use_dpop_nonce""#);
    assert_eq!(response.header("www-authenticate"), challenge);
    assert_eq!(response.header("cache-control"), "no-store");
    response.header("dpop-nonce").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn proof_without_a_nonce_gets_one_and_is_accepted_with_it() {
    let fixture = fixture().await;
    let token = fixture.token();
    let nonce = assert_nonce_required(&fixture, &fixture.get(&token, &fixture.proof(&token)));
    assert_eq!(nonce.len(), 43);
    for _ in 0..3 {
        let response = send(&fixture, &nonce);
        assert_admitted(&response);
        assert!(response.header_values("dpop-nonce").is_empty());
        assert!(response.header_values("cache-control").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_nonce_is_rejected() {
    let fixture = fixture().await;
    let nonce = assert_nonce_required(&fixture, &send(&fixture, ""));
    for wrong in [
        String::new(),
        nonce[1..].to_owned(),
        format!("{nonce} "),
        format!("{nonce}{nonce}"),
        nonce.to_lowercase(),
        "A".repeat(43),
        "\u{1f512}".into(),
    ] {
        assert_eq!(assert_nonce_required(&fixture, &send(&fixture, &wrong)), nonce);
    }
    let token = fixture.token();
    let mut claims = fixture.claims(&token);
    claims["nonce"] = json!(1);
    let response = fixture.get_with_claims(&token, &claims);
    fixture.assert_invalid_proof(&response, ProofError::MalformedClaim("nonce"), "number");
    assert_admitted(&send(&fixture, &nonce));
}

/// A client can use a nonce for 60 s, and gets the next one with a response after that.
#[tokio::test(flavor = "multi_thread")]
async fn nonce_is_valid_for_one_to_two_steps() {
    for received_at in [0, 1, 30, 59] {
        let fixture = fixture().await;
        fixture.clock.advance(SECOND * received_at);
        let nonce = assert_nonce_required(&fixture, &send(&fixture, ""));
        for second in received_at..200 {
            let response = send(&fixture, &nonce);
            let new = response.header_values("dpop-nonce").first().map(|it| (*it).to_owned());
            match second {
                0..60 => {
                    assert_admitted(&response);
                    assert_eq!(new, None);
                }
                60..125 => {
                    assert_admitted(&response);
                    assert_eq!(response.header("cache-control"), "no-store");
                    let renewed = send(&fixture, &new.unwrap());
                    assert_admitted(&renewed);
                    assert!(renewed.header_values("dpop-nonce").is_empty());
                }
                _ => assert_ne!(assert_nonce_required(&fixture, &response), nonce),
            }
            fixture.clock.advance(SECOND);
        }
    }
}

/// The clock of the instance that created the nonce is ahead.
#[tokio::test(flavor = "multi_thread")]
async fn nonce_of_an_instance_whose_clock_is_ahead_is_accepted_within_the_leeway() {
    for (ahead, is_accepted) in [(1, true), (5, true), (6, false), (60, false), (600, false)] {
        let fixture = fixture().await;
        let nonce = assert_nonce_required(&fixture, &send(&fixture, ""));
        let created_at = fixture.now();
        let behind = UNIX_EPOCH + SECOND * u32::try_from(created_at - ahead).unwrap();
        fixture.clock.set(behind);
        let response = send(&fixture, &nonce);
        assert_eq!(response.status, if is_accepted { 200 } else { 401 }, "{ahead}");
    }
}

/// Instances with the same secret accept the nonces of each other.
#[tokio::test(flavor = "multi_thread")]
async fn nonces_depend_on_the_secret_of_the_store_only() {
    let (old, new) = (*b"0123456789abcdefghijklmnopqrstuv", *b"vutsrqponmlkjihgfedcba9876543210");
    let start = async |secret: StoreSecret| {
        let clock = tower_auth::test_util::TestClock::at(UNIX_EPOCH + Duration::from_secs(1 << 30));
        let store = SealedStore::new(Memory::with_clock(clock.clone()), secret);
        Fixture::with_store(clock, store, |binding| binding.nonces(), |it| it).await
    };
    let one = start(StoreSecret::new(old).unwrap()).await;
    let same = start(StoreSecret::new(old).unwrap()).await;
    let rotating = start(StoreSecret::new(new).unwrap().previous(old).unwrap()).await;
    let rotated = start(StoreSecret::new(new).unwrap()).await;
    let nonce_of = |fixture: &Fixture| assert_nonce_required(fixture, &send(fixture, ""));
    assert_eq!(nonce_of(&one), nonce_of(&same));
    assert_admitted(&send(&same, &nonce_of(&one)));
    // During a rotation, nonces of both secrets are accepted.
    assert_ne!(nonce_of(&one), nonce_of(&rotating));
    assert_admitted(&send(&rotating, &nonce_of(&one)));
    assert_admitted(&send(&rotating, &nonce_of(&rotated)));
    assert_nonce_required(&rotated, &send(&rotated, &nonce_of(&one)));
}

/// A nonce does not replace the other checks.
#[tokio::test(flavor = "multi_thread")]
async fn other_faults_are_reported_before_the_nonce() {
    let fixture = fixture().await;
    let token = fixture.token();
    let mut claims = fixture.claims(&token);
    claims["iat"] = 0.into();
    let response = fixture.get_with_claims(&token, &claims);
    fixture.assert_invalid_proof(&response, ProofError::Expired, "iat");
    let nonce = assert_nonce_required(&fixture, &send(&fixture, ""));
    claims = fixture.claims(&token);
    claims["nonce"] = nonce.into();
    let proof = fixture.client.0.token_with(&fixture.client.header(), &claims);
    assert_admitted(&fixture.get(&token, &proof));
    fixture.assert_invalid_proof(&fixture.get(&token, &proof), ProofError::Replayed, "replay");
}
