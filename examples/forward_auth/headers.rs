//! The table `[profiles.NAME.headers]`: response headers with the caller, which the proxy passes on
//! to the service.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use tower_auth::Principal;

use crate::fault::Fault;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Headers {
    subject: Option<String>,
    issuer: Option<String>,
    scopes: Option<String>,
    /// Names of headers by claim name or JSON Pointer.
    claims: BTreeMap<String, String>,
}

/// The headers of a profile and what each of them contains.
#[derive(Clone, Default)]
pub(crate) struct CallerHeaders(Vec<(HeaderName, Content)>);

#[derive(Clone)]
enum Content {
    Subject,
    Issuer,
    Scopes,
    Claim(String),
}

impl Headers {
    pub(crate) fn prepare(&self) -> Result<CallerHeaders, Fault> {
        let fixed = [
            ("subject", &self.subject, Content::Subject),
            ("issuer", &self.issuer, Content::Issuer),
            ("scopes", &self.scopes, Content::Scopes),
        ];
        let fixed = fixed.into_iter().filter_map(|(key, name, content)| {
            name.as_ref().map(|name| (key.to_owned(), name, content))
        });
        let claims = self.claims.iter().map(|(claim, name)| {
            (format!("claims.{claim:?}"), name, Content::Claim(claim.clone()))
        });
        let (mut headers, mut names) = (Vec::new(), BTreeSet::new());
        for (key, name, content) in fixed.chain(claims) {
            let name: Option<HeaderName> = name.parse().ok().filter(is_free);
            let Some(name) = name.filter(|name| names.insert(name.to_string())) else {
                let rule = "must be the name of a header that HTTP does not define, and only once";
                return Err(Fault::new(key, rule).within("headers"));
            };
            headers.push((name, content));
        }
        Ok(CallerHeaders(headers))
    }
}

/// Returns whether a header has no meaning in a response.
fn is_free(name: &HeaderName) -> bool {
    const DEFINED: [&str; 11] = [
        "connection",
        "date",
        "keep-alive",
        "location",
        "retry-after",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "www-authenticate",
    ];
    !DEFINED.contains(&name.as_str())
        && !["content-", "proxy-"].iter().any(|prefix| name.as_str().starts_with(prefix))
}

impl CallerHeaders {
    /// Returns the headers for this caller, or for an anonymous request.
    ///
    /// A header without a value is present and empty, so that a proxy replaces the header of the
    /// same name that the client sent.
    pub(crate) fn of(&self, caller: Option<&Principal>) -> HeaderMap {
        let values = self.0.iter().map(|(name, content)| {
            let text = caller.map(|caller| content.text(caller)).unwrap_or_default();
            // The text is visible ASCII and spaces.
            let value = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
            (name.clone(), value)
        });
        values.collect()
    }
}

impl Content {
    fn text(&self, caller: &Principal) -> String {
        match self {
            Self::Subject => encode(caller.subject()),
            Self::Issuer => caller.issuer().map(encode).unwrap_or_default(),
            Self::Scopes => encode_list(caller.scopes().iter().map(encode)),
            Self::Claim(path) => caller
                .claim::<&RawValue>(path)
                .map(|json| claim_text(json.get()))
                .unwrap_or_default(),
        }
    }
}

/// Returns the text of a claim: a string, a list with spaces, or other JSON as it is in the token.
fn claim_text(json: &str) -> String {
    match serde_json::from_str::<Vec<&RawValue>>(json) {
        Ok(items) => encode_list(items.iter().map(|item| scalar_text(item.get()))),
        Err(_) => scalar_text(json),
    }
}

fn scalar_text(json: &str) -> String {
    match serde_json::from_str::<Option<String>>(json) {
        Ok(text) => text.as_deref().map(encode).unwrap_or_default(),
        Err(_) => encode(json),
    }
}

/// Joins encoded items with spaces. Empty ones are left out.
fn encode_list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.filter(|item| !item.is_empty()).collect();
    items.join(" ")
}

/// Percent-encodes all bytes except visible ASCII characters other than `%`.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' => encoded.push_str("%25"),
            b'!'..=b'~' => encoded.push(byte.into()),
            _ => _ = write!(encoded, "%{byte:02X}"),
        }
    }
    encoded
}
