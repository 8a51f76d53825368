//! The invariants of the protocol, one test for each.

use std::{
    collections::HashSet,
    time::{Duration, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tower_auth::{
    clock::Clock,
    issue::{AccessClaims, ClaimsRequest, RefreshRequest},
    store::StoreSecret,
    test_util::TestClock,
};

use super::fixture::{
    Fixture, GRACE, SCOPES, claims, generation, grant, is_admitted, log_in, log_in_as, log_out,
    next, outcome, ready, refresh,
};
use crate::revocation::test_store::key;

/// All interleavings are in `src/issue/family_tests.rs`, and random ones in `random_runs.rs`.
#[test]
fn invariant_1_honest_tabs_are_never_rejected() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    let mut cookie = log_in(&issuer);
    for round in 0..50 {
        fixture.advance([1, 45, 9, 600, 21][round % 5]);
        let old = cookie.clone();
        // The response is lost, another tab is 9 s later, and the first one tries again.
        let lost = next(&issuer, &old);
        fixture.advance(9);
        let second = next(&issuer, &old);
        fixture.advance(10);
        let third = next(&issuer, &old);
        let generations = [&old, &lost, &second, &third].map(generation);
        assert!(generations.is_sorted(), "{generations:?}");
        assert!(generations[3] <= generations[0] + 1, "{generations:?}");
        cookie = third;
    }
    assert!(is_admitted(&issuer, &cookie));
    assert_eq!(fixture.events.count("reused"), 0);
}

#[test]
fn invariant_2_a_family_has_one_live_generation() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    let mut pairs = vec![log_in(&issuer)];
    for expected in 1..5 {
        fixture.advance(41);
        let last = pairs.last().unwrap();
        let answers: HashSet<String> =
            (0..5).map(|_| next(&issuer, last).refresh_token().to_owned()).collect();
        assert_eq!(answers.len(), 1, "{answers:?}");
        pairs.push(next(&issuer, last));
        assert_eq!(generation(pairs.last().unwrap()), expected);
    }
    // Within the grace period, older generations have no successor of their own.
    assert_eq!(
        refresh(&issuer, pairs[3].refresh_token()).unwrap().refresh_token(),
        pairs[4].refresh_token()
    );
    // Later, each of them ends the family.
    fixture.advance(GRACE.as_secs() + 1);
    assert_eq!(outcome(&refresh(&issuer, pairs[3].refresh_token())), "reused");
    assert_eq!(outcome(&refresh(&issuer, pairs[4].refresh_token())), "revoked");
    assert!(pairs.iter().all(|pair| !is_admitted(&issuer, pair)));
    assert_eq!(fixture.events.count("reused"), 1);
}

/// The orders of logout and refresh are in `orders.rs`.
#[test]
fn invariant_3_after_logout_returns_no_token_of_the_family_is_admitted_whatever_the_clocks() {
    for skew in [-30_i64, 0, 30] {
        let fixture = Fixture::new();
        let here = fixture.issuer();
        let now = fixture.clock.now();
        let skewed = match u64::try_from(skew) {
            Ok(ahead) => now + Duration::from_secs(ahead),
            Err(_) => now - Duration::from_secs(skew.unsigned_abs()),
        };
        let secret = || StoreSecret::new(key(7)).unwrap();
        let other_clock = TestClock::at(skewed);
        let other = fixture.builder_with(secret(), other_clock.clone()).build().unwrap();
        let first = log_in(&here);
        let second = next(&other, &first);
        let (bob, carol) = (log_in_as(&here, "bob"), log_in_as(&other, "carol"));
        // An older generation also logs out.
        log_out(&other, &first);
        for issuer in [&here, &other] {
            assert!(!is_admitted(issuer, &first), "{skew}");
            assert!(!is_admitted(issuer, &second), "{skew}");
            assert_eq!(outcome(&refresh(issuer, second.refresh_token())), "revoked", "{skew}");
            assert!(is_admitted(issuer, &bob) && is_admitted(issuer, &carol), "{skew}");
            next(issuer, &bob);
        }
        // The record is kept as long as a token of the family can be.
        for clock in [&fixture.clock, &other_clock] {
            clock.advance(Duration::from_secs(90 * 86_400));
        }
        assert!(!is_admitted(&here, &second), "{skew}");
    }
}

#[test]
fn invariant_4_an_ended_family_stays_ended_unless_the_store_reverts() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    let stolen = log_in(&issuer);
    let live = next(&issuer, &stolen);
    fixture.advance(GRACE.as_secs() + 1);
    let snapshot = fixture.store.snapshot();
    assert_eq!(outcome(&refresh(&issuer, stolen.refresh_token())), "reused");
    for seconds in [0, 1, 30, 600, 86_400, 7 * 86_400] {
        fixture.advance(seconds);
        for pair in [&stolen, &live] {
            assert_eq!(outcome(&refresh(&issuer, pair.refresh_token())), "revoked");
            log_out(&issuer, pair);
            assert!(!is_admitted(&issuer, pair));
        }
    }
    // After a restore of an older copy, the family could be live again, but the issuer notices.
    fixture.store.restore(&snapshot);
    assert_eq!(outcome(&refresh(&issuer, live.refresh_token())), "revoked");
    assert_eq!(fixture.events.count("reverted"), 1);
}

#[test]
fn invariant_5_forged_token_causes_no_store_call() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    let (pair, other) = (log_in(&issuer), log_in_as(&issuer, "bob"));
    let later = next(&issuer, &pair);
    let token = pair.refresh_token();
    let parts: Vec<&str> = token.split('.').collect();
    let [family, generation, key_id, mac] = parts[..] else { panic!("{token}") };
    let other_family = other.refresh_token().split('.').next().unwrap();
    let later_mac = later.refresh_token().split('.').nth(3).unwrap();
    let mut flipped = URL_SAFE_NO_PAD.decode(mac).unwrap();
    flipped[31] ^= 1;
    let flipped = URL_SAFE_NO_PAD.encode(flipped);
    let short = URL_SAFE_NO_PAD.encode(&URL_SAFE_NO_PAD.decode(mac).unwrap()[..31]);
    let forged = [
        String::new(),
        "...".into(),
        token.trim_end_matches(mac).into(),
        format!("{family}.{generation}.{key_id}.{flipped}"),
        format!("{family}.{generation}.{key_id}.{short}"),
        format!("{family}.{generation}.{key_id}.{mac}A"),
        format!("{family}.{generation}.{key_id}.{mac}="),
        format!("{family}.{generation}.{key_id}.{}", "A".repeat(43)),
        format!("{family}.{generation}.{key_id}.{later_mac}"),
        format!("{family}.1.{key_id}.{mac}"),
        format!("{family}.00.{key_id}.{mac}"),
        format!("{family}.+0.{key_id}.{mac}"),
        format!("{family}.-0.{key_id}.{mac}"),
        format!("{family}.18446744073709551616.{key_id}.{mac}"),
        format!("{other_family}.{generation}.{key_id}.{mac}"),
        format!("{family}.{generation}..{mac}"),
        format!("{family}.{generation}.{}.{mac}", "k".repeat(33)),
        format!("{token}."),
        format!(" {token}"),
        format!("{token}\n"),
        "x".repeat(100_000),
    ];
    fixture.store.take_operations();
    for token in &forged {
        assert_eq!(outcome(&refresh(&issuer, token)), "malformed", "{token}");
        ready(issuer.logout(token)).unwrap();
        assert_eq!(fixture.store.take_operations(), [""; 0], "{token}");
    }
    // An unknown key may have been added by another instance: the keys are read again once in 10 s.
    let unknown = format!("{family}.{generation}.unknown.{mac}");
    fixture.advance(11);
    for _ in 0..100 {
        assert_eq!(outcome(&refresh(&issuer, &unknown)), "malformed");
    }
    assert!(fixture.store.take_operations().len() <= 1);
    assert_eq!(outcome(&refresh(&issuer, later.refresh_token())), "ok");
}

#[test]
fn invariant_6_the_generation_never_decreases_unless_the_store_reverts() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    let mut newest = log_in(&issuer);
    for round in 0..20_u64 {
        fixture.advance([41, 5, 50, 19, 100][usize::try_from(round % 5).unwrap()]);
        let answer = next(&issuer, &newest);
        assert!(generation(&answer) >= generation(&newest));
        newest = answer;
    }
    // A failover loses the last write: the client's generation is adopted.
    fixture.advance(41);
    let lost = next(&issuer, &newest);
    fixture.store.lose_last_write();
    let adopted = next(&issuer, &lost);
    assert_eq!(generation(&adopted), generation(&lost));
    assert_eq!(fixture.events.count("went back"), 1);
    // Another tab still has the generation before.
    assert_eq!(next(&issuer, &newest).refresh_token(), lost.refresh_token());
    fixture.advance(41);
    assert_eq!(generation(&next(&issuer, &adopted)), generation(&lost) + 1);
}

#[test]
fn invariant_7_auth_time_and_absolute_end_never_increase_and_scopes_never_expand() {
    let fixture = Fixture::new();
    let issuer = fixture
        .builder()
        .claims(async |request: ClaimsRequest| -> Result<_, std::convert::Infallible> {
            assert_eq!(request.scopes, SCOPES);
            // More than was granted.
            Ok(Some(AccessClaims::none().scopes(["read", "write", "admin"])))
        })
        .build()
        .unwrap();
    let first = ready(issuer.issue(grant("alice").auth_time(fixture.clock.now()))).unwrap();
    let before = claims(&first);
    let absolute_end = before["iat"].as_u64().unwrap() + 90 * 86_400;
    let mut pair = first;
    let mut days = 0;
    loop {
        let narrow = RefreshRequest::new(pair.refresh_token()).scopes(["read"]);
        let narrowed = ready(issuer.refresh(narrow)).unwrap();
        assert_eq!(narrowed.scope(), "read");
        let wide = RefreshRequest::new(pair.refresh_token()).scopes(["read", "admin"]);
        assert_eq!(outcome(&ready(issuer.refresh(wide))), "invalid scope");
        // The narrow token does not limit the next one, and nothing exceeds the grant.
        pair = next(&issuer, &pair);
        let after = claims(&pair);
        for name in ["auth_time", "sid", "fst", "acr", "amr", "sub", "client_id", "aud"] {
            assert_eq!(after[name], before[name], "{name}");
        }
        assert_eq!(after["scope"], "read write");
        assert!(after["exp"].as_u64().unwrap() <= absolute_end);
        let end = pair.refresh_expires_at().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!(end <= absolute_end);
        fixture.advance(13 * 86_400 - 60);
        days += 13;
        if days > 90 {
            break;
        }
    }
    assert_eq!(outcome(&refresh(&issuer, pair.refresh_token())), "expired");
}

#[test]
fn last_access_token_ends_with_the_login() {
    let fixture = Fixture::new();
    let issuer = fixture.builder().absolute_lifetime(Duration::from_secs(14 * 86_400));
    let issuer = issuer.build().unwrap();
    let pair = log_in(&issuer);
    fixture.advance(14 * 86_400 - 100);
    let last = next(&issuer, &pair);
    assert_eq!(last.expires_in(), Duration::from_secs(100));
    fixture.advance(100);
    assert_eq!(outcome(&refresh(&issuer, last.refresh_token())), "expired");
}
