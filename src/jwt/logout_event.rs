//! What makes a token a logout token (OpenID Connect Back-Channel Logout 1.0 §2.4).

#[cfg(feature = "revocation")]
use crate::json::value::member;
use crate::{
    json::value::{names, texts},
    principal::claims_set::ClaimsSet,
};

/// The `typ` of a logout token. Providers may also send `JWT`, or none.
pub(crate) const LOGOUT_TOKEN_TYPE: &str = "logout+jwt";

/// The member of `events` whose value is an object in a logout token.
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Returns whether a token has the event in the form that logout tokens must have.
#[cfg(feature = "revocation")]
pub(crate) fn has_logout_event(claims: &ClaimsSet) -> bool {
    let event = claims.get("events").and_then(|events| member(events, LOGOUT_EVENT));
    event.is_some_and(|event| event.starts_with('{'))
}

/// Returns whether a token is meant as a logout token, even if it is not a valid one. It is then no
/// token for another purpose.
pub(crate) fn names_logout_event(claims: &ClaimsSet) -> bool {
    claims.get("events").is_some_and(|events| {
        names(events).iter().chain(&texts(events)).any(|name| *name == LOGOUT_EVENT)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_is_found_however_it_is_written() {
        let escaped = LOGOUT_EVENT.replace('/', r"\/");
        for (events, is_named) in [
            (format!(r#"{{"{LOGOUT_EVENT}": {{}}}}"#), true),
            (format!(r#"{{ "a": 1 , "{escaped}" :{{"b": 2}}}}"#), true),
            (format!(r#"{{"{LOGOUT_EVENT}": []}}"#), true),
            (format!(r#"{{"{escaped}": null}}"#), true),
            (format!(r#"["a", "{escaped}"]"#), true),
            (format!(r#""{LOGOUT_EVENT}""#), true),
            (format!(r#"{{"{LOGOUT_EVENT}/": {{}}}}"#), false),
            (format!(r#"{{"a": {{"{LOGOUT_EVENT}": {{}}}}}}"#), false),
            ("null".into(), false),
        ] {
            let claims = ClaimsSet::parse(format!(r#"{{"events": {events}}}"#).into()).unwrap();
            assert_eq!(names_logout_event(&claims), is_named, "{events}");
        }
    }

    #[cfg(feature = "revocation")]
    #[test]
    fn event_of_a_logout_token_is_an_object_also_if_its_name_is_escaped() {
        let escaped = LOGOUT_EVENT.replace('/', r"\/");
        for (value, is_valid) in [("{}", true), (r#"{"a": 1}"#, true), ("[]", false), ("1", false)]
        {
            let claims = format!(r#"{{"events": {{ "{escaped}" : {value} }}}}"#);
            let claims = ClaimsSet::parse(claims.into()).unwrap();
            assert_eq!(has_logout_event(&claims), is_valid, "{value}");
        }
    }
}
