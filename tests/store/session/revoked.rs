use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use futures_util::FutureExt;
use serde_json::json;
use tower_auth::{
    Principal, RejectionKind, Scheme, clock::Clock, observe::Event, revocation::Revocations,
    session::SessionOwner, store::StoreErrorKind,
};

use super::fixture::*;
use crate::revocation::test_store::Fault;

const ISSUER: &str = "https://issuer.example";

fn end_all<'a>(fixture: &Fixture, owner: impl Into<SessionOwner<'a>>) {
    fixture.sessions.end_all(owner).now_or_never().unwrap().unwrap();
}

/// A user of a provider.
fn user(subject: &str, sid: &str) -> Principal {
    let claims = json!({ "iss": ISSUER, "sub": subject, "sid": sid });
    let user = Principal::builder(subject, Scheme::BEARER).issuer(ISSUER).claims(&claims);
    user.unwrap().build()
}

#[test]
fn end_all_ends_the_sessions_of_one_user_that_were_started_before() {
    let fixture = Fixture::new();
    let other = fixture.process();
    let (first, second, bob) =
        (fixture.start("alice"), fixture.start("alice"), fixture.start("bob"));
    let of_issuer = start(&fixture.sessions, &user("alice", "s"), &head(None)).unwrap();
    assert!(is_live(&other, &first));
    end_all(&fixture, "alice");
    // At the same instant.
    let third = fixture.start("alice");
    assert_eq!(third.info.started_at(), first.info.started_at() + Duration::from_millis(1));
    for sessions in [&fixture.sessions, &other, &fixture.process()] {
        assert!(!is_live(sessions, &first) && !is_live(sessions, &second));
        assert!([&third, &bob, &of_issuer].iter().all(|session| is_live(sessions, session)));
    }
    end_all(&fixture, (ISSUER, "alice"));
    assert!(!fixture.is_live(&of_issuer) && fixture.is_live(&third));
    let caller = fixture.use_session(&third).unwrap();
    end_all(&fixture, &caller);
    assert!(!fixture.is_live(&third) && !is_live(&other, &third));
    let events = fixture.events.take();
    assert_eq!(events.iter().filter(|event| *event == "ended all of alice").count(), 3);
}

#[test]
fn event_of_a_revocation_has_the_issuer_of_the_user_or_none() {
    let fixture = Fixture::new();
    let events = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&events);
    let observer = move |event: &Event<'_>| {
        if let Event::Revoked { issuer, .. } = event {
            assert_eq!(event.issuer(), *issuer);
            list.lock().unwrap().push(issuer.map(str::to_owned));
        }
    };
    let sessions = fixture.process_with(|sessions| sessions.observer(observer));
    for owner in [SessionOwner::from("alice"), SessionOwner::from((ISSUER, "alice"))] {
        sessions.end_all(owner).now_or_never().unwrap().unwrap();
    }
    assert_eq!(*events.lock().unwrap(), [None, Some(ISSUER.to_owned())]);
}

#[test]
fn revocations_of_the_issuer_end_sessions() {
    for by_other in [false, true] {
        let fixture = Fixture::new();
        let other = fixture.process();
        let revocations =
            if by_other { other.revocations() } else { fixture.sessions.revocations() };
        let [one, two, three, four] = [("a", "1"), ("a", "2"), ("b", "3"), ("c", "4")]
            .map(|(sub, sid)| start(&fixture.sessions, &user(sub, sid), &head(None)).unwrap());
        let local = fixture.start("a");
        let live = |expected: [bool; 4]| {
            let sessions = [&one, &two, &three, &four];
            let live = sessions.map(|session| fixture.is_live(session));
            assert_eq!(live, expected);
            assert_eq!(sessions.map(|session| is_live(&other, session)), expected);
            assert_eq!(sessions.map(|session| is_live(&fixture.process(), session)), expected);
            assert!(fixture.is_live(&local));
        };
        live([true; 4]);
        revocations.session(ISSUER, "1").now_or_never().unwrap().unwrap();
        revocations.session("https://other.example", "3").now_or_never().unwrap().unwrap();
        live([false, true, true, true]);
        revocations.subject(ISSUER, "b").now_or_never().unwrap().unwrap();
        revocations.subject("", "c").now_or_never().unwrap().unwrap();
        live([false, true, false, true]);
        revocations.issuer(ISSUER).now_or_never().unwrap().unwrap();
        live([false; 4]);
        fixture.clock.advance(Duration::from_millis(1));
        let new = start(&fixture.sessions, &user("b", "5"), &head(None)).unwrap();
        assert!(fixture.is_live(&new));
    }
}

#[test]
fn login_during_a_logout_in_the_future_is_unavailable() {
    // The instant of a logout at a provider can be ahead by the largest leeway, and 5 s.
    const MAX_AHEAD: u64 = 305;

    let fixture = Fixture::new();
    fixture.start("alice");
    fixture.clock.advance(Duration::from_secs(600));
    end_all(&fixture, "alice");
    let at = tower_auth::clock::Clock::now(&fixture.clock);
    fixture.clock.set(at - Duration::from_secs(MAX_AHEAD + 1));
    let error = start(&fixture.sessions, &alice("alice"), &head(None)).unwrap_err();
    assert_eq!(tower_auth::Rejection::from(error).kind(), RejectionKind::Unavailable);
    fixture.clock.set(at - Duration::from_secs(MAX_AHEAD - 1));
    let session = fixture.start("alice");
    assert!(fixture.is_live(&session));
}

#[test]
fn shared_revocations_take_effect() {
    let fixture = Fixture::new();
    let store = sealed(&fixture.store);
    let revocations = Revocations::builder(store.clone())
        .longest_token_life(Duration::from_secs(24 * 3_600))
        .clock(fixture.clock.clone())
        .build()
        .unwrap();
    let sessions = tower_auth::session::Sessions::builder(store)
        .revocations(revocations.clone())
        .clock(fixture.clock.clone())
        .staleness(Duration::from_secs(60))
        .build()
        .unwrap();
    let session = start(&sessions, &user("a", "1"), &head(None)).unwrap();
    assert!(is_live(&sessions, &session));
    revocations.session(ISSUER, "1").now_or_never().unwrap().unwrap();
    assert!(!is_live(&sessions, &session));
}

#[test]
fn record_of_a_revocation_that_cannot_be_read_rejects_the_session() {
    for new in [&b""[..], b"1234567", b"123456789"] {
        let fixture = Fixture::new();
        end_all(&fixture, "alice");
        let session = fixture.start("alice");
        assert!(fixture.is_live(&session));
        assert_eq!(fixture.store.overwrite_instants(new), 1);
        assert!(!fixture.is_live(&session) && !is_live(&fixture.process(), &session));
        fixture.store.overwrite_all(b"not sealed");
        for sessions in [&fixture.sessions, &fixture.process()] {
            assert_eq!(use_session(sessions, &session).unwrap_err(), RejectionKind::Unavailable);
        }
    }
}

#[test]
fn end_all_takes_effect_if_the_list_cannot_be_read() {
    let fixture = Fixture::new();
    let session = fixture.start("alice");
    fixture.use_session(&session).unwrap();
    let fault = Fault { after: 0, takes_effect: false, kind: StoreErrorKind::Unreadable };
    fixture.store.set_fault(Some(fault));
    assert!(fixture.sessions.end_all("alice").now_or_never().unwrap().is_err());
    assert!(!fixture.is_live(&session));
}

/// The guide to sessions says which logout reaches tokens.
#[test]
fn end_revokes_no_token_and_end_all_revokes_those_of_the_issuer() {
    let fixture = Fixture::new();
    let tokens = Revocations::builder(sealed(&fixture.store))
        .longest_token_life(Duration::from_secs(600))
        .staleness(Duration::ZERO)
        .clock(fixture.clock.clone())
        .build()
        .unwrap();
    let now = fixture.clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let token = |issuer: &str, subject: &str| {
        let claims = json!({ "iss": issuer, "sub": subject, "iat": now, "exp": now + 600 });
        let token = Principal::builder(subject, Scheme::BEARER).issuer(issuer).claims(&claims);
        tokens.check(&token.unwrap().build()).now_or_never().unwrap().is_ok()
    };
    let session = start(&fixture.sessions, &user("alice", "s"), &head(None)).unwrap();
    let caller = fixture.use_session(&session).unwrap();
    end(&fixture.sessions, &caller).unwrap();
    assert!(!fixture.is_live(&session) && token(ISSUER, "alice"));
    end_all(&fixture, &caller);
    assert!(!token(ISSUER, "alice"));
    assert!(token(ISSUER, "bob") && token("https://other.example", "alice"));
}
