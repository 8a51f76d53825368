//! Reads the responses of the endpoint (RFC 7662 §2.2).

use std::str;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header::CONTENT_TYPE};

use super::error::{IntrospectionError, IntrospectionErrorKind};
use crate::{jwks::discovery::check_content_encoding, principal::claims_set::ClaimsSet};

/// What the endpoint says about a token.
pub(super) enum Answer {
    /// The members of the response, which are not checked yet.
    Active(ClaimsSet),
    Inactive,
    /// `active` is absent, or neither `true` nor `false`.
    Malformed(ClaimsSet),
}

/// A response that does not say whether a token is active.
pub(super) struct BadResponse {
    pub(super) error: IntrospectionError,
    /// Whether the endpoint fails whatever the token is. Otherwise, the token can be the cause, and
    /// a client could choose it to keep the service from asking about other tokens.
    pub(super) is_outage: bool,
}

/// Reads a response of at most `max_bytes` bytes.
pub(super) fn parse(response: &Response<Bytes>, max_bytes: usize) -> Result<Answer, BadResponse> {
    let (status, body) = (response.status(), response.body());
    if status != StatusCode::OK {
        return Err(of_status(status));
    }
    if !is_json(response.headers()) {
        let message = "the introspection endpoint did not send application/json: is the URL right?";
        return Err(unusable(message, true));
    }
    if let Err(error) = check_content_encoding(response.headers()) {
        return Err(BadResponse {
            error: IntrospectionError::new(
                IntrospectionErrorKind::Response,
                "the response of the introspection endpoint cannot be decoded",
            )
            .caused_by(error),
            is_outage: true,
        });
    }
    if body.len() > max_bytes {
        let message = format!(
            "the response of the introspection endpoint is longer than {max_bytes} bytes: see \
             max_response_bytes"
        );
        return Err(unusable(message, false));
    }
    let claims = str::from_utf8(body).ok().and_then(|json| ClaimsSet::parse(json.into()));
    let claims = claims.ok_or_else(|| {
        let message = "the response of the introspection endpoint is not a JSON object with unique \
                       member names";
        unusable(message, false)
    })?;
    Ok(match claims.get("active") {
        Some("true") => Answer::Active(claims),
        Some("false") => Answer::Inactive,
        _ => Answer::Malformed(claims),
    })
}

fn unusable(message: impl Into<std::borrow::Cow<'static, str>>, is_outage: bool) -> BadResponse {
    let error = IntrospectionError::new(IntrospectionErrorKind::Response, message);
    BadResponse { error, is_outage }
}

/// Returns whether the media type is `application/json`, with or without parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

fn of_status(status: StatusCode) -> BadResponse {
    let (kind, hint) = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => (
            IntrospectionErrorKind::Rejected,
            ": it does not accept the credentials of this service, or none are set; see \
             client_secret, private_key_jwt and token_source",
        ),
        status if status.is_redirection() => {
            (IntrospectionErrorKind::Rejected, ", and redirects are not followed")
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            (IntrospectionErrorKind::Outage, "")
        }
        status if status.is_client_error() => (IntrospectionErrorKind::Rejected, ""),
        status if status.is_server_error() => (IntrospectionErrorKind::Outage, ""),
        _ => (IntrospectionErrorKind::Response, ""),
    };
    let message = format!("the introspection endpoint returned {status}{hint}");
    // These can be about a token that the endpoint finds malformed or too long.
    let can_be_about_token = matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::URI_TOO_LONG
            | StatusCode::UNPROCESSABLE_ENTITY
            | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
    BadResponse { error: IntrospectionError::new(kind, message), is_outage: !can_be_about_token }
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
