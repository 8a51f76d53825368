//! A rotation of the secret of the store.

use std::time::Duration;

use futures_util::FutureExt;
use tower_auth::{
    observe::Event,
    session::Sessions,
    store::{SealedStore, StoreSecret},
};

use super::fixture::*;
use crate::revocation::test_store::key;

fn process(fixture: &Fixture, secret: StoreSecret) -> Sessions {
    let store = SealedStore::new(fixture.store.clone(), secret).observer(|_: &Event<'_>| {});
    let builder = Sessions::builder(store).clock(fixture.clock.clone());
    builder.observer(|_: &Event<'_>| {}).build().unwrap()
}

#[test]
fn sessions_live_and_end_in_processes_with_different_secrets() {
    let secret = |number| StoreSecret::new(key(number)).unwrap();
    let steps = [
        secret(7),
        secret(7).previous(key(8)).unwrap(),
        secret(8).previous(key(7)).unwrap(),
        secret(8),
    ];
    for pair in steps.windows(2) {
        let fixture = Fixture::new();
        let processes = [&pair[0], &pair[1]].map(|secret| process(&fixture, secret.clone()));
        for starter in &processes {
            for user in &processes {
                for (ender, uses) in processes.iter().flat_map(|ender| [(ender, 0), (ender, 4)]) {
                    let session = start(starter, &alice("alice"), &head(None)).unwrap();
                    for _ in 0..uses {
                        fixture.clock.advance(Duration::from_secs(20 * 60));
                        assert!(is_live(user, &session));
                    }
                    assert!(processes.iter().all(|process| is_live(process, &session)));
                    let caller = use_session(user, &session).unwrap();
                    let list = |process: &Sessions| {
                        process.list(&caller).now_or_never().unwrap().unwrap().len()
                    };
                    assert_eq!(processes.each_ref().map(list), [1, 1]);
                    end(ender, &caller).unwrap();
                    assert!(!processes.iter().any(|process| is_live(process, &session)));
                    assert_eq!(processes.each_ref().map(list), [0, 0]);
                }
            }
        }
    }
}

#[test]
fn list_of_a_user_survives_the_removal_of_the_previous_secret() {
    let fixture = Fixture::new();
    let secret = |number| StoreSecret::new(key(number)).unwrap();
    let before = process(&fixture, secret(7).previous(key(8)).unwrap());
    let rotated = process(&fixture, secret(8).previous(key(7)).unwrap());
    start(&before, &alice("alice"), &head(None)).unwrap();
    let session = start(&rotated, &alice("alice"), &head(None)).unwrap();
    for either in [&before, &rotated] {
        assert_eq!(either.list("alice").now_or_never().unwrap().unwrap().len(), 2);
    }
    let after = process(&fixture, secret(8));
    assert!(is_live(&after, &session));
    let listed = after.list("alice").now_or_never().unwrap().unwrap();
    assert_eq!(listed.iter().map(|info| info.id()).collect::<Vec<_>>(), [session.info.id()]);
}
