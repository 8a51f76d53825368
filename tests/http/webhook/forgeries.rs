//! No changed webhook is accepted.

use proptest::prelude::*;
use tokio::runtime::Runtime;
use tower::{Layer as _, ServiceExt as _};
use tower_auth::webhook::{WebhookFormat, WebhookLayer};

use super::{BODY, OTHER_SECRET, SECRET, Setup, sender::Message};

/// A service without a socket, for many requests.
struct Target {
    setup: Setup,
    layer: WebhookLayer,
}

impl Target {
    fn new(format: WebhookFormat) -> Self {
        let setup = Setup::new();
        let layer = WebhookLayer::builder(format)
            .secret(OTHER_SECRET)
            .secret(SECRET)
            .clock(setup.clock.clone())
            .dangerous_allow_replays()
            .build()
            .unwrap();
        Self { setup, layer }
    }

    async fn status(&self, message: &Message) -> Option<u16> {
        let mut request = http::Request::post("/hook");
        for (name, value) in &message.headers {
            request = request.header(name, value);
        }
        // Not every text is a header value.
        let request = request.body(axum::body::Body::from(message.body.clone())).ok()?;
        let service = self.layer.layer(self.setup.handler.app().into_service());
        Some(service.oneshot(request).await.unwrap().status().as_u16())
    }
}

/// Changes each bit of each header and of the body.
#[tokio::test]
async fn each_changed_bit_is_rejected() {
    let now = Setup::new().now();
    for (format, message) in [
        (WebhookFormat::standard(), Message::standard("msg_1", now, BODY, SECRET)),
        (WebhookFormat::github(), Message::github(BODY, SECRET)),
        (WebhookFormat::stripe(), Message::stripe(now, BODY, SECRET)),
    ] {
        let target = Target::new(format);
        assert_eq!(target.status(&message).await, Some(200));
        for index in 0..message.body.len() {
            for bit in 0..8 {
                let mut body = message.body.clone();
                body[index] ^= 1 << bit;
                let changed = message.clone().with_body(&body);
                assert_eq!(target.status(&changed).await, Some(401));
            }
        }
        for (name, value) in &message.headers {
            for index in 0..value.len() {
                for bit in 0..7 {
                    let mut changed = value.clone().into_bytes();
                    changed[index] ^= 1 << bit;
                    let Ok(changed) = String::from_utf8(changed) else { continue };
                    // The case of hexadecimal digits has no meaning.
                    let has_hex = !name.starts_with("webhook-");
                    let digits = |text: &str| text.get(index..).map(str::to_ascii_lowercase);
                    let is_digit =
                        value[..index].ends_with(|c: char| c.is_ascii_hexdigit() || c == '=');
                    let is_equal = has_hex && is_digit && digits(&changed) == digits(value);
                    let expected: &[Option<u16>] = match is_equal {
                        true => &[Some(200)],
                        false => &[Some(400), Some(401), None],
                    };
                    let status = target.status(&message.clone().with(name, changed.clone())).await;
                    assert!(expected.contains(&status), "{name}: {changed}: {status:?}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// The attacker has a valid webhook and chooses everything but the secret.
    #[test]
    fn forged_webhook_is_rejected(
        id in "[a-z0-9._]{0,12}",
        shift in -400_i64..400,
        body in proptest::collection::vec(any::<u8>(), 0..40),
        split in 0_usize..60,
        secret in "[a-z0-9]{32}",
        choice in 0..4,
    ) {
        let runtime = Runtime::new().unwrap();
        let target = Target::new(WebhookFormat::standard());
        let now = target.setup.now();
        let valid = Message::standard("msg_1", now, BODY, SECRET);
        let sent = now.saturating_add_signed(shift).to_string();
        let forged = match choice {
            // Another id, timestamp and body with the signature.
            0 => valid.clone()
                .with("webhook-id", &*id)
                .with("webhook-timestamp", sent)
                .with_body(&body),
            // Signed with a guessed secret.
            1 => {
                let encoded = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, secret);
                Message::standard(&id, sent, &body, &format!("whsec_{encoded}"))
            }
            // The same content, split in another way.
            2 => {
                let content = [b"msg_1.", now.to_string().as_bytes(), b".", BODY].concat();
                let (start, rest) = content.split_at(split.min(content.len()));
                let id = String::from_utf8_lossy(start).into_owned();
                let parts: Vec<_> = rest.splitn(2, |byte| *byte == b'.').collect();
                let sent = String::from_utf8_lossy(parts[0]).into_owned();
                let body = parts.get(1).copied().unwrap_or_default();
                valid.clone().with("webhook-id", id).with("webhook-timestamp", sent).with_body(body)
            }
            // A signature of zeros, or none.
            _ => valid.clone().with("webhook-signature", format!("v1,{}=", "A".repeat(split))),
        };
        let is_same = |name| forged.header(name) == valid.header(name);
        prop_assume!(
            !(is_same("webhook-id") && is_same("webhook-timestamp") && forged.body == valid.body
                && is_same("webhook-signature"))
        );
        let status = runtime.block_on(target.status(&forged));
        prop_assert!([Some(400), Some(401), None].contains(&status), "{status:?}");
    }
}
