//! The checks of a webhook, up to the call of the handler.

use std::{error::Error, fmt, mem, sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::request::Parts;
use http_body::Body;

use super::{
    format::WebhookFormat,
    keys::Keys,
    replay::{Attempt, Replays, Start},
    run::Starting,
    signed_head::SignedHead,
};
use crate::{
    clock::Clock,
    principal::Principal,
    rejection::{Rejection, RejectionKind},
    request_body::{BodyError, read},
};

/// The configuration of a layer.
pub(crate) struct Receiver {
    pub(crate) format: WebhookFormat,
    pub(crate) keys: Keys,
    pub(crate) sender: Arc<str>,
    pub(crate) principal: Principal,
    /// `None` if replays are allowed.
    pub(crate) replays: Option<Replays>,
    pub(crate) tolerance: Duration,
    pub(crate) max_body: usize,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What to do with a webhook whose signature is valid.
pub(crate) enum Received {
    /// Call the handler with this body.
    Handle(Bytes, Option<Box<Attempt>>),
    /// The event was handled before.
    Duplicate,
    /// The event is being handled.
    InProgress,
}

impl Receiver {
    /// Verifies a webhook, and records that it is being handled.
    pub(crate) async fn receive<B>(&self, head: &Parts, body: B) -> Result<Received, Rejection>
    where
        B: Body<Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        let format = self.format.definition();
        let signed = SignedHead::read(&head.headers, format)?;
        signed.check_time(format, self.clock.now(), self.tolerance)?;
        let body = self.read_body(body).await?;
        // A slow body must not extend the time for which a handled event is remembered.
        signed.check_time(format, self.clock.now(), self.tolerance)?;
        let before_body = format.content.before_body(signed.id, signed.timestamp);
        if !self.keys.verify(&signed.signatures, &before_body, &body) {
            return Err(Rejection::new(RejectionKind::InvalidCredentials)
                .because("no signature is valid for one of the keys"));
        }
        let Some(replays) = &self.replays else { return Ok(Received::Handle(body, None)) };
        let attempt = Box::new(self.attempt(replays, signed.id, &before_body, &body));
        let starting = Starting::new(attempt.clone());
        let start = attempt.start().await?;
        let attempt = starting.started();
        Ok(match start {
            Start::Handle => Received::Handle(body, attempt),
            Start::Duplicate => Received::Duplicate,
            Start::InProgress => Received::InProgress,
        })
    }

    /// Reads the body once, within the limits.
    async fn read_body<B>(&self, body: B) -> Result<Bytes, Rejection>
    where
        B: Body<Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        let rejection = |kind, reason: &'static str| Rejection::new(kind).because(reason);
        let malformed = RejectionKind::MalformedRequest;
        let mut body = read(body, self.max_body).await.map_err(|error| match error {
            BodyError::TooLong => Rejection::new(RejectionKind::ContentTooLarge)
                .because(format!("the body is longer than {} bytes", self.max_body)),
            BodyError::TooSlow => rejection(malformed, "the body did not arrive within 10 s"),
            BodyError::Failed(error) => Rejection::new(malformed).because(error),
            BodyError::NoRuntime => rejection(
                RejectionKind::Misconfigured,
                "receiving a webhook needs a tokio runtime, and none is running",
            ),
        })?;
        Ok(mem::take(&mut *body).into())
    }

    /// Identifies the event by what is signed, within those of the sender.
    fn attempt(&self, replays: &Replays, id: &str, before_body: &[u8], body: &[u8]) -> Attempt {
        let format = self.format.definition();
        let sender = self.sender.as_bytes();
        let attempt = |kind, id: &[u8]| Attempt::new(replays.clone(), kind, &[sender, id]);
        if !id.is_empty() {
            return attempt("id", id.as_bytes());
        }
        match &format.id_in_body {
            Some(pointer) => match pointer.find(body) {
                Some(id) => attempt("id", id.as_bytes()),
                // Another attempt of the sender has another timestamp.
                None => attempt("body", digest(&SHA256, body).as_ref()),
            },
            None => {
                let mut content = aws_lc_rs::digest::Context::new(&SHA256);
                content.update(before_body);
                content.update(body);
                attempt("content", content.finish().as_ref())
            }
        }
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("format", &self.format)
            .field("sender", &self.sender)
            .field("tolerance", &self.tolerance)
            .field("max_body", &self.max_body)
            .finish_non_exhaustive()
    }
}
