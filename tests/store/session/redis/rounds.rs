//! What a request with a session costs.

use std::{collections::BTreeMap, time::Duration};

use tower_auth::test_util::TestClock;
use tower_auth_test_support::redis::RedisServer;

use super::{Process, is, two_processes};

/// Returns how often each command was executed.
fn commands(server: &RedisServer) -> BTreeMap<String, u64> {
    let stats = server.cli(&["INFO", "commandstats"]);
    let lines = stats.lines().filter_map(|line| line.strip_prefix("cmdstat_"));
    let commands = lines.filter_map(|line| {
        let (name, rest) = line.split_once(":calls=")?;
        Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
    });
    commands.filter(|(name, _)| name != "info" && name != "ping").collect()
}

/// Returns the commands since an earlier count, without those that scripts call.
fn commands_since(server: &RedisServer, before: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let scripts = ["eval", "eval_ro", "evalsha", "evalsha_ro"];
    let changed = commands(server).into_iter().filter_map(|(name, calls)| {
        let calls = calls - before.get(&name).copied().unwrap_or_default();
        (calls > 0).then_some((name, calls))
    });
    let changed: BTreeMap<_, _> = changed.collect();
    match changed.keys().any(|name| scripts.contains(&&**name)) {
        true => changed.into_iter().filter(|(name, _)| scripts.contains(&&**name)).collect(),
        false => changed,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn request_takes_one_round_trip() {
    let Some((server, one, other)) = two_processes(&TestClock::new()) else { return };
    let cookie = one.log_in("alice").await.unwrap();
    for process in [&one, &other] {
        assert_eq!(process.get(&cookie).await, is("alice"));
        let before = commands(&server);
        for _ in 0..100 {
            assert_eq!(process.get(&cookie).await, is("alice"));
        }
        let sent = commands_since(&server, &before);
        assert_eq!(sent.values().sum::<u64>(), 100, "{sent:?}");
    }
}

/// The first request of a process needs one more, because what can revoke a session is in it.
#[tokio::test(flavor = "multi_thread")]
async fn first_request_of_a_process_takes_at_most_two_round_trips() {
    let clock = TestClock::new();
    let Some((server, one, other)) = two_processes(&clock) else { return };
    let (first, second) = (one.log_in("alice").await.unwrap(), one.log_in("bob").await.unwrap());
    // Creates the connection, and learns the epoch.
    assert_eq!(other.get(&first).await, is("alice"));
    let before = commands(&server);
    assert_eq!(other.get(&second).await, is("bob"));
    let sent = commands_since(&server, &before);
    assert!(sent.values().sum::<u64>() <= 2, "{sent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_id_takes_one_round_trip_each_time() {
    let Some((server, one, _)) = two_processes(&TestClock::new()) else { return };
    one.log_in("alice").await.unwrap();
    let before = commands(&server);
    for number in 0..50 {
        let id = format!("{number:0>22}");
        assert!(one.get(&id).await.is_err());
    }
    let sent = commands_since(&server, &before);
    assert!(sent.values().sum::<u64>() <= 50, "{sent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn request_within_the_staleness_takes_no_round_trip() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let clock = TestClock::new();
    let process =
        Process::with(&server.url(), &clock, |sessions| sessions.staleness(Duration::from_secs(5)));
    let cookie = process.log_in("alice").await.unwrap();
    assert_eq!(process.get(&cookie).await, is("alice"));
    let before = commands(&server);
    for _ in 0..100 {
        assert_eq!(process.get(&cookie).await, is("alice"));
    }
    assert!(commands_since(&server, &before).is_empty());
    clock.advance(Duration::from_secs(6));
    assert_eq!(process.get(&cookie).await, is("alice"));
    assert_eq!(commands_since(&server, &before).values().sum::<u64>(), 1);
}
