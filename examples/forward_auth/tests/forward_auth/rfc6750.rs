//! Exact statuses and challenges over a socket (RFC 6750 §3, RFC 7617 §2).

use tower_auth_test_support::{
    program::Program,
    raw::{self, RawResponse},
    token::{Signer, claims},
};

use crate::start;

const CONFIG: &str = r#"
listen = "127.0.0.1:0"
[profiles.api]
realm = "api"
[profiles.api.bearer]
issuer = "https://issuer.example"
audience = "https://api.example"
jwks_file = "jwks.json"
[profiles.api.require]
all_scopes = ["read", "admin"]
[profiles.site]
realm = "site"
[profiles.site.basic]
users = [["alice", "secret"]]
"#;

fn serve() -> ((Program, tempfile::TempDir), String, Signer) {
    let signer = Signer::generate("ES256", "1");
    let (program, address) = start(CONFIG, &signer);
    (program, address, signer)
}

fn status_and_challenge(response: &RawResponse) -> (u16, &str) {
    (response.status, response.header("www-authenticate"))
}

#[test]
fn each_error_returns_its_status_and_code() {
    let (_program, address, signer) = serve();
    let token = signer.token(&claims());
    let get = |fields: &[&str]| {
        let headers: Vec<_> = fields.iter().map(|field| ("Authorization", *field)).collect();
        raw::get(&address, "/api/", &headers)
    };
    let valid = format!("Bearer {token}");
    let malformed = (400, r#"Bearer realm="api", error="invalid_request""#);
    assert_eq!(status_and_challenge(&get(&["Bearer"])), malformed);
    assert_eq!(status_and_challenge(&get(&["Bearer "])), malformed);
    assert_eq!(status_and_challenge(&get(&[&format!("{valid} more")])), malformed);
    assert_eq!(status_and_challenge(&get(&[&format!("{valid}, {valid}")])), malformed);
    assert_eq!(status_and_challenge(&get(&[&valid, &valid])), malformed);

    let missing = (401, r#"Bearer realm="api""#);
    assert_eq!(status_and_challenge(&get(&[])), missing);
    assert_eq!(status_and_challenge(&get(&["Basic eA=="])), missing);
    assert_eq!(status_and_challenge(&get(&[""])), missing);
    assert_eq!(status_and_challenge(&get(&[&valid.replacen(' ', "\t", 1)])), missing);

    let invalid = (401, r#"Bearer realm="api", error="invalid_token""#);
    assert_eq!(status_and_challenge(&get(&["Bearer x.y.z"])), invalid);
    assert_eq!(status_and_challenge(&get(&["Bearer an\"invalid\"token"])), invalid);
    let mut expired = claims();
    expired["exp"] = 1.into();
    assert_eq!(
        status_and_challenge(&get(&[&format!("Bearer {}", signer.token(&expired))])),
        invalid
    );
    let mut wrong_audience = claims();
    wrong_audience["aud"] = "https://other.example".into();
    assert_eq!(
        status_and_challenge(&get(&[&format!("Bearer {}", signer.token(&wrong_audience))])),
        invalid
    );

    let insufficient = r#"Bearer realm="api", error="insufficient_scope", scope="read admin""#;
    assert_eq!(status_and_challenge(&get(&[&valid])), (403, insufficient));
}

#[test]
fn malformed_basic_credentials_return_401() {
    let (_program, address, _) = serve();
    let challenge = (401, r#"Basic realm="site", charset="UTF-8""#);
    for invalid in [
        "Basic",
        "Basic !",
        "Basic Zm9v=OmJhcg==",
        "Basic Zm9vOmJhcg",       // no padding
        "Basic bm8gY29sb24=",     // no colon
        "Basic Zm9vADpiYXI=",     // NUL
        "Basic Zm9vDQpYOmJhcg==", // CR LF
        "Basic /zphYmM=",         // not UTF-8
        "Basic YWxpY2U6d3Jvbmc=",
        "Basic Ym9iOnNlY3JldA==",
    ] {
        let response = raw::get(&address, "/site/", &[("Authorization", invalid)]);
        assert_eq!(status_and_challenge(&response), challenge, "{invalid}");
    }
}
