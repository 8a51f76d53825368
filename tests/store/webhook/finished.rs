//! A handler that succeeds is called once.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::task::JoinSet;
use tower_auth::{store::SealedStore, test_util::TestClock};

use super::{
    Handler, Process, Webhook, post_64,
    stores::{TestStore, secret, with_each},
};
use crate::revocation::test_store::TestStore as RevocationStore;

/// While the handler runs, no other request gets 200.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_64_equal_webhooks_is_handled_and_the_others_get_409() {
    with_each(async |store| {
        let handler = Handler::closed(204);
        let processes = store.processes(&handler);
        let webhook = Webhook::new("msg_1", &store.clock);
        let mut tasks = post_64(&processes, &webhook);
        for _ in 0..63 {
            assert_eq!(tasks.join_next().await.unwrap().unwrap(), 409);
        }
        assert_eq!((handler.started(), handler.finished()), (1, 0));

        handler.open(1);
        assert_eq!(tasks.join_next().await.unwrap().unwrap(), 204);
        for status in post_64(&processes, &webhook).join_all().await {
            assert_eq!(status, 200);
        }
        assert_eq!(handler.started(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_duplicate_gets_200_before_the_handler_has_finished() {
    with_each(async |store| {
        for round in 1..=20 {
            let handler = Handler::new(204);
            let webhook = Webhook::new(&format!("msg_{round}"), &store.clock);
            let mut tasks = JoinSet::new();
            for process in store.processes(&handler).iter().cycle().take(64) {
                let (process, webhook) = (process.clone(), webhook.clone());
                let handler = handler.clone();
                tasks.spawn(async move {
                    let status = process.post(&webhook).await;
                    (status, handler.finished())
                });
            }
            let mut handled = 0;
            for (status, finished) in tasks.join_all().await {
                match status {
                    409 => {}
                    200 => assert_eq!(finished, 1),
                    204 => handled += 1,
                    other => panic!("status {other}"),
                }
            }
            assert_eq!((handled, handler.started()), (1, 1), "round {round}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn different_webhooks_at_once_are_all_handled() {
    with_each(async |store| {
        let handler = Handler::closed(204);
        let mut tasks = JoinSet::new();
        for (number, process) in store.processes(&handler).iter().cycle().take(64).enumerate() {
            let webhook = Webhook::new(&format!("msg_{number}"), &store.clock);
            let process = process.clone();
            tasks.spawn(async move { process.post(&webhook).await });
        }
        handler.wait_for_start(64).await;
        handler.open(64);
        assert!(tasks.join_all().await.iter().all(|status| *status == 204));
        assert_eq!(handler.most_running.load(Ordering::SeqCst), 64);
    })
    .await;
}

/// The sender signs a retry again, with a new timestamp.
#[tokio::test(flavor = "multi_thread")]
async fn retry_with_a_new_signature_of_a_finished_webhook_is_a_duplicate() {
    with_each(async |store| {
        let handler = Handler::new(204);
        let [one, other] = store.processes(&handler);
        assert_eq!(one.post(&Webhook::new("msg_1", &store.clock)).await, 204);
        store.clock.advance(Duration::from_secs(3_600));
        assert_eq!(other.post(&Webhook::new("msg_1", &store.clock)).await, 200);
        assert_eq!(handler.started(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_webhook_is_remembered_for_the_configured_time() {
    let store = TestStore::memory();
    let handler = Handler::new(204);
    let day = Duration::from_secs(86_400);
    let process =
        Process::with(&store.stores()[0], &store.clock, &handler, |layer| layer.remember_for(day));
    assert_eq!(process.post(&Webhook::new("msg_1", &store.clock)).await, 204);
    store.clock.advance(day - Duration::from_secs(1));
    assert_eq!(process.post(&Webhook::new("msg_1", &store.clock)).await, 200);
    store.clock.advance(Duration::from_secs(2));
    assert_eq!(process.post(&Webhook::new("msg_1", &store.clock)).await, 204);
}

/// A handler that runs too long does not change the result of the next one.
#[tokio::test(flavor = "multi_thread")]
async fn handler_beyond_its_handling_time_runs_again_and_both_results_are_kept() {
    with_each(async |store| {
        let handler = Handler::closed(204);
        let [one, other] = store.processes(&handler);
        let webhook = Webhook::new("msg_1", &store.clock);
        let slow = tokio::spawn({
            let webhook = webhook.clone();
            let one = one.clone();
            async move { one.post(&webhook).await }
        });
        handler.wait_for_start(1).await;
        assert_eq!(other.post(&webhook).await, 409);
        store.end_handling_time();
        let second = tokio::spawn({
            let (other, webhook) = (other.clone(), webhook.clone());
            async move { other.post(&webhook).await }
        });
        handler.wait_for_start(2).await;
        handler.open(2);
        assert_eq!((slow.await.unwrap(), second.await.unwrap()), (204, 204));
        for process in [&one, &other] {
            assert_eq!(process.post(&webhook).await, 200);
        }
        assert_eq!(handler.started(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_failure_does_not_undo_the_result_of_another_attempt() {
    with_each(async |store| {
        let (slow, fast) = (Handler::closed(500), Handler::new(204));
        let [one, _] = store.processes(&slow);
        let [_, other] = store.processes(&fast);
        let webhook = Webhook::new("msg_1", &store.clock);
        let failing = tokio::spawn({
            let (one, webhook) = (one.clone(), webhook.clone());
            async move { one.post(&webhook).await }
        });
        slow.wait_for_start(1).await;
        store.end_handling_time();
        assert_eq!(other.post(&webhook).await, 204);
        slow.open(1);
        assert_eq!(failing.await.unwrap(), 500);
        for process in [&one, &other] {
            assert_eq!(process.post(&webhook).await, 200);
        }
        assert_eq!((slow.started(), fast.started()), (1, 1));
    })
    .await;
}

/// The guide to shared state says so.
#[tokio::test(flavor = "multi_thread")]
async fn webhook_whose_record_is_lost_is_handled_again() {
    let clock = TestClock::new();
    let store = RevocationStore::new(&clock);
    let handler = Handler::new(204);
    let process = Process::start(&SealedStore::new(store.clone(), secret()), &clock, &handler);
    let webhook = Webhook::new("msg_1", &clock);
    assert_eq!(process.post(&webhook).await, 204);
    assert_eq!(process.post(&webhook).await, 200);
    store.clear();
    assert_eq!(process.post(&webhook).await, 204);
    assert_eq!(handler.started(), 2);
}
