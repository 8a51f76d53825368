use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    body::Bytes,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{CLIENT_ID, CLIENT_SECRET, Code, OidcStub, Signature, json_response, parameters};
use crate::token::{Signer, encode, random};

/// Exchanges a code for tokens. It is as strict as RFC 6749 and RFC 7636 allow.
pub(super) async fn token(
    State(stub): State<OidcStub>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = parameters(std::str::from_utf8(&body).unwrap());
    let client_secret = stub.settings().client_secret.clone();
    let credentials = STANDARD.encode(format!("{CLIENT_ID}:{}", form_encoded(&client_secret)));
    let is_basic = headers
        .get(AUTHORIZATION)
        .is_some_and(|value| value.to_str().unwrap() == format!("Basic {credentials}"));
    let is_post = form.get("client_secret").is_some_and(|secret| *secret == client_secret);
    if !is_basic && !is_post {
        return error(StatusCode::UNAUTHORIZED, "invalid_client");
    }
    let Some(code) = stub.use_code(&form["code"], &form["code_verifier"]) else {
        return error(StatusCode::BAD_REQUEST, "invalid_grant");
    };
    if code.request["redirect_uri"] != form["redirect_uri"] {
        return error(StatusCode::BAD_REQUEST, "invalid_grant");
    }
    let access_token = stub.secret();
    let refresh_token = stub.secret();
    stub.log().access_tokens.insert(access_token.clone(), code.user.clone());
    let mut response = json!({
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": 300,
        "refresh_token": refresh_token,
        "scope": code.request.get("scope"),
        "id_token": stub.id_token(&code, &access_token),
    });
    let change = stub.settings().token_response.clone();
    change(&mut response);
    json_response(&response)
}

pub(super) async fn user_info(State(stub): State<OidcStub>, headers: HeaderMap) -> Response {
    let Some(user) = stub.user_of(&headers) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let mut info = json!({ "sub": user, "email": format!("{user}@example.com"), "name": user });
    let change = stub.settings().user_info.clone();
    change(&mut info);
    json_response(&info)
}

impl OidcStub {
    /// Returns the request of a code, if it is used for the first time and with its verifier.
    pub(super) fn use_code(&self, code: &str, verifier: &str) -> Option<Code> {
        let mut log = self.log();
        log.secrets.push(verifier.to_owned());
        let code = log.codes.get_mut(code)?;
        code.uses += 1;
        let challenge = encode(digest(&SHA256, verifier.as_bytes()));
        (code.uses == 1 && code.request["code_challenge"] == challenge).then(|| code.clone())
    }

    /// Returns the user of an access token.
    pub(super) fn user_of(&self, headers: &HeaderMap) -> Option<String> {
        let token = headers.get(AUTHORIZATION)?.to_str().unwrap().strip_prefix("Bearer ")?;
        self.log().access_tokens.get(token).cloned()
    }

    /// Returns a logout token with these further claims, `sub`, `sid` or both.
    pub fn logout_token(&self, claims: Value) -> String {
        let now = self.now();
        let mut all = json!({
            "iss": self.issuer(), "aud": CLIENT_ID, "iat": now, "exp": now + 120,
            "jti": encode(random(12)),
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let header = json!({ "alg": "ES256", "kid": "key-1", "typ": "logout+jwt" });
        self.0.key.token_with(&header, &all)
    }

    fn id_token(&self, code: &Code, access_token: &str) -> String {
        let now = self.now();
        let settings = self.settings();
        let header = json!({ "alg": "ES256", "kid": "key-1", "typ": "JWT" });
        let mut claims = json!({
            "iss": self.issuer(), "sub": code.user, "aud": CLIENT_ID, "iat": now, "exp": now + 300,
            "nonce": code.request.get("nonce"), "sid": format!("sid-of-{}", code.user),
            "auth_time": settings.auth_time.unwrap_or(now),
            "at_hash": encode(&digest(&SHA256, access_token.as_bytes()).as_ref()[..16]),
            "roles": ["staff"],
        });
        let requested = code.request.get("acr_values");
        let requested = requested.and_then(|values| values.split(' ').next().map(str::to_owned));
        if let Some(acr) = settings.acr.clone().or(requested) {
            claims["acr"] = acr.into();
        }
        let (signature, change) = (settings.signature, settings.id_token.clone());
        drop(settings);
        let mut parts = (header, claims);
        change(&mut parts);
        let token = self.sign(signature, parts);
        self.log().secrets.push(token.clone());
        token
    }

    fn sign(&self, signature: Signature, (mut header, claims): (Value, Value)) -> String {
        let hmac = |secret: &[u8], header: &Value| {
            Signer::secret("HS256", None, secret).token_with(header, &claims)
        };
        match signature {
            Signature::Published => self.0.key.token_with(&header, &claims),
            Signature::OtherKey => self.0.other_key.token_with(&header, &claims),
            Signature::ClientSecret => {
                header = json!({ "alg": "HS256", "typ": "JWT" });
                hmac(CLIENT_SECRET.as_bytes(), &header)
            }
            Signature::PublicKey => {
                header["alg"] = "HS256".into();
                hmac(self.0.key.jwk().to_string().as_bytes(), &header)
            }
            Signature::None => {
                header["alg"] = "none".into();
                format!("{}.{}.", encode(header.to_string()), encode(claims.to_string()))
            }
            Signature::Foreign => {
                let other = self.0.key.token_with(&header, &json!({ "sub": "other" }));
                let token = self.0.key.token_with(&header, &claims);
                let (message, _) = token.rsplit_once('.').unwrap();
                format!("{message}.{}", other.rsplit_once('.').unwrap().1)
            }
        }
    }
}

fn error(status: StatusCode, code: &str) -> Response {
    let body = json!({ "error": code }).to_string();
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

/// Encodes a text for a form, as RFC 6749 §2.3.1 requires for a client secret.
fn form_encoded(text: &str) -> String {
    let mut url = reqwest::Url::parse("http://form.example/").unwrap();
    url.query_pairs_mut().append_pair("", text);
    url.query().unwrap().trim_start_matches('=').to_owned()
}
