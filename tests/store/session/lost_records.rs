//! A store that is emptied, or restored from an older copy.

use std::{pin::Pin, time::Duration};

use futures_util::FutureExt;

use super::fixture::*;

#[test]
fn emptied_store_ends_all_sessions() {
    let fixture = Fixture::new();
    let other = fixture.process();
    let session = fixture.start("alice");
    assert!(fixture.is_live(&session) && is_live(&other, &session));
    fixture.store.clear();
    fixture.events.take();
    for sessions in [&fixture.sessions, &other, &fixture.process()] {
        assert!(!is_live(sessions, &session));
    }
    assert!(fixture.events.take().contains(&"reverted".to_owned()));
    assert!(fixture.sessions.list("alice").now_or_never().unwrap().unwrap().is_empty());
    for sessions in [&fixture.sessions, &other, &fixture.process()] {
        let new = start(sessions, &alice("bob"), &head(None)).unwrap();
        assert_eq!(fixture.use_session(&new).unwrap().subject(), "bob");
        assert!(is_live(&other, &new));
    }
}

#[test]
fn session_that_an_older_copy_contains_does_not_live_again() {
    for way in 0..4 {
        for is_known in [false, true] {
            let fixture = Fixture::new();
            let other = fixture.process();
            let (session, unaffected) = (fixture.start("alice"), fixture.start("bob"));
            let caller = fixture.use_session(&session).unwrap();
            if is_known {
                assert!(is_live(&other, &session));
            }
            assert!(is_live(&other, &unaffected));
            let copy = fixture.store.snapshot();
            fixture.clock.advance(Duration::from_secs(10));
            match way {
                0 => end(&fixture.sessions, &caller).unwrap(),
                1 => fixture.sessions.end_all("alice").now_or_never().unwrap().unwrap(),
                2 => assert!(
                    fixture
                        .sessions
                        .end_one("alice", session.info.id())
                        .now_or_never()
                        .unwrap()
                        .unwrap()
                ),
                _ => _ = start(&fixture.sessions, &caller, &head(Some(&session.cookie))).unwrap(),
            }
            // The other process has seen it by the counter.
            assert!(is_live(&other, &unaffected));
            fixture.clock.advance(Duration::from_secs(10));
            fixture.events.take();
            fixture.store.restore(&copy);
            for sessions in [&fixture.sessions, &other, &fixture.process()] {
                assert!(!is_live(sessions, &session), "{way} {is_known}");
                assert!(!is_live(sessions, &unaffected), "nothing tells which sessions are lost");
            }
            assert!(fixture.events.take().contains(&"reverted".to_owned()));
            fixture.clock.advance(Duration::from_millis(1));
            let new = fixture.start("alice");
            for sessions in [&fixture.sessions, &other, &fixture.process()] {
                assert!(is_live(sessions, &new));
            }
        }
    }
}

#[test]
fn epoch_that_disappears_ends_all_sessions() {
    let fixture = Fixture::new();
    let session = fixture.start("alice");
    fixture.use_session(&session).unwrap();
    // Key id, nonce, id, two instants and tag.
    assert_eq!(fixture.store.remove(|value| value.len() == 4 + 12 + 32 + 16), 1);
    for sessions in [&fixture.sessions, &fixture.process()] {
        assert!(!is_live(sessions, &session));
    }
}

#[test]
fn counter_that_goes_back_ends_all_sessions() {
    let fixture = Fixture::new();
    let (session, ended) = (fixture.start("alice"), fixture.start("bob"));
    let caller = fixture.use_session(&ended).unwrap();
    end(&fixture.sessions, &caller).unwrap();
    assert!(fixture.is_live(&session));
    assert_eq!(fixture.store.remove(|value| value == b"1"), 1);
    assert!(!fixture.is_live(&session));
}

#[test]
fn end_that_a_failover_loses_is_repeated() {
    for losses in [1, 9] {
        let fixture = Fixture::new();
        let session = fixture.start("alice");
        let caller = fixture.use_session(&session).unwrap();
        let mut end: Pin<Box<dyn Future<Output = bool> + '_>> = Box::pin(async {
            fixture.sessions.end(&caller, &mut http::Response::new(())).await.is_ok()
        });
        fixture.store.set_stepped(true);
        let mut lost = 0;
        let is_ended = loop {
            fixture.store.take_operations();
            if let (Some(is_ended), _) = fixture.store.step(&mut end, 1) {
                break is_ended;
            }
            if lost < losses && fixture.store.take_operations() == ["take"] {
                fixture.store.lose_last_write();
                lost += 1;
            }
        };
        drop(end);
        fixture.store.set_stepped(false);
        assert_eq!(is_ended, losses == 1);
        assert_eq!(is_live(&fixture.process(), &session), losses > 1);
    }
}

/// No other process has raised the floor before.
#[test]
fn counter_that_an_unaffected_request_has_seen_is_compared() {
    let fixture = Fixture::new();
    let other = fixture.process();
    let (session, unaffected) = (fixture.start("alice"), fixture.start("bob"));
    let caller = fixture.use_session(&session).unwrap();
    for session in [&session, &unaffected] {
        assert!(is_live(&other, session));
    }
    let copy = fixture.store.snapshot();
    end(&fixture.sessions, &caller).unwrap();
    assert!(is_live(&other, &unaffected));
    fixture.store.restore(&copy);
    assert!(!is_live(&other, &session));
}

#[test]
fn lost_records_are_not_listed() {
    let fixture = Fixture::new();
    let session = fixture.start("alice");
    let caller = fixture.use_session(&session).unwrap();
    let copy = fixture.store.snapshot();
    end(&fixture.sessions, &caller).unwrap();
    fixture.store.restore(&copy);
    assert!(fixture.sessions.list("alice").now_or_never().unwrap().unwrap().is_empty());
}

#[test]
fn epoch_that_a_new_process_creates_ends_older_sessions() {
    let fixture = Fixture::new();
    let session = fixture.start("alice");
    // Key id, nonce, id, two instants and tag.
    assert_eq!(fixture.store.remove(|value| value.len() == 4 + 12 + 32 + 16), 1);
    fixture.clock.advance(Duration::from_millis(1));
    assert!(!is_live(&fixture.process(), &session));
}
