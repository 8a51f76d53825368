use std::{
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use futures_util::FutureExt as _;
use tower_auth::{
    ConfigErrorKind,
    issue::{IssueError, KeyState, KeyUse, SigningKeys, TokenIssuer},
    observe::Event,
};

use super::{
    DAY, HOUR, MINUTE, access_token, active, builder, get_jwks, header, is_accepted, issuer, kid,
    published, store_and_clock,
};

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_accepted_until_they_expire_over_nine_rotations() {
    let (store, clock) = store_and_clock();
    let issuer = issuer(&store, &clock, SigningKeys::eddsa());
    let mut kids = Vec::new();
    let mut previous: Option<String> = None;
    // Each step is shorter than the lifetime of a token.
    for step in 0..60 {
        let token = access_token(&issuer).await;
        assert!(is_accepted(&issuer, &token).await, "step {step}");
        if let Some(previous) = previous.filter(|_| step % 6 != 0) {
            assert!(is_accepted(&issuer, &previous).await, "step {step}");
        }
        assert!(published(&issuer).await.contains(&kid(&token)));
        kids.push(kid(&token));
        previous = Some(token);
        // Steps of four minutes, from ten minutes before each rotation to ten minutes after it.
        let pause = match step {
            5 => 90 * DAY - 30 * MINUTE,
            _ if step % 6 == 5 => 90 * DAY - 20 * MINUTE,
            _ => 4 * MINUTE,
        };
        clock.advance(Duration::from_secs(pause));
    }
    // From the second of ten groups on, each has three steps with one key and three with the next.
    kids.dedup();
    assert_eq!(kids.len(), 10);
}

#[tokio::test]
async fn successor_is_published_from_the_start_and_then_signs() {
    let (store, clock) = store_and_clock();
    let issuer = issuer(&store, &clock, SigningKeys::es256());
    let first = access_token(&issuer).await;
    assert_eq!(header(&first)["alg"], "ES256");
    let at_start = published(&issuer).await;
    assert_eq!((at_start.len(), &at_start[0]), (2, &kid(&first)));

    clock.advance(Duration::from_secs(90 * DAY));
    let second = access_token(&issuer).await;
    assert_eq!(kid(&second), at_start[1]);
    let states: Vec<_> = issuer.keys().await.unwrap().into_iter().map(|key| key.state()).collect();
    let all = [KeyState::Retained, KeyState::Active, KeyState::Successor];
    // The MAC keys have the same states.
    assert_eq!(states, [all, all].concat());
}

#[tokio::test]
async fn other_algorithm_takes_effect_after_publish_ahead() {
    let (store, clock) = store_and_clock();
    let old = issuer(&store, &clock, SigningKeys::eddsa());
    let token = access_token(&old).await;
    let new = issuer(&store, &clock, SigningKeys::es256());
    assert_eq!(header(&access_token(&new).await)["alg"], "EdDSA");
    clock.advance(Duration::from_secs(DAY - 1));
    assert_eq!(header(&access_token(&new).await)["alg"], "EdDSA");
    clock.advance(Duration::from_secs(1));
    assert_eq!(header(&access_token(&new).await)["alg"], "ES256");
    // The instance with the old configuration does not change it back.
    assert_eq!(header(&access_token(&old).await)["alg"], "ES256");
    assert!(published(&old).await.contains(&kid(&token)));
}

#[tokio::test]
async fn rotation_by_hand_keeps_tokens_valid() {
    let (store, clock) = store_and_clock();
    let issuer = issuer(&store, &clock, SigningKeys::eddsa());
    let before = access_token(&issuer).await;
    let mac = active(&issuer, KeyUse::Mac).await;
    let successor = published(&issuer).await.pop().unwrap();
    issuer.rotate_keys().await.unwrap();
    let after = access_token(&issuer).await;
    assert_eq!(kid(&after), successor);
    assert!(is_accepted(&issuer, &before).await && is_accepted(&issuer, &after).await);
    assert_eq!(published(&issuer).await.len(), 3);
    assert_eq!(active(&issuer, KeyUse::Mac).await, mac);
}

#[tokio::test]
async fn secret_is_not_published_and_verifies_in_this_process() {
    let (store, clock) = store_and_clock();
    let generated = SigningKeys::hs256();
    let fixed = SigningKeys::from_hs256_secret(b"0123456789abcdefghijklmnopqrstuv").unwrap();
    for keys in [generated, fixed] {
        let is_fixed = format!("{keys:?}").contains("key: ");
        let issuer = issuer(&store, &clock, keys);
        let token = access_token(&issuer).await;
        assert_eq!(header(&token)["alg"], "HS256");
        assert!(is_accepted(&issuer, &token).await);
        assert_eq!(get_jwks(&issuer, &[]).await.body(), br#"{"keys":[]}"#);
        let rotated = issuer.rotate_keys().await;
        assert_eq!(matches!(rotated, Err(IssueError::Invalid(_))), is_fixed, "{rotated:?}");
    }
}

#[tokio::test]
async fn rsa_keys_sign() {
    let (store, clock) = store_and_clock();
    let issuer = issuer(&store, &clock, SigningKeys::rs256());
    let token = access_token(&issuer).await;
    assert_eq!(header(&token)["alg"], "RS256");
    assert!(is_accepted(&issuer, &token).await);
}

#[tokio::test]
async fn changes_of_keys_are_reported() {
    let (store, clock) = store_and_clock();
    let reported = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&reported);
    let issuer = builder(&store, &clock).observer(move |event: &Event<'_>| {
        if let Event::SigningKeysChanged { active, added, removed, .. } = event {
            let change = ((*active).to_owned(), added.to_vec(), removed.to_vec());
            sink.lock().unwrap().push(change);
        }
    });
    let issuer = issuer.build().unwrap();
    let first = kid(&access_token(&issuer).await);
    issuer.remove_key(&first).await.unwrap();
    let ids = published(&issuer).await;
    let reported = reported.lock().unwrap();
    let [(active, added, removed), (next, created, dropped)] = &reported[..] else {
        panic!("{reported:?}");
    };
    // Two keys that sign, and two MAC keys.
    assert_eq!((active, added.len(), removed.len()), (&first, 4, 0));
    assert_eq!((next, created, dropped), (&ids[0], &vec![ids[1].clone()], &vec![first]));
}

#[tokio::test]
async fn verifier_reports_its_keys_to_the_observer_of_the_issuer() {
    let (store, clock) = store_and_clock();
    let (send, mut fetched) = tokio::sync::mpsc::unbounded_channel();
    let issuer = builder(&store, &clock).observer(move |event: &Event<'_>| {
        if let Event::KeysFetched { issuer, .. } = event {
            let _ = send.send(issuer.map(str::to_owned));
        }
    });
    let issuer = issuer.build().unwrap();
    let token = access_token(&issuer).await;
    assert!(is_accepted(&issuer, &token).await);
    assert_eq!(fetched.try_recv().unwrap().as_deref(), Some("https://login.example"));
}

#[tokio::test]
async fn new_keys_are_published_when_their_change_is_reported() {
    let (store, clock) = store_and_clock();
    let issuer = Arc::new(OnceLock::<TokenIssuer>::new());
    let found = Arc::new(Mutex::new(Vec::new()));
    let (probed, results) = (Arc::clone(&issuer), Arc::clone(&found));
    let built = builder(&store, &clock).observer(move |event: &Event<'_>| {
        if let Event::SigningKeysChanged { added, .. } = event {
            let published = published(probed.get().unwrap()).now_or_never().unwrap_or_default();
            results.lock().unwrap().push(published.iter().any(|id| added.contains(id)));
        }
    });
    let built = built.build().unwrap();
    let issuer = issuer.get_or_init(|| built);
    access_token(issuer).await;
    issuer.rotate_keys().await.unwrap();
    assert_eq!(*found.lock().unwrap(), [true, true]);
}

#[test]
fn settings_out_of_range_are_config_errors() {
    let (store, clock) = store_and_clock();
    let seconds = Duration::from_secs;
    for keys in [
        SigningKeys::eddsa().rotate_after(seconds(HOUR - 1)).publish_ahead(seconds(HOUR / 2)),
        SigningKeys::eddsa().rotate_after(seconds(400 * DAY + 1)),
        SigningKeys::eddsa().publish_ahead(seconds(90 * DAY + 1)),
        SigningKeys::eddsa().publish_ahead(seconds(599)),
    ] {
        let error = builder(&store, &clock).keys(keys.clone()).build().unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::Invalid, "{keys:?} {error}");
    }
    let hourly = SigningKeys::eddsa().rotate_after(seconds(HOUR)).publish_ahead(seconds(HOUR));
    let issuer = |access| builder(&store, &clock).keys(hourly.clone()).access_lifetime(access);
    assert!(issuer(seconds(8 * HOUR)).build().is_ok());
    let error = issuer(seconds(9 * HOUR)).build().unwrap_err();
    assert!(error.to_string().contains("rotate_after"), "{error}");
}
