//! The parameters of a request, in a form (RFC 6749 §3.2) or in JSON.

use std::{collections::BTreeMap, error::Error};

use http::{
    HeaderValue, StatusCode,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING},
    request::Parts,
};
use http_body::Body;
use zeroize::Zeroizing;

use super::failure::Failure;
use crate::{
    json::{members::Members, value::text},
    rejection::{Rejection, RejectionKind},
    request_body::{BodyError, FORM, media_type, query_names, read},
};

/// The parameters of a request. The values are zeroed on drop.
pub(super) struct Parameters(BTreeMap<String, Zeroizing<String>>);

const JSON: &str = "application/json";
/// The id is in the record of the login, in its tokens and in events.
const MAX_CLIENT_ID: usize = 256;

/// The parameters that the routes read. In JSON, they must be strings.
const KNOWN: [&str; 15] = [
    "username",
    "password",
    "refresh_token",
    "token",
    "grant_type",
    "client_id",
    "client_secret",
    "scope",
    "subject_token",
    "subject_token_type",
    "actor_token",
    "actor_token_type",
    "requested_token_type",
    "audience",
    "resource",
];

/// The parameters that must not be in a URL, which proxies log.
const SECRET: [&str; 7] = [
    "password",
    "refresh_token",
    "token",
    "access_token",
    "client_secret",
    "subject_token",
    "actor_token",
];

impl Parameters {
    /// Reads the parameters in the body of a request, of up to `max_bytes` bytes.
    pub(super) async fn read<B>(head: &Parts, body: B, max_bytes: usize) -> Result<Self, Failure>
    where
        B: Body<Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        if query_names(head).any(|name| SECRET.contains(&&*name)) {
            return Err(Failure::invalid_request("the query has a secret: send it in the body"));
        }
        let is_coded = |coding: &HeaderValue| !coding.as_bytes().eq_ignore_ascii_case(b"identity");
        if head.headers.get_all(CONTENT_ENCODING).iter().any(is_coded) {
            return Err(Failure::invalid_request("the request body has a content coding")
                .status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
                .header(ACCEPT_ENCODING, HeaderValue::from_static("identity")));
        }
        let mut body = read(body, max_bytes).await?;
        if body.is_empty() {
            return Ok(Self(BTreeMap::new()));
        }
        match media_type(head).as_deref() {
            Some(FORM) => Self::from_form(&mut body),
            Some(JSON) => Self::from_json(&body),
            _ => Err(Failure::invalid_request("the request body is neither a form nor JSON")
                .status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
                .header(ACCEPT, HeaderValue::from_static(ACCEPTED))),
        }
    }

    fn from_form(body: &mut [u8]) -> Result<Self, Failure> {
        // Otherwise, the parser would do that in a copy, which is not zeroed.
        body.iter_mut().filter(|byte| **byte == b'+').for_each(|byte| *byte = b' ');
        let mut parameters = Self(BTreeMap::new());
        for (name, value) in form_urlencoded::parse(body) {
            let value = Zeroizing::new(value.into_owned());
            // The parser replaces what is not UTF-8 by this character.
            if name.contains('\u{fffd}') || value.contains('\u{fffd}') {
                return Err(Failure::invalid_request("the form is not UTF-8"));
            }
            parameters.add(name.into_owned(), value)?;
        }
        Ok(parameters.without_empty())
    }

    fn from_json(body: &[u8]) -> Result<Self, Failure> {
        let invalid = || {
            Failure::invalid_request(
                "the request body is not a JSON object with unique names and at most 32 levels",
            )
        };
        let json = std::str::from_utf8(body).map_err(|_| invalid())?;
        let members = Members::parse(json).ok_or_else(invalid)?;
        let mut parameters = Self(BTreeMap::new());
        for (name, value) in members.iter(json) {
            match text(value) {
                Some(text) => {
                    parameters.add(name.to_owned(), Zeroizing::new(text.into_owned()))?;
                }
                None if value != "null" && KNOWN.contains(&name) => {
                    return Err(Failure::invalid_request("a member of the object is not a string"));
                }
                None => {}
            }
        }
        Ok(parameters.without_empty())
    }

    /// Rejects a parameter that is sent twice (RFC 6749 §3.2).
    fn add(&mut self, name: String, value: Zeroizing<String>) -> Result<(), Failure> {
        match self.0.insert(name, value) {
            None => Ok(()),
            Some(_) => Err(Failure::invalid_request("a parameter is sent twice")),
        }
    }

    /// Removes the parameters without a value, which count as omitted (RFC 6749 §3.2).
    fn without_empty(mut self) -> Self {
        self.0.retain(|_, value| !value.is_empty());
        self
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.as_str())
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Zeroizing<String>> {
        self.0.remove(name)
    }

    pub(super) fn set_client_id(&mut self, id: &str) {
        self.0.insert("client_id".to_owned(), Zeroizing::new(id.to_owned()));
    }

    /// Returns the service for which a token is requested.
    pub(super) fn take_audience(&mut self) -> Result<Option<Zeroizing<String>>, Failure> {
        // The identifiers of services are names and not their addresses (RFC 8707).
        if self.take("resource").is_some() {
            return Err(Failure::invalid_request("resource is not supported: send audience")
                .error("invalid_target"));
        }
        Ok(self.take("audience"))
    }

    /// Returns the client, which has an id of printable ASCII characters (RFC 6749 §A.1).
    pub(super) fn take_client_id(&mut self) -> Result<Option<String>, Failure> {
        let Some(id) = self.take("client_id") else { return Ok(None) };
        if id.len() <= MAX_CLIENT_ID && id.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Ok(Some(id.to_string()));
        }
        Err(Failure::invalid_request(
            "the client_id has other characters than printable ASCII, or more than 256",
        ))
    }

    /// Returns the requested scopes, if the request names any.
    pub(super) fn take_scopes(&mut self) -> Option<Vec<String>> {
        let scope = self.take("scope")?;
        Some(scope.split(' ').filter(|scope| !scope.is_empty()).map(ToOwned::to_owned).collect())
    }
}

/// What a client can send.
const ACCEPTED: &str = "application/x-www-form-urlencoded, application/json";

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLong => Self::invalid_request("the request body is too long")
                .status(StatusCode::PAYLOAD_TOO_LARGE),
            BodyError::TooSlow => {
                Self::invalid_request("the request body did not arrive within 10 s")
                    .status(StatusCode::REQUEST_TIMEOUT)
            }
            BodyError::Failed(error) => {
                Rejection::new(RejectionKind::MalformedRequest).because(error).into()
            }
            BodyError::NoRuntime => Rejection::new(RejectionKind::Misconfigured)
                .because("the token routes need a tokio runtime, and none is running")
                .into(),
        }
    }
}
