//! Verifies webhooks: requests that another service signs with a shared secret or a private key.

pub(crate) mod outcome;

pub use self::outcome::WebhookOutcome;
