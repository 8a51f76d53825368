use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{binding::cnf::Cnf, random::random_bytes};

/// The record of a login, whose tokens are a family: each refresh creates the next generation.
///
/// Instants are in milliseconds since 1970, of the store's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Family {
    pub(super) state: FamilyState,
    /// The generation of the current refresh token.
    pub(super) generation: u64,
    /// The oldest generation that a client may still have, because a response was lost or another
    /// tab was faster.
    pub(super) low: u64,
    pub(super) rotated_at: u64,
    /// The `fst` of the tokens.
    pub(super) started_at: u64,
    pub(super) idle: u64,
    pub(super) absolute_end: u64,
    pub(super) subject: String,
    pub(super) client_id: String,
    pub(super) audience: Vec<String>,
    /// The scopes that were granted at the login.
    pub(super) scopes: Vec<String>,
    /// In seconds since 1970.
    pub(super) auth_time: u64,
    pub(super) acr: Option<String>,
    pub(super) amr: Vec<String>,
    /// The `cnf` of the access tokens, in JSON. Records of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cnf: Option<String>,
    /// Random, so that no two values of a record are equal.
    pub(super) nonce: [u8; 8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum FamilyState {
    Live,
    Ended(EndReason),
}

/// Why a family has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum EndReason {
    Expired,
    LoggedOut,
    Reused,
    Revoked,
}

/// What a refresh does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Answers with the current generation, without a change. The client may have an older one:
    /// it lost a response, or another tab was faster.
    Answer { is_older: bool },
    /// Creates the next generation.
    Rotate,
    /// Continues with the generation that the client has: a failover of the store lost the last
    /// write.
    Adopt,
    /// Ends the family: a refresh token that had been replaced was used.
    Reuse,
    /// Rejects the request: the store's clock was set back.
    ClockWentBack,
}

impl Judgement {
    /// Returns whether the answer sets the cookie of the refresh token.
    ///
    /// A client that has the current generation needs none. Its answer could arrive after that of
    /// a later request, and would replace a newer cookie.
    pub(super) fn sends_cookie(self) -> bool {
        matches!(self, Self::Rotate | Self::Answer { is_older: true })
    }
}

impl Family {
    /// How far the store's clock may be behind the record.
    const MAX_BEHIND: u64 = 5_000;

    /// Returns whether no token is valid any more.
    pub(super) fn is_expired(&self, now: u64) -> bool {
        now >= self.refresh_end()
    }

    /// Returns when the current refresh token expires.
    pub(super) fn refresh_end(&self) -> u64 {
        self.rotated_at.saturating_add(self.idle).min(self.absolute_end)
    }

    /// Returns the claims that tell how the user has logged in.
    pub(super) fn details(&self, sid: &str) -> Map<String, Value> {
        let mut details = Map::new();
        details.insert("sid".into(), sid.into());
        details.insert("auth_time".into(), self.auth_time.into());
        if let Some(acr) = &self.acr {
            details.insert("acr".into(), acr.as_str().into());
        }
        if !self.amr.is_empty() {
            details.insert("amr".into(), self.amr.as_slice().into());
        }
        details
    }

    /// Returns the key to which the access tokens are bound.
    pub(super) fn confirmation(&self) -> Option<Cnf> {
        self.cnf.as_deref().map(|json| Cnf(json.into()))
    }

    /// Ends the family earlier if the longest lifetime of a login was shortened.
    pub(super) fn ending_within(self, absolute: Duration) -> Self {
        let end = self.started_at.saturating_add(whole_millis(absolute));
        Self { absolute_end: self.absolute_end.min(end), ..self }
    }

    /// Decides about a refresh with the generation `presented`.
    ///
    /// A client that lost a response, or whose other tab was faster, presents an older generation
    /// within the grace period `grace`. A generation is not replaced before twice the grace period,
    /// so that several tabs cannot leave one of them two generations behind.
    pub(super) fn judge(&self, presented: u64, now: u64, grace: Duration) -> Judgement {
        let grace = whole_millis(grace);
        if now.saturating_add(Self::MAX_BEHIND) < self.rotated_at {
            return Judgement::ClockWentBack;
        }
        let age = now.saturating_sub(self.rotated_at);
        if presented > self.generation {
            return Judgement::Adopt;
        }
        if presented == self.generation {
            return match presented > 0 && age < grace.saturating_mul(2) {
                true => Judgement::Answer { is_older: false },
                false => Judgement::Rotate,
            };
        }
        match self.low <= presented && age <= grace {
            true => Judgement::Answer { is_older: true },
            false => Judgement::Reuse,
        }
    }

    /// Returns the record after the next generation was created.
    pub(super) fn rotated(&self, now: u64) -> Self {
        self.next(self.generation.saturating_add(1), now)
    }

    /// Returns the record after a later generation was adopted.
    pub(super) fn adopting(&self, presented: u64, now: u64) -> Self {
        self.next(presented, now)
    }

    fn next(&self, generation: u64, now: u64) -> Self {
        Self {
            generation,
            low: self.generation,
            rotated_at: now,
            nonce: random_bytes(),
            ..self.clone()
        }
    }

    pub(super) fn ended(&self, reason: EndReason) -> Self {
        let nonce = random_bytes();
        Self { state: FamilyState::Ended(reason), nonce, ..self.clone() }
    }

    pub(super) fn is_live(&self) -> bool {
        self.state == FamilyState::Live
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

#[cfg(test)]
#[path = "family_tests.rs"]
mod tests;
