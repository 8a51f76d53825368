//! Verifies webhooks: requests that another service signs with a shared secret or a private key.
//!
//! [`WebhookLayer`] reads the body once, verifies its signature, and calls the inner service once
//! for each event. The sender is the [`Principal`](crate::Principal) of the request.
//!
//! ```
//! use axum::{Router, body::Bytes, routing::post};
//! use tower_auth::{
//!     Principal,
//!     store::SealedStore,
//!     webhook::{WebhookFormat, WebhookLayer},
//! };
//!
//! # fn f(store: SealedStore, [resend, github, stripe, slack]: [String; 4])
//! # -> Result<Router, tower_auth::ConfigError> {
//! // Standard Webhooks: a secret such as `whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw`.
//! let resend = WebhookLayer::builder(WebhookFormat::standard())
//!     .secret(resend)
//!     .sender("resend")
//!     .store(store.clone())
//!     .build()?;
//! let github = WebhookLayer::builder(WebhookFormat::github())
//!     .secret(github)
//!     .store(store.clone())
//!     .build()?;
//! let stripe = WebhookLayer::builder(WebhookFormat::stripe())
//!     .secret(stripe)
//!     .store(store.clone())
//!     .build()?;
//! // Any other format with an HMAC-SHA-256:
//! let format = WebhookFormat::builder()
//!     .signature_header("x-slack-signature")
//!     .timestamp_header("x-slack-request-timestamp")
//!     .content("v0:{timestamp}:{body}")
//!     .prefix("v0=")
//!     .build()?;
//! let slack =
//!     WebhookLayer::builder(format).secret(slack).sender("slack").store(store).build()?;
//!
//! async fn receive(sender: Principal, event: Bytes) -> String {
//!     format!("{} bytes from {}", event.len(), sender.subject())
//! }
//!
//! let app: Router = Router::new()
//!     .route("/webhooks/resend", post(receive).layer(resend))
//!     .route("/webhooks/github", post(receive).layer(github))
//!     .route("/webhooks/stripe", post(receive).layer(stripe))
//!     .route("/webhooks/slack", post(receive).layer(slack));
//! # Ok(app) }
//! ```
//!
//! | you want to | use |
//! | --- | --- |
//! | receive Standard Webhooks, from Svix, GitHub or Stripe | [`WebhookFormat`] |
//! | receive webhooks of another sender | [`WebhookFormat::builder`] |
//! | replace a secret without an interruption | [`WebhookLayerBuilder::secret`], once for each |
//! | verify Ed25519 signatures (`v1a`) | [`WebhookLayerBuilder::public_key`] |
//! | decide by the sender | [`RequireSubject`](crate::authorize::RequireSubject) |
//! | count webhooks | [`Event::Webhook`](crate::observe::Event::Webhook) |
//!
//! # Verification
//!
//! 1. The headers: each occurs once, and is well formed. The timestamp is within the
//!    [tolerance](WebhookLayerBuilder::tolerance), if the format has one.
//! 2. The body is read, up to the [limit](WebhookLayerBuilder::max_body) and for at most 10 s.
//! 3. One of the signatures is valid for one of the keys, over the bytes of the body as they were
//!    sent. A compressed body is not decoded.
//! 4. The event is recorded in the [store](WebhookLayerBuilder::store) as running.
//! 5. The inner service is called, with the body as [`Full<Bytes>`](http_body_util::Full) and the
//!    head unchanged.
//! 6. If the response is a 2xx, the event is recorded as handled. Then the response is returned.
//!
//! | response | if |
//! | --- | --- |
//! | that of the handler | the webhook is valid and new |
//! | 200, empty | the event was handled before; the handler is not called |
//! | 400 | a header is malformed or repeated, or the body could not be read |
//! | 401 | a header is missing, no signature is valid, or the timestamp is outside the tolerance |
//! | 409 | the event is being handled |
//! | 413 | the body is too long |
//! | 503, with `Retry-After` | the store is unavailable or full; the handler is not called |
//!
//! The rejections have no challenge, because a sender cannot do anything with it. The
//! [responder](WebhookLayer::responder) renders them. Senders repeat a webhook after any response
//! but a 2xx, so a webhook that gets 409 or 503 is not lost.
//!
//! | limit | value |
//! | --- | --- |
//! | body | 1 MiB by default, at most 64 MiB ([`max_body`]) |
//! | tolerance of the timestamp, in both directions | 300 s by default ([`tolerance`]) |
//! | how long a handled event is known | 3 days by default ([`remember_for`]) |
//! | how long a handler may take | 60 s by default ([`handling_time`]) |
//! | secrets, public keys | 8, 4 |
//! | signatures in a header, those of them that are `v1a` | 16, 4 |
//! | id | 256 visible ASCII characters |
//! | digits of a timestamp | 12 |
//!
//! [`max_body`]: WebhookLayerBuilder::max_body
//! [`tolerance`]: WebhookLayerBuilder::tolerance
//! [`remember_for`]: WebhookLayerBuilder::remember_for
//! [`handling_time`]: WebhookLayerBuilder::handling_time
//!
//! # Each event once
//!
//! An event is identified by what the sender has signed:
//!
//! | format | event |
//! | --- | --- |
//! | Standard Webhooks, Svix | the id |
//! | GitHub | SHA-256 of the body |
//! | Stripe | the member `id` of the body, or SHA-256 of the body if there is no such member |
//! | others | the id header, or [`id_in_body`], or SHA-256 of what is signed |
//!
//! [`id_in_body`]: WebhookFormatBuilder::id_in_body
//!
//! If the body identifies an event, two events with equal bodies count as one: the second one gets
//! 200 without the handler. Most senders have an id or a time in each body, but not all of them:
//! GitHub can send equal bodies if a workflow is dispatched twice with the same inputs, and Shopify
//! for two topics, which are in a header that is not signed. Also, a redelivery that is requested
//! at GitHub is a duplicate if the event was handled.
//!
//! A handler that returns anything but a 2xx, returns an error, panics or is canceled has failed.
//! The next attempt of the sender then calls it again at once. This also applies to a
//! [`Rejection`](crate::Rejection) and to a `grpc-status` other than 0. The head of the response
//! decides: a body that is streamed and fails later has no effect.
//!
//! A handler is called at least once, and normally exactly once. It is called again for an event
//! that it has handled
//!
//! - if the store fails after the handler has finished, so that this cannot be recorded;
//! - if the handler takes longer than the handling time;
//! - if the store loses the record, or forgets it after `remember_for`.
//!
//! So handlers should be idempotent, for example by an `INSERT … ON CONFLICT DO NOTHING` with the
//! id of the event in the transaction of its effects. If a process ends while a handler is running,
//! the event gets 409 until the handling time has passed. A handler should do little and put the
//! rest into a queue: a connection that the sender closes cancels it.
//!
//! # Place in the stack
//!
//! The signature is that of the body as it was sent, so nothing outside this layer may change it.
//! In particular, put `RequestDecompressionLayer` inside. Outside a tokio runtime, every request
//! gets 500. The runtime must have a timer (`enable_time` or `enable_all`).
//!
//! # Security
//!
//! - **Use TLS.** A signature protects against changes, but the body can be read on the way.
//! - **GitHub signs only the body.** `X-GitHub-Event` and `X-GitHub-Delivery` can be changed by a
//!   person who has captured a webhook, so decide by the body. There is no timestamp, either: a
//!   captured webhook can be sent again when its event is forgotten. The same applies to each
//!   custom format without `{timestamp}`. Raise `remember_for` if that is a danger.
//! - **All other headers, the method, the path and the query are not signed**, in every format. A
//!   webhook for one route can be sent to another one with the same secret, so use one secret for
//!   each.
//! - **Secrets must be random** and have at least 16 bytes. Anyone who has one webhook can test
//!   guesses. Anyone who has the secret can send webhooks, so prefer `v1a` if the sender offers it.
//! - During a rotation, both secrets are accepted. Remove the old one when the sender no longer
//!   uses it. After a leak, remove it at once.
//! - A webhook with an invalid signature costs the memory of its body and one hash of it for each
//!   secret. Limit the connections and the rate of requests in front of the service. A concurrency
//!   limit inside this layer also counts the requests whose bodies are being read, for up to 10 s.
//! - Senders that share a store need different [names](WebhookLayerBuilder::sender), or one of them
//!   can suppress the events of another one.
//! - A store that is full rejects webhooks with 503, and only valid webhooks need space.
//! - Layers outside that log bodies also log what is in webhooks. The signature header is marked as
//!   sensitive for everything inside this layer.
//! - Webhooks need no cross-site check, because a browser cannot create the signature.

mod builder;
mod content;
mod encoding;
pub(crate) mod format;
mod format_builder;
mod id_in_body;
mod keys;
mod layer;
pub(crate) mod outcome;
mod public_key;
mod receiver;
mod replay;
mod run;
pub(crate) mod secret;
mod service;
pub(crate) mod signature;
mod signed_head;
pub(crate) mod timestamp;

pub use self::{
    builder::WebhookLayerBuilder, encoding::SignatureEncoding, format::WebhookFormat,
    format_builder::WebhookFormatBuilder, layer::WebhookLayer, outcome::WebhookOutcome,
    service::Webhook,
};
