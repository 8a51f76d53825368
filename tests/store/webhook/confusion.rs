//! Which webhooks are the same.

use tower_auth::webhook::WebhookLayerBuilder;

use super::{Handler, Process, Webhook, stores::with_each};

#[tokio::test(flavor = "multi_thread")]
async fn equal_ids_of_two_senders_are_two_webhooks() {
    with_each(async |store| {
        let handler = Handler::new(204);
        let [shop, bank] = ["shop", "bank"].map(|sender| {
            let sender = |layer: WebhookLayerBuilder| layer.sender(sender);
            Process::with(&store.stores()[0], &store.clock, &handler, sender)
        });
        let webhook = Webhook::new("msg_1", &store.clock);
        for process in [&shop, &bank] {
            assert_eq!(process.post(&webhook).await, 204);
        }
        for process in [&shop, &bank] {
            assert_eq!(process.post(&webhook).await, 200);
        }
        assert_eq!(handler.started(), 2);
    })
    .await;
}

/// The names and ids of which one is a prefix of the other.
#[tokio::test(flavor = "multi_thread")]
async fn sender_and_id_are_separate_parts_of_the_key() {
    with_each(async |store| {
        let handler = Handler::new(204);
        let start = |sender: &'static str| {
            let sender = |layer: WebhookLayerBuilder| layer.sender(sender);
            Process::with(&store.stores()[0], &store.clock, &handler, sender)
        };
        let one = start("shop").post(&Webhook::new("1msg", &store.clock)).await;
        let other = start("shop1").post(&Webhook::new("msg", &store.clock)).await;
        assert_eq!((one, other), (204, 204));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_bodies_with_different_ids_are_two_webhooks() {
    with_each(async |store| {
        let handler = Handler::new(204);
        let [one, other] = store.processes(&handler);
        for id in ["msg_1", "msg_2", "MSG_1"] {
            assert_eq!(one.post(&Webhook::new(id, &store.clock)).await, 204, "{id}");
            assert_eq!(other.post(&Webhook::new(id, &store.clock)).await, 200, "{id}");
        }
    })
    .await;
}

/// The id says which event it is. A sender can change the body of a retry.
#[tokio::test(flavor = "multi_thread")]
async fn equal_ids_with_different_bodies_are_one_webhook() {
    with_each(async |store| {
        let handler = Handler::new(204);
        let [one, other] = store.processes(&handler);
        assert_eq!(one.post(&Webhook::with_body("msg_1", "{}", &store.clock)).await, 204);
        assert_eq!(other.post(&Webhook::with_body("msg_1", "[]", &store.clock)).await, 200);
    })
    .await;
}

/// A request that is not valid must not reserve the id of a webhook.
#[tokio::test(flavor = "multi_thread")]
async fn forged_webhook_does_not_suppress_the_real_one() {
    with_each(async |store| {
        let handler = Handler::new(204);
        let [one, other] = store.processes(&handler);
        let webhook = Webhook::new("msg_1", &store.clock);
        let mut forged = webhook.clone();
        *forged.0.body_mut() = "{}".into();
        for _ in 0..3 {
            assert_eq!(one.post(&forged).await, 401);
        }
        assert_eq!(other.post(&webhook).await, 204);
        assert_eq!(one.post(&forged).await, 401);
        assert_eq!(handler.started(), 1);
    })
    .await;
}
