//! The userinfo endpoint (OpenID Connect Core §5.3).

use bytes::Bytes;
use http::{
    HeaderValue, Request, StatusCode,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE},
};
use zeroize::Zeroizing;

use super::{
    authorization_request::of_endpoint,
    id_token::{User, invalid},
    identity::ProviderToken,
    login_error::{LoginError, LoginErrorKind},
    oidc_login::State,
};
use crate::{json::value::text, principal::claims_set::ClaimsSet};

impl State {
    /// Returns the claims of the ID token, and those that only the userinfo endpoint returns.
    pub(super) async fn with_userinfo(
        &self,
        user: &User,
        token: &ProviderToken,
    ) -> Result<ClaimsSet, LoginError> {
        let more = self.fetch_userinfo(token).await?;
        let subject = more.get("sub").and_then(text);
        // Otherwise, a response could be that of another user.
        if subject.as_deref() != Some(&*user.subject) {
            return Err(invalid("the sub of the userinfo response is not that of the ID token"));
        }
        merge(&user.claims, &more).ok_or_else(|| invalid("the userinfo response is malformed"))
    }

    async fn fetch_userinfo(&self, token: &ProviderToken) -> Result<ClaimsSet, LoginError> {
        let metadata = self.endpoint.metadata().await.map_err(of_endpoint)?;
        let endpoint = metadata.and_then(|metadata| metadata.userinfo_endpoint.as_str());
        let endpoint = endpoint.and_then(|uri| self.endpoint.link(uri)).ok_or_else(|| {
            LoginError::new(LoginErrorKind::Misconfigured).because(
                "the issuer's metadata has no userinfo_endpoint that is an absolute https URL: \
                 drop the call of userinfo",
            )
        })?;
        let value = Zeroizing::new(format!("Bearer {}", token.as_str()));
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| invalid("the access token is not a bearer token"))?;
        value.set_sensitive(true);
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = endpoint;
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, value);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let response = self.endpoint.send(request).await.map_err(of_endpoint)?;
        match response.status() {
            StatusCode::OK => {}
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(LoginError::new(LoginErrorKind::Unavailable)
                    .because(format!("the userinfo endpoint returned {status}")));
            }
            status => return Err(invalid(format!("the userinfo endpoint returned {status}"))),
        }
        let content_type = response.headers().get(CONTENT_TYPE);
        if content_type.is_some_and(|value| is_jwt(value.as_bytes())) {
            return Err(invalid(
                "the userinfo response is a JWT, which is not supported: register this client \
                 without userinfo_signed_response_alg",
            ));
        }
        std::str::from_utf8(response.body())
            .ok()
            .and_then(|json| ClaimsSet::parse(json.into()))
            .ok_or_else(|| invalid("the userinfo response is not a JSON object"))
    }
}

fn is_jwt(content_type: &[u8]) -> bool {
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/jwt")
}

/// What only an ID token can say, because these claims are about the login and not about the user.
const PROTOCOL_CLAIMS: [&str; 13] = [
    "iss",
    "aud",
    "azp",
    "exp",
    "iat",
    "nbf",
    "nonce",
    "at_hash",
    "auth_time",
    "acr",
    "amr",
    "sid",
    "cnf",
];

/// Adds the members of `more` that `claims` does not have, except for those about the login.
fn merge(claims: &ClaimsSet, more: &ClaimsSet) -> Option<ClaimsSet> {
    let json = claims.as_json().trim_ascii();
    let mut merged = json.strip_suffix('}')?.trim_ascii_end().to_owned();
    for (name, value) in more.members() {
        if claims.get(name).is_none() && !PROTOCOL_CLAIMS.contains(&name) {
            if !merged.ends_with('{') {
                merged.push(',');
            }
            merged.push_str(&serde_json::to_string(name).ok()?);
            merged.push(':');
            merged.push_str(value);
        }
    }
    merged.push('}');
    ClaimsSet::parse(merged.into())
}
