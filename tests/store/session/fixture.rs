use std::{
    sync::{Arc, Mutex},
    time::SystemTime,
};

use futures_util::FutureExt;
use http::{
    Request, Response,
    header::{CACHE_CONTROL, COOKIE, SET_COOKIE},
    request::Parts,
};
use serde_json::{Value, json};
use tower_auth::{
    Authenticator, Principal, Rejection, RejectionKind, Scheme,
    authenticate::Outcome,
    clock::Clock,
    observe::{Event, Observe},
    session::{SessionError, SessionInfo, Sessions, SessionsBuilder},
    store::{SealedStore, StoreSecret},
    test_util::TestClock,
};

use crate::revocation::test_store::{TestStore, key};

/// A store, and one process that uses it.
pub struct Fixture {
    pub clock: TestClock,
    pub store: TestStore,
    pub events: Events,
    pub sessions: Sessions,
}

/// A session that was started.
#[derive(Clone, Debug)]
pub struct Started {
    pub cookie: String,
    pub info: SessionInfo,
}

/// The events of sessions and of lost records.
#[derive(Clone, Default)]
pub struct Events(Arc<Mutex<Vec<String>>>);

impl Events {
    /// Returns the events since the last call.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Observe for Events {
    fn observed(&self, event: &Event<'_>) {
        let text = match event {
            Event::SessionStarted { subject, .. } => format!("started {subject}"),
            Event::SessionEnded { subject, id: Some(_), .. } => format!("ended {subject}"),
            Event::SessionEnded { subject, .. } => format!("ended all of {subject}"),
            Event::StoreReverted => "reverted".to_owned(),
            _ => return,
        };
        self.0.lock().unwrap().push(text);
    }
}

impl Fixture {
    pub fn new() -> Self {
        Self::with(|builder| builder)
    }

    pub fn with(configure: impl FnOnce(SessionsBuilder) -> SessionsBuilder) -> Self {
        let clock = TestClock::new();
        let (store, events) = (TestStore::new(&clock), Events::default());
        let sessions = configure(builder(&store, &clock, &events)).build().unwrap();
        Self { clock, store, events, sessions }
    }

    /// Another process with the same store.
    pub fn process(&self) -> Sessions {
        self.process_with(|builder| builder)
    }

    pub fn process_with(
        &self,
        configure: impl FnOnce(SessionsBuilder) -> SessionsBuilder,
    ) -> Sessions {
        configure(builder(&self.store, &self.clock, &self.events)).build().unwrap()
    }

    pub fn start(&self, user: &str) -> Started {
        start(&self.sessions, &alice(user), &head(None)).unwrap()
    }

    /// Sends a request with a session.
    pub fn use_session(&self, session: &Started) -> Result<Principal, RejectionKind> {
        use_session(&self.sessions, session)
    }

    pub fn clock_is_before(&self, time: SystemTime) -> bool {
        self.clock.now() < time
    }

    pub fn is_live(&self, session: &Started) -> bool {
        is_live(&self.sessions, session)
    }
}

pub fn sealed(store: &TestStore) -> SealedStore {
    let secret = StoreSecret::new(key(7)).unwrap();
    SealedStore::new(store.clone(), secret).observer(|_: &Event<'_>| {})
}

fn builder(store: &TestStore, clock: &TestClock, events: &Events) -> SessionsBuilder {
    Sessions::builder(sealed(store)).clock(clock.clone()).observer(events.clone())
}

/// A user who has just logged in.
pub fn alice(user: &str) -> Principal {
    let claims = json!({ "sub": user, "email": "alice@example.com", "roles": ["editor"] });
    let user = Principal::builder(user, Scheme::BASIC).scopes(["orders:read", "orders:write"]);
    user.claims(&claims).unwrap().build()
}

pub fn head(cookie: Option<&str>) -> Parts {
    let mut request = Request::builder().uri("/").header("user-agent", "Mozilla/5.0 (X11)");
    if let Some(cookie) = cookie {
        request = request.header(COOKIE, cookie);
    }
    request.body(()).unwrap().into_parts().0
}

pub fn start(sessions: &Sessions, user: &Principal, head: &Parts) -> Result<Started, SessionError> {
    start_later(sessions, user, head).now_or_never().unwrap()
}

pub async fn start_later(
    sessions: &Sessions,
    user: &Principal,
    head: &Parts,
) -> Result<Started, SessionError> {
    let mut response = Response::new(());
    let result = sessions.start(user, head, &mut response).await;
    let headers = response.headers();
    let Ok(info) = result else {
        assert!(headers.is_empty(), "{headers:?}");
        return Err(result.unwrap_err());
    };
    assert_eq!(headers[CACHE_CONTROL], "no-store");
    let cookie = headers[SET_COOKIE].to_str().unwrap();
    Ok(Started { cookie: cookie.split(';').next().unwrap().to_owned(), info })
}

pub async fn outcome_of(sessions: &Sessions, cookie: &str) -> Outcome {
    sessions.authenticate(&head(Some(cookie))).unwrap().await
}

/// Sends a request with a session. A rejection has the headers that belong to it.
pub async fn use_later(sessions: &Sessions, cookie: &str) -> Result<Principal, Rejection> {
    let outcome = outcome_of(sessions, cookie).await;
    let headers: Vec<String> = outcome
        .headers()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    let result = outcome.into_result();
    let expected: &[&str] = match &result {
        Err(rejection) if rejection.kind() == RejectionKind::InvalidCredentials => &[
            "set-cookie: __Host-session=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0",
            "cache-control: no-store",
        ],
        _ => &[],
    };
    assert_eq!(headers, expected);
    result
}

pub fn use_session(sessions: &Sessions, session: &Started) -> Result<Principal, RejectionKind> {
    let result = use_later(sessions, &session.cookie).now_or_never().unwrap();
    result.map_err(|rejection| rejection.kind())
}

pub fn is_live(sessions: &Sessions, session: &Started) -> bool {
    match use_session(sessions, session) {
        Ok(_) => true,
        Err(RejectionKind::InvalidCredentials) => false,
        Err(kind) => panic!("{kind:?}"),
    }
}

pub fn end(sessions: &Sessions, caller: &Principal) -> Result<(), SessionError> {
    let mut response = Response::new(());
    let result = sessions.end(caller, &mut response).now_or_never().unwrap();
    let is_removed = response.headers().get(SET_COOKIE).is_some();
    assert_eq!(is_removed, result.is_ok());
    assert_eq!(response.headers().contains_key(CACHE_CONTROL), is_removed);
    result
}

pub fn claims(principal: &Principal) -> Value {
    principal.claims::<Value>().unwrap()
}
