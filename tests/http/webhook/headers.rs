//! Signature, id and timestamp headers that are missing, repeated or malformed.

use tower_auth::webhook::WebhookFormat;
use tower_auth_test_support::raw;

use super::{
    BODY, SECRET, Setup,
    sender::{Message, hex, mac},
};

const STANDARD: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];

#[tokio::test]
async fn missing_header_is_401_without_a_challenge() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    for name in STANDARD {
        let reply = service.send(&setup.message("msg_1").without(name)).await;
        assert_eq!(reply.status, 401, "{name}");
        assert!(reply.challenges().is_empty() && reply.body.is_empty());
        let expected = format!("rejected 401 Unauthorized: the header {name} is missing");
        assert_eq!(setup.events.take(), [expected]);
    }
    assert_eq!(setup.handler.calls(), 0);
}

#[tokio::test]
async fn repeated_header_is_400() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    for name in STANDARD {
        let message = setup.message("msg_1");
        let value = message.header(name).to_owned();
        assert_eq!(service.status(&message.and(name, value)).await, 400, "{name}");
    }
    let github = setup.serve(WebhookFormat::github()).await;
    let message = Message::github(BODY, SECRET).and("x-hub-signature-256", "sha256=0");
    assert_eq!(github.status(&message).await, 400);
    assert_eq!(setup.handler.calls(), 0);
}

#[tokio::test]
async fn empty_list_of_signatures_is_400() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    for value in ["", " ", "  "] {
        let message = setup.message("msg_1").with("webhook-signature", value);
        assert_eq!(service.status(&message).await, 400, "{value:?}");
    }
}

#[tokio::test]
async fn list_without_a_usable_signature_is_401() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    let message = setup.message("msg_1");
    let valid = message.header("webhook-signature").to_owned();
    let mac = valid.strip_prefix("v1,").unwrap();
    let unpadded = mac.trim_end_matches('=');
    for value in [
        "v1,".to_owned(),
        "v1".to_owned(),
        ",".to_owned(),
        mac.to_owned(),
        format!("v2,{mac}"),
        format!("V1,{mac}"),
        format!("v1a,{mac}"),
        format!("v1,{unpadded}"),
        format!("v1,{mac}="),
        format!("v1,{mac}A"),
        format!("v1,{}", &mac[1..]),
        format!("v1,{}", mac.replace(['+', '/'], "-")),
        format!("v1,,{mac}"),
        format!("v1,{mac},{mac}"),
        format!("v1\t,{mac}"),
    ] {
        if value == valid {
            continue;
        }
        let message = message.clone().with("webhook-signature", value.clone());
        assert_eq!(service.status(&message).await, 401, "{value}");
    }
    let spaced = format!("  v2,x  {valid} ");
    assert_eq!(service.status(&message.with("webhook-signature", spaced)).await, 200);
}

#[tokio::test]
async fn more_than_16_signatures_are_400() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    let message = setup.message("msg_1");
    let valid = message.header("webhook-signature").to_owned();
    let list = |count: usize| format!("{}{valid}", "v9,x ".repeat(count - 1));
    let with = |count| message.clone().with("webhook-signature", list(count));
    assert_eq!(service.status(&with(17)).await, 400);
    assert_eq!(service.status(&with(16)).await, 200);

    let ed25519 = format!("v1a,{}", "A".repeat(86) + "==");
    let five = [&*ed25519; 5].join(" ");
    assert_eq!(service.status(&message.clone().with("webhook-signature", five)).await, 400);

    let service = setup.serve(WebhookFormat::stripe()).await;
    let message = Message::stripe(setup.now(), BODY, SECRET);
    let valid = message.header("stripe-signature").to_owned();
    let with = |count: usize| {
        message.clone().with("stripe-signature", format!("{}{valid}", "v9=x,".repeat(count - 1)))
    };
    assert_eq!(service.status(&with(17)).await, 400);
    assert_eq!(service.status(&with(16)).await, 200);
}

#[tokio::test]
async fn upper_case_hex_is_accepted() {
    let setup = Setup::new();
    let service = setup.serve(WebhookFormat::github()).await;
    let mac = hex(&mac(SECRET.as_bytes(), BODY));
    let with = |value: String| Message::new(&[("x-hub-signature-256", &value)], BODY);
    for value in [
        format!("sha256={}", &mac[..63]),
        format!("sha256={mac}0"),
        format!("sha256={mac}{mac}"),
        format!("sha256= {mac}"),
        format!("sha256={}g", &mac[..63]),
        format!("sha256={}+", &mac[..63]),
        format!("SHA256={mac}"),
        format!("sha1={mac}"),
        format!("sha256={mac},sha256={mac}"),
        mac.clone(),
        "sha256=".to_owned(),
        "sha256".to_owned(),
    ] {
        assert_eq!(service.status(&with(value.clone())).await, 401, "{value}");
    }
    assert_eq!(service.status(&with(format!("sha256={}", mac.to_uppercase()))).await, 200);
}

/// `a.1` and the timestamp `2` could otherwise be sent as `a` and the timestamp `1`.
#[tokio::test]
async fn id_with_a_full_stop_is_400() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    for id in ["msg.1", ".", "msg_1."] {
        assert_eq!(service.status(&setup.message(id)).await, 400, "{id}");
    }
    // The signature is valid for other values with the same content.
    let now = setup.now();
    let body = format!("{now}.{{}}");
    let message = Message::standard("msg_1", now, body.as_bytes(), SECRET);
    let shifted = message.clone().with("webhook-id", format!("msg_1.{now}")).with_body(b"{}");
    assert_eq!(service.status(&shifted).await, 400);
    assert_eq!(service.status(&message).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn id_that_is_empty_or_long_or_not_ascii_is_400() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    for id in ["", " ", "a b", "a\tb", &"a".repeat(257)] {
        assert_eq!(service.status(&setup.message(id)).await, 400, "{id}");
    }
    assert_eq!(service.status(&setup.message(&"a".repeat(256))).await, 200);
    let reply = raw::send(
        &service.0.address,
        "POST",
        "/hook",
        &[
            ("webhook-id", "\u{e9}"),
            ("webhook-timestamp", &setup.now().to_string()),
            ("webhook-signature", "v1,x"),
        ],
        "{}",
    );
    assert_eq!(reply.status, 400);
}

/// The servers limit the head, so no 500 and no panic.
#[tokio::test(flavor = "multi_thread")]
async fn id_of_1_mib_is_4xx() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    let id = "a".repeat(1024 * 1024);
    let headers = [("webhook-id", &*id), ("webhook-timestamp", "1"), ("webhook-signature", "v1,x")];
    let reply = raw::send(&service.0.address, "POST", "/hook", &headers, "{}");
    assert!((400..500).contains(&reply.status), "{}", reply.status);
    assert_eq!(service.status(&setup.message("msg_1")).await, 200);
}

#[tokio::test]
async fn header_of_stripe_without_one_timestamp_is_400() {
    let setup = Setup::new();
    let service = setup.serve(WebhookFormat::stripe()).await;
    let message = Message::stripe(setup.now(), BODY, SECRET);
    let valid = message.header("stripe-signature").to_owned();
    let (timestamp, signature) = valid.split_once(',').unwrap();
    for value in [
        signature.to_owned(),
        format!("{timestamp},{valid}"),
        format!("{valid},t=1"),
        format!("t=,{signature}"),
        format!("T={},{signature}", setup.now()),
        format!("{};{signature}", timestamp),
    ] {
        let message = message.clone().with("stripe-signature", value.clone());
        assert_eq!(service.status(&message).await, 400, "{value}");
    }
    let reordered = format!("{signature},{timestamp}");
    assert_eq!(service.status(&message.with("stripe-signature", reordered)).await, 200);
}
