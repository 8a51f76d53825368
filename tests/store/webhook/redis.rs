//! A Redis server that fails, and what its records contain.

use std::time::Duration;

use tower_auth::test_util::TestClock;
use tower_auth_test_support::redis::RedisServer;

use super::{Handler, Process, Webhook, stores::connect};

/// Waits until the server answers again.
async fn wait(process: &Process, clock: &TestClock) {
    for number in 0..2_000 {
        if process.post(&Webhook::new(&format!("probe_{number}"), clock)).await != 503 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the server does not answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn webhook_gets_503_and_is_not_handled_without_the_server() {
    let Some(mut server) = RedisServer::redis(&[]) else { return };
    let (clock, handler) = (TestClock::new(), Handler::new(204));
    let process = Process::start(&connect(&server), &clock, &handler);
    assert_eq!(process.post(&Webhook::new("msg_1", &clock)).await, 204);
    server.kill();
    for id in ["msg_1", "msg_2"] {
        assert_eq!(process.post(&Webhook::new(id, &clock)).await, 503);
    }
    assert_eq!(handler.started(), 1);

    server.start_again();
    wait(&process, &clock).await;
    assert_eq!(process.post(&Webhook::new("msg_2", &clock)).await, 204);
    assert_eq!(process.post(&Webhook::new("msg_2", &clock)).await, 200);
}

/// The sender is told the result of the handler. A retry is handled again, because no record of
/// the result exists.
#[tokio::test(flavor = "multi_thread")]
async fn result_that_cannot_be_written_is_returned_and_a_retry_is_handled_again() {
    let arguments = ["--appendonly", "yes", "--appendfsync", "always"];
    let Some(mut server) = RedisServer::redis(&arguments) else { return };
    for status in [204, 500] {
        let (clock, handler) = (TestClock::new(), Handler::closed(status));
        let process = Process::start(&connect(&server), &clock, &handler);
        let webhook = Webhook::new(&format!("msg_{status}"), &clock);
        let task = tokio::spawn({
            let (process, webhook) = (process.clone(), webhook.clone());
            async move { process.post(&webhook).await }
        });
        handler.wait_for_start(1).await;
        server.kill();
        handler.open(1);
        assert_eq!(task.await.unwrap(), status);

        server.start_again();
        let probe = Process::start(&connect(&server), &clock, &Handler::new(204));
        wait(&probe, &clock).await;
        let mut answer = 503;
        while answer == 503 {
            answer = process.post(&webhook).await;
        }
        // The record still says that the handler is running.
        assert_eq!((answer, handler.started()), (409, 1));
        server.cli(&["FLUSHALL"]); // as if the handling time had ended
        handler.set_status(204);
        handler.open(1);
        assert_eq!(process.post(&webhook).await, 204);
        assert_eq!(process.post(&webhook).await, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_sealed_and_expire() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let (clock, handler) = (TestClock::new(), Handler::closed(204));
    let day = Duration::from_secs(86_400);
    let process = Process::with(&connect(&server), &clock, &handler, |layer| {
        layer.sender("shop").remember_for(day)
    });
    let webhook = Webhook::with_body("msg_secret-id", r#"{"name":"alice"}"#, &clock);
    let task = tokio::spawn({
        let webhook = webhook.clone();
        async move { process.post(&webhook).await }
    });
    handler.wait_for_start(1).await;
    let assert_sealed = |longest: Duration| {
        let keys = server.cli(&["KEYS", "*"]);
        let [key] = keys.lines().collect::<Vec<_>>()[..] else { panic!("{keys}") };
        let value = server.cli(&["GET", key]);
        for text in ["secret-id", "alice", "shop", "running", "done", "released"] {
            assert!(!key.contains(text) && !value.contains(text), "{key}: {value}");
        }
        let left: u128 = server.cli(&["PTTL", key]).parse().unwrap();
        let longest = longest.as_millis() + 1_000; // the precision of timestamps
        assert!((longest - 30_000..=longest).contains(&left), "{left} of {longest} ms");
    };
    assert_sealed(super::HANDLING_TIME);
    handler.open(1);
    assert_eq!(task.await.unwrap(), 204);
    assert_sealed(day);
}

/// The record of a finished webhook, copied to the key of another one.
#[tokio::test(flavor = "multi_thread")]
async fn copied_record_does_not_suppress_another_webhook() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let (clock, handler) = (TestClock::new(), Handler::new(204));
    let process = Process::start(&connect(&server), &clock, &handler);
    let (one, other) = (Webhook::new("msg_1", &clock), Webhook::new("msg_2", &clock));
    assert_eq!(process.post(&one).await, 204);
    let done = server.cli(&["KEYS", "*"]);
    handler.set_status(500);
    assert_eq!(process.post(&other).await, 500);
    let keys = server.cli(&["KEYS", "*"]);
    let failed = keys.lines().find(|key| *key != done).unwrap();
    assert_eq!(server.cli(&["COPY", &done, failed, "REPLACE"]), "1");
    let status = process.post(&other).await;
    assert_ne!(status, 200);
}
