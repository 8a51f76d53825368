//! Requests at the same time.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::task::JoinSet;
use tower_auth_test_support::user_agent::UserAgent;

use super::{MINUTE, Service, Setup};

const REQUESTS: usize = 64;

/// Sends requests until the switch is on, and then one more. Returns the status of the last one.
async fn request_until(service: Arc<Service>, id: String, is_over: Arc<AtomicBool>) -> Vec<u16> {
    let browser = UserAgent::new();
    let mut statuses = Vec::new();
    loop {
        let is_last = is_over.load(Ordering::SeqCst);
        service.set_cookie(&browser, &id);
        statuses.push(service.status(&browser, "/me").await);
        if is_last {
            return statuses;
        }
    }
}

async fn run_logouts(path: &'static str, advance: bool) {
    let setup = Setup::new();
    let service = Arc::new(setup.serve().await);
    for _ in 0..5 {
        let browser = service.browser_of("alice").await;
        let id = service.cookie(&browser).unwrap();
        if advance {
            // All requests want to write that the session was used.
            setup.clock.advance(2 * MINUTE);
        }
        let is_over = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for _ in 0..REQUESTS {
            tasks.spawn(request_until(Arc::clone(&service), id.clone(), Arc::clone(&is_over)));
        }
        assert_eq!(service.post(&browser, path).await.status, 204);
        // Each task now sends one more request, after the response to the logout.
        is_over.store(true, Ordering::SeqCst);
        for statuses in tasks.join_all().await {
            assert_eq!(*statuses.last().unwrap(), 401, "{statuses:?}");
            assert!(statuses.iter().all(|status| [200, 401].contains(status)), "{statuses:?}");
            // Once rejected, always rejected.
            assert!(statuses.is_sorted(), "{statuses:?}");
        }
        assert_eq!(service.status_of(&id).await, 401, "a request has recreated the session");
        setup.clock.advance(MINUTE);
        assert_eq!(service.status_of(&id).await, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_admitted_after_the_response_to_a_logout() {
    run_logouts("/logout", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_that_extends_a_session_recreates_it() {
    run_logouts("/logout", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_admitted_after_the_response_to_a_logout_everywhere() {
    run_logouts("/logout/all", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_of_many_logouts_ends_the_session() {
    let setup = Setup::new();
    let service = Arc::new(setup.serve().await);
    let browser = service.browser_of("alice").await;
    let mut tasks = JoinSet::new();
    for _ in 0..REQUESTS {
        let (service, id) = (Arc::clone(&service), service.cookie(&browser).unwrap());
        tasks.spawn(async move {
            let browser = UserAgent::new();
            service.set_cookie(&browser, &id);
            service.post(&browser, "/logout").await.status.as_u16()
        });
    }
    // A request that is authenticated before the first logout may also return 204.
    let statuses = tasks.join_all().await;
    assert!(statuses.iter().all(|status| [204, 401].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&204), "{statuses:?}");
    assert_eq!(service.status(&browser, "/me").await, 401);
}

/// Two tabs that log in at the same time both leave a valid session, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn parallel_logins_in_one_browser_leave_a_session_that_works() {
    let setup = Setup::new();
    let service = Arc::new(setup.serve().await);
    let browser = service.browser_of("alice").await;
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let (service, browser) = (Arc::clone(&service), browser.clone());
        tasks.spawn(async move { service.log_in(&browser, "alice").await });
    }
    tasks.join_all().await;
    // The last response has set the cookie. Its session must not have been ended by another login
    // that the browser had sent before.
    assert_eq!(service.status(&browser, "/me").await, 200);
}
