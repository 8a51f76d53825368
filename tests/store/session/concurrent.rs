//! Many requests of a session at the same time, with several threads.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tower_auth::{RejectionKind, session::Sessions};

use super::fixture::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_after_the_end_is_admitted() {
    for staleness in [0, 5] {
        for round in 0..20 {
            let fixture =
                Fixture::with(|builder| builder.staleness(Duration::from_secs(staleness)));
            let session = fixture.start("alice");
            let caller = fixture.use_session(&session).unwrap();
            if round % 2 == 0 {
                fixture.clock.advance(Duration::from_secs(61));
            }
            let (has_ended, admitted) =
                (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
            let requests: Vec<_> = (0..64)
                .map(|_| {
                    let (sessions, cookie) = (fixture.sessions.clone(), session.cookie.clone());
                    let (has_ended, admitted) = (Arc::clone(&has_ended), Arc::clone(&admitted));
                    tokio::spawn(async move {
                        for _ in 0..20 {
                            let had_ended = has_ended.load(SeqCst);
                            match use_later(&sessions, &cookie).await {
                                Ok(_) => {
                                    assert!(!had_ended, "admitted after the end");
                                    admitted.fetch_add(1, SeqCst);
                                }
                                Err(rejection) => {
                                    assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials);
                                }
                            }
                            tokio::task::yield_now().await;
                        }
                    })
                })
                .collect();
            while admitted.load(SeqCst) < 50 {
                tokio::task::yield_now().await;
            }
            end_later(&fixture.sessions, &caller).await;
            has_ended.store(true, SeqCst);
            for request in requests {
                request.await.unwrap();
            }
            assert!(!fixture.is_live(&session));
        }
    }
}

async fn end_later(sessions: &Sessions, caller: &tower_auth::Principal) {
    sessions.end(caller, &mut http::Response::new(())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn last_use_is_written_by_one_of_many_requests() {
    let fixture = Fixture::new();
    let session = fixture.start("alice");
    fixture.use_session(&session).unwrap();
    for _ in 0..20 {
        fixture.clock.advance(Duration::from_secs(60));
        fixture.store.take_operations();
        let requests: Vec<_> = (0..64)
            .map(|_| {
                let (sessions, cookie) = (fixture.sessions.clone(), session.cookie.clone());
                tokio::spawn(async move { use_later(&sessions, &cookie).await.map(|_| ()) })
            })
            .collect();
        for request in requests {
            request.await.unwrap().unwrap();
        }
        let operations = fixture.store.take_operations();
        assert_eq!(operations.iter().filter(|name| **name == "replace").count(), 1);
    }
}
