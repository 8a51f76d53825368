//! Sessions of several processes with one real server.

mod faults;
mod rounds;
mod several;

use std::{sync::Arc, time::SystemTime};

use axum::body::Bytes;
use http::{
    Request, Response,
    header::{COOKIE, SET_COOKIE},
    request::Parts,
};
use tower_auth::{
    Authenticator as _, Principal, Rejection, RejectionKind, Scheme,
    clock::Clock,
    session::{SessionInfo, Sessions, SessionsBuilder},
    store::{Redis, SealedStore, Store, StoreFuture, StoreKey, StoreSecret, Ttl},
    test_util::TestClock,
};
use tower_auth_test_support::redis::RedisServer;

const ISSUER: &str = "https://issuer.example";
const COOKIE_NAME: &str = "__Host-session";

/// One process of a service.
#[derive(Clone)]
struct Process {
    sessions: Sessions,
}

impl Process {
    fn start(url: &str, clock: &TestClock) -> Self {
        Self::with(url, clock, |sessions| sessions)
    }

    fn with(
        url: &str,
        clock: &TestClock,
        configure: impl FnOnce(SessionsBuilder) -> SessionsBuilder,
    ) -> Self {
        let redis = Redis::builder(url).unwrap().build().unwrap();
        let store = Timed { redis: Arc::new(redis), clock: clock.clone() };
        let secret = StoreSecret::new(*b"0123456789abcdefghijklmnopqrstuv").unwrap();
        let sessions = Sessions::builder(SealedStore::new(store, secret)).clock(clock.clone());
        Self { sessions: configure(sessions).build().unwrap() }
    }

    /// Logs in, and returns the value of the cookie.
    async fn log_in(&self, subject: &str) -> Result<String, Rejection> {
        let user = Principal::builder(subject, Scheme::BEARER).issuer(ISSUER);
        let user = user.claims(&serde_json::json!({ "sid": format!("sid-{subject}") }));
        let mut response = Response::new(());
        self.sessions.start(&user.unwrap().build(), &head(None), &mut response).await?;
        let line = response.headers()[SET_COOKIE].to_str().unwrap();
        let value = line.split(['=', ';']).nth(1).unwrap();
        Ok(value.to_owned())
    }

    async fn caller(&self, cookie: &str) -> Result<Principal, Rejection> {
        self.sessions.authenticate(&head(Some(cookie))).unwrap().await.into_result()
    }

    /// Returns the subject, or why the request was rejected.
    async fn get(&self, cookie: &str) -> Result<String, RejectionKind> {
        let caller = self.caller(cookie).await.map_err(|rejection| rejection.kind())?;
        Ok(caller.subject().to_owned())
    }

    async fn log_out(&self, cookie: &str) -> Result<(), RejectionKind> {
        let caller = self.caller(cookie).await.map_err(|rejection| rejection.kind())?;
        let mut response = Response::new(());
        let ended = self.sessions.end(&caller, &mut response).await;
        ended.map_err(|error| Rejection::from(error).kind())
    }

    /// Returns the public ids of the sessions of a user.
    async fn list(&self, subject: &str) -> Vec<String> {
        let sessions = self.sessions.list((ISSUER, subject)).await.unwrap();
        sessions.iter().map(|session| session.id().to_owned()).collect()
    }

    async fn id_of(&self, cookie: &str) -> String {
        let caller = self.caller(cookie).await.unwrap();
        caller.extension::<SessionInfo>().unwrap().id().to_owned()
    }
}

fn head(cookie: Option<&str>) -> Parts {
    let mut request = Request::get("/");
    if let Some(cookie) = cookie {
        request = request.header(COOKIE, format!("{COOKIE_NAME}={cookie}"));
    }
    request.body(()).unwrap().into_parts().0
}

fn rejected() -> Result<String, RejectionKind> {
    Err(RejectionKind::InvalidCredentials)
}

fn unavailable() -> Result<String, RejectionKind> {
    Err(RejectionKind::Unavailable)
}

fn is(subject: &str) -> Result<String, RejectionKind> {
    Ok(subject.to_owned())
}

/// Starts a server and two processes.
fn two_processes(clock: &TestClock) -> Option<(RedisServer, Process, Process)> {
    let server = RedisServer::redis(&[])?;
    let [one, other] = [(); 2].map(|()| Process::start(&server.url(), clock));
    Some((server, one, other))
}

/// Redis, with the time of a mock clock.
struct Timed {
    redis: Arc<Redis>,
    clock: TestClock,
}

impl Store for Timed {
    fn get(&self, keys: &[StoreKey]) -> StoreFuture<Vec<Option<Bytes>>> {
        self.redis.get(keys)
    }

    fn put(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<()> {
        self.redis.put(key, value, ttl)
    }

    fn insert(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        self.redis.insert(key, value, ttl)
    }

    fn replace(&self, key: &StoreKey, current: Bytes, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        self.redis.replace(key, current, value, ttl)
    }

    fn add(&self, keys: &[StoreKey], delta: i64, ttl: Ttl) -> StoreFuture<Vec<i64>> {
        self.redis.add(keys, delta, ttl)
    }

    fn take(&self, key: &StoreKey) -> StoreFuture<Option<Bytes>> {
        self.redis.take(key)
    }

    fn now(&self) -> StoreFuture<SystemTime> {
        StoreFuture::ready(Ok(self.clock.now()))
    }
}
