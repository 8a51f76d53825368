//! Tests of what is not public: sessions of providers, and the table of known sessions.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use http::{
    HeaderMap, Request,
    header::{COOKIE, SET_COOKIE},
    request::Parts,
};
use serde_json::json;

use super::{
    Sessions,
    record::{ProviderSession, Record, Start},
    session_id::SessionHandle,
    start::NewSession,
};
use crate::{
    authenticate::Authenticator,
    header::Scheme,
    principal::Principal,
    store::{memory::memory::Memory, sealed_store::SealedStore, secret::StoreSecret},
    test_util::clock::TestClock,
};

const PROVIDER: &str = "https://login.example";

fn sessions() -> (TestClock, Sessions) {
    let clock = TestClock::new();
    let store = SealedStore::new(Memory::with_clock(clock.clone()), StoreSecret::random());
    (clock.clone(), Sessions::builder(store).clock(clock).build().unwrap())
}

fn alice() -> Principal {
    let claims = json!({ "sub": "alice", "auth_time": 1_000 });
    Principal::builder("alice", Scheme::COOKIE).claims(&claims).unwrap().build()
}

fn head(cookie: Option<&str>) -> Parts {
    let mut request = Request::new(());
    if let Some(cookie) = cookie {
        request.headers_mut().insert(COOKIE, cookie.parse().unwrap());
    }
    request.into_parts().0
}

/// Starts a session of a user of the provider. Returns its cookie and its id.
fn start(
    sessions: &Sessions,
    subject: &str,
    sid: Option<&str>,
    replaces: Option<&str>,
) -> (String, String) {
    let provider = ProviderSession {
        issuer: PROVIDER.into(),
        subject: subject.into(),
        sid: sid.map(Into::into),
        id_token: Some("a.b.c".into()),
    };
    let new = NewSession { principal: &alice(), provider: Some(provider), replaces };
    let mut headers = HeaderMap::new();
    let started = sessions.start_new(new, &head(None), &mut headers).now_or_never().unwrap();
    let cookie = headers[SET_COOKIE].to_str().unwrap().split(';').next().unwrap();
    (cookie.to_owned(), started.unwrap().id().to_owned())
}

fn find(sessions: &Sessions, cookie: &str) -> Option<Principal> {
    let outcome = sessions.authenticate(&head(Some(cookie))).unwrap().now_or_never().unwrap();
    outcome.into_result().ok()
}

#[test]
fn provider_ends_the_sessions_of_its_users() {
    let (clock, sessions) = sessions();
    let one = start(&sessions, "08a5", Some("s1"), None).0;
    let two = start(&sessions, "08a5", Some("s2"), None).0;
    let three = start(&sessions, "77", None, None).0;
    let live = || [&one, &two, &three].map(|cookie| find(&sessions, cookie).is_some());
    assert_eq!(live(), [true; 3]);
    let revocations = sessions.revocations();
    // The names of the principal are other ones.
    revocations.subject(PROVIDER, "alice").now_or_never().unwrap().unwrap();
    revocations.session("", "s1").now_or_never().unwrap().unwrap();
    assert_eq!(live(), [true; 3]);
    revocations.session(PROVIDER, "s1").now_or_never().unwrap().unwrap();
    assert_eq!(live(), [false, true, true]);
    assert_eq!(sessions.list("alice").now_or_never().unwrap().unwrap().len(), 2);
    revocations.subject(PROVIDER, "08a5").now_or_never().unwrap().unwrap();
    assert_eq!(live(), [false, false, true]);
    revocations.issuer(PROVIDER).now_or_never().unwrap().unwrap();
    assert_eq!(live(), [false; 3]);
    assert!(sessions.list("alice").now_or_never().unwrap().unwrap().is_empty());
    clock.advance(Duration::from_millis(1));
    let four = start(&sessions, "08a5", Some("s3"), None).0;
    assert!(find(&sessions, &four).is_some());
    sessions.end_all("alice").now_or_never().unwrap().unwrap();
    assert!(find(&sessions, &four).is_none());
}

#[test]
fn time_of_the_login_is_that_of_the_provider() {
    let (_, sessions) = sessions();
    let (cookie, _) = start(&sessions, "08a5", None, None);
    assert_eq!(find(&sessions, &cookie).unwrap().claim::<u64>("auth_time").unwrap(), 1_000);
    let user = Principal::builder("alice", Scheme::COOKIE).build();
    let new = NewSession { principal: &user, provider: None, replaces: None };
    let mut headers = HeaderMap::new();
    sessions.start_new(new, &head(None), &mut headers).now_or_never().unwrap().unwrap();
    let cookie = headers[SET_COOKIE].to_str().unwrap().split(';').next().unwrap();
    assert!(find(&sessions, cookie).unwrap().claim::<u64>("auth_time").is_err());
}

#[test]
fn login_ends_the_session_that_it_replaces() {
    let (_, sessions) = sessions();
    let (old, id) = start(&sessions, "08a5", None, None);
    let (new, _) = start(&sessions, "08a5", None, Some(&id));
    assert!(find(&sessions, &old).is_none() && find(&sessions, &new).is_some());
    // One that has ended, and one that is malformed, do not matter.
    start(&sessions, "08a5", None, Some(&id));
    start(&sessions, "08a5", None, Some("x"));
}

#[test]
fn session_of_a_request_is_found_by_its_cookie_or_principal() {
    let (_, sessions) = sessions();
    let (cookie, id) = start(&sessions, "08a5", Some("s"), None);
    let of = |head: &Parts| sessions.of_request(head).now_or_never().unwrap().unwrap();
    assert!(of(&head(None)).is_none());
    assert!(of(&head(Some("__Host-session=AAAAAAAAAAAAAAAAAAAAAA"))).is_none());
    let mut after_layer = head(None);
    after_layer.extensions.insert(find(&sessions, &cookie).unwrap());
    for head in [&head(Some(&cookie)), &after_layer] {
        let (handle, record) = of(head).unwrap();
        assert_eq!(handle.to_string(), id);
        let provider = record.provider.unwrap();
        assert_eq!((&*provider.issuer, &*provider.subject), (PROVIDER, "08a5"));
        assert_eq!(provider.id_token.as_deref(), Some("a.b.c"));
    }
    let mut headers = HeaderMap::new();
    sessions.end_now("alice".into(), &id, &mut headers).now_or_never().unwrap().unwrap();
    assert_eq!(headers.len(), 2);
    assert!(of(&after_layer).is_none());
}

#[test]
fn only_sessions_that_exist_are_remembered() {
    let (_, sessions) = sessions();
    for number in 0..2_000_u16 {
        let id = base64::Engine::encode(
            &base64::engine::general_purpose::URL_SAFE_NO_PAD,
            [&number.to_be_bytes()[..], &[0; 14]].concat(),
        );
        assert!(find(&sessions, &format!("__Host-session={id}")).is_none());
    }
    assert_eq!(sessions.0.known.len(), 0);
    let (cookie, id) = start(&sessions, "08a5", None, None);
    find(&sessions, &cookie).unwrap();
    assert_eq!(sessions.0.known.len(), 1);
    sessions.end_now("alice".into(), &id, &mut HeaderMap::new()).now_or_never().unwrap().unwrap();
    assert_eq!(sessions.0.known.len(), 0);
}

#[test]
fn remembered_sessions_are_limited_by_their_size() {
    let (_, sessions) = sessions();
    let claims = json!({ "a": "x".repeat(60_000) });
    let user = Principal::builder("alice", Scheme::COOKIE).claims(&claims).unwrap().build();
    for _ in 0..300 {
        let new = NewSession { principal: &user, provider: None, replaces: None };
        let mut headers = HeaderMap::new();
        sessions.start_new(new, &head(None), &mut headers).now_or_never().unwrap().unwrap();
        let cookie = headers[SET_COOKIE].to_str().unwrap().split(';').next().unwrap();
        assert!(find(&sessions, cookie).is_some());
        assert!(find(&sessions, cookie).is_some());
    }
    let (count, bytes) = (sessions.0.known.len(), sessions.0.known.weight());
    assert!(bytes <= 64 << 20 && count > 50, "{count}: {bytes}");
    assert!(bytes >= u64::try_from(count).unwrap() * 3 * 60_000, "the claims are counted");
}

#[test]
fn session_that_has_not_grown_keeps_its_entry() {
    let (clock, sessions) = sessions();
    let (cookie, id) = start(&sessions, "08a5", None, None);
    let entry = || sessions.0.known.get(&SessionHandle::parse(&id).unwrap()).unwrap();
    find(&sessions, &cookie).unwrap();
    let first = entry();
    // The last use is written, so the record differs.
    clock.advance(Duration::from_secs(120));
    for _ in 0..3 {
        find(&sessions, &cookie).unwrap();
    }
    assert!(Arc::ptr_eq(&first, &entry()));
}

#[test]
fn handle_reveals_no_id_and_has_one_form() {
    for text in ["", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAB", "AAAAAAAAAAAAAAAAAAAAAA="] {
        assert!(SessionHandle::parse(text).is_none(), "{text}");
    }
    let text = "AAAAAAAAAAAAAAAAAAAAAA";
    assert_eq!(SessionHandle::parse(text).unwrap().to_string(), text);
}

#[test]
fn size_of_a_record_includes_all_texts() {
    let principal = Principal::builder("12345", Scheme::COOKIE)
        .issuer("1234567")
        .scopes(["123", "12"])
        .claims(&json!({ "sid": "12" }))
        .unwrap()
        .build();
    let provider = ProviderSession {
        issuer: "12345678901".into(),
        subject: "1234567890123".into(),
        sid: Some("12345678901234567".into()),
        id_token: Some("1234567890123456789".into()),
    };
    let start = |provider| Start {
        idle: Duration::ZERO,
        absolute: Duration::ZERO,
        provider,
        user_agent: Some("12345678901234567890123".into()),
        address: None,
    };
    // Each scope is a text of its own, which takes 32 bytes more.
    let without_provider = 5 + 7 + r#"{"sid":"12"}"#.len() + 2 + 23 + (3 + 32) + (2 + 32);
    assert_eq!(Record::new(&principal, start(None)).text_bytes(), without_provider);
    let with_provider = Record::new(&principal, start(Some(provider))).text_bytes();
    assert_eq!(with_provider, without_provider + 11 + 13 + 17 + 19);
}
