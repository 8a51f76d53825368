//! Keys that are dropped.

use tower_auth::issue::KeyUse;

use super::fixture::{
    Fixture, grant, is_admitted, log_in, log_in_as, log_out, next, outcome, ready, refresh,
};

#[tokio::test]
async fn dropped_mac_key_ends_all_logins_and_new_logins_work() {
    let fixture = Fixture::new();
    let (here, other) = (fixture.issuer(), fixture.issuer());
    let pairs = [log_in(&here), log_in_as(&here, "bob"), log_in_as(&other, "carol")];
    let used =
        |use_| ready(here.keys()).unwrap().into_iter().filter(move |key| key.key_use() == use_);
    let key_id = pairs[0].refresh_token().split('.').nth(2).unwrap().to_owned();
    assert!(used(KeyUse::Mac).any(|key| key.id() == key_id));
    assert!(here.remove_key(&key_id).await.unwrap());
    // The other instance reads the keys within a minute.
    fixture.advance(61);
    for issuer in [&here, &other] {
        for pair in &pairs {
            assert_eq!(outcome(&refresh(issuer, pair.refresh_token())), "malformed");
            log_out(issuer, pair);
        }
    }
    for (one, another) in [(&here, &other), (&other, &here)] {
        let new = one.issue(grant("alice")).await.unwrap();
        assert!(is_admitted(another, &new));
        assert!(another.verifier().verify(new.access_token()).await.is_ok());
        next(another, &new);
    }
    assert!(!here.remove_key(&key_id).await.unwrap());
}

#[test]
fn dropped_mac_key_revokes_no_access_token_so_log_out_everywhere_does() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    let pair = log_in(&issuer);
    let key_id = pair.refresh_token().split('.').nth(2).unwrap();
    ready(issuer.remove_key(key_id)).unwrap();
    assert!(is_admitted(&issuer, &pair));
    ready(issuer.revocations().issuer(super::fixture::ISSUER)).unwrap();
    assert!(!is_admitted(&issuer, &pair));
    let new = log_in(&issuer);
    assert!(is_admitted(&issuer, &new));
    next(&issuer, &new);
}

#[test]
fn refresh_token_of_a_replaced_mac_key_is_accepted_until_its_login_ends() {
    const DAY: u64 = 86_400;
    let fixture = Fixture::new();
    let idle = std::time::Duration::from_secs(90 * DAY);
    let issuer = fixture.builder().refresh_idle(idle).build().unwrap();
    // Each day, a request makes the changes of the keys that are due.
    let pass = |days: u64| {
        for _ in 0..days {
            fixture.advance(DAY);
            log_in_as(&issuer, "bob");
        }
    };
    pass(89);
    let pair = log_in(&issuer);
    pass(89);
    let refreshed = next(&issuer, &pair);
    let key_id = |token: &str| token.split('.').nth(2).map(str::to_owned);
    assert_ne!(key_id(refreshed.refresh_token()), key_id(pair.refresh_token()));
}
