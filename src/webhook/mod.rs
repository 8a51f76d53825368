//! Verifies webhooks: requests that another service signs with a shared secret or a private key.

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
