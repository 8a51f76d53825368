//! What a caller is answered, to the letter (RFC 6750 §3, RFC 7617 §2), over a socket.

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

fn serve() -> (Program, String, Signer) {
    let signer = Signer::generate("ES256", "1");
    let (program, address) = start(CONFIG, &signer);
    (program, address, signer)
}

fn said(answer: &RawResponse) -> (u16, &str) {
    (answer.status, answer.header("www-authenticate"))
}

#[test]
fn each_error_has_its_status_and_its_code() {
    let (_program, address, signer) = serve();
    let token = signer.token(&claims());
    let ask = |fields: &[&str]| {
        let headers: Vec<_> = fields.iter().map(|field| ("Authorization", *field)).collect();
        raw::get(&address, "/api/", &headers)
    };
    let good = format!("Bearer {token}");
    let malformed = (400, r#"Bearer realm="api", error="invalid_request""#);
    assert_eq!(said(&ask(&["Bearer"])), malformed);
    assert_eq!(said(&ask(&["Bearer "])), malformed);
    assert_eq!(said(&ask(&[&format!("{good} more")])), malformed);
    assert_eq!(said(&ask(&[&format!("{good}, {good}")])), malformed);
    assert_eq!(said(&ask(&[&good, &good])), malformed);

    let missing = (401, r#"Bearer realm="api""#);
    assert_eq!(said(&ask(&[])), missing);
    assert_eq!(said(&ask(&["Basic eA=="])), missing);
    assert_eq!(said(&ask(&[""])), missing);
    assert_eq!(said(&ask(&[&good.replacen(' ', "\t", 1)])), missing);

    let invalid = (401, r#"Bearer realm="api", error="invalid_token""#);
    assert_eq!(said(&ask(&["Bearer x.y.z"])), invalid);
    assert_eq!(said(&ask(&["Bearer an\"invalid\"token"])), invalid);
    let mut expired = claims();
    expired["exp"] = 1.into();
    assert_eq!(said(&ask(&[&format!("Bearer {}", signer.token(&expired))])), invalid);
    let mut foreign = claims();
    foreign["aud"] = "https://other.example".into();
    assert_eq!(said(&ask(&[&format!("Bearer {}", signer.token(&foreign))])), invalid);

    let insufficient = r#"Bearer realm="api", error="insufficient_scope", scope="read admin""#;
    assert_eq!(said(&ask(&[&good])), (403, insufficient));
}

#[test]
fn basic_credentials_that_cannot_be_read_are_not_valid() {
    let (_program, address, _) = serve();
    let challenge = (401, r#"Basic realm="site", charset="UTF-8""#);
    for odd in [
        "Basic",
        "Basic !",
        "Basic Zm9v=OmJhcg==",
        "Basic Zm9vOmJhcg",       // no padding
        "Basic bm8gY29sb24=",     // no colon
        "Basic Zm9vADpiYXI=",     // NUL
        "Basic Zm9vDQpYOmJhcg==", // CR LF
        "Basic /zphYmM=",         // no UTF-8
        "Basic YWxpY2U6d3Jvbmc=",
        "Basic Ym9iOnNlY3JldA==",
    ] {
        let answer = raw::get(&address, "/site/", &[("Authorization", odd)]);
        assert_eq!(said(&answer), challenge, "{odd}");
    }
}
