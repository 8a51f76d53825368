//! What the head of a webhook says about its signature.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName};

use super::{
    format::Definition,
    signature::{Signatures, SyntaxError},
    timestamp,
};
use crate::rejection::{Rejection, RejectionKind};

/// The id, the timestamp and the signatures of a webhook. Nothing is verified yet.
#[derive(Debug)]
pub(crate) struct SignedHead<'a> {
    /// Empty if the format has none.
    pub(crate) id: &'a str,
    /// As it was sent, which is how it is signed. Empty if the format has none.
    pub(crate) timestamp: &'a str,
    pub(crate) signatures: Signatures<'a>,
}

impl<'a> SignedHead<'a> {
    /// Reads the headers of a format.
    pub(crate) fn read(headers: &'a HeaderMap, format: &Definition) -> Result<Self, Rejection> {
        let signature = required(headers, &format.signature_header)?;
        let id = format.id_header.as_ref().map(|name| required(headers, name)).transpose()?;
        let sent = format.timestamp_header.as_ref().map(|name| required(headers, name));
        let sent = sent.transpose()?;
        if id.is_some_and(|id| !format.allows_id(id)) {
            return Err(malformed(
                "the id is not 1 to 256 visible ASCII characters that the format allows",
            ));
        }
        let signatures = format.syntax.read(signature).map_err(|error| {
            malformed(match error {
                SyntaxError::Empty => "the signature header is empty",
                SyntaxError::TooMany => "the signature header has too many signatures",
                SyntaxError::Timestamps => {
                    "the signature header does not have exactly one timestamp"
                }
            })
        })?;
        let sent = sent.or(signatures.timestamp);
        Ok(Self { id: id.unwrap_or_default(), timestamp: sent.unwrap_or_default(), signatures })
    }

    /// Checks that the timestamp is at most `tolerance` before or after `now`, if the format has
    /// one.
    pub(crate) fn check_time(
        &self,
        format: &Definition,
        now: SystemTime,
        tolerance: Duration,
    ) -> Result<(), Rejection> {
        if !format.has_timestamp() {
            return Ok(());
        }
        let sent = timestamp::parse(self.timestamp)
            .ok_or_else(|| malformed("the timestamp is not a number of 1 to 12 digits"))?;
        if timestamp::is_current(sent, now, tolerance) {
            return Ok(());
        }
        let reason = "the timestamp is too far from the time of this service";
        Err(Rejection::new(RejectionKind::InvalidCredentials).because(reason))
    }
}

/// Returns the text of a header that must occur once.
fn required<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, Rejection> {
    let mut lines = headers.get_all(name).iter();
    let Some(line) = lines.next() else {
        let reason = format!("the header {name} is missing");
        return Err(Rejection::new(RejectionKind::MissingCredentials).because(reason));
    };
    if lines.next().is_some() {
        return Err(malformed(format!("the header {name} occurs more than once")));
    }
    line.to_str().map_err(|_| malformed(format!("the header {name} is not visible ASCII")))
}

fn malformed(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Rejection {
    Rejection::new(RejectionKind::MalformedRequest).because(reason)
}
