//! The endpoints of GitHub, which is no OpenID provider. Errors of its token endpoint have the
//! status 200, and answers are forms unless the client asks for JSON.

use axum::{
    body::Bytes,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CONTENT_TYPE, USER_AGENT},
    },
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{CLIENT_ID, CLIENT_SECRET, OidcStub, json_response, parameters};

pub(super) async fn access_token(
    State(stub): State<OidcStub>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = parameters(std::str::from_utf8(&body).unwrap());
    let is_client = form.get("client_id").is_some_and(|id| id == CLIENT_ID)
        && form.get("client_secret").is_some_and(|secret| secret == CLIENT_SECRET);
    let code = stub.use_code(&form["code"], &form["code_verifier"]);
    let mut answer = match code {
        _ if !is_client => json!({ "error": "incorrect_client_credentials" }),
        None => json!({
            "error": "bad_verification_code",
            "error_description": "The code passed is incorrect or expired.",
        }),
        Some(code) => {
            let token = format!("gho_{}", stub.secret());
            let mut log = stub.log();
            log.secrets.push(token.clone());
            log.access_tokens.insert(token.clone(), code.user);
            json!({ "access_token": token, "token_type": "bearer", "scope": "read:user" })
        }
    };
    let change = stub.settings().token_response.clone();
    change(&mut answer);
    let is_json = headers.get(ACCEPT).is_some_and(|accept| accept == "application/json");
    if is_json {
        return json_response(&answer);
    }
    let members = answer.as_object().unwrap().iter();
    let members = members.map(|(name, value)| format!("{name}={}", value.as_str().unwrap()));
    let form = members.collect::<Vec<_>>().join("&");
    ([(CONTENT_TYPE, "application/x-www-form-urlencoded")], form).into_response()
}

pub(super) async fn user(State(stub): State<OidcStub>, headers: HeaderMap) -> Response {
    // GitHub rejects requests without this header.
    if !headers.contains_key(USER_AGENT) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let Some(user) = stub.user_of(&headers) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    json_response(&json!({ "id": 583_231, "login": user, "email": null }))
}
