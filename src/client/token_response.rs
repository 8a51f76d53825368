use std::{fmt::Write as _, time::Duration};

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{
    endpoint_failure::{EndpointFailure, Fault, Outcome},
    error::AttachErrorKind,
    source::Token,
};
use crate::{
    header::Scheme,
    jwks::fetch::{MAX_BYTES, TOO_LONG},
    observe::escaped::Escaped,
};

/// A successful response of a token endpoint (RFC 6749 §5.1).
pub(crate) struct TokenResponse {
    /// The access token, or why it cannot be used.
    pub(crate) access: Result<Token, EndpointFailure>,
    pub(crate) refresh_token: Option<Zeroizing<String>>,
    /// The ID token (OpenID Connect Core §3.1.3.3).
    #[cfg_attr(not(feature = "oidc-login"), allow(dead_code))]
    pub(crate) id_token: Option<Zeroizing<String>>,
    /// The scopes, if they are not those that were requested.
    #[cfg_attr(not(feature = "oidc-login"), allow(dead_code))]
    pub(crate) scope: Option<String>,
}

/// The members that are used. Each is checked on its own: a refresh token must not be lost because
/// of another member.
#[derive(Deserialize)]
struct Members {
    #[serde(default)]
    access_token: Value,
    #[serde(default)]
    token_type: Value,
    #[serde(default)]
    expires_in: Value,
    #[serde(default)]
    refresh_token: Value,
    #[serde(default)]
    id_token: Value,
    #[serde(default)]
    scope: Value,
    #[serde(default)]
    error: Value,
    #[serde(default)]
    error_description: Value,
}

/// The longest error and error description in a message, in characters.
const MAX_ERROR: usize = 64;
const MAX_DESCRIPTION: usize = 200;

impl TokenResponse {
    /// Reads a response with a token of this type. Errors contain none of the secrets, even if the
    /// endpoint returns them.
    pub(super) fn parse(
        response: &Response<Bytes>,
        token_type: Scheme,
        secrets: &[&str],
    ) -> Result<Self, EndpointFailure> {
        let (status, body) = (response.status(), response.body());
        if body.len() > MAX_BYTES {
            return Err(EndpointFailure::because(TOO_LONG));
        }
        // `Members` could also be read from an array.
        let is_object = body.trim_ascii_start().starts_with(b"{");
        let members = is_object.then(|| serde_json::from_slice::<Members>(body).ok()).flatten();
        match members {
            Some(members) if status == StatusCode::OK && members.error.is_null() => {
                Ok(members.into_response(token_type))
            }
            None if status == StatusCode::OK => Err(EndpointFailure::because(
                "the response of the token endpoint is not a JSON object",
            )),
            members => Err(failure(status, members, secrets)),
        }
    }
}

impl Members {
    fn into_response(self, token_type: Scheme) -> TokenResponse {
        let secret = |member| match member {
            Value::String(token) if !token.is_empty() => Some(Zeroizing::new(token)),
            _ => None,
        };
        let (refresh_token, id_token) = (secret(self.refresh_token), secret(self.id_token));
        let scope = match self.scope {
            Value::String(scope) => Some(scope),
            _ => None,
        };
        let access = match &self.token_type {
            Value::String(name) if token_type.matches(name) => {
                access_token(self.access_token, &self.expires_in)
            }
            _ => Err(wrong_type(token_type)),
        };
        let access = access.map(|token| Token { scheme: token_type, ..token });
        let access = access.map_err(EndpointFailure::because);
        TokenResponse { access, refresh_token, id_token, scope }
    }
}

/// Returns why a token of another type than this one is rejected.
///
/// A bearer token is not bound to the key of a client that asked for a bound one (RFC 9449 §5), and
/// a token of another type would not be accepted as a bearer token.
fn wrong_type(expected: Scheme) -> &'static str {
    if expected == Scheme::DPOP {
        "the `token_type` of the token endpoint is not DPoP: the issuer does not support DPoP, or \
         not for this client"
    } else {
        "the `token_type` of the token endpoint is not Bearer"
    }
}

fn access_token(token: Value, expires_in: &Value) -> Result<Token, &'static str> {
    let Value::String(token) = token else {
        return Err("the response of the token endpoint has no `access_token`");
    };
    let seconds = match expires_in {
        Value::Null => return Ok(Token::new(token)),
        Value::Number(number) => number.as_u64(),
        // Some issuers send a text.
        Value::String(digits) => digits.parse().ok(),
        _ => None,
    };
    let seconds = seconds.ok_or("the `expires_in` of the token endpoint is not a whole number")?;
    Ok(Token::new(token).expires_in(Duration::from_secs(seconds)))
}

/// Returns the failure that a response describes (RFC 6749 §5.2).
fn failure(status: StatusCode, members: Option<Members>, secrets: &[&str]) -> EndpointFailure {
    let mut message = format!("the token endpoint returned {status}");
    if status.is_redirection() {
        message.push_str(", and redirects are not followed");
    }
    let (error, description) =
        members.map_or_else(Default::default, |members| (members.error, members.error_description));
    let printable = |text: &Value, max: usize| {
        let text = text.as_str()?;
        let has_secret = secrets.iter().any(|secret| !secret.is_empty() && text.contains(secret));
        let short: String = text.chars().take(max).collect();
        let ellipsis = if short.len() < text.len() { "…" } else { "" };
        (!has_secret).then(|| format!("{}{ellipsis}", Escaped(short)))
    };
    if let Some(error) = printable(&error, MAX_ERROR) {
        let _ = write!(message, ": {error}");
        if let Some(description) = printable(&description, MAX_DESCRIPTION) {
            let _ = write!(message, " ({description})");
        }
    }
    let rejects_grant = matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED);
    let outcome = match status {
        _ if rejects_grant && error == "invalid_grant" => Outcome::Rejected,
        StatusCode::BAD_REQUEST if error == "invalid_request" => Outcome::InvalidRequest,
        StatusCode::BAD_REQUEST if error == "invalid_scope" => Outcome::InvalidScope,
        _ if rejects_grant && error == "use_dpop_nonce" => Outcome::NonceRequired,
        // A proxy lost the response.
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Outcome::Unknown,
        _ => Outcome::Failed,
    };
    let fault = match (status, error.as_str()) {
        _ if outcome == Outcome::Rejected => Fault::Grant,
        // GitHub's.
        (StatusCode::OK, Some("bad_verification_code")) => Fault::Grant,
        (status, _) if status.is_server_error() => Fault::Outage,
        (StatusCode::TOO_MANY_REQUESTS, _) => Fault::Outage,
        // The last one is GitHub's.
        (
            _,
            Some(
                "invalid_client"
                | "unauthorized_client"
                | "unsupported_grant_type"
                | "incorrect_client_credentials",
            ),
        ) => Fault::Configuration,
        _ => Fault::Other,
    };
    EndpointFailure::new(AttachErrorKind::Source, message, outcome).from(fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::source::Expiry;

    fn parse(status: u16, body: &str) -> Result<TokenResponse, EndpointFailure> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let response = Response::builder().status(status).body(body).unwrap();
        TokenResponse::parse(&response, Scheme::BEARER, &["s3cret", ""])
    }

    fn message(failure: &EndpointFailure) -> String {
        failure.error.to_string()
    }

    #[test]
    fn token_type_is_compared_without_case_and_lifetime_can_be_a_text() {
        for (expires_in, seconds) in [
            (r#","expires_in":3599"#, Some(3599)),
            (r#","expires_in":"3599""#, Some(3599)),
            (r#","expires_in":null"#, None),
            ("", None),
        ] {
            let body = format!(r#"{{"access_token":"abc","token_type":"bEARER"{expires_in}}}"#);
            let response = parse(200, &body).unwrap();
            let token = response.access.unwrap();
            assert_eq!(&*token.value, "abc");
            match (token.expiry, seconds) {
                (Expiry::In(lifetime), Some(seconds)) => {
                    assert_eq!(lifetime, Duration::from_secs(seconds));
                }
                (Expiry::Never, None) => {}
                (other, _) => panic!("{other:?}"),
            }
            assert!(response.refresh_token.is_none());
        }
    }

    #[test]
    fn refresh_token_survives_an_unusable_access_token() {
        for (member, hint) in [
            (r#""token_type":"Bearer""#, "access_token"),
            (r#""access_token":7,"token_type":"Bearer""#, "access_token"),
            (r#""access_token":"a""#, "token_type"),
            (r#""access_token":"a","token_type":"DPoP""#, "token_type"),
            (r#""access_token":"a","token_type":"Bearer","expires_in":-1"#, "expires_in"),
            (r#""access_token":"a","token_type":"Bearer","expires_in":"soon""#, "expires_in"),
            (r#""access_token":"a","token_type":"Bearer","expires_in":[]"#, "expires_in"),
        ] {
            let response = parse(200, &format!(r#"{{{member},"refresh_token":"r2"}}"#)).unwrap();
            assert_eq!(**response.refresh_token.as_ref().unwrap(), "r2");
            let error = message(&response.access.unwrap_err());
            assert!(error.contains(hint), "{error}");
        }
    }

    #[test]
    fn only_400_or_401_with_invalid_grant_rejects_the_grant() {
        let body = r#"{"error":"invalid_grant"}"#;
        for (status, body, outcome) in [
            (400, body, Outcome::Rejected),
            (401, body, Outcome::Rejected),
            (200, body, Outcome::Failed),
            (403, body, Outcome::Failed),
            (429, body, Outcome::Failed),
            (500, body, Outcome::Failed),
            (503, body, Outcome::Failed),
            (502, body, Outcome::Unknown),
            (504, "", Outcome::Unknown),
            (400, r#"{"error":"invalid_client"}"#, Outcome::Failed),
            (400, r#"{"error":["invalid_grant"]}"#, Outcome::Failed),
            (400, r#"{"error":"invalid_request"}"#, Outcome::InvalidRequest),
            (400, r#"{"error":"invalid_scope"}"#, Outcome::InvalidScope),
            (401, r#"{"error":"invalid_request"}"#, Outcome::Failed),
            (400, r#"{"error":"invalid_target"}"#, Outcome::Failed),
            (400, r#"{"error":"use_dpop_nonce"}"#, Outcome::NonceRequired),
            (401, r#"{"error":"use_dpop_nonce"}"#, Outcome::NonceRequired),
            (403, r#"{"error":"use_dpop_nonce"}"#, Outcome::Failed),
            (400, "invalid_grant", Outcome::Failed),
            (302, "", Outcome::Failed),
            (201, r#"{"access_token":"a","token_type":"Bearer"}"#, Outcome::Failed),
            (200, "<html>", Outcome::Failed),
            (200, r#"["a", "Bearer"]"#, Outcome::Failed),
        ] {
            let failure = parse(status, body).err().unwrap();
            assert_eq!(failure.outcome, outcome, "{status} {body}");
        }
    }

    #[test]
    fn error_and_description_are_escaped_and_shortened() {
        let long = "x".repeat(300);
        let body = format!(r#"{{"error":"a\nb\u001b[2J","error_description":"{long}"}}"#);
        let error = message(&parse(400, &body).err().unwrap());
        assert!(error.contains(r": a\nb\u{1b}[2J (xxx"), "{error}");
        assert!(error.ends_with("x…)") && error.len() < 300, "{error}");
        let body = r#"{"error":"invalid_scope","error_description":"no such scope"}"#;
        assert_eq!(
            message(&parse(400, body).err().unwrap()),
            "the token endpoint returned 400 Bad Request: invalid_scope (no such scope)"
        );
    }

    #[test]
    fn secret_that_the_endpoint_returns_is_not_in_the_error() {
        for body in [
            r#"{"error":"s3cret"}"#,
            r#"{"error":"invalid_grant","error_description":"unknown: s3cret"}"#,
            r#"{"error":"invalid_grant","error_description":"unknown: s3\u0063ret"}"#,
            "s3cret",
        ] {
            let failure = parse(400, body).err().unwrap();
            assert!(!format!("{failure:?}").contains("s3cret"), "{failure:?}");
        }
    }
}
