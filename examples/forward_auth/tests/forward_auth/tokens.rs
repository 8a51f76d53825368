//! The optional keys of the table `bearer`: which tokens each of them admits and rejects.

use serde_json::{Value, json};
use tower_auth_test_support::{
    raw,
    token::{Signer, claims, now},
};

use crate::start;

const AUDIENCE: &str = "audience = \"https://api.example\"\n";

/// The configuration, the changes to the claims, the `typ`, and the expected status.
type Case = (&'static str, Value, Option<&'static str>, u16);

fn cases() -> Vec<Case> {
    let no_audience = json!({ "aud": null, "client_id": "https://api.example" });
    let from_client =
        "audience = \"https://api.example\"\naudience_from = [\"aud\", \"client_id\"]\n";
    let any = "dangerous_any_audience = true\nrequired_values = { token_use = \"access\" }\n";
    let values = "audience = \"https://api.example\"\nrequired_values = { \"/app/kind\" = [\"a\", \"b\"] }\n";
    let future = json!({ "iat": now() + 3_600 });
    vec![
        (AUDIENCE, json!({}), None, 200),
        (AUDIENCE, no_audience.clone(), None, 401),
        (from_client, no_audience, None, 200),
        (from_client, json!({}), None, 200),
        (from_client, json!({ "aud": "other", "client_id": "https://api.example" }), None, 401),
        (from_client, json!({ "aud": null, "client_id": "other" }), None, 401),
        (any, json!({ "aud": null, "token_use": "access" }), None, 200),
        (any, json!({ "aud": null, "token_use": "id" }), None, 401),
        (any, json!({ "aud": null }), None, 401),
        (values, json!({ "app": { "kind": "b" } }), None, 200),
        (values, json!({ "app": { "kind": ["x", "a"] } }), None, 200),
        (values, json!({ "app": { "kind": "c" } }), None, 401),
        (values, json!({}), None, 401),
        ("$AUDrequired_claims = [\"client_id\", \"jti\"]", json!({ "client_id": "c" }), None, 401),
        (
            "$AUDrequired_claims = [\"client_id\", \"jti\"]",
            json!({ "client_id": "c", "jti": "1" }),
            None,
            200,
        ),
        ("$AUDsubject_from = [\"sub\", \"uid\"]", json!({ "sub": null, "uid": "u" }), None, 200),
        (AUDIENCE, json!({ "sub": null, "uid": "u" }), None, 401),
        (AUDIENCE, json!({ "sub": 17 }), None, 401),
        ("$AUDdangerous_accept_numeric_subject = true", json!({ "sub": 17 }), None, 200),
        ("$AUDtyp = [\"at+jwt\", \"x\"]", json!({}), Some("X"), 200),
        ("$AUDtyp = [\"at+jwt\", \"x\"]", json!({}), Some("JWT"), 401),
        ("$AUDtyp = \"x\"", json!({}), None, 401),
        ("$AUDtyp_if_present = [\"JOSE\", \"JWT\"]", json!({}), None, 200),
        ("$AUDtyp_if_present = [\"JOSE\", \"JWT\"]", json!({}), Some("JOSE"), 200),
        ("$AUDtyp_if_present = [\"JOSE\", \"JWT\"]", json!({}), Some("at+jwt"), 401),
        (AUDIENCE, future.clone(), None, 401),
        ("$AUDdangerous_accept_future_issued_at = true", future, None, 200),
        ("$AUDmax_token_bytes = 100", json!({}), None, 431),
        ("$AUDdangerous_allow_http = true", json!({}), None, 200),
    ]
}

#[test]
fn each_setting_admits_and_rejects_the_tokens_that_it_describes() {
    let signer = Signer::generate("ES256", "1");
    let cases = cases();
    // One profile for each case.
    let mut config = String::from("listen = \"127.0.0.1:0\"\n");
    for (number, (lines, ..)) in cases.iter().enumerate() {
        config += &format!(
            "[profiles.p{number}.bearer]\nissuer = \"https://issuer.example\"\n\
             jwks_file = \"jwks.json\"\n{}\n",
            lines.replace("$AUD", AUDIENCE)
        );
    }
    let (_program, address) = start(&config, &signer);
    for (number, (lines, changes, typ, status)) in cases.iter().enumerate() {
        let response = send(&address, &signer, number, changes, *typ);
        assert_eq!(response.status, *status, "{lines} {changes} {typ:?}");
    }
}

fn send(
    address: &str,
    signer: &Signer,
    profile: usize,
    changes: &Value,
    typ: Option<&str>,
) -> raw::RawResponse {
    let mut claims = claims();
    let members = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(members.remove(name)),
            value => drop(members.insert(name.clone(), value.clone())),
        }
    }
    let mut header = json!({ "alg": "ES256", "kid": "1" });
    if let Some(typ) = typ {
        header["typ"] = typ.into();
    }
    let bearer = format!("Bearer {}", signer.token_with(&header, &claims));
    raw::get(address, &format!("/p{profile}/"), &[("Authorization", &bearer)])
}

#[test]
fn scopes_are_read_from_the_first_or_from_all_claims() {
    let signer = Signer::generate("ES256", "1");
    let config = format!(
        r#"
listen = "127.0.0.1:0"
[profiles.p0.bearer]
issuer = "https://issuer.example"
{AUDIENCE}
jwks_file = "jwks.json"
scopes_from = ["scp", "/realm/roles"]
[profiles.p1.bearer]
issuer = "https://issuer.example"
{AUDIENCE}
jwks_file = "jwks.json"
scopes_from_all = ["scope", "scp", "/realm/roles"]
"#
    );
    let (_program, address) = start(&config, &signer);
    let changes = json!({ "scope": "a b", "scp": ["c", "e"], "realm": { "roles": ["d"] } });
    let scopes = |profile| {
        let response = send(&address, &signer, profile, &changes, None);
        let scopes = response.json()["scopes"].as_array().unwrap().clone();
        let mut scopes: Vec<_> =
            scopes.iter().map(|scope| scope.as_str().unwrap().to_owned()).collect();
        scopes.sort();
        scopes
    };
    assert_eq!(scopes(0), ["c", "e"]);
    assert_eq!(scopes(1), ["a", "b", "c", "d", "e"]);
}

/// Settings of the table `bearer` are the defaults of its issuers. Those that belong together are
/// replaced together.
#[test]
fn issuers_inherit_settings_and_replace_them() {
    let signer = Signer::generate("ES256", "1");
    let config = r#"
listen = "127.0.0.1:0"
[profiles.p0.bearer]
audience = "https://api.example"
jwks_file = "jwks.json"
typ = "x"
scopes_from = "scp"
required_claims = "jti"
[[profiles.p0.bearer.issuers]]
issuer = "https://issuer.example"
[[profiles.p0.bearer.issuers]]
issuer = "https://two.example"
dangerous_any_audience = true
typ_if_present = "y"
scopes_from_all = ["a", "b"]
"#;
    let (_program, address) = start(config, &signer);
    let send = |changes: Value, typ| {
        let response = send(&address, &signer, 0, &changes, typ);
        (
            response.status,
            if response.status == 200 { response.json()["scopes"].clone() } else { Value::Null },
        )
    };
    let (two, id) = ("https://two.example", "1");
    assert_eq!(send(json!({ "jti": id, "scp": "s" }), Some("x")), (200, json!(["s"])));
    assert_eq!(send(json!({ "jti": id }), Some("y")).0, 401);
    assert_eq!(send(json!({}), Some("x")).0, 401);
    let other = json!({ "iss": two, "aud": "other", "jti": id, "a": "1", "b": "2", "scp": "3" });
    assert_eq!(send(other.clone(), Some("y")), (200, json!(["1", "2"])));
    assert_eq!(send(other.clone(), None).0, 200);
    assert_eq!(send(other, Some("x")).0, 401);
    assert_eq!(send(json!({ "iss": two, "aud": "other" }), Some("y")).0, 401);
}
