//! Webhooks that libraries of their senders sign and verify.

use std::{path::Path, process::Command};

use axum::{Router, body::Bytes, routing::post};
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tower_auth::{
    Principal,
    client::WebhookSigner,
    store::SealedStore,
    webhook::{WebhookFormat, WebhookLayer},
};
use tower_auth_test_support::{
    ROOT,
    api::Api,
    has_node,
    program::Program,
    provider::{client, has_python, python},
    skip,
};

const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_STANDARD_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const TEXT_SECRET: &str = "It's a Secret to Everybody";
const OTHER_TEXT_SECRET: &str = "another secret of 24 bytes";
const STRIPE_SECRET: &str = "whsec_wRNftLajMZNeslQOP6vEPm4iVx5NlZ6z";
const OTHER_STRIPE_SECRET: &str = "whsec_hcEdOTgbRUsuQHaUWlS6ouHjBlXMmUhe";

/// The key of RFC 8032 §7.1, test 1, as Standard Webhooks writes keys.
const PRIVATE_KEY: &str =
    "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==";
const PUBLIC_KEY: &str = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

/// Events of which the ids and texts are not only ASCII.
const BODIES: [&str; 3] = [
    r#"{"id":"evt_1","object":"event","type":"order.paid"}"#,
    "{\n  \"id\": \"evt_2\", \"object\": \"event\",\n  \"name\": \"Žluťoučký kůň 🐎\"\n}\n",
    r#"{"id":"evt_3","object":"event","path":"a.b.c","timestamp":"1.2"}"#,
];

/// A script that signs and verifies webhooks with libraries. Dropping it ends the process.
struct Library {
    _process: Program,
    url: String,
}

impl Library {
    fn start(program: &Path, script: &str) -> Self {
        let script = Path::new(ROOT).join("tests/e2e").join(script);
        let mut process = Program::start_with_env(
            program,
            &[script.to_str().unwrap()],
            &[("NO_PROXY", "*"), ("STRIPE_TELEMETRY", "0")],
        );
        let url = format!("http://{}", process.address());
        Self { _process: process, url }
    }

    /// Skips the test if the packages are not installed.
    fn node() -> Option<Self> {
        if !has_node("standardwebhooks") {
            return None;
        }
        Some(Self::start(Path::new("node"), "webhooks.mjs"))
    }

    /// Skips the test if the packages are not installed.
    fn python() -> Option<Self> {
        if !has_python() {
            return None;
        }
        let imports =
            Command::new(python()).args(["-c", "import standardwebhooks, stripe"]).output();
        if !imports.unwrap().status.success() {
            skip("install tests/e2e/requirements.txt into target/python");
            return None;
        }
        Some(Self::start(&python(), "webhooks.py"))
    }

    /// Lets the library send a webhook, and returns the status of the service.
    async fn send(&self, webhook: Value) -> String {
        let request = client().post(format!("{}/send", self.url)).body(webhook.to_string());
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert_eq!(status, 200, "{text}");
        text
    }

    /// Sends a webhook to the library, and returns its status and what it says.
    async fn verify(&self, format: &str, secret: &str, request: Request<String>) -> (u16, String) {
        let (head, body) = request.into_parts();
        let url = format!("{}/verify/{format}", self.url);
        let request = client().post(url).headers(head.headers).header("x-secret", secret);
        let response = request.body(body).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

/// A service that receives webhooks of all formats, each at the path of its name.
struct Service(Api);

impl Service {
    async fn start() -> Self {
        let store = SealedStore::memory();
        let route = |format: WebhookFormat, secrets: &[&str], key: Option<&str>| {
            let mut layer = WebhookLayer::builder(format).store(store.clone());
            for secret in secrets {
                layer = layer.secret(*secret);
            }
            if let Some(key) = key {
                layer = layer.public_key(key);
            }
            let handler = async |sender: Principal, body: Bytes| {
                assert!(!sender.subject().is_empty());
                assert!(BODIES.iter().any(|known| *known == body), "{body:?}");
                StatusCode::CREATED
            };
            post(handler).layer(layer.sender(format!("{key:?}")).build().unwrap())
        };
        let app = Router::new()
            .route(
                "/standard",
                route(WebhookFormat::standard(), &[OTHER_STANDARD_SECRET, STANDARD_SECRET], None),
            )
            .route("/v1a", route(WebhookFormat::standard(), &[], Some(PUBLIC_KEY)))
            .route(
                "/github",
                route(WebhookFormat::github(), &[OTHER_TEXT_SECRET, TEXT_SECRET], None),
            )
            .route(
                "/stripe",
                route(WebhookFormat::stripe(), &[OTHER_STRIPE_SECRET, STRIPE_SECRET], None),
            );
        Self(Api::serve(app).await)
    }

    fn url(&self, format: &str) -> String {
        format!("http://{}/{format}", self.0.address)
    }
}

/// The formats, with the secret of the sender and one that the service does not accept.
const FORMATS: [(&str, &str, &str); 4] = [
    ("standard", STANDARD_SECRET, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB"),
    ("v1a", PRIVATE_KEY, OTHER_PRIVATE_KEY),
    ("github", TEXT_SECRET, "a secret of someone else"),
    ("stripe", STRIPE_SECRET, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB"),
];

/// The key of RFC 8032 §7.1, test 2.
const OTHER_PRIVATE_KEY: &str =
    "whsk_TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs9QBfD6EOJWpK3CqdNG368nJgszy7ElozAzVXxKvRmDA==";

async fn service_accepts_webhooks_of(library: Library) {
    for (format, secret, other) in FORMATS {
        let service = Service::start().await;
        for (number, body) in BODIES.iter().enumerate() {
            let webhook = json!({
                "format": format,
                "secret": secret,
                "id": format!("msg_{number}"),
                "body": body,
                "sent": body,
                "to": service.url(format),
            });
            let with = |name: &str, value: String| {
                let mut webhook = webhook.clone();
                webhook[name] = value.into();
                webhook
            };
            let changed = format!("{} ", body);
            assert_eq!(library.send(with("sent", changed)).await, "401", "{format}: changed body");
            let forged = with("secret", other.to_owned());
            assert_eq!(library.send(forged).await, "401", "{format}: wrong secret");
            assert_eq!(library.send(webhook.clone()).await, "201", "{format}");
            assert_eq!(library.send(webhook).await, "200", "{format}: a duplicate");
        }
    }
}

async fn webhooks_are_accepted_by(library: Library) {
    for (format, secret, other) in FORMATS {
        let (webhook_format, verified_with) = match format {
            "github" => (WebhookFormat::github(), secret),
            "stripe" => (WebhookFormat::stripe(), secret),
            "v1a" => (WebhookFormat::standard(), PUBLIC_KEY),
            _ => (WebhookFormat::standard(), secret),
        };
        let signer = |secret: &str| match format {
            "v1a" => WebhookSigner::from_private_key(webhook_format.clone(), secret).unwrap(),
            _ => WebhookSigner::new(webhook_format.clone(), secret).unwrap(),
        };
        let rotating = match format {
            "github" => None, // one signature
            "v1a" => Some(signer(other).private_key(secret).unwrap()),
            _ => Some(signer(other).and_secret(secret).unwrap()),
        };
        for body in BODIES {
            let signed = |signer: &WebhookSigner| {
                let mut request = Request::post("/").body(body.to_owned()).unwrap();
                signer.sign(&mut request);
                request
            };
            for signer in [Some(signer(secret)), rotating.clone()].into_iter().flatten() {
                let (status, text) = library.verify(format, verified_with, signed(&signer)).await;
                assert_eq!((status, &*text), (200, "verified"), "{format}");
            }
            let mut changed = signed(&signer(secret));
            changed.body_mut().push(' ');
            for forged in [changed, signed(&signer(other))] {
                let (status, text) = library.verify(format, verified_with, forged).await;
                assert_eq!(status, 401, "{format}: {text}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_of_node_libraries_are_accepted_once_and_changed_ones_rejected() {
    if let Some(library) = Library::node() {
        service_accepts_webhooks_of(library).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_of_python_libraries_are_accepted_once_and_changed_ones_rejected() {
    if let Some(library) = Library::python() {
        service_accepts_webhooks_of(library).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn node_libraries_accept_our_webhooks_and_reject_changed_ones() {
    if let Some(library) = Library::node() {
        webhooks_are_accepted_by(library).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn python_libraries_accept_our_webhooks_and_reject_changed_ones() {
    if let Some(library) = Library::python() {
        webhooks_are_accepted_by(library).await;
    }
}
