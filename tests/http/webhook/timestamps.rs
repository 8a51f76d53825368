//! The tolerance of timestamps.

use std::time::{Duration, UNIX_EPOCH};

use tower_auth::{test_util::TestClock, webhook::WebhookFormat};

use super::{BODY, SECRET, Setup, TOLERANCE, sender::Message};

#[tokio::test]
async fn timestamp_at_the_limit_is_accepted_and_beyond_it_rejected() {
    let setup = Setup::new();
    let standard = setup.serve_standard().await;
    let stripe = setup.serve(WebhookFormat::stripe()).await;
    let now = setup.now();
    let limit = TOLERANCE.as_secs();
    for (sent, expected) in [
        (now - limit - 1, 401),
        (now - limit, 200),
        (now + limit, 200),
        (now + limit + 1, 401),
        (0, 401),
        (999_999_999_999, 401),
    ] {
        let message = Message::standard(&format!("msg_{sent}"), sent, BODY, SECRET);
        assert_eq!(standard.status(&message).await, expected, "{sent}");
        let body = format!(r#"{{"id":"{sent}"}}"#);
        let message = Message::stripe(sent, body.as_bytes(), SECRET);
        assert_eq!(stripe.status(&message).await, expected, "{sent}");
    }
}

#[tokio::test]
async fn fraction_of_a_second_of_the_clock_is_ignored() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    let message = setup.message("msg_1");
    setup.clock.advance(TOLERANCE + Duration::from_millis(999));
    assert_eq!(service.status(&message).await, 200);
    let message = Message::standard("msg_2", setup.now() - 300, BODY, SECRET);
    setup.clock.advance(Duration::from_millis(1));
    assert_eq!(service.status(&message).await, 401);
}

#[tokio::test]
async fn tolerance_can_be_set() {
    let setup = Setup::new();
    let layer = setup.builder(WebhookFormat::standard()).secret(SECRET).tolerance(Duration::ZERO);
    let service = setup.serve_layer(layer.build().unwrap()).await;
    let now = setup.now();
    for (sent, expected) in [(now - 1, 401), (now, 200), (now + 1, 401)] {
        let message = Message::standard("msg_1", sent, BODY, SECRET);
        assert_eq!(service.status(&message).await, expected);
    }
}

#[tokio::test]
async fn timestamp_that_is_no_number_is_400() {
    let setup = Setup::new();
    let standard = setup.serve_standard().await;
    let stripe = setup.serve(WebhookFormat::stripe()).await;
    let now = setup.now();
    for sent in [
        "",
        "-9223372036854775808",
        "9223372036854775807",
        "18446744073709551616",
        "1000000000000",
        "-1",
        &format!("+{now}"),
        &format!("-{now}"),
        &format!("{now}.0"),
        &format!("{now}e0"),
        &format!("0x{now:x}"),
        &format!("{now}000"),
        "now",
        "NaN",
        &format!("{now} {now}"),
        &format!("1_{now}"),
    ] {
        let message = Message::standard("msg_1", sent, BODY, SECRET);
        assert_eq!(standard.status(&message).await, 400, "{sent:?}");
        let message = Message::stripe(sent, BODY, SECRET);
        assert_eq!(stripe.status(&message).await, 400, "{sent:?}");
    }
    assert_eq!(setup.handler.calls(), 0);
}

/// The text is signed, not the number.
#[tokio::test]
async fn timestamp_with_leading_zeros_is_verified_as_it_was_sent() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    let now = setup.now();
    let message = setup.message("msg_1");
    let zeros = format!("00{now}");
    assert_eq!(service.status(&message.with("webhook-timestamp", &*zeros)).await, 401);
    assert_eq!(service.status(&Message::standard("msg_1", zeros, BODY, SECRET)).await, 200);
}

#[tokio::test]
async fn clock_before_1970_rejects_and_does_not_fail() {
    let mut setup = Setup::new();
    setup.clock = TestClock::at(UNIX_EPOCH - Duration::from_secs(10));
    let service = setup.serve_standard().await;
    let message = Message::standard("msg_1", 1_700_000_000, BODY, SECRET);
    assert_eq!(service.status(&message).await, 401);
}
