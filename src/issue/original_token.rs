//! What is known about a token that is exchanged.

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::{access_token::seconds, exchange_error::ExchangeError, token_issuer::State};
use crate::{
    json::value::text,
    jwt::claims::{List, parse_date, parse_start},
    principal::{Principal, Scopes, claims_set::ClaimsSet},
};

/// The number of actors that a token can have.
const MAX_ACTORS: usize = 8;

/// The claims that a token of this issuer passes on, so that a logout also ends the new token, and
/// so that the service knows how the user has logged in. With `may_act`, the limit of the original
/// remains.
const PASSED_ON: [&str; 5] = ["sid", "auth_time", "acr", "amr", "may_act"];

/// A token that can be exchanged.
///
/// It contains what was verified. A closure that changes a principal can take rights away, but not
/// add any.
pub(super) struct OriginalToken {
    pub(super) subject: String,
    pub(super) issuer: String,
    /// The `fst`, in milliseconds since 1970, of a token of this issuer.
    pub(super) started_at: Option<u64>,
    /// The `exp`, in seconds since 1970.
    pub(super) ends_at: u64,
    pub(super) scopes: Vec<String>,
    /// The claims of the new token about how the user logged in, and which services act for the
    /// user.
    pub(super) details: Map<String, Value>,
}

impl OriginalToken {
    /// Reads the token of a caller, which `actor` exchanges. The store is not asked.
    ///
    /// `accepts_bound` is for a new token that is bound as well.
    pub(super) fn read(
        state: &State,
        caller: &Principal,
        actor: &str,
        accepts_bound: bool,
    ) -> Result<Self, ExchangeError> {
        let verified = caller.as_verified();
        let claims = verified.claims.as_ref().ok_or(ExchangeError::NotAToken)?;
        let string = |name| claims.get(name).and_then(text).filter(|text| !text.is_empty());
        let issuer = string("iss").ok_or(ExchangeError::NotAToken)?.into_owned();
        let is_own = issuer == *state.issuer;
        if !is_own && !state.exchanged_issuers.contains(&issuer) {
            return Err(ExchangeError::UntrustedIssuer);
        }
        let has_binding = claims.get("cnf").is_some() || verified.confirmation.is_some();
        if !accepts_bound && (has_binding || caller.confirmation().is_some()) {
            return Err(ExchangeError::Bound);
        }
        let subject = string("sub").ok_or(ExchangeError::NotAToken)?.into_owned();
        let (started_at, _) = parse_start(claims).ok_or(ExchangeError::NotAToken)?;
        let ends_at = end_of(claims, caller.expires_at()).ok_or(ExchangeError::NotAToken)?;
        if ends_at <= seconds(state.clock.now()) {
            return Err(ExchangeError::Expired);
        }
        let names: &[&str] = if is_own { &PASSED_ON } else { &["may_act"] };
        let mut details = Map::new();
        for name in names {
            if let Some(value) = value_of(claims, name)? {
                details.insert((*name).to_owned(), value);
            }
        }
        if let Some(may_act) = details.get("may_act") {
            check_may_act(may_act, actor, &state.issuer)?;
        }
        let mut before = value_of(claims, "act")?;
        if !is_own {
            add_issuer(before.as_mut(), &issuer);
        }
        details.insert("act".into(), acting(actor, before)?);
        Ok(Self {
            subject,
            issuer,
            started_at: is_own.then(|| whole_millis(started_at)),
            ends_at,
            scopes: scopes_of(claims, caller.scopes())?,
            details,
        })
    }
}

/// Returns when a token ends: at its `exp`, or earlier if the principal says so.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // dates are from 0 to 2^53
fn end_of(claims: &ClaimsSet, limit: Option<SystemTime>) -> Option<u64> {
    let expires_at = parse_date(claims.get("exp")?).ok()?.floor() as u64;
    Some(limit.map_or(expires_at, |limit| expires_at.min(seconds(limit))))
}

/// Returns the scopes that the token has and that no closure has removed.
fn scopes_of(claims: &ClaimsSet, current: &Scopes) -> Result<Vec<String>, ExchangeError> {
    let Some(json) = claims.get("scope").or_else(|| claims.get("scp")) else {
        return Ok(Vec::new());
    };
    let granted = List::parse(json).map_err(|_| ExchangeError::NotAToken)?.to_scopes();
    let kept = granted.iter().filter(|scope| current.contains(scope));
    Ok(kept.map(ToOwned::to_owned).collect())
}

fn value_of(claims: &ClaimsSet, name: &str) -> Result<Option<Value>, ExchangeError> {
    let value = claims.get(name).map(serde_json::from_str);
    value.transpose().map_err(|_| ExchangeError::Malformed)
}

/// Checks that the token allows this actor (RFC 8693 §4.4).
///
/// The actor has an id at this issuer only, so nothing else that `may_act` demands can be true of
/// it.
fn check_may_act(may_act: &Value, actor: &str, issuer: &str) -> Result<(), ExchangeError> {
    let members = may_act.as_object().ok_or(ExchangeError::Malformed)?;
    let is_met = |(name, value): (&String, &Value)| match name.as_str() {
        "sub" => value == actor,
        "iss" => value == issuer,
        _ => false,
    };
    match members.contains_key("sub") && members.iter().all(is_met) {
        true => Ok(()),
        false => Err(ExchangeError::OtherActor),
    }
}

/// Adds the issuer to actors without one. Otherwise, those of another issuer would look like
/// clients of this one (RFC 8693 §4.1).
fn add_issuer(mut act: Option<&mut Value>, issuer: &str) {
    while let Some(Value::Object(members)) = act {
        members.entry("iss").or_insert_with(|| issuer.into());
        act = members.get_mut("act");
    }
}

/// Returns the `act` of the new token: the actor, and those before it (RFC 8693 §4.1).
fn acting(actor: &str, before: Option<Value>) -> Result<Value, ExchangeError> {
    let Some(before) = before else { return Ok(json!({ "sub": actor })) };
    let mut actors = 1;
    let mut next = Some(&before);
    while let Some(value) = next {
        let members = value.as_object().ok_or(ExchangeError::Malformed)?;
        actors += 1;
        next = members.get("act");
    }
    if actors > MAX_ACTORS {
        return Err(ExchangeError::TooManyActors);
    }
    Ok(json!({ "sub": actor, "act": before }))
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // dates are from 0 to 2^53
fn whole_millis(seconds: f64) -> u64 {
    (seconds * 1_000.0).round() as u64
}
