use std::{
    future::pending,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::{FutureExt as _, future::join_all};
use http::{Method, Request};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::{
    runtime::Runtime,
    sync::Notify,
    task::yield_now,
    time::{Instant, sleep},
};
use tower::ServiceExt as _;

use super::{health::Health, report::HealthReport};

/// A mock clock, in milliseconds.
#[derive(Clone, Default)]
struct TestClock(Arc<AtomicU64>);

impl TestClock {
    fn set(&self, millis: u64) {
        self.0.store(millis, Ordering::Relaxed);
    }

    fn clock(&self) -> impl Fn() -> SystemTime + Send + Sync + 'static {
        let millis = Arc::clone(&self.0);
        move || UNIX_EPOCH + Duration::from_millis(millis.load(Ordering::Relaxed))
    }
}

/// Counts the calls of a check.
#[derive(Clone, Default)]
struct Calls(Arc<AtomicUsize>);

impl Calls {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns a `Health` with one check, which yields once.
    fn health(&self, clock: &TestClock) -> Health {
        let calls = self.clone();
        let health = Health::new().check("counted", move || {
            calls.add();
            async {
                yield_now().await;
                Ok::<_, io::Error>(())
            }
        });
        health.clock(clock.clock())
    }
}

async fn ok() -> Result<(), io::Error> {
    Ok(())
}

async fn failed() -> Result<(), io::Error> {
    Err(io::Error::other("password of db.internal:5432 is wrong"))
}

fn document(report: &HealthReport) -> Value {
    serde_json::from_str(&report.to_json()).unwrap()
}

fn reasons(report: &HealthReport) -> Vec<Option<&'static str>> {
    report.components().map(super::ComponentHealth::reason).collect()
}

#[tokio::test]
async fn all_components_ready_is_ready() {
    let none = Health::new().report().await;
    assert!(none.is_ready());
    assert_eq!(none.to_json(), r#"{"status":"ready","components":[]}"#);
    assert_eq!(none.to_string(), "ready");

    let report = Health::new().check("one", ok).check("two", ok).report().await;
    assert!(report.is_ready());
    let one = r#"{"name":"one","status":"ready","required":true}"#;
    let two = r#"{"name":"two","status":"ready","required":true}"#;
    assert_eq!(report.to_json(), format!(r#"{{"status":"ready","components":[{one},{two}]}}"#));
    assert_eq!(report.to_string(), "ready");
}

#[tokio::test]
async fn failed_required_component_is_unready() {
    let report = Health::new().check("cache", ok).check("database", failed).report().await;
    assert!(!report.is_ready());
    assert_eq!(report.to_string(), "unready (database: failed)");
    let expected = json!({"status": "unready", "components": [
        {"name": "cache", "status": "ready", "required": true},
        {"name": "database", "status": "unready", "required": true, "reason": "failed"},
    ]});
    assert_eq!(document(&report), expected);
}

#[tokio::test]
async fn failed_optional_component_is_shown_and_stays_ready() {
    let optional = Health::new().check("mail", failed).check("search", failed);
    let report = Health::new().check("database", ok).optional(optional).report().await;
    assert!(report.is_ready());
    assert_eq!(report.to_string(), "ready (mail: failed, optional, search: failed, optional)");
    let states: Vec<_> =
        report.components().map(|one| (one.name(), one.is_required(), one.is_ready())).collect();
    let expected = [("database", true, true), ("mail", false, false), ("search", false, false)];
    assert_eq!(states, expected);
    assert_eq!(document(&report)["components"][1]["required"], false);
}

#[tokio::test]
async fn error_of_a_check_is_not_shown() {
    let report = Health::new().check("database", failed).report().await;
    let component = report.components().next().unwrap();
    assert!(component.error().unwrap().to_string().contains("db.internal"));
    for text in [report.to_json(), report.to_string(), component.to_string()] {
        assert!(!text.contains("internal") && !text.contains("wrong"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn hanging_check_is_unready_after_the_timeout_and_dropped() {
    struct SetOnDrop(Calls);
    impl Drop for SetOnDrop {
        fn drop(&mut self) {
            self.0.add();
        }
    }
    let dropped = Calls::default();
    let of_check = dropped.clone();
    let health = Health::new()
        .check("hanging", move || {
            let guard = SetOnDrop(of_check.clone());
            async move {
                let _guard = guard;
                pending::<Result<(), io::Error>>().await
            }
        })
        .check("also hanging", pending::<Result<(), io::Error>>)
        .check("fast", ok);
    for (health, limit) in [
        (health.clone(), Duration::from_secs(1)),
        (health.clone().timeout(Duration::from_secs(3)), Duration::from_secs(3)),
        (health.clone().timeout(Duration::ZERO), Duration::from_millis(10)),
        (health.timeout(Duration::MAX), Duration::from_secs(60)),
    ] {
        let (start, earlier) = (Instant::now(), dropped.count());
        let report = health.report().await;
        assert!(start.elapsed().abs_diff(limit) <= Duration::from_millis(2), "{limit:?}");
        assert_eq!(reasons(&report), [Some("timeout"), Some("timeout"), None]);
        yield_now().await;
        assert_eq!(dropped.count(), earlier + 1);
    }
}

#[tokio::test]
async fn panicking_check_is_unready() {
    let health = Health::new()
        .check("closure", || -> std::future::Ready<Result<(), io::Error>> { panic!("secret") })
        .check("future", || async { if true { panic!("secret") } else { ok().await } })
        .check("other", ok);
    let report = health.report().await;
    assert_eq!(reasons(&report), [Some("panicked"), Some("panicked"), None]);
    assert!(!report.to_json().contains("secret"));
    assert!(!health.report().await.is_ready());
}

#[tokio::test]
async fn concurrent_requests_share_a_check_and_its_result_for_a_second() {
    let (calls, clock) = (Calls::default(), TestClock::default());
    clock.set(5_000);
    let health = calls.health(&clock);
    for (now, expected) in [(5_000, 1), (5_999, 1), (6_000, 2), (6_999, 2), (7_000, 3)] {
        clock.set(now);
        let reports = join_all((0..64).map(|_| health.report())).await;
        assert!(reports.iter().all(HealthReport::is_ready));
        assert_eq!(calls.count(), expected, "{now}");
    }
}

#[tokio::test]
async fn clock_that_was_set_back_leads_to_a_new_check() {
    let (calls, clock) = (Calls::default(), TestClock::default());
    clock.set(5_000);
    let health = calls.health(&clock);
    health.report().await;
    clock.set(4_999);
    health.report().await;
    health.report().await;
    assert_eq!(calls.count(), 2);
}

/// A `Health` whose check waits until it is released.
fn held(clock: &TestClock) -> (Health, Calls, Arc<Notify>) {
    let (calls, release) = (Calls::default(), Arc::<Notify>::default());
    let (of_check, released) = (calls.clone(), Arc::clone(&release));
    let health = Health::new().check("held", move || {
        of_check.add();
        let released = Arc::clone(&released);
        async move {
            released.notified().await;
            ok().await
        }
    });
    (health.clock(clock.clock()), calls, release)
}

#[tokio::test]
async fn check_of_a_cancelled_request_serves_the_next_one() {
    let clock = TestClock::default();
    let (health, calls, release) = held(&clock);
    for _ in 0..3 {
        assert!(health.report().now_or_never().is_none());
        yield_now().await;
    }
    assert_eq!(calls.count(), 1);
    release.notify_one();
    assert!(health.report().await.is_ready());
    assert_eq!(calls.count(), 1);
}

#[tokio::test]
async fn old_result_of_a_cancelled_request_is_not_used() {
    let clock = TestClock::default();
    let (health, calls, release) = held(&clock);
    assert!(health.report().now_or_never().is_none());
    release.notify_one();
    for _ in 0..10 {
        yield_now().await;
    }
    assert_eq!(calls.count(), 1);
    clock.set(1_000);
    release.notify_one();
    assert!(health.report().await.is_ready());
    assert_eq!(calls.count(), 2);
}

#[test]
fn check_of_a_runtime_that_ended_is_started_again() {
    // The runtime ends its tasks in different orders.
    for _ in 0..50 {
        let clock = TestClock::default();
        let (health, calls, release) = held(&clock);
        let first = Runtime::new().unwrap();
        first.block_on(async { assert!(health.report().now_or_never().is_none()) });
        drop(first);
        let started = calls.count();
        release.notify_one();
        assert!(Runtime::new().unwrap().block_on(health.report()).is_ready());
        assert_eq!(calls.count(), started + 1);
    }
}

#[test]
fn no_runtime_is_unready() {
    let health = Health::new().check("database", ok);
    let report = health.report().now_or_never().unwrap();
    assert_eq!(reasons(&report), [Some("failed")]);
    let error = report.components().next().unwrap().error().unwrap().to_string();
    assert!(error.contains("runtime"), "{error}");

    // Without timers.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(reasons(&runtime.block_on(health.report())), [Some("failed")]);
    assert!(Runtime::new().unwrap().block_on(health.report()).is_ready());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn check_that_blocks_its_thread_is_not_started_again() {
    let (release, released) = mpsc::channel::<()>();
    let (calls, released) = (Calls::default(), Arc::new(Mutex::new(released)));
    let (of_check, clock) = (calls.clone(), TestClock::default());
    let health = Health::new()
        .check("blocking", move || {
            if of_check.add() == 0 {
                released.lock().unwrap().recv().unwrap();
            }
            ok()
        })
        .check("other", ok)
        .timeout(Duration::from_millis(50))
        .clock(clock.clock());
    for round in 1..5 {
        assert_eq!(reasons(&health.report().await), [Some("timeout"), None]);
        assert_eq!(calls.count(), 1);
        clock.set(round * 1_000);
    }
    release.send(()).unwrap();
    let recovered = async {
        for round in 5.. {
            clock.set(round * 1_000);
            if health.report().await.is_ready() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), recovered).await.unwrap();
    assert_eq!(calls.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn checks_run_at_the_same_time() {
    let slow = || async {
        sleep(Duration::from_millis(900)).await;
        ok().await
    };
    let health = (0..20).fold(Health::new(), |health, _| health.check("slow", slow));
    let start = Instant::now();
    assert!(health.report().await.is_ready());
    assert!(start.elapsed() < Duration::from_millis(910));
}

#[tokio::test]
async fn change_of_a_clone_does_not_change_the_original() {
    let health = Health::new().check("one", ok);
    assert!(health.report().await.is_ready());
    let changed = health.clone().check("two", failed);
    assert!(!changed.report().await.is_ready());
    let report = health.report().await;
    assert!(report.is_ready());
    assert_eq!(report.components().count(), 1);
}

#[tokio::test]
async fn summary_hides_the_components_and_shares_the_checks() {
    let (calls, clock) = (Calls::default(), TestClock::default());
    let details = calls.health(&clock).check("database", failed);
    let summary = details.clone().summary_only();
    let body = |health: Health| async {
        let response = health.oneshot(Request::new(())).await.unwrap();
        assert_eq!(response.status(), 503);
        let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
        String::from_utf8(body.to_bytes().to_vec()).unwrap()
    };
    assert_eq!(body(summary).await, r#"{"status":"unready"}"#);
    assert!(body(details).await.contains("database"));
    assert_eq!(calls.count(), 1);
    let ready = Health::new().summary_only().oneshot(Request::new("any body")).await.unwrap();
    let body = http_body_util::BodyExt::collect(ready.into_body()).await.unwrap().to_bytes();
    assert_eq!(&*body, br#"{"status":"ready"}"#);
}

#[tokio::test]
async fn other_methods_are_rejected_without_a_check() {
    let (calls, clock) = (Calls::default(), TestClock::default());
    let health = calls.health(&clock);
    for method in [Method::POST, Method::PUT, Method::OPTIONS, Method::DELETE, Method::CONNECT] {
        let mut request = Request::new(());
        *request.method_mut() = method;
        let response = health.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()["allow"], "GET, HEAD");
    }
    assert_eq!(calls.count(), 0);
}

#[cfg(feature = "password-hash")]
#[tokio::test]
async fn full_queue_of_passwords_is_unready_until_it_has_space() {
    use crate::password::{HashVerifier, HashedUsers};

    let clock = TestClock::default();
    let users = HashedUsers::new::<[(&str, &str); 0], _, _>([]).unwrap();
    let verifier = HashVerifier::new(users).permits(1).queue(2);
    let health = Health::new().passwords("passwords", &verifier).clock(clock.clock());
    let mut slots = Vec::new();
    for used in 0..4_u64 {
        clock.set(used * 1_000);
        let report = health.report().await;
        let component = &document(&report)["components"][0];
        assert_eq!(
            (component["hashes"].as_u64(), &component["max_hashes"]),
            (Some(used), &json!(3))
        );
        assert_eq!(component["cached_checks"], 0);
        let full = (used == 3).then_some("queue_full");
        assert_eq!(reasons(&report), [full]);
        if used < 3 {
            slots.push(verifier.verifications.pool.reserve(None).unwrap());
        }
    }
    drop(slots);
    clock.set(10_000);
    assert!(health.report().await.is_ready());
}

#[test]
fn each_character_of_a_name_is_valid_json() {
    for character in ('\0'..='\u{ff}').chain(['\u{2028}', '\u{feff}', '\u{10ffff}']) {
        let health = Health::new().check(character.to_string(), ok);
        let report = health.report().now_or_never().unwrap();
        assert_eq!(document(&report)["components"][0]["name"], character.to_string());
    }
}

proptest! {
    #[test]
    fn document_is_json_for_any_name(name in any::<String>()) {
        let health = Health::new().check(name.as_str(), ok);
        let report = health.report().now_or_never().unwrap();
        prop_assert_eq!(&document(&report)["components"][0]["name"], &json!(name));
    }
}
