//! Tokens that clients get for themselves.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tower_auth::{
    Principal,
    issue::{AccessClaims, ClaimsRequest, IssueError, ServiceToken, TokenIssuer},
    test_util::principal,
};

use super::{Fixture, ISSUER, START, claims_of, client, is_admitted, issuer, ready};

fn issue(issuer: &TokenIssuer, client: &Principal) -> Result<ServiceToken, IssueError> {
    ready(issuer.issue_to_client(client).into_future())
}

#[test]
fn token_of_a_client_has_its_id_as_subject_and_no_login() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let token = issue(&issuer, &client("job")).unwrap();
    let mut claims = claims_of(&token);
    let start = claims["fst"].as_f64().unwrap();
    assert!((start - 1_700_000_000.0).abs() < 0.1, "{start}");
    for name in ["jti", "fst"] {
        claims.as_object_mut().unwrap().remove(name).unwrap();
    }
    let expected = json!({
        "iss": ISSUER, "sub": "job", "client_id": "job", "aud": "orders", "scope": "read write",
        "iat": START, "exp": START + 600,
    });
    assert_eq!(claims, expected);
}

#[test]
fn client_gets_the_scopes_that_it_has() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let with = |scopes: &[&str]| {
        ready(issuer.issue_to_client(&client("job")).scopes(scopes).into_future())
    };
    assert_eq!(with(&["write"]).unwrap().scope(), "write");
    assert_eq!(with(&[]).unwrap().scope(), "");
    for other in [&["admin"][..], &["read", "admin"], &["read write"], &[""]] {
        assert!(matches!(with(other), Err(IssueError::InvalidScope)), "{other:?}");
    }
    assert_eq!(issue(&issuer, &principal("job").build()).unwrap().scope(), "");
}

#[test]
fn token_for_another_service_has_only_its_audience() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let token = issuer.issue_to_client(&client("job")).audience("payments");
    assert_eq!(claims_of(&ready(token.into_future()).unwrap())["aud"], "payments");
    let other = issuer.issue_to_client(&client("job")).audience("stock");
    assert!(matches!(ready(other.into_future()), Err(IssueError::InvalidTarget)));
}

#[test]
fn token_of_a_client_does_not_outlive_the_credential_of_the_client() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let until = |seconds: u64| {
        let end = UNIX_EPOCH + Duration::from_secs(START + seconds);
        client("job").to_builder().expires_at(end).build()
    };
    for (seconds, expected) in [(1, 1), (600, 600), (10_000, 600)] {
        let token = issue(&issuer, &until(seconds)).unwrap();
        assert_eq!(token.expires_in().as_secs(), expected);
    }
    assert!(issue(&issuer, &until(0)).is_err());
}

#[test]
fn logout_everywhere_ends_the_tokens_of_a_client() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    for _ in 0..2 {
        let token = issue(&issuer, &client("job")).unwrap();
        assert!(is_admitted(&issuer, &token));
        fixture.advance(1);
        ready(issuer.logout_everywhere("job")).unwrap();
        assert!(!is_admitted(&issuer, &token));
    }
}

#[test]
fn logout_everywhere_ends_all_tokens_of_a_client_in_the_same_millisecond() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    for _ in 0..10 {
        let tokens = [(); 2].map(|()| issue(&issuer, &client("job")).unwrap());
        assert!(tokens.iter().all(|token| is_admitted(&issuer, token)));
        ready(issuer.logout_everywhere("job")).unwrap();
        assert!(!tokens.iter().any(|token| is_admitted(&issuer, token)));
    }
}

#[test]
fn claims_closure_is_called_with_the_client() {
    let fixture = Fixture::new();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    let closure = move |request: ClaimsRequest| {
        seen.lock().unwrap().push(request.clone());
        async move {
            match request.is_client {
                true if request.subject == "disabled" => Ok::<_, std::io::Error>(None),
                true => Ok(Some(AccessClaims::new(&json!({ "kind": "service" })).scopes("read"))),
                false => Ok(Some(AccessClaims::none())),
            }
        }
    };
    let issuer = fixture.builder().claims(closure).build().unwrap();
    let token = issue(&issuer, &client("job")).unwrap();
    assert_eq!((token.scope(), &claims_of(&token)["kind"]), ("read", &json!("service")));
    let request = requests.lock().unwrap().pop().unwrap();
    assert_eq!((&*request.subject, &*request.client_id), ("job", "job"));
    assert_eq!((&*request.issuer, &*request.audience), (ISSUER, &["orders".to_owned()][..]));
    assert!(!request.is_exchange && !request.is_refresh);
    assert!(matches!(issue(&issuer, &client("disabled")), Err(IssueError::NotAllowed)));
}

#[test]
fn client_without_an_id_is_an_error_of_the_program() {
    let fixture = Fixture::new();
    let result = issue(&issuer(&fixture), &client(""));
    assert!(matches!(result, Err(IssueError::Invalid(_))), "{result:?}");
}

#[tokio::test]
async fn token_of_a_client_is_accepted_by_the_verifier() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let token = issuer.issue_to_client(&client("job")).await.unwrap();
    let caller = issuer.verifier().verify(token.access_token()).await.unwrap();
    assert_eq!(caller.subject(), "job");
    assert!(caller.claim::<Value>("auth_time").is_err());
}
