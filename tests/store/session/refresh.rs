use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use serde_json::json;
use tower_auth::{Principal, RejectionKind, Scheme, session::Sessions};

use super::fixture::*;

const MINUTE: Duration = Duration::from_secs(60);

type Answer = Arc<dyn Fn(Principal) -> Result<Option<Principal>, &'static str> + Send + Sync>;

/// A closure whose answer a test sets.
#[derive(Clone)]
struct Roles {
    answer: Arc<Mutex<Answer>>,
    calls: Arc<AtomicUsize>,
    gate: Option<Arc<tokio::sync::Semaphore>>,
}

impl Roles {
    fn new() -> Self {
        let answer: Answer = Arc::new(|caller| Ok(Some(caller)));
        Self { answer: Arc::new(Mutex::new(answer)), calls: Arc::default(), gate: None }
    }

    fn set(
        &self,
        answer: impl Fn(Principal) -> Result<Option<Principal>, &'static str> + Send + Sync + 'static,
    ) {
        *self.answer.lock().unwrap() = Arc::new(answer);
    }

    fn calls(&self) -> usize {
        self.calls.swap(0, SeqCst)
    }

    fn closure(
        &self,
    ) -> impl Fn(Principal) -> BoxFuture<'static, Result<Option<Principal>, &'static str>>
    + Send
    + Sync
    + 'static {
        let this = self.clone();
        move |caller| {
            this.calls.fetch_add(1, SeqCst);
            let (answer, gate) = (Arc::clone(&this.answer.lock().unwrap()), this.gate.clone());
            Box::pin(async move {
                if let Some(gate) = gate {
                    gate.acquire().await.unwrap().forget();
                }
                answer(caller)
            })
        }
    }

    fn fixture(&self) -> Fixture {
        Fixture::with(|builder| builder.refresh(self.closure()))
    }
}

#[test]
fn closure_is_called_every_ten_minutes() {
    let roles = Roles::new();
    let fixture = roles.fixture();
    let other = fixture.process_with(|builder| builder.refresh(roles.closure()));
    let session = fixture.start("alice");
    let mut calls = Vec::new();
    for minute in 0..45 {
        fixture.use_session(&session).unwrap();
        use_session(&other, &session).unwrap();
        if roles.calls() > 0 {
            calls.push(minute);
        }
        fixture.clock.advance(MINUTE);
    }
    assert_eq!(calls, [10, 20, 30, 40]);
}

#[test]
fn scopes_and_claims_are_replaced_but_not_how_the_user_logged_in() {
    let roles = Roles::new();
    let fixture = roles.fixture();
    let login = json!({ "sub": "alice", "auth_time": 1_000, "acr": "gold", "old": 1 });
    let user = Principal::builder("alice", Scheme::BASIC).scopes("a").claims(&login).unwrap();
    let session = start(&fixture.sessions, &user.build(), &head(None)).unwrap();
    roles.set(|caller| {
        let new = json!({ "auth_time": 9_999_999_999_u64, "acr": "platinum", "amr": ["pwd"],
            "quote\"d": [1, 2], "big": 18_446_744_073_709_551_615_u64 });
        let builder = Principal::builder(caller.subject(), Scheme::BEARER).scopes(["b", "c"]);
        Ok(Some(builder.claims(&new).unwrap().build()))
    });
    fixture.clock.advance(10 * MINUTE);
    let expected = json!({ "auth_time": 1_000, "acr": "gold", "quote\"d": [1, 2],
        "big": 18_446_744_073_709_551_615_u64 });
    for sessions in [&fixture.sessions, &fixture.process()] {
        let caller = use_session(sessions, &session).unwrap();
        assert_eq!(claims(&caller), expected);
        assert_eq!(caller.scopes().iter().collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(caller.scheme(), Scheme::COOKIE);
    }
    assert_eq!(roles.calls(), 1);
    roles.set(|caller| Ok(Some(Principal::builder(caller.subject(), Scheme::BASIC).build())));
    fixture.clock.advance(10 * MINUTE);
    let caller = fixture.use_session(&session).unwrap();
    assert_eq!(claims(&caller), json!({ "auth_time": 1_000, "acr": "gold" }));
    assert!(caller.scopes().is_empty());
}

#[test]
fn session_of_an_inactive_user_ends() {
    let roles = Roles::new();
    let fixture = roles.fixture();
    let session = fixture.start("alice");
    roles.set(|_| Ok(None));
    fixture.clock.advance(10 * MINUTE - Duration::from_secs(1));
    assert!(fixture.is_live(&session));
    fixture.clock.advance(Duration::from_secs(1));
    fixture.events.take();
    assert!(!fixture.is_live(&session));
    assert_eq!(fixture.events.take(), ["ended alice"]);
    roles.set(|caller| Ok(Some(caller)));
    assert!(!fixture.is_live(&session) && !is_live(&fixture.process(), &session));
}

#[test]
fn other_subject_or_issuer_ends_the_session() {
    for (subject, issuer) in [("bob", None), ("alice", Some("i"))] {
        let roles = Roles::new();
        let fixture = roles.fixture();
        let session = fixture.start("alice");
        roles.set(move |_| {
            let other = Principal::builder(subject, Scheme::COOKIE);
            Ok(Some(issuer.map_or(other.clone(), |issuer| other.issuer(issuer)).build()))
        });
        fixture.clock.advance(10 * MINUTE);
        fixture.events.take();
        assert!(!fixture.is_live(&session));
        assert_eq!(fixture.events.take(), ["ended alice"]);
        assert!(!is_live(&fixture.process(), &session));
    }
}

#[test]
fn closure_that_fails_leads_to_503_and_is_called_again() {
    let roles = Roles::new();
    let fixture = roles.fixture();
    let session = fixture.start("alice");
    fixture.clock.advance(10 * MINUTE);
    roles.set(|_| Err("the database is down"));
    for _ in 0..3 {
        fixture.clock.advance(Duration::from_millis(1));
        let error = use_later(&fixture.sessions, &session.cookie).now_or_never().unwrap();
        let error = error.unwrap_err();
        assert_eq!(error.kind(), RejectionKind::Unavailable);
        assert!(error.retry_after().is_some());
        assert_eq!(roles.calls(), 1);
    }
    roles.set(|caller| {
        let huge = json!({ "a": "x".repeat(70_000) });
        Ok(Some(caller.to_builder().claims(&huge).unwrap().build()))
    });
    fixture.clock.advance(Duration::from_millis(1));
    assert_eq!(fixture.use_session(&session).unwrap_err(), RejectionKind::Unavailable);
    roles.set(|caller| Ok(Some(caller)));
    fixture.clock.advance(Duration::from_millis(1));
    assert!(fixture.is_live(&session));
}

#[tokio::test(start_paused = true)]
async fn closure_that_hangs_leads_to_503_after_its_timeout() {
    for (limit, with_limit) in [(10, None), (2, Some(Duration::from_secs(2)))] {
        let roles = Roles { gate: Some(Arc::new(tokio::sync::Semaphore::new(0))), ..Roles::new() };
        let fixture = Fixture::with(|builder| {
            let builder = builder.refresh(roles.closure());
            with_limit.into_iter().fold(builder, |builder, limit| builder.refresh_timeout(limit))
        });
        let session = fixture.start("alice");
        fixture.clock.advance(10 * MINUTE);
        let started = tokio::time::Instant::now();
        let requests = (0..5).map(|_| use_later(&fixture.sessions, &session.cookie));
        for result in futures_util::future::join_all(requests).await {
            assert_eq!(result.unwrap_err().kind(), RejectionKind::Unavailable);
        }
        let elapsed = started.elapsed();
        assert!(elapsed.as_secs() == limit, "{elapsed:?}");
        assert_eq!(roles.calls(), 1, "the others waited");
        roles.gate.as_ref().unwrap().add_permits(1);
        fixture.clock.advance(Duration::from_millis(1));
        assert!(use_later(&fixture.sessions, &session.cookie).await.is_ok());
    }
}

#[test]
fn session_that_ends_during_the_call_stays_ended() {
    let roles = Roles::new();
    let fixture = roles.fixture();
    let session = fixture.start("alice");
    let caller = fixture.use_session(&session).unwrap();
    let other = fixture.process();
    fixture.clock.advance(10 * MINUTE);
    roles.set(move |refreshed| {
        end(&other, &caller).unwrap();
        Ok(Some(refreshed))
    });
    assert!(!fixture.is_live(&session));
    assert!(!is_live(&fixture.process(), &session));
}

#[test]
fn last_use_that_another_process_writes_during_the_call_is_kept() {
    let roles = Roles::new();
    let fixture = roles.fixture();
    let session = fixture.start("alice");
    fixture.use_session(&session).unwrap();
    let other = fixture.process();
    fixture.clock.advance(10 * MINUTE);
    let cookie = session.clone();
    roles.set(move |refreshed| {
        use_session(&other, &cookie).unwrap();
        Ok(Some(refreshed.to_builder().scopes("new").build()))
    });
    assert!(fixture.use_session(&session).unwrap().scopes().contains("new"));
    assert_eq!(roles.calls(), 1);
    assert!(use_session(&fixture.process(), &session).unwrap().scopes().contains("new"));
}

async fn concurrent(sessions: &Sessions, cookie: &str) -> Vec<Result<(), RejectionKind>> {
    let requests = (0..64).map(|_| {
        let (sessions, cookie) = (sessions.clone(), cookie.to_owned());
        tokio::spawn(async move {
            use_later(&sessions, &cookie).await.map(|_| ()).map_err(|error| error.kind())
        })
    });
    let mut results = Vec::new();
    for request in requests.collect::<Vec<_>>() {
        results.push(request.await.unwrap());
    }
    results
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_requests_call_the_closure_once() {
    let mut roles = Roles::new();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    roles.gate = Some(Arc::clone(&gate));
    let fixture = roles.fixture();
    let session = fixture.start("alice");
    let outcomes: [(Answer, _); 3] = [
        (Arc::new(|caller| Ok(Some(caller))), Ok(())),
        (Arc::new(|_| Err("down")), Err(RejectionKind::Unavailable)),
        (Arc::new(|_| Ok(None)), Err(RejectionKind::InvalidCredentials)),
    ];
    for (answer, expected) in outcomes {
        *roles.answer.lock().unwrap() = answer;
        fixture.clock.advance(10 * MINUTE);
        let open = async {
            while roles.calls.load(SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            // Give the other requests the chance to call it, too.
            for _ in 0..10_000 {
                tokio::task::yield_now().await;
            }
            gate.add_permits(1);
        };
        let (results, ()) = tokio::join!(concurrent(&fixture.sessions, &session.cookie), open);
        assert_eq!(results, vec![expected; 64]);
        assert_eq!(roles.calls(), 1);
    }
}

#[test]
fn dropped_request_lets_the_next_one_call_the_closure() {
    let mut roles = Roles::new();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    roles.gate = Some(Arc::clone(&gate));
    let fixture = roles.fixture();
    let session = fixture.start("alice");
    fixture.clock.advance(10 * MINUTE);
    for _ in 0..3 {
        assert!(use_later(&fixture.sessions, &session.cookie).now_or_never().is_none());
    }
    gate.add_permits(1);
    assert!(fixture.is_live(&session));
    assert_eq!(roles.calls(), 4);
}

#[test]
fn failover_to_an_older_record_calls_the_closure_again() {
    let roles = Roles::new();
    let fixture = roles.fixture();
    let session = fixture.start("alice");
    fixture.use_session(&session).unwrap();
    let copy = fixture.store.snapshot();
    fixture.clock.advance(10 * MINUTE);
    fixture.use_session(&session).unwrap();
    assert_eq!(roles.calls(), 1);
    fixture.store.restore(&copy);
    fixture.clock.advance(Duration::from_millis(1));
    roles.set(|caller| Ok(Some(caller.to_builder().scopes("new").build())));
    assert!(fixture.use_session(&session).unwrap().scopes().contains("new"));
    assert_eq!(roles.calls(), 1);
}

#[test]
fn clock_that_is_set_back_does_not_stop_the_calls() {
    let roles = Roles::new();
    let fixture = roles.fixture();
    let session = fixture.start("alice");
    fixture.use_session(&session).unwrap();
    fixture.clock.set(session.info.started_at() - 11 * MINUTE);
    for expected in [1, 0] {
        fixture.use_session(&session).unwrap();
        assert_eq!(roles.calls(), expected);
    }
}

#[test]
fn store_that_fails_after_the_call_is_not_asked_by_each_request_that_waits() {
    let mut roles = Roles::new();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    roles.gate = Some(Arc::clone(&gate));
    let fixture = roles.fixture();
    let session = fixture.start("alice");
    fixture.use_session(&session).unwrap();
    fixture.clock.advance(10 * MINUTE);
    let mut requests: Vec<_> =
        (0..8).map(|_| Box::pin(use_later(&fixture.sessions, &session.cookie))).collect();
    for request in &mut requests {
        assert!(request.now_or_never().is_none());
    }
    fixture.store.fail_with(Some(tower_auth::store::StoreErrorKind::Unavailable));
    gate.add_permits(8);
    for request in requests {
        let error = request.now_or_never().unwrap().unwrap_err();
        assert_eq!(error.kind(), RejectionKind::Unavailable);
    }
    assert_eq!(roles.calls(), 1);
}

#[test]
fn short_interval_is_kept() {
    for staleness in [0, 300] {
        let roles = Roles::new();
        let fixture = Fixture::with(|builder| {
            let builder =
                builder.refresh(roles.closure()).staleness(Duration::from_secs(staleness));
            builder.refresh_interval(Duration::from_secs(10))
        });
        let session = fixture.start("alice");
        let mut calls = Vec::new();
        for second in 0..35 {
            fixture.use_session(&session).unwrap();
            if roles.calls() > 0 {
                calls.push(second);
            }
            fixture.clock.advance(Duration::from_secs(1));
        }
        assert_eq!(calls, [10, 20, 30]);
    }
}

#[test]
fn call_that_another_process_has_finished_later_is_not_overwritten() {
    let roles = Roles::new();
    let fixture = roles.fixture();
    let session = fixture.start("alice");
    fixture.use_session(&session).unwrap();
    let newer = async |caller: Principal| {
        Ok::<_, &'static str>(Some(caller.to_builder().scopes("newer").build()))
    };
    let other = fixture.process_with(|builder| builder.refresh(newer));
    fixture.clock.advance(10 * MINUTE);
    let cookie = session.clone();
    roles.set(move |refreshed| {
        use_session(&other, &cookie).unwrap();
        Ok(Some(refreshed.to_builder().scopes("older").build()))
    });
    assert!(fixture.use_session(&session).unwrap().scopes().contains("newer"));
    assert!(use_session(&fixture.process(), &session).unwrap().scopes().contains("newer"));
}
