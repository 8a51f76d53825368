//! What makes a token a logout token (OpenID Connect Back-Channel Logout 1.0 §2.4).

use crate::{json::value::member, principal::claims_set::ClaimsSet};

/// The `typ` of a logout token. Providers may also send `JWT`, or none.
pub(crate) const LOGOUT_TOKEN_TYPE: &str = "logout+jwt";

/// The member of `events` whose value is an object in a logout token.
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Returns whether a token is a logout token.
pub(crate) fn has_logout_event(claims: &ClaimsSet) -> bool {
    let event = claims.get("events").and_then(|events| member(events, LOGOUT_EVENT));
    event.is_some_and(|event| event.starts_with('{'))
}
