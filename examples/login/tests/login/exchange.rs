//! Tokens for other services.

use serde_json::{Value, json};
use tower_auth_test_support::{
    provider::token_part,
    raw::{RawResponse, send},
};

use crate::service::{Service, accounts};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

impl Service {
    pub fn exchange(&self, key: &str, access_token: &str, audience: &str) -> RawResponse {
        let parameters = json!({
            "grant_type": EXCHANGE,
            "subject_token": access_token,
            "subject_token_type": ACCESS_TOKEN,
            "audience": audience,
        });
        self.post_with_key("/token/exchange", key, &parameters)
    }

    fn post_with_key(&self, path: &str, key: &str, parameters: &Value) -> RawResponse {
        let headers = [("x-api-key", key), ("content-type", "application/json")];
        send(&self.address, "POST", path, &headers, &parameters.to_string())
    }
}

#[test]
fn exchanged_token_is_for_the_other_service_and_names_the_actor() {
    let (_folder, file) = accounts();
    let service = Service::start(&file, &[]);
    let key = service.new_key();
    let response = service.exchange(&key.key, &key.token, "stock");
    assert_eq!((response.status, response.header("cache-control")), (200, "no-store"));
    let response = response.json();
    assert_eq!(
        (&response["token_type"], &response["issued_token_type"]),
        (&"Bearer".into(), &ACCESS_TOKEN.into())
    );
    assert_eq!(response.get("refresh_token"), None);
    let token = response["access_token"].as_str().unwrap();
    let [original, claims] = [&*key.token, token].map(|token| token_part(token, 1));
    assert_eq!((&claims["aud"], &claims["sub"]), (&"stock".into(), &"alice".into()));
    assert_eq!(claims["act"], json!({ "sub": "alice" }));
    assert!(claims["exp"].as_u64() <= original["exp"].as_u64(), "{claims}");
    // It is not valid here.
    assert_eq!(service.me(token).status, 401);
    assert_eq!(service.create_key(token, "").status, 401);
}

/// Otherwise, a key could revoke other keys and log the user out.
#[test]
fn key_gets_tokens_for_other_services_only() {
    let (_folder, file) = accounts();
    let service = Service::start(&file, &[]);
    let key = service.new_key();
    let client = |audience: &str| {
        let grant = json!({ "grant_type": "client_credentials", "audience": audience });
        service.post_with_key("/token", &key.key, &grant)
    };
    let response = client("stock");
    assert_eq!(response.status, 200, "{response:?}");
    let token = response.json()["access_token"].as_str().unwrap().to_owned();
    let claims = token_part(&token, 1);
    assert_eq!((&claims["aud"], &claims["client_id"]), (&"stock".into(), &"alice".into()));
    assert_eq!(service.me(&token).status, 401);
    // A subject token that is unacceptable is `invalid_request` (RFC 8693 section 2.2.2).
    for (response, error) in [
        (client(""), "unauthorized_client"),
        (client("login"), "unauthorized_client"),
        (service.exchange(&key.key, &token, "login"), "invalid_request"),
        (service.exchange(&key.key, &key.token, "login"), "invalid_request"),
    ] {
        assert_eq!(response.status, 400, "{response:?}");
        assert_eq!(response.json()["error"], error);
    }
}

#[test]
fn exchange_needs_a_valid_key_token_and_audience() {
    let (_folder, file) = accounts();
    let service = Service::start(&file, &[]);
    let [key, revoked] = [(); 2].map(|()| service.new_key());
    assert_eq!(service.revoke_key(&revoked.token, &revoked.id).status, 204);
    let ended = service.log_in();
    service.log_out(&ended.refresh);
    // An invalid subject token is `invalid_request` (RFC 8693 section 2.2.2).
    for (response, status, error) in [
        (service.exchange("guess", &key.token, "stock"), 401, "invalid_client"),
        (service.exchange(&revoked.key, &key.token, "stock"), 401, "invalid_client"),
        (service.exchange(&key.key, "guess", "stock"), 400, "invalid_request"),
        (service.exchange(&key.key, &ended.access, "stock"), 400, "invalid_request"),
        (service.exchange(&key.key, &key.key, "stock"), 400, "invalid_request"),
        (service.exchange(&key.key, &key.token, "other"), 400, "invalid_target"),
    ] {
        assert_eq!((response.status, &response.json()["error"]), (status, &error.into()));
    }
    // The page has no clients, and its cookie is none.
    let alice = json!({ "username": "alice", "password": "correct horse" });
    let login = service.post("/page/login", alice);
    let cookie = login.header("set-cookie").split("; ").next().unwrap();
    let body = format!(
        "grant_type={EXCHANGE}&subject_token={}&subject_token_type={ACCESS_TOKEN}&audience=stock",
        key.token
    );
    let form = ("content-type", "application/x-www-form-urlencoded");
    for (path, status) in [("/token/exchange", 401), ("/page/token/exchange", 400)] {
        let response = send(&service.address, "POST", path, &[("cookie", cookie), form], &body);
        assert_eq!(response.status, status, "{response:?}");
    }
}

#[test]
fn token_of_another_user_is_not_exchanged() {
    let (_folder, file) = accounts();
    let register = ["register", "bob", "--accounts", &file];
    assert!(crate::command_line::run(&register, "battery staple\n").status.success());
    let service = Service::start(&file, &[]);
    let key = service.new_key_of("bob", "battery staple").key;
    let response = service.exchange(&key, &service.log_in().access, "stock");
    assert_eq!(response.status, 400);
    assert_eq!(response.json()["error"], "invalid_request");
}
