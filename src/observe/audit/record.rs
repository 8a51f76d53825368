use std::fmt;

use super::{
    date::Timestamp,
    identity::{Identities, Identity},
    line::Line,
};
#[cfg(feature = "revocation")]
use crate::revocation::target::RevocationTarget;
use crate::{
    authorize::policy::Policy,
    error_chain::ErrorChain,
    observe::{event::Event, request_summary::RequestSummary},
};

/// Appends the line of an event. The table in the docs of [`AuditLog`](super::AuditLog) lists the
/// members.
pub(super) fn write_record(
    out: &mut Vec<u8>,
    time: Timestamp,
    event: &Event<'_>,
    identities: &Identities,
) {
    let mut record = Record { line: Line::start(out, time, event.name()), identities };
    if let Some(kind) = event.error_type() {
        record.line.text("kind", kind);
    }
    if let Some(scheme) = event.scheme() {
        record.line.text("scheme", scheme.as_str());
    }
    record.name("issuer", event.issuer());
    record.subject("subject", event.subject());
    record.own_members(event);
    if let Some(policy) = event.policy() {
        record.policy(policy);
    }
    if let Some(request) = event.request() {
        record.request(request);
    }
    if let Some(waited) = event.waited() {
        record.line.plain("waited_ms", waited);
    }
    if let Some(error) = event.error() {
        record.reason(ErrorChain(error));
    }
    record.line.end();
}

struct Record<'a> {
    line: Line<'a>,
    identities: &'a Identities,
}

impl Record<'_> {
    fn name(&mut self, name: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.line.bounded_text(name, Identity::Name(text));
        }
    }

    fn subject(&mut self, name: &'static str, subject: Option<&str>) {
        if let Some(subject) = subject {
            self.line.bounded_text(name, self.identities.subject(subject));
        }
    }

    /// A policy can name the users whom it admits.
    fn policy(&mut self, policy: &dyn Policy) {
        if !self.identities.are_hashed() {
            self.line.text("policy", policy);
        }
    }

    /// A reason can contain the name of a user.
    fn reason(&mut self, reason: impl fmt::Display) {
        if !self.identities.are_hashed() {
            self.line.text("reason", reason);
        }
    }

    fn request(&mut self, request: RequestSummary<'_>) {
        self.line.text("method", request.method());
        if let Some(route) = request.route() {
            self.line.text("route", route);
        }
        // A path can contain the name of a user.
        if !self.identities.are_hashed() {
            self.line.text("path", request.path());
        }
        if let Some(address) = request.client_address() {
            self.line.bounded_text("address", self.identities.address(address));
        }
    }

    /// Adds the members that only this event has.
    fn own_members(&mut self, event: &Event<'_>) {
        match *event {
            #[cfg(feature = "jwt")]
            Event::KeySkipped { key, .. } => self.reason(key),
            #[cfg(feature = "jwt")]
            Event::ClaimMalformed { claim, expected, .. } => {
                self.line.text("claim", claim);
                self.line.text("expected", expected);
            }
            #[cfg(feature = "jwks")]
            Event::KeysFetched { failures, .. } => self.line.plain("failures", failures),
            #[cfg(feature = "jwks")]
            Event::KeySetChanged { added, removed, .. } => {
                self.line.list("added", added);
                self.line.list("removed", removed);
            }
            #[cfg(feature = "jwks")]
            Event::KeyFetchFailed { failures, keys_usable, .. } => {
                self.line.plain("failures", failures);
                self.line.plain("keys_usable", keys_usable);
            }
            #[cfg(feature = "password-hash")]
            Event::PasswordFileFailed { fault, .. } => self.reason(fault),
            #[cfg(feature = "revocation")]
            Event::Revoked { target, .. } => self.line.text(
                "target",
                match target {
                    RevocationTarget::Token => "token",
                    RevocationTarget::Session => "session",
                    RevocationTarget::Subject => "subject",
                    RevocationTarget::Issuer => "issuer",
                },
            ),
            #[cfg(feature = "store")]
            Event::StoreAvailable { outage, .. } => self.line.plain("outage_ms", outage),
            #[cfg(feature = "store")]
            Event::StoreFull { purpose, .. }
            | Event::StoreUnreadable { purpose, .. }
            | Event::StoreNearlyFull { purpose, .. } => {
                self.line.text("purpose", purpose.as_str());
            }
            #[cfg(feature = "redis")]
            Event::StoreMayEvict { policy, .. } => self.line.text("eviction", policy),
            #[cfg(feature = "issue")]
            Event::LoggedIn { client_id, .. }
            | Event::TokensRefreshed { client_id, .. }
            | Event::RefreshTokenReused { client_id, .. }
            | Event::ClientTokenIssued { client_id, .. } => {
                self.subject("client_id", Some(client_id));
            }
            #[cfg(feature = "issue")]
            Event::LoggedOut { everywhere, .. } => self.line.plain("everywhere", everywhere),
            #[cfg(feature = "issue")]
            Event::StoreWentBack { found, presented, .. } => {
                self.line.plain("found", found);
                self.line.plain("presented", presented);
            }
            #[cfg(feature = "issue")]
            Event::SigningKeysChanged { active, added, removed, .. } => {
                self.name("key", Some(active));
                self.line.list("added", added);
                self.line.list("removed", removed);
            }
            #[cfg(feature = "session")]
            Event::SessionStarted { id, .. } => self.name("session", Some(id)),
            #[cfg(feature = "session")]
            Event::SessionEnded { id, .. } => self.name("session", id),
            #[cfg(feature = "api-key")]
            Event::ApiKeyCreated { id, .. }
            | Event::ApiKeyUsed { id, .. }
            | Event::ApiKeyRevoked { id, .. } => self.name("key", Some(id)),
            #[cfg(feature = "issue")]
            Event::TokenExchanged { actor, audience, .. } => {
                self.subject("actor", Some(actor));
                self.name("audience", Some(audience));
            }
            #[cfg(feature = "webhook")]
            Event::Webhook { sender, outcome, .. } => {
                self.name("sender", Some(sender));
                self.line.text("outcome", outcome);
            }
            #[cfg(feature = "client")]
            Event::TokenFetched { failures, .. } => self.line.plain("failures", failures),
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
