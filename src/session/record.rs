//! What the store keeps about a session.

use std::{net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{info::instant, owner::SessionOwner, session_id::SessionHandle};
use crate::{
    header::Scheme,
    json::{members::Members, value::text},
    principal::Principal,
    revocation::session::{Identity, SessionIds},
};

/// The largest record, in bytes.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// The record of a session. Instants are in milliseconds since 1970, by the store's clock.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) subject: String,
    pub(crate) issuer: Option<String>,
    scopes: Vec<String>,
    /// The claims of the principal, as JSON.
    pub(super) claims: Option<String>,
    /// The `sid` claim at the login, by which the issuer of the principal can end the session.
    sid: Option<String>,
    pub(crate) started_at: u64,
    /// Written at most once a minute.
    pub(crate) last_seen: u64,
    /// When the scopes and claims were looked up, at the login or by the closure.
    pub(super) refreshed_at: u64,
    /// The session ends if it was not used for this time, in milliseconds.
    pub(crate) idle: u64,
    pub(crate) absolute_end: u64,
    /// The session at the provider where the user logged in.
    pub(crate) provider: Option<ProviderSession>,
    pub(crate) user_agent: Option<String>,
    pub(crate) address: Option<IpAddr>,
}

/// The session of a user at a provider. Logouts there end the session here.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ProviderSession {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) sid: Option<String>,
    /// For `id_token_hint` at a logout.
    pub(crate) id_token: Option<String>,
}

/// What is known at the start of a session.
pub(super) struct Start {
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
            sid: principal.issuer().and_then(|_| sid_of(principal)),
            started_at: 0,
            last_seen: 0,
            refreshed_at: 0,
            idle: whole_millis(start.idle),
            absolute_end: whole_millis(start.absolute),
            provider: start.provider,
            user_agent: start.user_agent,
            address: start.address,
        }
    }

    /// Sets when the session starts. `login` is the `auth_time` of a principal without one, in
    /// seconds since 1970.
    pub(super) fn start_at(&mut self, started_at: u64, login: Option<u64>) {
        (self.started_at, self.last_seen, self.refreshed_at) = (started_at, started_at, started_at);
        self.absolute_end = started_at.saturating_add(self.absolute_end);
        if let Some(auth_time) = login {
            self.claims = Some(with_auth_time(self.claims.take(), auth_time));
        }
    }

    /// Returns what the session can be revoked by.
    pub(super) fn ids<'a>(&'a self, handle: &'a SessionHandle) -> SessionIds<'a> {
        SessionIds {
            handle: handle.as_bytes(),
            local: Identity {
                issuer: self.issuer.as_deref().unwrap_or_default(),
                subject: &self.subject,
                sid: self.sid.as_deref(),
            },
            provider: self.provider.as_ref().map(|provider| Identity {
                issuer: &provider.issuer,
                subject: &provider.subject,
                sid: provider.sid.as_deref(),
            }),
        }
    }

    pub(crate) fn owner(&self) -> SessionOwner<'_> {
        SessionOwner { issuer: self.issuer.as_deref(), subject: &self.subject }
    }

    /// Ends the session earlier if the settings were shortened since the login.
    pub(super) fn ending_within(self, idle: Duration, absolute: Duration) -> Self {
        let end = self.started_at.saturating_add(whole_millis(absolute));
        let idle = self.idle.min(whole_millis(idle));
        Self { idle, absolute_end: self.absolute_end.min(end), ..self }
    }

    /// Returns the record after a request.
    pub(super) fn used(&self, now: u64) -> Self {
        let last_seen = self.last_seen.max(now);
        Self { last_seen, ..self.clone() }
    }

    /// Returns the record with the scopes of a principal, and with these claims.
    pub(super) fn refreshed(
        &self,
        principal: &Principal,
        claims: Option<String>,
        now: u64,
    ) -> Self {
        let scopes = principal.scopes().iter().map(str::to_owned).collect();
        Self { scopes, claims, refreshed_at: now, ..self.used(now) }
    }

    /// Returns about how many bytes the texts take.
    pub(super) fn text_bytes(&self) -> usize {
        let texts = [&self.issuer, &self.claims, &self.sid, &self.user_agent];
        let texts = texts.into_iter().flatten().map(String::len).sum::<usize>();
        let provider = self.provider.as_ref().map_or(0, |provider| {
            let texts = [&provider.sid, &provider.id_token].into_iter().flatten();
            texts.map(String::len).sum::<usize>() + provider.issuer.len() + provider.subject.len()
        });
        let scopes = self.scopes.iter().map(|scope| scope.len() + 32).sum::<usize>();
        self.subject.len() + texts + provider + scopes
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

/// Adds the time of the login, unless the claims have it. Other claims keep their exact text.
fn with_auth_time(claims: Option<String>, auth_time: u64) -> String {
    let Some(claims) = claims else { return format!("{{\"auth_time\":{auth_time}}}") };
    let has_it =
        Members::parse(&claims).is_some_and(|members| members.get(&claims, "auth_time").is_some());
    match claims.trim_end().strip_suffix('}') {
        Some(rest) if !has_it => {
            let separator = if rest.trim_end().ends_with('{') { "" } else { "," };
            format!("{rest}{separator}\"auth_time\":{auth_time}}}")
        }
        _ => claims,
    }
}

fn sid_of(principal: &Principal) -> Option<String> {
    let sid = principal.claim_json("sid").and_then(text)?;
    (!sid.is_empty()).then(|| sid.into_owned())
}

pub(super) fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
