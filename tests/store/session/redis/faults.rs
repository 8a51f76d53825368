//! A server that is killed, emptied or restored.

use std::{fs, time::Duration};

use tower_auth::{RejectionKind, test_util::TestClock};
use tower_auth_test_support::redis::RedisServer;

use super::{Process, is, rejected, two_processes, unavailable};

/// Waits until the server answers again.
async fn wait(process: &Process, cookie: &str) {
    for _ in 0..2_000 {
        if process.get(cookie).await != unavailable() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the server does not answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_server_gives_503_and_logs_no_user_out() {
    let arguments = ["--appendonly", "yes", "--appendfsync", "always"];
    let Some(mut server) = RedisServer::redis(&arguments) else { return };
    let clock = TestClock::new();
    let process = Process::start(&server.url(), &clock);
    let cookie = process.log_in("alice").await.unwrap();
    let ended = process.log_in("bob").await.unwrap();
    process.log_out(&ended).await.unwrap();
    assert_eq!(process.get(&cookie).await, is("alice"));
    server.kill();
    for _ in 0..5 {
        assert_eq!(process.get(&cookie).await, unavailable());
        assert_eq!(process.log_out(&cookie).await, Err(RejectionKind::Unavailable));
        let login = process.log_in("carol").await.unwrap_err();
        assert_eq!(login.kind(), RejectionKind::Unavailable);
        assert!(process.sessions.end_all("alice").await.is_err());
        assert!(process.sessions.list("alice").await.is_err());
    }
    server.start_again();
    wait(&process, &cookie).await;
    assert_eq!(process.get(&cookie).await, is("alice"));
    assert_eq!(process.get(&ended).await, rejected());
}

/// All users have to log in again, and no one gets the session of another user.
#[tokio::test(flavor = "multi_thread")]
async fn emptied_server_logs_all_users_out() {
    let clock = TestClock::new();
    let Some((mut server, one, other)) = two_processes(&clock) else { return };
    let mut cookies = Vec::new();
    for number in 0..20 {
        let name = format!("user-{number}");
        let cookie = one.log_in(&name).await.unwrap();
        assert_eq!(other.get(&cookie).await, is(&name));
        cookies.push((name, cookie));
    }
    server.kill();
    server.start_again();
    wait(&one, &cookies[0].1).await;
    wait(&other, &cookies[0].1).await;
    for (name, cookie) in &cookies {
        for process in [&one, &other] {
            assert_eq!(process.get(cookie).await, rejected(), "{name}");
        }
    }
    clock.advance(Duration::from_secs(1));
    for (name, old) in &cookies {
        let new = other.log_in(name).await.unwrap();
        assert_ne!(new, *old);
        for process in [&one, &other] {
            assert_eq!(process.get(&new).await, is(name));
            assert_eq!(process.get(old).await, rejected());
        }
    }
}

/// `FLUSHALL` while the connections stay open.
#[tokio::test(flavor = "multi_thread")]
async fn flushed_server_logs_all_users_out() {
    let clock = TestClock::new();
    let Some((server, one, other)) = two_processes(&clock) else { return };
    let cookie = one.log_in("alice").await.unwrap();
    assert_eq!(other.get(&cookie).await, is("alice"));
    server.cli(&["FLUSHALL"]);
    assert_eq!(one.get(&cookie).await, rejected());
    assert_eq!(other.get(&cookie).await, rejected());
}

/// A copy in which a session still exists that was ended later.
#[tokio::test(flavor = "multi_thread")]
async fn restored_copy_does_not_bring_an_ended_session_back() {
    let clock = TestClock::new();
    let Some(mut server) = RedisServer::redis(&["--dbfilename", "dump.rdb"]) else { return };
    let process = Process::start(&server.url(), &clock);
    let cookie = process.log_in("alice").await.unwrap();
    assert_eq!(process.get(&cookie).await, is("alice"));
    server.cli(&["SAVE"]);
    clock.advance(Duration::from_secs(1));
    process.log_out(&cookie).await.unwrap();
    server.kill();
    assert!(fs::exists(server.path("dump.rdb")).unwrap());
    server.start_again();
    wait(&process, &cookie).await;
    assert_eq!(process.get(&cookie).await, rejected());
    clock.advance(Duration::from_secs(1));
    let again = process.log_in("alice").await.unwrap();
    assert_eq!(process.get(&again).await, is("alice"));
}

/// A record that someone else has copied, or changed.
#[tokio::test(flavor = "multi_thread")]
async fn attacker_who_writes_to_the_server_gets_no_identity() {
    let clock = TestClock::new();
    let Some((server, one, _)) = two_processes(&clock) else { return };
    let (alice, mallory) =
        (one.log_in("alice").await.unwrap(), one.log_in("mallory").await.unwrap());
    let keys = server.cli(&["KEYS", "*"]);
    let keys: Vec<_> = keys.lines().collect();
    // Copies each record over each other one, and asks without and with a warm cache.
    for from in &keys {
        for to in keys.iter().filter(|to| *to != from) {
            server.cli(&["COPY", to, "saved", "REPLACE"]);
            if server.cli(&["COPY", from, to, "REPLACE"]) != "1" {
                continue;
            }
            for process in [&one, &Process::start(&server.url(), &clock)] {
                for (cookie, name) in [(&alice, "alice"), (&mallory, "mallory")] {
                    let found = process.get(cookie).await;
                    assert!(found.is_err() || found == is(name), "{found:?}");
                }
            }
            server.cli(&["COPY", "saved", to, "REPLACE"]);
            server.cli(&["DEL", "saved"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_on_the_server_show_nobody() {
    let Some((server, one, _)) = two_processes(&TestClock::new()) else { return };
    let cookie = one.log_in("alice").await.unwrap();
    let id = one.id_of(&cookie).await;
    for key in server.cli(&["KEYS", "*"]).lines() {
        let value = server.cli(&["GET", key]);
        for text in ["alice", "issuer.example", &*cookie, &*id] {
            assert!(!key.contains(text) && !value.contains(text), "{key}: {value}");
        }
    }
}
