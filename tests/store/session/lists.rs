use std::time::Duration;

use futures_util::FutureExt;
use tower_auth::session::{SessionInfo, SessionOwner, Sessions};

use super::fixture::*;

const SECOND: Duration = Duration::from_secs(1);

fn list<'a>(sessions: &Sessions, owner: impl Into<SessionOwner<'a>>) -> Vec<SessionInfo> {
    sessions.list(owner).now_or_never().unwrap().unwrap()
}

fn ids<'a>(sessions: &Sessions, owner: impl Into<SessionOwner<'a>>) -> Vec<String> {
    list(sessions, owner).iter().map(|info| info.id().to_owned()).collect()
}

fn end_one<'a>(sessions: &Sessions, owner: impl Into<SessionOwner<'a>>, id: &str) -> bool {
    sessions.end_one(owner, id).now_or_never().unwrap().unwrap()
}

#[test]
fn live_sessions_are_listed_latest_first() {
    let fixture = Fixture::new();
    assert!(list(&fixture.sessions, "alice").is_empty());
    let sessions: Vec<_> = (0..4)
        .map(|_| {
            fixture.clock.advance(SECOND);
            fixture.start("alice")
        })
        .collect();
    fixture.start("bob");
    let id = |index: usize| sessions[index].info.id();
    for process in [&fixture.sessions, &fixture.process()] {
        assert_eq!(ids(process, "alice"), [id(3), id(2), id(1), id(0)]);
    }
    let caller = fixture.use_session(&sessions[1]).unwrap();
    end(&fixture.sessions, &caller).unwrap();
    assert_eq!(ids(&fixture.sessions, &caller), [id(3), id(2), id(0)]);
    fixture.clock.advance(Duration::from_secs(20 * 60));
    fixture.use_session(&sessions[2]).unwrap();
    let listed = list(&fixture.process(), "alice");
    assert_eq!(listed[1].last_seen(), sessions[2].info.last_seen() + Duration::from_secs(1_201));
    fixture.clock.advance(Duration::from_secs(20 * 60));
    assert_eq!(ids(&fixture.sessions, "alice"), [id(2)], "the others have expired");
    fixture.sessions.end_all("alice").now_or_never().unwrap().unwrap();
    assert!(list(&fixture.sessions, "alice").is_empty());
    assert_eq!(list(&fixture.sessions, "bob").len(), 0);
    assert!(list(&fixture.sessions, ("https://issuer.example", "alice")).is_empty());
}

#[test]
fn list_takes_three_operations() {
    let fixture = Fixture::new();
    (0..20).for_each(|_| _ = fixture.start("alice"));
    fixture.store.take_operations();
    assert_eq!(list(&fixture.sessions, "alice").len(), 20);
    assert_eq!(fixture.store.take_operations(), ["get", "get", "get"]);
}

#[test]
fn one_session_of_the_owner_is_ended() {
    let fixture = Fixture::new();
    let (one, two, bob) = (fixture.start("alice"), fixture.start("alice"), fixture.start("bob"));
    for id in [bob.info.id(), "", "x", "AAAAAAAAAAAAAAAAAAAAAA"] {
        assert!(!end_one(&fixture.sessions, "alice", id), "{id}");
    }
    assert!(!end_one(&fixture.sessions, ("https://issuer.example", "alice"), one.info.id()));
    assert!(fixture.is_live(&one) && fixture.is_live(&two) && fixture.is_live(&bob));
    fixture.events.take();
    assert!(end_one(&fixture.sessions, ("", "alice"), one.info.id()));
    assert!(!end_one(&fixture.sessions, "alice", one.info.id()));
    assert!(!fixture.is_live(&one) && fixture.is_live(&two) && fixture.is_live(&bob));
    assert_eq!(fixture.events.take(), ["ended alice"]);
}

#[test]
fn session_101_ends_the_oldest() {
    let fixture = Fixture::new();
    let mut sessions = Vec::new();
    for _ in 0..100 {
        fixture.clock.advance(Duration::from_millis(10));
        sessions.push(fixture.start("alice"));
    }
    assert_eq!(list(&fixture.sessions, "alice").len(), 100);
    fixture.events.take();
    sessions.push(fixture.start("alice"));
    assert_eq!(fixture.events.take(), ["ended alice", "started alice"]);
    assert!(!fixture.is_live(&sessions[0]));
    assert!(sessions[1..].iter().all(|session| fixture.is_live(session)));
    assert_eq!(list(&fixture.sessions, "alice").len(), 100);
    // One that has ended makes space.
    assert!(end_one(&fixture.sessions, "alice", sessions[50].info.id()));
    sessions.push(fixture.start("alice"));
    assert!(fixture.is_live(&sessions[1]));
    assert_eq!(list(&fixture.sessions, "alice").len(), 100);
    // So do those that have expired.
    fixture.clock.advance(Duration::from_secs(1_801));
    fixture.events.take();
    fixture.start("alice");
    assert_eq!(fixture.events.take(), ["started alice"]);
    assert_eq!(list(&fixture.sessions, "alice").len(), 1);
}

#[test]
fn sessions_of_another_cookie_are_other_sessions() {
    let fixture = Fixture::new();
    let admin = fixture.process_with(|builder| builder.cookie_name("__Host-admin"));
    let session = fixture.start("alice");
    assert!(list(&admin, "alice").is_empty());
    assert!(!end_one(&admin, "alice", session.info.id()));
    let cookie = session.cookie.replace("__Host-session", "__Host-admin");
    let outcome = outcome_of(&admin, &cookie).now_or_never().unwrap();
    assert!(outcome.into_result().is_err());
    // A user who logs in here remains logged in there.
    start(&admin, &alice("alice"), &head(Some(&session.cookie))).unwrap();
    assert!(fixture.is_live(&session));
    (0..99).for_each(|_| _ = fixture.start("alice"));
    start(&admin, &alice("alice"), &head(None)).unwrap();
    assert_eq!(list(&fixture.sessions, "alice").len(), 100);
    assert_eq!(list(&admin, "alice").len(), 2);
    // The user is the same.
    admin.end_all("alice").now_or_never().unwrap().unwrap();
    assert!(!fixture.is_live(&session));
}

#[test]
fn shorter_settings_apply_to_the_list() {
    let fixture = Fixture::new();
    let strict = fixture.process_with(|builder| builder.idle_timeout(60 * SECOND));
    fixture.start("alice");
    fixture.clock.advance(60 * SECOND);
    assert!(list(&strict, "alice").is_empty());
    assert_eq!(list(&fixture.sessions, "alice").len(), 1);
}

#[test]
fn user_agent_is_shortened() {
    let fixture = Fixture::new();
    let mut head = head(None);
    head.headers.insert("user-agent", "x".repeat(300).parse().unwrap());
    let session = start(&fixture.sessions, &alice("alice"), &head).unwrap();
    assert_eq!(session.info.user_agent().unwrap().len(), 256);
}
