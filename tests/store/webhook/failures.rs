//! A handler that fails, is canceled or dies gets the retry.

use std::{
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Waker},
};

use tower_auth_test_support::stub::wait_until;

use super::{Handler, Webhook, post_64, stores::with_each};

#[tokio::test(flavor = "multi_thread")]
async fn failed_handler_gets_the_retry_at_once_from_any_process() {
    with_each(async |store| {
        for status in [500, 503, 400, 404, 302] {
            let handler = Handler::new(status);
            let [one, other] = store.processes(&handler);
            let webhook = Webhook::new(&format!("msg_{status}"), &store.clock);
            assert_eq!(one.post(&webhook).await, status);
            assert_eq!(other.post(&webhook).await, status);
            assert_eq!(one.post(&webhook).await, status);
            handler.set_status(202);
            assert_eq!(other.post(&webhook).await, 202);
            assert_eq!(one.post(&webhook).await, 200);
            assert_eq!((handler.started(), handler.finished()), (4, 1));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_handler_never_runs_twice_at_once_and_succeeds_once() {
    with_each(async |store| {
        let handler = Handler::new(500);
        let processes = store.processes(&handler);
        for round in 1..=20 {
            let webhook = Webhook::new(&format!("msg_{round}"), &store.clock);
            handler.set_status(500);
            for status in post_64(&processes, &webhook).join_all().await {
                assert!(matches!(status, 409 | 500), "{status}");
            }
            let started = handler.started();
            handler.set_status(204);
            let mut statuses = post_64(&processes, &webhook).join_all().await;
            statuses.sort_unstable();
            assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 1);
            assert!(
                statuses.iter().all(|status| matches!(status, 200 | 204 | 409)),
                "{statuses:?}"
            );
            assert_eq!((handler.started(), handler.finished()), (started + 1, round));
        }
        assert_eq!(handler.most_running.load(Ordering::SeqCst), 1);
    })
    .await;
}

/// As when the client closes the connection.
#[tokio::test(flavor = "multi_thread")]
async fn canceled_handler_gets_the_retry() {
    with_each(async |store| {
        let handler = Handler::closed(204);
        let [one, other] = store.processes(&handler);
        let webhook = Webhook::new("msg_1", &store.clock);
        let task = tokio::spawn({
            let webhook = webhook.clone();
            async move { one.post(&webhook).await }
        });
        handler.wait_for_start(1).await;
        assert_eq!(other.post(&webhook).await, 409);
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        handler.open(1);
        // The record is released in the background.
        wait_until("the retry", async || other.post(&webhook).await == 204).await;
        assert_eq!(handler.started(), 2);
    })
    .await;
}

/// A process that dies does not drop its futures.
#[tokio::test(flavor = "multi_thread")]
async fn webhook_of_a_dead_process_is_handled_again_after_the_handling_time() {
    with_each(async |store| {
        let handler = Handler::closed(204);
        let [dead, other] = store.processes(&handler);
        let webhook = Webhook::new("msg_1", &store.clock);
        let mut dying: Pin<Box<dyn Future<Output = u16> + Send>> = Box::pin({
            let webhook = webhook.clone();
            async move { dead.post(&webhook).await }
        });
        while handler.started() == 0 {
            let polled = dying.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
            tokio::task::yield_now().await;
        }
        std::mem::forget(dying);
        handler.open(2); // the dead process still waits for one
        for _ in 0..3 {
            assert_eq!(other.post(&webhook).await, 409);
        }
        store.end_handling_time();
        assert_eq!(other.post(&webhook).await, 204);
        assert_eq!(other.post(&webhook).await, 200);
        assert_eq!(handler.started(), 2);
    })
    .await;
}

/// Then no task can be spawned that releases the record.
#[test]
fn future_dropped_outside_a_runtime_delays_the_retry_by_the_handling_time() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let store = super::stores::TestStore::memory();
    let handler = Handler::closed(204);
    let [one, other] = store.processes(&handler);
    let webhook = Webhook::new("msg_1", &store.clock);
    let mut running = Box::pin({
        let webhook = webhook.clone();
        async move { one.post(&webhook).await }
    });
    first.block_on(async {
        tokio::select! {
            _ = &mut running => panic!("the handler has finished"),
            () = handler.wait_for_start(1) => {}
        }
    });
    drop(running);
    drop(first);
    handler.open(1);
    runtime().block_on(async {
        let status = other.post(&webhook).await;
        // Only the handling time is promised.
        assert!(matches!(status, 204 | 409), "{status}");
        if status == 409 {
            store.end_handling_time();
            assert_eq!(other.post(&webhook).await, 204);
        }
        assert_eq!(other.post(&webhook).await, 200);
    });
}
