//! Each event is handled once.

use std::time::Duration;

use axum::http::StatusCode;
use tower_auth::webhook::{WebhookFormat, WebhookLayer};

use super::{BODY, Behaviour, DAY, MINUTE, SECRET, Setup, eventually_not_409, sender::Message};

#[tokio::test]
async fn duplicate_of_a_handled_event_is_200_without_the_handler() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    let message = setup.message("msg_1");
    assert_eq!(service.status(&message).await, 200);
    assert_eq!(setup.events.take(), ["admitted standard", "webhook standard handled"]);
    let reply = service.send(&message).await;
    assert_eq!((reply.status.as_u16(), &*reply.body), (200, ""));
    assert_eq!(setup.events.take(), ["webhook standard duplicate"]);
    assert_eq!(setup.handler.calls(), 1);
    assert_eq!(service.status(&setup.message("msg_2")).await, 200);
    assert_eq!(setup.handler.calls(), 2);
}

/// Another attempt has another timestamp and signature.
#[tokio::test]
async fn later_attempt_of_a_handled_event_is_a_duplicate() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    assert_eq!(service.status(&setup.message("msg_1")).await, 200);
    setup.clock.advance(DAY);
    let later = Message::standard("msg_1", setup.now(), b"another body", SECRET);
    assert_eq!(service.status(&later).await, 200);
    assert_eq!(setup.handler.calls(), 1);
}

#[tokio::test]
async fn forgotten_event_is_handled_again() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    assert_eq!(service.status(&setup.message("msg_1")).await, 200);
    setup.clock.advance(3 * DAY);
    assert_eq!(service.status(&setup.message("msg_1")).await, 200);
    assert_eq!(setup.handler.calls(), 1);
    setup.clock.advance(Duration::from_secs(1));
    assert_eq!(service.status(&setup.message("msg_1")).await, 200);
    assert_eq!(setup.handler.calls(), 2);
}

/// The shortest memory, and a timestamp that is as far in the future as is accepted.
#[tokio::test]
async fn webhook_is_not_handled_twice_at_the_end_of_the_shortest_memory() {
    let setup = Setup::new();
    let layer = setup.builder(WebhookFormat::standard()).secret(SECRET).remember_for(10 * MINUTE);
    let service = setup.serve_layer(layer.build().unwrap()).await;
    let message = Message::standard("msg_1", setup.now() + 300, BODY, SECRET);
    let mut accepted = 0;
    for _ in 0..2_410 {
        accepted += usize::from(service.status(&message).await == 200);
        setup.clock.advance(Duration::from_millis(250));
    }
    assert_eq!((accepted, setup.handler.calls()), (2_404, 1));
}

#[tokio::test]
async fn failed_handler_gets_its_retry_at_once() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    let message = setup.message("msg_1");
    for status in [
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::BAD_REQUEST,
        StatusCode::NOT_FOUND,
        StatusCode::FOUND,
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::GONE,
    ] {
        setup.handler.behave(Behaviour::Return(status));
        assert_eq!(service.send(&message).await.status, status);
        assert_eq!(setup.events.take().last().unwrap(), "webhook standard failed");
    }
    for (status, calls) in [(StatusCode::ACCEPTED, 7), (StatusCode::OK, 7)] {
        setup.handler.behave(Behaviour::Return(StatusCode::ACCEPTED));
        assert_eq!(service.send(&message).await.status, status);
        assert_eq!(setup.handler.calls(), calls);
    }
}

#[tokio::test]
async fn panicking_handler_gets_its_retry_at_once() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    let message = setup.message("msg_1");
    setup.handler.behave(Behaviour::Panic);
    assert!(service.request(&message).send().await.is_err());
    setup.events.wait_for("webhook standard failed").await;
    setup.handler.behave(Behaviour::Succeed);
    assert_eq!(eventually_not_409(&service, &message).await, 200);
    assert_eq!(setup.handler.finished(), 1);
}

#[tokio::test]
async fn canceled_request_gets_its_retry_at_once() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    let message = setup.message("msg_1");
    setup.handler.behave(Behaviour::Wait);
    let request = tokio::spawn(service.request(&message).send());
    setup.handler.started().await;
    assert_eq!(service.status(&message).await, 409);
    request.abort();
    setup.events.wait_for("webhook standard failed").await;
    setup.handler.behave(Behaviour::Succeed);
    assert_eq!(eventually_not_409(&service, &message).await, 200);
    assert_eq!((setup.handler.calls(), setup.handler.finished()), (2, 1));
}

#[tokio::test]
async fn duplicate_of_a_running_event_is_409() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    let message = setup.message("msg_1");
    setup.handler.behave(Behaviour::Wait);
    let first = tokio::spawn(service.request(&message).send());
    setup.handler.started().await;
    setup.events.take();
    let reply = service.send(&message).await;
    assert_eq!(reply.status, 409);
    assert!(reply.challenges().is_empty() && reply.body.is_empty());
    assert_eq!(
        setup.events.take(),
        [
            "webhook standard in_progress",
            "rejected 409 Conflict: an attempt to handle this event is running"
        ]
    );
    setup.handler.resume();
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
    assert_eq!((service.status(&message).await, setup.handler.calls()), (200, 1));
}

/// A process that ended without a trace.
#[tokio::test]
async fn running_event_can_be_handled_again_after_the_handling_time() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    let message = setup.message("msg_1");
    setup.handler.behave(Behaviour::Wait);
    let first = tokio::spawn(service.request(&message).send());
    setup.handler.started().await;
    setup.handler.behave(Behaviour::Return(StatusCode::CONFLICT));
    setup.clock.advance(MINUTE - Duration::from_millis(1));
    assert_eq!((service.status(&message).await, setup.handler.calls()), (409, 1));
    setup.clock.advance(Duration::from_millis(1));
    assert_eq!((service.status(&message).await, setup.handler.calls()), (409, 2));

    // The first attempt ends after the second one has failed: the event is handled.
    setup.handler.resume();
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
    assert_eq!((service.status(&message).await, setup.handler.calls()), (200, 2));
}

/// An attempt that was too slow must not release the record of the next one.
#[tokio::test]
async fn slow_attempt_that_fails_keeps_the_record_of_the_next_one() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    let message = setup.message("msg_1");
    setup.handler.behave(Behaviour::Wait);
    let first = tokio::spawn(service.request(&message).send());
    setup.handler.started().await;
    setup.clock.advance(MINUTE);
    let second = tokio::spawn(service.request(&message).send());
    setup.handler.started().await;
    setup.events.take();
    first.abort();
    setup.events.wait_for("webhook standard failed").await;
    // The background task of the first attempt needs two operations of the store.
    for _ in 0..3 {
        assert_eq!(service.status(&message).await, 409);
    }
    setup.handler.resume();
    setup.handler.resume();
    assert_eq!(second.await.unwrap().unwrap().status(), 200);
    assert_eq!(setup.handler.finished(), 1);
}

#[tokio::test]
async fn event_of_github_is_identified_by_its_body() {
    let setup = Setup::new();
    let service = setup.serve(WebhookFormat::github()).await;
    let message = Message::github(BODY, SECRET).and("x-github-delivery", "1");
    assert_eq!(service.status(&message).await, 200);
    // The delivery id is not signed, so anyone can change it.
    assert_eq!(service.status(&message.with("x-github-delivery", "2")).await, 200);
    assert_eq!(setup.handler.calls(), 1);
    assert_eq!(service.status(&Message::github(b"{}", SECRET)).await, 200);
    assert_eq!(setup.handler.calls(), 2);
}

#[tokio::test]
async fn event_of_stripe_is_identified_by_the_id_in_its_body() {
    let setup = Setup::new();
    let service = setup.serve(WebhookFormat::stripe()).await;
    let mut expected = 0;
    let with_length =
        |length: usize, x: u8| format!(r#"{{"id":"{}","x":{x}}}"#, "a".repeat(length));
    let [longest, longest_again] = [1, 2].map(|x| with_length(256, x));
    let [long, long_again] = [1, 2].map(|x| with_length(257, x));
    for (index, (body, is_new)) in [
        (r#"{"id":"evt_1"}"#, true),
        (r#"{"id":"evt_1","retry":true}"#, false),
        (r#" {"x":{"id":"evt_9"},"i\u0064":"evt\u005f1"}"#, false),
        (r#"{"id":"evt_2"}"#, true),
        // Without one id, the body identifies the event.
        (r#"{"id":"evt_1","id":"evt_2"}"#, true),
        (r#"{"id":"evt_1","id":"evt_2"}"#, false),
        (r#"{"id":1}"#, true),
        (r#"{"id":1}"#, false),
        (r#"{"id":null}"#, true),
        (r#"{"id":""}"#, true),
        (r#"{"id":"","x":1}"#, true),
        (&*longest, true),
        (&*longest_again, false),
        (&*long, true),
        (&*long_again, true),
        (r#"{"id":{"id":"evt_1"}}"#, true),
        (r#"[{"id":"evt_1"}]"#, true),
        (r#"{"id":"evt_1"} {"#, true),
        (r#"{"id":"evt_1""#, true),
        ("", true),
        ("", false),
    ]
    .into_iter()
    .enumerate()
    {
        setup.clock.advance(Duration::from_secs(1));
        let message = Message::stripe(setup.now(), body.as_bytes(), SECRET);
        assert_eq!(service.status(&message).await, 200, "{index}: {body}");
        expected += usize::from(is_new);
        assert_eq!(setup.handler.calls(), expected, "{index}: {body}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = format!(r#"{{"x":{deep},"id":"evt_1"}}"#);
    let message = Message::stripe(setup.now(), deep.as_bytes(), SECRET);
    assert_eq!(service.status(&message).await, 200);
    let long = format!(r#"{{"id":"{}"}}"#, "a".repeat(1_000_000));
    let message = Message::stripe(setup.now(), long.as_bytes(), SECRET);
    assert_eq!(service.status(&message).await, 200);
}

/// Without an id, the timestamp tells apart two events with equal bodies.
#[tokio::test]
async fn event_of_a_custom_format_is_identified_by_what_is_signed() {
    let setup = Setup::new();
    let format = WebhookFormat::builder()
        .signature_header("x-signature")
        .timestamp_header("x-timestamp")
        .content("v0:{timestamp}:{body}")
        .build()
        .unwrap();
    let service = setup.serve(format).await;
    let now = setup.now();
    for (sent, calls) in [(now, 1), (now, 1), (now - 1, 2), (now, 2)] {
        let signed = [b"v0:", sent.to_string().as_bytes(), b":", BODY].concat();
        let signature = super::sender::hex(&super::sender::mac(SECRET.as_bytes(), &signed));
        let sent = sent.to_string();
        let message = Message::new(&[("x-signature", &signature), ("x-timestamp", &sent)], BODY);
        assert_eq!((service.status(&message).await, setup.handler.calls()), (200, calls));
    }
}

/// A hash of a body and an id are never the same key.
#[tokio::test]
async fn id_that_looks_like_a_hash_is_another_event() {
    let setup = Setup::new();
    let service = setup.serve(WebhookFormat::stripe()).await;
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"[]");
    let hash = super::sender::hex(hash.as_ref());
    for (calls, body) in [(1, "[]"), (2, &*format!(r#"{{"id":"{hash}"}}"#))] {
        let message = Message::stripe(setup.now(), body.as_bytes(), SECRET);
        assert_eq!((service.status(&message).await, setup.handler.calls()), (200, calls));
    }
}

#[tokio::test]
async fn pointer_to_a_nested_id_is_followed() {
    let setup = Setup::new();
    let format = WebhookFormat::builder()
        .signature_header("x-signature")
        .id_in_body("/event~1data/~0id")
        .build()
        .unwrap();
    let service = setup.serve(format).await;
    for (calls, body) in [
        (1, r#"{"event/data":{"~id":"a","x":1}}"#),
        (1, r#"{"event/data":{"~id":"a","x":2}}"#),
        (2, r#"{"event/data":{"~id":"b"}}"#),
        (3, r#"{"event/data":"a"}"#),
        (4, r#"{"~id":"a"}"#),
        (5, r#"{"event/data":{"~id":"a"},"event/data":{}}"#),
    ] {
        let signature = super::sender::hex(&super::sender::mac(SECRET.as_bytes(), body.as_bytes()));
        let message = Message::new(&[("x-signature", &signature)], body.as_bytes());
        assert_eq!(service.status(&message).await, 200, "{body}");
        assert_eq!(setup.handler.calls(), calls, "{body}");
    }
}

#[tokio::test]
async fn senders_that_share_a_store_do_not_suppress_each_other() {
    let setup = Setup::new();
    let layer = |sender: &str| {
        setup.builder(WebhookFormat::standard()).secret(SECRET).sender(sender).build().unwrap()
    };
    let [one, two] = [setup.serve_layer(layer("one")).await, setup.serve_layer(layer("two")).await];
    let message = setup.message("msg_1");
    assert_eq!(one.send(&message).await.headers["x-sender"], "one");
    assert_eq!(two.send(&message).await.headers["x-sender"], "two");
    assert_eq!(setup.handler.calls(), 2);
}

#[tokio::test]
async fn instances_that_share_a_store_handle_an_event_once() {
    let setup = Setup::new();
    let [one, two] = [setup.serve_standard().await, setup.serve_standard().await];
    let message = setup.message("msg_1");
    assert_eq!((one.status(&message).await, two.status(&message).await), (200, 200));
    assert_eq!(setup.handler.calls(), 1);
}

/// An attacker without the secret must not be able to use up an id.
#[tokio::test]
async fn webhook_with_an_invalid_signature_is_not_recorded() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    let message = setup.message("msg_1");
    assert_eq!(service.status(&message.clone().with_body(b"{}")).await, 401);
    assert_eq!((service.status(&message).await, setup.handler.calls()), (200, 1));
}

#[tokio::test]
async fn replays_are_handled_if_that_is_configured() {
    let setup = Setup::new();
    let layer = WebhookLayer::builder(WebhookFormat::standard())
        .secret(SECRET)
        .clock(setup.clock.clone())
        .observer(setup.events.clone())
        .dangerous_allow_replays()
        .build()
        .unwrap();
    let service = setup.serve_layer(layer).await;
    let message = setup.message("msg_1");
    for calls in 1..=2 {
        assert_eq!((service.status(&message).await, setup.handler.calls()), (200, calls));
        assert_eq!(setup.events.take(), ["admitted standard", "webhook standard handled"]);
    }
}
