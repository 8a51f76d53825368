//! How long exchanged tokens are valid, and what ends them.

use std::{collections::BTreeSet, time::Duration};

use tower_auth::{
    Principal,
    issue::ServiceToken,
    store::{SealedStore, StoreErrorKind},
    test_util::principal,
};

use super::{
    Fixture, ISSUER, START, alice, claims_of, client, exchange, exchange_for, fixture, foreign,
    is_admitted, issuer, log_in_as, outcome, ready, user_of, verified, with,
};
use crate::issue::fixture::log_out;

#[test]
fn token_never_outlives_its_original_and_is_valid_for_one_lifetime_at_most() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    for (left, expected) in [(1, Some(1)), (599, Some(599)), (600, Some(600)), (5_000, Some(600))] {
        let token = verified(&with(foreign(), "exp", START + left));
        let token = exchange(&issuer, &token).ok();
        assert_eq!(token.map(|token| token.expires_in().as_secs()), expected, "{left}");
    }
    // A closure can only end it earlier.
    for (end, expected) in [(START + 100, 100), (START + 400, 300)] {
        let token = verified(&foreign());
        let end = std::time::UNIX_EPOCH + Duration::from_secs(end);
        let token = exchange(&issuer, &token.to_builder().expires_at(end).build()).unwrap();
        assert_eq!(token.expires_in().as_secs(), expected);
    }
}

#[test]
fn expired_token_is_rejected_without_leeway() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let user = alice(&issuer);
    fixture.advance(599);
    let last = exchange(&issuer, &user).unwrap();
    assert_eq!(last.expires_in().as_secs(), 1);
    fixture.advance(1);
    assert_eq!(outcome(&exchange(&issuer, &user)), "Expired");
    assert_eq!(outcome(&exchange(&issuer, &verified(&claims_of(&last)))), "Expired");
}

#[test]
fn logout_ends_the_tokens_of_the_whole_chain() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let chain = |user: &Principal| -> [ServiceToken; 2] {
        let first = exchange(&issuer, user).unwrap();
        let second = exchange_for(&issuer, &verified(&claims_of(&first)), "payments", &["read"]);
        [first, second.unwrap()]
    };
    let ends: [fn(&tower_auth::issue::TokenIssuer, &tower_auth::issue::TokenPair); 2] = [
        |issuer, tokens| log_out(issuer, tokens),
        |issuer, _| drop(ready(issuer.logout_everywhere("alice")).unwrap()),
    ];
    for end in ends {
        fixture.advance(1);
        let (tokens, others) = (log_in_as(&issuer, "alice"), log_in_as(&issuer, "bob"));
        let (ended, kept) = (chain(&user_of(&tokens)), chain(&user_of(&others)));
        assert!(ended.iter().chain(&kept).all(|token| is_admitted(&issuer, token)));
        end(&issuer, &tokens);
        assert!(!ended.iter().any(|token| is_admitted(&issuer, token)));
        assert!(kept.iter().all(|token| is_admitted(&issuer, token)));
        // The principals are old, and their tokens have not expired.
        for user in [user_of(&tokens), verified(&claims_of(&ended[0]))] {
            assert_eq!(outcome(&exchange(&issuer, &user)), "Revoked");
        }
    }
}

#[test]
fn revocation_of_one_token_does_not_end_the_others() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let user = alice(&issuer);
    let token = exchange(&issuer, &user).unwrap();
    ready(issuer.revocations().token(&user)).unwrap();
    assert_eq!(outcome(&exchange(&issuer, &user)), "Revoked");
    assert!(is_admitted(&issuer, &token));
}

#[test]
fn logout_everywhere_ends_a_foreign_users_tokens_and_a_new_exchange_is_accepted() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let user = verified(&foreign());
    let token = exchange(&issuer, &user).unwrap();
    fixture.advance(1);
    ready(issuer.logout_everywhere("alice")).unwrap();
    assert!(!is_admitted(&issuer, &token));
    let token = exchange(&issuer, &user).unwrap();
    assert!(is_admitted(&issuer, &token));
    // At the other issuer.
    ready(issuer.revocations().subject(super::OTHER, "alice")).unwrap();
    assert_eq!(outcome(&exchange(&issuer, &user)), "Revoked");
}

#[test]
fn rejected_token_causes_no_store_call() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let user = alice(&issuer);
    fixture.store.take_operations();
    let invalid = [
        principal("alice").build(),
        verified(&with(foreign(), "iss", "https://unknown.example")),
        verified(&with(foreign(), "cnf", serde_json::json!({ "jkt": "x" }))),
        verified(&with(foreign(), "exp", START)),
        verified(&with(foreign(), "act", "x")),
        verified(&with(foreign(), "may_act", serde_json::json!({ "sub": "x" }))),
    ];
    for caller in &invalid {
        exchange(&issuer, caller).unwrap_err();
    }
    exchange_for(&issuer, &user, "unknown", &["read"]).unwrap_err();
    exchange_for(&issuer, &user, "invoices", &["admin"]).unwrap_err();
    assert_eq!(fixture.store.take_operations(), [""; 0]);
}

#[test]
fn number_of_store_calls_does_not_grow() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let user = alice(&issuer);
    let foreign = verified(&foreign());
    let mut counts = [(); 3].map(|()| BTreeSet::new());
    for _ in 0..200 {
        fixture.store.take_operations();
        let mut count = |index: usize| {
            counts[index].insert(fixture.store.take_operations());
        };
        exchange(&issuer, &user).unwrap();
        count(0);
        exchange(&issuer, &foreign).unwrap();
        count(1);
        ready(issuer.issue_to_client(&client("job")).into_future()).unwrap();
        count(2);
    }
    let expected = [vec!["get"], vec!["get", "get"], vec!["get"]];
    assert_eq!(counts, expected.map(|operations| BTreeSet::from([operations])));
    // No record is written.
    let records = fixture.store.snapshot().len();
    exchange(&issuer, &user).unwrap();
    ready(issuer.issue_to_client(&client("job")).into_future()).unwrap();
    assert_eq!(fixture.store.snapshot().len(), records);
}

#[test]
fn outage_of_the_store_is_not_a_rejection() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let user = alice(&issuer);
    for kind in [StoreErrorKind::Unavailable, StoreErrorKind::Unreadable] {
        fixture.store.fail_with(Some(kind));
        assert_eq!(outcome(&exchange(&issuer, &user)), "Unavailable");
        assert_eq!(outcome(&exchange(&issuer, &verified(&foreign()))), "Unavailable");
        let token = ready(issuer.issue_to_client(&client("job")).into_future());
        assert!(matches!(token, Err(tower_auth::issue::IssueError::Unavailable(_))));
    }
    fixture.store.fail_with(None);
    assert_eq!(outcome(&exchange(&issuer, &user)), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_exchanges_get_tokens_of_their_own() {
    let issuer = tower_auth::issue::TokenIssuer::builder()
        .issuer(ISSUER)
        .audience("orders")
        .service_audiences("invoices")
        .store(SealedStore::memory())
        .build()
        .unwrap();
    let tokens = issuer.issue(fixture::grant("alice")).await.unwrap();
    let user = issuer.verifier().verify(tokens.access_token()).await.unwrap();
    let tasks: Vec<_> = (0..64)
        .map(|_| tokio::spawn(issuer.exchange(&user, "invoices", ["read"]).into_future()))
        .collect();
    let mut ids = BTreeSet::new();
    for task in tasks {
        let claims = claims_of(&task.await.unwrap().unwrap());
        assert_eq!((&claims["sub"], &claims["scope"]), (&"alice".into(), &"read".into()));
        ids.insert(claims["jti"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 64);
}
