//! Several secrets, and public keys.

use tower_auth::webhook::WebhookFormat;

use super::{
    BODY, OTHER_SECRET, SECRET, Setup,
    sender::{Ed25519Sender, Message},
};

#[tokio::test]
async fn each_of_two_secrets_is_accepted_during_a_rotation() {
    let setup = Setup::new();
    let layer = setup.builder(WebhookFormat::standard()).secret(SECRET).secret(OTHER_SECRET);
    let both = setup.serve_layer(layer.build().unwrap()).await;
    let old = setup.serve_standard().await;
    let now = setup.now();
    for (index, secrets) in
        [&[SECRET][..], &[OTHER_SECRET], &[SECRET, OTHER_SECRET], &[OTHER_SECRET, SECRET]]
            .into_iter()
            .enumerate()
    {
        let message = Message::standard_of(&format!("msg_{index}"), now, BODY, secrets);
        assert_eq!(both.status(&message).await, 200, "{secrets:?}");
        let message = Message::standard_of(&format!("old_{index}"), now, BODY, secrets);
        let expected = if secrets.contains(&SECRET) { 200 } else { 401 };
        assert_eq!(old.status(&message).await, expected, "{secrets:?}");
    }
}

#[tokio::test]
async fn each_of_two_secrets_of_stripe_and_github_is_accepted() {
    let setup = Setup::new();
    let now = setup.now();
    for format in [WebhookFormat::stripe(), WebhookFormat::github()] {
        let layer = setup.builder(format).secret(SECRET).secret(OTHER_SECRET).build().unwrap();
        let service = setup.serve_layer(layer).await;
        for (body, secret) in [(b"{}", SECRET), (b"[]", OTHER_SECRET)] {
            let stripe = Message::stripe(now, body, secret);
            let mut message = Message::github(body, secret);
            message.headers.extend(stripe.headers);
            assert_eq!(service.status(&message).await, 200);
        }
        let message = Message::github(b"{}", "another secret of the sender");
        assert_eq!(service.status(&message).await, 401);
    }
}

/// The whole text of a secret of Stripe is the key, and the decoded bytes of one of Standard
/// Webhooks.
#[tokio::test]
async fn secret_of_stripe_is_not_decoded() {
    let setup = Setup::new();
    let service = setup.serve(WebhookFormat::stripe()).await;
    let decoded = "0123456789abcdefghijklmnopqrstuv";
    let message = Message::stripe(setup.now(), BODY, decoded);
    assert_eq!(service.status(&message).await, 401);
}

#[tokio::test]
async fn ed25519_signature_is_accepted_for_its_public_key_only() {
    let setup = Setup::new();
    let (sender, other) = (Ed25519Sender::new(1), Ed25519Sender::new(2));
    let layer = setup.builder(WebhookFormat::standard()).public_key(sender.public_key());
    let service = setup.serve_layer(layer.build().unwrap()).await;
    let message = sender.sign("msg_1", setup.now(), BODY);
    assert_eq!(service.status(&message.clone().with_body(b"{}")).await, 401);
    assert_eq!(service.status(&message.clone().with("webhook-id", "msg_2")).await, 401);
    let earlier = (setup.now() - 1).to_string();
    assert_eq!(service.status(&message.clone().with("webhook-timestamp", earlier)).await, 401);
    let as_v1 = message.header("webhook-signature").replace("v1a,", "v1,");
    assert_eq!(service.status(&message.clone().with("webhook-signature", as_v1)).await, 401);
    assert_eq!(service.status(&other.sign("msg_1", setup.now(), BODY)).await, 401);
    assert_eq!(service.status(&setup.message("msg_1")).await, 401, "no secret is configured");
    assert_eq!(service.status(&message).await, 200);
    assert_eq!((service.status(&message).await, setup.handler.calls()), (200, 1));
}

/// The example of the specification has both.
#[tokio::test]
async fn one_of_an_hmac_and_an_ed25519_signature_is_enough() {
    let setup = Setup::new();
    let sender = Ed25519Sender::new(1);
    let layer = setup.builder(WebhookFormat::standard()).secret(SECRET);
    let layer =
        layer.public_key(Ed25519Sender::new(2).public_key()).public_key(sender.public_key());
    let service = setup.serve_layer(layer.build().unwrap()).await;
    let asymmetric = sender.sign("msg_1", setup.now(), BODY);
    let other = Message::standard("msg_1", setup.now(), BODY, OTHER_SECRET);
    let both =
        format!("{} {}", other.header("webhook-signature"), asymmetric.header("webhook-signature"));
    assert_eq!(service.status(&asymmetric.with("webhook-signature", both)).await, 200);
    let both =
        format!("v1a,{}== {}", "A".repeat(86), setup.message("msg_2").header("webhook-signature"));
    assert_eq!(service.status(&setup.message("msg_2").with("webhook-signature", both)).await, 200);
}

/// An HMAC whose key is the public key, which everyone knows.
#[tokio::test]
async fn public_key_is_not_a_secret() {
    let setup = Setup::new();
    let sender = Ed25519Sender::new(1);
    let layer = setup.builder(WebhookFormat::standard()).public_key(sender.public_key());
    let service = setup.serve_layer(layer.build().unwrap()).await;
    let secret = sender.public_key().replace("whpk_", "whsec_");
    let message = Message::standard("msg_1", setup.now(), BODY, &secret);
    assert_eq!(service.status(&message).await, 401);
}
