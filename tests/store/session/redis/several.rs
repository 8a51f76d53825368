//! What one process does, the other one sees.

use std::time::Duration;

use tokio::task::JoinSet;
use tower_auth::test_util::TestClock;
use tower_auth_test_support::redis::RedisServer;

use super::{ISSUER, Process, is, rejected, two_processes};

#[tokio::test(flavor = "multi_thread")]
async fn login_on_one_process_is_valid_on_the_other_until_the_logout() {
    let Some((_server, one, other)) = two_processes(&TestClock::new()) else { return };
    let cookie = one.log_in("alice").await.unwrap();
    for _ in 0..2 {
        assert_eq!(one.get(&cookie).await, is("alice"));
        assert_eq!(other.get(&cookie).await, is("alice"));
    }
    other.log_out(&cookie).await.unwrap();
    assert_eq!(one.get(&cookie).await, rejected());
    assert_eq!(other.get(&cookie).await, rejected());
}

#[tokio::test(flavor = "multi_thread")]
async fn end_all_and_end_one_take_effect_in_both_processes() {
    let Some((_server, one, other)) = two_processes(&TestClock::new()) else { return };
    let first = one.log_in("alice").await.unwrap();
    let second = other.log_in("alice").await.unwrap();
    let bob = other.log_in("bob").await.unwrap();
    for process in [&one, &other] {
        for cookie in [&first, &second] {
            assert_eq!(process.get(cookie).await, is("alice"));
        }
    }
    let (id, id_of_bob) = (one.id_of(&first).await, other.id_of(&bob).await);
    assert_eq!(one.list("alice").await.len(), 2);
    assert!(!other.sessions.end_one((ISSUER, "alice"), &id_of_bob).await.unwrap());
    assert!(!other.sessions.end_one((ISSUER, "bob"), &id).await.unwrap());
    assert!(!other.sessions.end_one("alice", &id).await.unwrap(), "another issuer");
    assert!(other.sessions.end_one((ISSUER, "alice"), &id).await.unwrap());
    assert_eq!(one.get(&first).await, rejected());
    assert_eq!(one.get(&second).await, is("alice"));
    one.sessions.end_all((ISSUER, "alice")).await.unwrap();
    for process in [&one, &other] {
        assert_eq!(process.get(&second).await, rejected());
        assert_eq!(process.get(&bob).await, is("bob"));
        assert!(process.list("alice").await.is_empty());
    }
    // A login right afterwards is valid, also in the other process.
    let again = one.log_in("alice").await.unwrap();
    assert_eq!(other.get(&again).await, is("alice"));
}

/// As a back-channel logout does.
#[tokio::test(flavor = "multi_thread")]
async fn revocations_of_sid_sub_and_issuer_end_sessions() {
    let Some((_server, one, other)) = two_processes(&TestClock::new()) else { return };
    for target in ["sid", "sub", "all"] {
        // A revoked `sid` remains revoked.
        let [alice, bob] = ["alice", "bob"].map(|name| format!("{name}-{target}"));
        let cookies = [one.log_in(&alice).await.unwrap(), one.log_in(&bob).await.unwrap()];
        let revocations = one.sessions.revocations();
        for issuer in ["https://other.example", ISSUER] {
            for process in [&one, &other] {
                assert_eq!(process.get(&cookies[0]).await, is(&alice), "{target} of {issuer}");
                assert_eq!(process.get(&cookies[1]).await, is(&bob), "{target} of {issuer}");
            }
            let revoked = match target {
                "sid" => revocations.session(issuer, &format!("sid-{alice}")).await,
                "sub" => revocations.subject(issuer, &alice).await,
                _ => revocations.issuer(issuer).await,
            };
            revoked.unwrap();
        }
        for process in [&one, &other] {
            assert_eq!(process.get(&cookies[0]).await, rejected(), "{target}");
            let expected = if target == "all" { rejected() } else { is(&bob) };
            assert_eq!(process.get(&cookies[1]).await, expected, "{target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn staleness_delays_a_logout_of_another_process_and_not_an_own_one() {
    let clock = TestClock::new();
    let Some(server) = RedisServer::redis(&[]) else { return };
    let stale = |url: &str| {
        Process::with(url, &clock, |sessions| sessions.staleness(Duration::from_secs(10)))
    };
    let (one, other) = (stale(&server.url()), stale(&server.url()));
    for own in [true, false] {
        let cookie = one.log_in("alice").await.unwrap();
        assert_eq!(one.get(&cookie).await, is("alice"));
        let process = if own { &one } else { &other };
        process.log_out(&cookie).await.unwrap();
        assert_eq!(process.get(&cookie).await, rejected());
        if !own {
            assert_eq!(one.get(&cookie).await, is("alice"), "the staleness has no effect");
            clock.advance(Duration::from_secs(11));
        }
        assert_eq!(one.get(&cookie).await, rejected());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn used_session_of_one_process_lives_on_in_the_other() {
    let clock = TestClock::new();
    let Some((_server, one, other)) = two_processes(&clock) else { return };
    let cookie = one.log_in("alice").await.unwrap();
    for _ in 0..6 {
        clock.advance(Duration::from_secs(20 * 60));
        assert_eq!(one.get(&cookie).await, is("alice"));
    }
    assert_eq!(other.get(&cookie).await, is("alice"));
    clock.advance(Duration::from_secs(31 * 60));
    assert_eq!(other.get(&cookie).await, rejected());
    assert_eq!(one.get(&cookie).await, rejected());
}

/// 64 requests of both processes want to write the last use, while a logout ends the session.
#[tokio::test(flavor = "multi_thread")]
async fn contenders_never_recreate_an_ended_session() {
    let clock = TestClock::new();
    let Some((server, one, other)) = two_processes(&clock) else { return };
    for _ in 0..10 {
        let cookie = one.log_in("alice").await.unwrap();
        assert_eq!(other.get(&cookie).await, is("alice"));
        clock.advance(Duration::from_secs(90));
        let mut tasks = JoinSet::new();
        for number in 0..64 {
            let process = if number % 2 == 0 { one.clone() } else { other.clone() };
            let cookie = cookie.clone();
            tasks.spawn(async move {
                match number % 16 {
                    7 => drop(process.log_out(&cookie).await),
                    _ => {
                        let found = process.get(&cookie).await;
                        assert!(found == is("alice") || found == rejected(), "{found:?}");
                    }
                }
            });
        }
        tasks.join_all().await;
        assert_eq!(one.get(&cookie).await, rejected());
        assert_eq!(other.get(&cookie).await, rejected());
        clock.advance(Duration::from_secs(90));
        assert_eq!(one.get(&cookie).await, rejected());
    }
    assert!(one.list("alice").await.is_empty());
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn contenders_for_the_last_use_write_it_once_per_process() {
    let clock = TestClock::new();
    let Some((server, one, other)) = two_processes(&clock) else { return };
    let cookie = one.log_in("alice").await.unwrap();
    for process in [&one, &other] {
        assert_eq!(process.get(&cookie).await, is("alice"));
    }
    clock.advance(Duration::from_secs(90));
    let before = writes(&server);
    let mut tasks = JoinSet::new();
    for number in 0..64 {
        let process = if number % 2 == 0 { one.clone() } else { other.clone() };
        let cookie = cookie.clone();
        tasks.spawn(async move { process.get(&cookie).await });
    }
    for found in tasks.join_all().await {
        assert_eq!(found, is("alice"));
    }
    let written = writes(&server) - before;
    assert!((1..=2).contains(&written), "{written} writes");
}

/// Returns how often a script that may write was executed.
fn writes(server: &RedisServer) -> u64 {
    server.count_of("eval") + server.count_of("evalsha")
}

/// 64 logins of one user at the same time, in both processes: all are listed.
#[tokio::test(flavor = "multi_thread")]
async fn logins_at_the_same_time_are_all_listed() {
    let Some((_server, one, other)) = two_processes(&TestClock::new()) else { return };
    let mut tasks = JoinSet::new();
    for number in 0..64 {
        let process = if number % 2 == 0 { one.clone() } else { other.clone() };
        tasks.spawn(async move { process.log_in("alice").await });
    }
    let results = tasks.join_all().await;
    let cookies: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(one.list("alice").await.len(), 64);
    for cookie in &cookies {
        assert_eq!(other.get(cookie).await, is("alice"));
    }
}
