//! The signatures of each format, and examples of their documentation.

use std::time::{Duration, UNIX_EPOCH};

use tower_auth::{
    test_util::TestClock,
    webhook::{SignatureEncoding, WebhookFormat},
};

use super::{
    BODY, SECRET, Setup,
    sender::{Message, hex, mac},
};

fn slack() -> WebhookFormat {
    WebhookFormat::builder()
        .signature_header("X-Slack-Signature")
        .timestamp_header("X-Slack-Request-Timestamp")
        .content("v0:{timestamp}:{body}")
        .prefix("v0=")
        .build()
        .unwrap()
}

/// <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>
#[tokio::test]
async fn example_of_github_is_accepted() {
    let setup = Setup::new();
    let layer = setup.builder(WebhookFormat::github()).secret("It's a Secret to Everybody");
    let service = setup.serve_layer(layer.build().unwrap()).await;
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let message = Message::new(&[("x-hub-signature-256", signature)], b"Hello, World!");
    let reply = service.send(&message).await;
    assert_eq!((reply.status.as_u16(), &*reply.body), (200, "Hello, World!"));
    assert_eq!(reply.headers["x-sender"], "github");
    assert_eq!(service.status(&message.with_body(b"Hello, World?")).await, 401);
}

/// The test vector of the libraries of Standard Webhooks.
#[tokio::test]
async fn example_of_standard_webhooks_is_accepted() {
    let mut setup = Setup::new();
    setup.clock = TestClock::at(UNIX_EPOCH + Duration::from_secs(1_614_265_330));
    let layer = setup.builder(WebhookFormat::standard());
    let layer = layer.secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").build().unwrap();
    let service = setup.serve_layer(layer).await;
    let body = br#"{"test": 2432232314}"#;
    let message = Message::new(
        &[
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ],
        body,
    );
    let reply = service.send(&message).await;
    assert_eq!((reply.status.as_u16(), reply.body.as_bytes()), (200, &body[..]));
    assert_eq!(reply.headers["x-sender"], "standard");
}

/// <https://docs.slack.dev/authentication/verifying-requests-from-slack>
#[tokio::test]
async fn example_of_slack_is_accepted() {
    let mut setup = Setup::new();
    setup.clock = TestClock::at(UNIX_EPOCH + Duration::from_secs(1_531_420_618));
    let layer = setup.builder(slack()).secret("8f742231b10e8888abcd99yyyzzz85a5").sender("slack");
    let service = setup.serve_layer(layer.build().unwrap()).await;
    let body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&\
        channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&\
        command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2F\
        T1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.\
        803a0bc887a14d10d2c447fce8b6703c";
    let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    let headers = [("x-slack-request-timestamp", "1531420618"), ("x-slack-signature", signature)];
    let reply = service.send(&Message::new(&headers, body)).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers["x-sender"], "slack");
}

#[tokio::test]
async fn webhook_of_stripe_is_accepted() {
    let setup = Setup::new();
    let service = setup.serve(WebhookFormat::stripe()).await;
    let message = Message::stripe(setup.now(), BODY, SECRET);
    let reply = service.send(&message).await;
    assert_eq!((reply.status.as_u16(), reply.body.as_bytes()), (200, BODY));
    assert_eq!(reply.headers["x-sender"], "stripe");
}

/// Stripe sends `v0` in test mode, and two `v1` during a rotation.
#[tokio::test]
async fn other_signatures_of_stripe_are_ignored() {
    let setup = Setup::new();
    let service = setup.serve(WebhookFormat::stripe()).await;
    let message = Message::stripe(setup.now(), BODY, SECRET);
    let header = message.header("stripe-signature");
    let (timestamp, signature) = header.split_once(',').unwrap();
    let zeros = "0".repeat(64);
    let value = format!("{timestamp},v1={zeros},v0={zeros}, {signature},v2");
    assert_eq!(service.status(&message.clone().with("stripe-signature", value)).await, 200);
    let as_v0 = header.replace("v1=", "v0=");
    assert_eq!(service.status(&message.with("stripe-signature", as_v0)).await, 401);
}

#[tokio::test]
async fn webhook_of_svix_is_accepted() {
    let setup = Setup::new();
    let service = setup.serve(WebhookFormat::svix()).await;
    let mut message = setup.message("msg_1");
    assert_eq!(service.status(&message).await, 401, "headers of Standard Webhooks");
    for (name, _) in &mut message.headers {
        *name = name.replace("webhook-", "svix-");
    }
    assert_eq!(service.send(&message).await.headers["x-sender"], "svix");
}

#[tokio::test]
async fn base64_of_a_custom_format_is_accepted() {
    let setup = Setup::new();
    let format = WebhookFormat::builder()
        .signature_header("x-shopify-hmac-sha256")
        .encoding(SignatureEncoding::Base64);
    let service = setup.serve(format.build().unwrap()).await;
    let mac = mac(SECRET.as_bytes(), BODY);
    let signature = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &mac);
    let message = Message::new(&[("x-shopify-hmac-sha256", &signature)], BODY);
    assert_eq!(service.status(&message).await, 200);
    let message = Message::new(&[("x-shopify-hmac-sha256", &hex(&mac))], BODY);
    assert_eq!(service.status(&message).await, 401, "hex");
}

#[tokio::test]
async fn custom_id_is_signed() {
    let setup = Setup::new();
    let format = WebhookFormat::builder()
        .signature_header("x-signature")
        .id_header("x-id")
        .content("{id}\n{body}")
        .build()
        .unwrap();
    let service = setup.serve(format).await;
    let signed = [b"a\n", BODY].concat();
    let signature = hex(&mac(SECRET.as_bytes(), &signed));
    let message = Message::new(&[("x-signature", &signature), ("x-id", "a")], BODY);
    assert_eq!(service.status(&message.clone().with("x-id", "b")).await, 401);
    assert_eq!(service.status(&message).await, 200);
    assert_eq!((service.status(&message).await, setup.handler.calls()), (200, 1));
}

/// An id ends where the separator starts, so the content `a-1-.2-.{}` has one id.
#[tokio::test]
async fn id_with_the_first_byte_of_the_separator_is_400() {
    let setup = Setup::new();
    let format = WebhookFormat::builder()
        .signature_header("x-signature")
        .id_header("x-id")
        .content("{id}-.{body}")
        .build()
        .unwrap();
    let service = setup.serve(format).await;
    for (id, expected) in [("a-b", 400), ("a-", 400), ("a.b", 200)] {
        let signed = [id.as_bytes(), b"-.", BODY].concat();
        let signature = hex(&mac(SECRET.as_bytes(), &signed));
        let message = Message::new(&[("x-signature", &signature), ("x-id", id)], BODY);
        assert_eq!(service.status(&message).await, expected, "{id}");
    }
}

/// A valid webhook of one format, sent to another one with the same secret.
#[tokio::test]
async fn signature_of_another_format_is_rejected() {
    let setup = Setup::new();
    let standard = setup.message("msg_1");
    let stripe = Message::stripe(setup.now(), BODY, SECRET);
    let github = Message::github(BODY, SECRET);
    let digits =
        |message: &Message, name: &str| message.header(name).rsplit('=').next().unwrap().to_owned();
    let stripe_mac = digits(&stripe, "stripe-signature");
    let github_mac = digits(&github, "x-hub-signature-256");
    let now = setup.now();

    let service = setup.serve_standard().await;
    let base64 = |hex: &str| {
        let bytes: Vec<u8> = (0..hex.len() / 2)
            .map(|index| u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).unwrap())
            .collect();
        base64::Engine::encode(&base64::prelude::BASE64_STANDARD, bytes)
    };
    for mac in [&stripe_mac, &github_mac] {
        for signature in [format!("v1,{}", base64(mac)), format!("v1,{mac}"), format!("v1={mac}")] {
            let message = standard.clone().with("webhook-signature", signature);
            assert_eq!(service.status(&message).await, 401);
        }
    }
    assert_eq!(service.status(&stripe).await, 401);

    let service = setup.serve(WebhookFormat::stripe()).await;
    let value = format!("t={now},v1={github_mac}");
    assert_eq!(service.status(&stripe.with("stripe-signature", value)).await, 401);

    let service = setup.serve(WebhookFormat::github()).await;
    let value = format!("sha256={stripe_mac}");
    assert_eq!(service.status(&github.with("x-hub-signature-256", value)).await, 401);
    assert_eq!(setup.handler.calls(), 0);
}

/// SHA-1, which GitHub sends as well, is not read.
#[tokio::test]
async fn sha1_signature_of_github_is_missing_credentials() {
    let setup = Setup::new();
    let service = setup.serve(WebhookFormat::github()).await;
    let sha1 = Message::new(&[("x-hub-signature", "sha1=0123456789")], BODY);
    let reply = service.send(&sha1).await;
    assert_eq!(reply.status, 401);
    assert_eq!(
        setup.events.take(),
        ["rejected 401 Unauthorized: the header x-hub-signature-256 is missing"]
    );
}
