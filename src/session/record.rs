//! What the store keeps about a session.

use std::{net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::info::instant;
use crate::{header::Scheme, principal::Principal};

/// The record of a session. Instants are in milliseconds since 1970, by the store's clock.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) subject: String,
    pub(crate) issuer: Option<String>,
    scopes: Vec<String>,
    /// The claims of the principal, as JSON.
    claims: Option<String>,
    pub(crate) started_at: u64,
    /// Written at most once a minute.
    pub(crate) last_seen: u64,
    /// The session ends if it was not used for this time, in milliseconds.
    pub(crate) idle: u64,
    pub(crate) absolute_end: u64,
    /// The session at the provider where the user logged in.
    pub(crate) provider: Option<ProviderSession>,
    pub(crate) user_agent: Option<String>,
    pub(crate) address: Option<IpAddr>,
    /// No two values are equal.
    nonce: [u8; 8],
}

/// The session of a user at a provider. Logouts there end the session here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ProviderSession {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) sid: Option<String>,
    /// For `id_token_hint` at a logout.
    pub(crate) id_token: Option<String>,
}

/// What is known at the start of a session.
pub(super) struct Start {
    pub(super) started_at: u64,
    pub(super) idle: Duration,
    pub(super) absolute: Duration,
    pub(super) provider: Option<ProviderSession>,
    pub(super) user_agent: Option<String>,
    pub(super) address: Option<IpAddr>,
}

impl Record {
    pub(super) fn new(principal: &Principal, start: Start) -> Self {
        Self {
            subject: principal.subject().to_owned(),
            issuer: principal.issuer().map(str::to_owned),
            scopes: principal.scopes().iter().map(str::to_owned).collect(),
            claims: principal.claims_text().map(str::to_owned),
            started_at: start.started_at,
            last_seen: start.started_at,
            idle: whole_millis(start.idle),
            absolute_end: start.started_at.saturating_add(whole_millis(start.absolute)),
            provider: start.provider,
            user_agent: start.user_agent,
            address: start.address,
            nonce: crate::random::random_bytes(),
        }
    }

    /// Returns when the session ends if it is not used again.
    pub(super) fn end(&self) -> u64 {
        self.last_seen.saturating_add(self.idle).min(self.absolute_end)
    }

    /// Returns the caller of a request of this session. Returns `None` for claims that this crate
    /// has not written.
    pub(super) fn principal(&self) -> Option<crate::principal::PrincipalBuilder> {
        let mut principal = Principal::builder(self.subject.as_str(), Scheme::COOKIE)
            .scopes(&self.scopes)
            .expires_at(instant(self.absolute_end));
        if let Some(issuer) = &self.issuer {
            principal = principal.issuer(issuer.as_str());
        }
        if let Some(claims) = &self.claims {
            principal = principal.claims_from_text(claims.as_str())?;
        }
        Some(principal.not_a_token())
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }
}

pub(super) fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
