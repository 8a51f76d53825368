use std::time::Duration;

use futures_util::FutureExt;
use http::{Request, Response, header::COOKIE};
use serde_json::json;
use tower_auth::{
    Authenticator, Principal, RejectionKind, Scheme,
    binding::Cnf,
    revocation::Revocations,
    session::{SessionError, SessionInfo, Sessions},
    store::SealedStore,
};

use super::fixture::*;

#[test]
fn session_has_the_principal_of_the_login() {
    let fixture = Fixture::new();
    let session = fixture.start("alice");
    let caller = fixture.use_session(&session).unwrap();
    assert_eq!((caller.subject(), caller.issuer()), ("alice", None));
    assert_eq!(caller.scheme(), Scheme::COOKIE);
    assert_eq!(caller.scopes(), alice("alice").scopes());
    let mut expected = claims(&alice("alice"));
    let now = tower_auth::clock::Clock::now(&fixture.clock);
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    expected["auth_time"] = now.as_secs().into();
    assert_eq!(claims(&caller), expected);
    let info = caller.extension::<SessionInfo>().unwrap();
    assert_eq!(info.id(), session.info.id());
    assert_eq!(info.user_agent(), Some("Mozilla/5.0 (X11)"));
    assert_eq!(caller.expires_at(), Some(info.expires_at()));
    assert_eq!(info.expires_at(), info.started_at() + Duration::from_secs(12 * 3_600));
    assert!(!session.cookie.contains(info.id()), "the id of the list is not the secret");
    assert_eq!(fixture.events.take(), ["started alice"]);
}

#[test]
fn claims_keep_their_text_and_an_auth_time_that_exists() {
    let fixture = Fixture::new();
    for (claims, expected) in [
        ("{}", None),
        (r#"{"auth_time": 5, "a": 12345678901234567890123}"#, Some(5)),
        (r#"{ "a": "}{", "b": [ ] }"#, None),
    ] {
        let json: &serde_json::value::Value = &serde_json::from_str(claims).unwrap();
        let user = Principal::builder("alice", Scheme::BASIC).claims(json).unwrap().build();
        let session = start(&fixture.sessions, &user, &head(None)).unwrap();
        let caller = fixture.use_session(&session).unwrap();
        let auth_time: u64 = caller.claim("auth_time").unwrap();
        assert!(expected.is_none_or(|expected| auth_time == expected), "{claims}");
        for (name, value) in json.as_object().unwrap() {
            assert_eq!(&caller.claim::<serde_json::Value>(name).unwrap(), value);
        }
    }
    let user = Principal::builder("alice", Scheme::BASIC).build();
    let session = start(&fixture.sessions, &user, &head(None)).unwrap();
    assert!(fixture.use_session(&session).unwrap().claim::<u64>("auth_time").is_ok());
}

#[test]
fn principal_that_cannot_have_a_session_is_invalid() {
    let fixture = Fixture::new();
    let cnf = Cnf::new(&json!({ "jkt": "x" })).unwrap();
    let huge = json!({ "a": "x".repeat(65_536) });
    for user in [
        Principal::builder("alice", Scheme::BEARER).confirmation(cnf).build(),
        Principal::builder("", Scheme::BEARER).build(),
        Principal::builder("alice", Scheme::BEARER).claims(&huge).unwrap().build(),
    ] {
        let error = start(&fixture.sessions, &user, &head(None)).unwrap_err();
        assert!(matches!(error, SessionError::Invalid(_)), "{error:?}");
    }
    assert!(fixture.store.snapshot().len() <= 1, "only the epoch");
}

#[test]
fn request_without_a_usable_cookie_is_rejected() {
    let fixture = Fixture::new();
    let session = fixture.start("alice");
    assert!(fixture.sessions.authenticate(&head(None)).is_none());
    assert!(fixture.sessions.authenticate(&head(Some("__Host-session="))).is_none());
    fixture.store.take_operations();
    let id = session.cookie.strip_prefix("__Host-session=").unwrap();
    for (id, kind, operations) in [
        ("AAAAAAAAAAAAAAAAAAAAAA", RejectionKind::InvalidCredentials, 1),
        ("AAAAAAAAAAAAAAAAAAAAAB", RejectionKind::InvalidCredentials, 0),
        ("AAAAAAAAAAAAAAAAAAAAA", RejectionKind::InvalidCredentials, 0),
        (session.info.id(), RejectionKind::InvalidCredentials, 1),
        (&*format!("{id}="), RejectionKind::InvalidCredentials, 0),
        (&*format!("\"{id}\""), RejectionKind::InvalidCredentials, 0),
        (&*"A".repeat(9_000), RejectionKind::InvalidCredentials, 0),
    ] {
        let cookie = format!("__Host-session={id}");
        let error = use_later(&fixture.sessions, &cookie).now_or_never().unwrap().unwrap_err();
        assert_eq!(error.kind(), kind, "{id}");
        assert_eq!(fixture.store.take_operations().len(), operations, "{id}");
    }
    let twice = format!("{0}; {0}", session.cookie);
    let outcome = outcome_of(&fixture.sessions, &twice).now_or_never().unwrap();
    assert_eq!(outcome.headers().count(), 2);
    assert_eq!(outcome.into_result().unwrap_err().kind(), RejectionKind::MalformedRequest);
    assert!(fixture.store.take_operations().is_empty());
}

#[test]
fn cross_site_request_is_rejected_before_the_store_is_asked() {
    let fixture = Fixture::new();
    let session = fixture.start("alice");
    fixture.store.take_operations();
    let request = Request::post("/").header(COOKIE, &session.cookie);
    let request = request.header("sec-fetch-site", "cross-site").body(()).unwrap();
    let outcome = fixture.sessions.authenticate(&request.into_parts().0).unwrap();
    let outcome = outcome.now_or_never().unwrap();
    assert_eq!(outcome.headers().count(), 0, "the session is not affected");
    assert_eq!(outcome.into_result().unwrap_err().kind(), RejectionKind::CrossSite);
    assert!(fixture.store.take_operations().is_empty());
}

#[test]
fn request_takes_one_operation_and_adds_no_header() {
    let fixture = Fixture::new();
    let session = fixture.start("alice");
    fixture.use_session(&session).unwrap();
    for _ in 0..3 {
        fixture.store.take_operations();
        let outcome = outcome_of(&fixture.sessions, &session.cookie).now_or_never().unwrap();
        assert_eq!(outcome.headers().count(), 0);
        assert_eq!(fixture.store.take_operations(), ["get"]);
    }
}

#[test]
fn login_gets_a_new_id_and_ends_the_session_of_the_request() {
    let fixture = Fixture::new();
    let first = fixture.start("alice");
    let bob = fixture.start("bob");
    let caller = fixture.use_session(&first).unwrap();
    let second = start(&fixture.sessions, &caller, &head(Some(&first.cookie))).unwrap();
    assert_ne!(first.cookie, second.cookie);
    assert!(!fixture.is_live(&first));
    assert!(fixture.is_live(&second) && fixture.is_live(&bob));
    // The layer removes the cookie from the head, but the principal has the session.
    let mut after_layer = head(None);
    after_layer.extensions.insert(fixture.use_session(&second).unwrap());
    let third = start(&fixture.sessions, &alice("carol"), &after_layer).unwrap();
    assert!(!fixture.is_live(&second) && fixture.is_live(&third));
    let events = [
        "started alice",
        "started bob",
        "ended alice",
        "started alice",
        "ended alice",
        "started carol",
    ];
    assert_eq!(fixture.events.take(), events);
}

#[test]
fn ended_session_is_rejected_in_all_processes() {
    let fixture = Fixture::new();
    let other = fixture.process();
    for by_other in [false, true] {
        let (session, unaffected) = (fixture.start("alice"), fixture.start("alice"));
        let caller = fixture.use_session(&session).unwrap();
        assert!(is_live(&other, &session));
        end(if by_other { &other } else { &fixture.sessions }, &caller).unwrap();
        assert!(!fixture.is_live(&session) && !is_live(&other, &session));
        assert!(fixture.is_live(&unaffected) && is_live(&other, &unaffected));
        let check = |caller: &Principal| fixture.sessions.check(caller).now_or_never().unwrap();
        assert_eq!(check(&caller).unwrap_err().kind(), RejectionKind::InvalidCredentials);
        assert!(check(&fixture.use_session(&unaffected).unwrap()).is_ok());
    }
    let error = end(&fixture.sessions, &alice("alice")).unwrap_err();
    assert!(matches!(error, SessionError::Invalid(_)));
    let error = fixture.sessions.check(&alice("alice")).now_or_never().unwrap().unwrap_err();
    assert_eq!(error.kind(), RejectionKind::Misconfigured);
}

#[test]
fn session_is_not_a_token() {
    let fixture = Fixture::new();
    let claims =
        json!({ "iss": "i", "sub": "alice", "jti": "1", "iat": 1_000, "exp": 9_999_999_999_u64 });
    let user = Principal::builder("alice", Scheme::BEARER).issuer("i").claims(&claims).unwrap();
    let session = start(&fixture.sessions, &user.build(), &head(None)).unwrap();
    let caller = fixture.use_session(&session).unwrap();
    let revocations = fixture.sessions.revocations();
    assert!(revocations.token(&caller).now_or_never().unwrap().is_err());
    assert!(revocations.check(&caller).now_or_never().unwrap().is_err());
}

#[test]
fn settings_that_do_not_fit_are_errors() {
    let store = SealedStore::memory();
    let revocations = |store: &SealedStore, life| {
        Revocations::builder(store.clone()).longest_token_life(life).build().unwrap()
    };
    let (hour, day) = (Duration::from_secs(3_600), Duration::from_secs(24 * 3_600));
    let builder = || Sessions::builder(store.clone());
    let refreshing = || builder().refresh(async |caller| Ok::<_, std::io::Error>(Some(caller)));
    for (faulty, hint) in [
        (builder().cookie_name("session"), "__Host-"),
        (builder().idle_timeout(Duration::ZERO), "idle_timeout must be at least 1 s"),
        (builder().absolute_lifetime(Duration::ZERO), "absolute_lifetime must be from"),
        (builder().absolute_lifetime(day * 401), "absolute_lifetime must be from"),
        (builder().idle_timeout(hour).absolute_lifetime(hour / 2), "idle_timeout is above"),
        (builder().idle_timeout(day), "lower it, or remove"),
        (builder().staleness(Duration::from_secs(301)), "staleness must be"),
        (refreshing().refresh_interval(Duration::ZERO), "refresh_interval must not be zero"),
        (refreshing().refresh_timeout(Duration::ZERO), "refresh_timeout must not be zero"),
        (refreshing().refresh_interval(day / 2), "no session would be refreshed"),
        (builder().refresh_interval(hour), "no effect without refresh"),
        (builder().refresh_timeout(hour), "no effect without refresh"),
        (builder().trusted_origin("example.com"), "origin"),
        (builder().revocations(revocations(&store, hour)), "longest_token_life"),
        (builder().revocations(revocations(&SealedStore::memory(), day)), "another store"),
    ] {
        let error = faulty.build().unwrap_err().to_string();
        assert!(error.contains(hint), "{hint}: {error}");
    }
    assert!(builder().revocations(revocations(&store, day)).build().is_ok());
    assert!(refreshing().refresh_interval(hour).refresh_timeout(hour).build().is_ok());
    // The default of the idle timeout is not above a shorter lifetime.
    assert!(builder().absolute_lifetime(Duration::from_secs(60)).build().is_ok());
}

#[test]
fn store_without_an_answer_leads_to_503_and_keeps_the_cookie() {
    use tower_auth::store::StoreErrorKind;
    let fixture = Fixture::new();
    let session = fixture.start("alice");
    let caller = fixture.use_session(&session).unwrap();
    for sessions in [&fixture.sessions, &fixture.process()] {
        for kind in [StoreErrorKind::Unavailable, StoreErrorKind::Unreadable] {
            fixture.store.fail_with(Some(kind));
            let error = use_later(sessions, &session.cookie).now_or_never().unwrap().unwrap_err();
            assert_eq!(error.kind(), RejectionKind::Unavailable);
            assert!(error.retry_after().is_some());
            let error = end(sessions, &caller).unwrap_err();
            assert!(matches!(error, SessionError::Unavailable(_)));
        }
        fixture.store.fail_with(None);
        assert!(is_live(sessions, &session));
    }
}

#[test]
fn debug_output_has_no_secret() {
    let fixture = Fixture::new();
    let session = fixture.start("alice");
    let id = session.cookie.strip_prefix("__Host-session=").unwrap();
    let caller = fixture.use_session(&session).unwrap();
    let mut response = Response::new(());
    fixture.sessions.start(&caller, &head(None), &mut response).now_or_never().unwrap().unwrap();
    let debug = format!("{:?} {:?} {caller:?} {:?}", fixture.sessions, session.info, response);
    assert!(!debug.contains(id) && !debug.contains("alice@example.com"), "{debug}");
}
