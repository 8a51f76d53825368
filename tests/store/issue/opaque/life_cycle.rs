//! From the login to the logout.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};
use tower_auth::{
    Principal,
    issue::{AccessClaims, ClaimsRequest, TokenIssuer, TokenPair},
    jwt::TokenError,
    revocation::Revocations,
    store::{SealedStore, StoreSecret},
};

use super::{
    super::fixture::{
        self, Fixture, GRACE, SCOPES, log_in, log_in_as, log_out, next, outcome, ready, refresh,
    },
    accepts, assert_rejected, issuer, later, verify,
};
use crate::revocation::{test_store::key, tokens::clock};

fn claims_of(caller: &Principal) -> Map<String, Value> {
    (*caller.claims_as::<Map<String, Value>>().unwrap()).clone()
}

#[test]
fn token_is_accepted_until_the_logout() {
    let fixture = Fixture::new();
    let (here, there) = (issuer(&fixture), issuer(&fixture));
    let first = log_in(&here);
    let other = log_in_as(&here, "bob");
    let caller = verify(&there, first.access_token()).unwrap();
    assert_eq!((caller.subject(), caller.issuer()), ("alice", Some(fixture::ISSUER)));
    assert!(caller.scopes().iter().eq(SCOPES));
    let second = next(&there, &first);
    assert_ne!(first.access_token(), second.access_token());
    for pair in [&first, &second] {
        assert!(accepts(&here, pair) && accepts(&there, pair));
    }
    log_out(&here, &second);
    for pair in [&first, &second] {
        for issuer in [&here, &there] {
            assert_rejected(&verify(issuer, pair.access_token()), &TokenError::Revoked);
            assert_eq!(outcome(&refresh(issuer, pair.refresh_token())), "revoked");
        }
    }
    assert!(accepts(&here, &other) && accepts(&there, &other));
}

/// JWTs that another instance knows are accepted for the time of `staleness`.
#[test]
fn each_way_to_end_a_token_takes_effect_in_other_instances_at_once() {
    let fixture = Fixture::new();
    let build = || {
        let builder = fixture.builder().staleness(Duration::from_secs(5));
        builder.opaque_access_tokens().build().unwrap()
    };
    let (here, there) = (build(), build());
    type End = fn(&TokenIssuer, &TokenPair);
    let ends: [End; 5] = [
        log_out,
        |issuer, _| drop(ready(issuer.logout_everywhere("alice")).unwrap()),
        |issuer, pair| {
            let caller = verify(issuer, pair.access_token()).unwrap();
            ready(issuer.revocations().token(&caller)).unwrap();
        },
        |issuer, _| ready(issuer.revocations().issuer(fixture::ISSUER)).unwrap(),
        |issuer, pair| {
            let stolen = next(issuer, pair);
            assert_ne!(stolen.refresh_token(), pair.refresh_token());
        },
    ];
    for (index, end) in ends.iter().enumerate() {
        let pair = log_in(&here);
        assert!(accepts(&there, &pair), "{index}");
        end(&here, &pair);
        if index == 4 {
            fixture.advance(GRACE.as_secs() + 1);
            assert!(accepts(&there, &pair));
            assert_eq!(outcome(&refresh(&here, pair.refresh_token())), "reused");
        }
        assert!(!accepts(&there, &pair), "{index}");
        assert!(!accepts(&here, &pair), "{index}");
        fixture.advance(1);
    }
}

#[test]
fn token_expires_with_its_record() {
    let fixture = Fixture::new();
    let build = || fixture.builder().access_lifetime(Duration::from_secs(30));
    let issuer = build().opaque_access_tokens().build().unwrap();
    let pair = log_in(&issuer);
    assert_eq!(pair.expires_in(), Duration::from_secs(30));
    let life = |fixture: &Fixture| {
        let lives = fixture.store.lifetimes();
        lives.into_iter().filter(|life| *life <= Duration::from_secs(30)).max()
    };
    assert_eq!(life(&fixture), Some(Duration::from_secs(30)));
    fixture.advance(29);
    assert!(accepts(&issuer, &pair));
    let kept = fixture.store.snapshot();
    fixture.advance(1);
    assert_rejected(&verify(&issuer, pair.access_token()), &TokenError::UnknownToken);
    assert_eq!(life(&fixture), None);
    // A record that comes back does not extend the life of the token.
    fixture.clock.advance(Duration::from_secs(61));
    let later = kept.into_iter().map(|(key, (value, end))| (key, (value, end + GRACE * 60)));
    fixture.store.restore(&later.collect());
    assert_rejected(&verify(&issuer, pair.access_token()), &TokenError::Expired);
}

#[test]
fn claims_are_those_of_a_jwt() {
    let fixture = Fixture::new();
    let build = || {
        fixture.builder().claims(|_: ClaimsRequest| async {
            let custom = serde_json::json!({ "roles": ["admin"], "name": "Ä \"x\"", "n": 1.5 });
            Ok::<_, std::io::Error>(Some(AccessClaims::new(&custom)))
        })
    };
    let jwts = build().build().unwrap();
    let opaque = build().opaque_access_tokens().build().unwrap();
    let (jwt, token) = (log_in(&jwts), log_in(&opaque));
    let mut claims =
        [jwt, token].map(|pair| claims_of(&verify(&opaque, pair.access_token()).unwrap()));
    for claims in &mut claims {
        for name in ["jti", "sid"] {
            assert!(claims.remove(name).is_some(), "{name}");
        }
    }
    assert_eq!(claims[0], claims[1]);
    assert_eq!(claims[0]["roles"][0], "admin");
    assert_eq!(claims[0]["exp"], 1_700_000_600);
}

#[test]
fn tokens_of_clients_and_of_exchanges_are_opaque_and_end_with_the_login() {
    let fixture = Fixture::new();
    let builder = fixture.builder().service_audiences(["invoices"]);
    let issuer = builder.opaque_access_tokens().build().unwrap();
    let invoices = issuer.verifier_builder().audience("invoices").build().unwrap();
    let pair = log_in(&issuer);
    let caller = verify(&issuer, pair.access_token()).unwrap();
    let exchanged = ready(issuer.exchange(&caller, "invoices", ["read"]).into_future()).unwrap();
    let client = ready(issuer.issue_to_client(&caller).audience("invoices").into_future()).unwrap();
    for token in [&exchanged, &client] {
        assert!(token.access_token().starts_with("at_"), "{token:?}");
        assert_eq!(token.token_type(), "Bearer");
        // Not a token for `orders`.
        assert_rejected(&verify(&issuer, token.access_token()), &TokenError::Audience);
    }
    let acting = later(invoices.verify(exchanged.access_token())).unwrap();
    assert_eq!(acting.claim::<String>("/act/sub").unwrap(), "orders");
    assert!(later(invoices.verify(client.access_token())).is_ok());
    log_out(&issuer, &pair);
    assert_rejected(&later(invoices.verify(exchanged.access_token())), &TokenError::Revoked);
    assert!(later(invoices.verify(client.access_token())).is_ok());
}

#[test]
fn store_that_was_emptied_rejects_earlier_tokens() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let pair = log_in(&issuer);
    fixture.store.clear();
    fixture.advance(1);
    assert!(!accepts(&issuer, &pair));
}

/// The record is there again, but so is the knowledge of the process that records were lost.
#[test]
fn store_that_goes_back_to_before_a_revocation_does_not_accept_the_token() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let pair = log_in(&issuer);
    assert!(accepts(&issuer, &pair));
    let before = fixture.store.snapshot();
    fixture.advance(1);
    log_out(&issuer, &pair);
    fixture.store.restore(&before);
    assert!(!accepts(&issuer, &pair));
}

#[test]
fn two_issuers_with_one_store_do_not_accept_the_tokens_of_each_other() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let secret = StoreSecret::new(key(7)).unwrap();
    let store = SealedStore::new(fixture.store.clone(), secret);
    let other = fixture::builder(store, fixture.clock.clone()).issuer("https://other.example");
    let other = other.opaque_access_tokens().build().unwrap();
    let pair = log_in(&issuer);
    fixture.store.take_operations();
    assert_rejected(&verify(&other, pair.access_token()), &TokenError::UnknownToken);
    assert_eq!(fixture.store.take_operations(), [""; 0]);
    assert!(accepts(&issuer, &pair));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_refreshes_get_the_same_refresh_token_and_valid_access_tokens() {
    let issuer = TokenIssuer::builder()
        .issuer(fixture::ISSUER)
        .audience("orders")
        .store(SealedStore::memory())
        .opaque_access_tokens()
        .build()
        .unwrap();
    assert_concurrent_refreshes(&[issuer]).await;
}

/// Refreshes a token 64 times at once, and logs out.
pub(super) async fn assert_concurrent_refreshes(issuers: &[TokenIssuer]) {
    let first = issuers[0].issue(fixture::grant("alice")).await.unwrap();
    let token: Arc<str> = first.refresh_token().into();
    let tasks: Vec<_> = (0..64)
        .map(|number| {
            let (issuer, token) = (issuers[number % issuers.len()].clone(), Arc::clone(&token));
            tokio::spawn(async move { issuer.refresh(&*token).await.unwrap() })
        })
        .collect();
    let mut pairs = Vec::new();
    for task in tasks {
        pairs.push(task.await.unwrap());
    }
    let mut access: Vec<_> = pairs.iter().map(|pair| pair.access_token().to_owned()).collect();
    access.sort_unstable();
    access.dedup();
    assert_eq!(access.len(), 64);
    for pair in &pairs {
        assert_eq!(pair.refresh_token(), pairs[0].refresh_token());
        for issuer in issuers {
            assert_eq!(
                issuer.verifier().verify(pair.access_token()).await.unwrap().subject(),
                "alice"
            );
        }
    }
    issuers[0].logout(pairs[0].refresh_token()).await.unwrap();
    for pair in pairs.iter().chain([&first]) {
        for issuer in issuers {
            let rejected = issuer.verifier().verify(pair.access_token()).await;
            assert_rejected(&rejected, &TokenError::Revoked);
        }
    }
}

#[test]
fn revocations_of_another_module_apply() {
    // `Revocations` of a service that shares the store, without an issuer.
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let pair = log_in(&issuer);
    let secret = StoreSecret::new(key(7)).unwrap();
    let revocations = Revocations::builder(SealedStore::new(fixture.store.clone(), secret))
        .longest_token_life(Duration::from_secs(90 * 24 * 60 * 60))
        .clock(clock())
        .build()
        .unwrap();
    ready(revocations.subject(fixture::ISSUER, "alice")).unwrap();
    assert!(!accepts(&issuer, &pair));
}
