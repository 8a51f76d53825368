//! Tokens that are bound to a key (`cnf`, RFC 7800), of both forms.

use http::{Request, request::Parts};
use serde_json::{Value, json};
use tower_auth::{
    Authenticator, JwtAuth, Principal, Rejection, RejectionKind,
    bearer::TokenVerifier,
    binding::{Binding, Cnf, Confirmation, Evidence},
    issue::{ExchangeError, TokenIssuer, TokenPair},
    jwt::TokenError,
};

use super::{
    super::fixture::{Fixture, grant, log_in, next, ready},
    assert_rejected, later, verify,
};

/// Compares the `jkt` of the token with the header `proof`. It is no real binding.
struct HeaderBinding;

impl Binding for HeaderBinding {
    fn evidence(&self, head: &Parts) -> Option<Evidence> {
        let proof = head.headers.get("proof")?.to_str().ok()?;
        Some(Evidence::of_request(head).with_proof(proof))
    }

    fn confirm(&self, cnf: &Cnf, evidence: Option<Evidence>, _: &str) -> Confirmation {
        let members = cnf.members::<Value>().unwrap();
        let sent = evidence.as_ref().and_then(Evidence::proof);
        Confirmation::ready(match sent.is_some() && members["jkt"].as_str() == sent {
            true => Ok(()),
            false => Err(Rejection::new(RejectionKind::InvalidCredentials)),
        })
    }
}

fn cnf(key: &str) -> Cnf {
    Cnf::new(&json!({ "jkt": key })).unwrap()
}

fn issuers(fixture: &Fixture) -> [TokenIssuer; 2] {
    let build = || fixture.builder().service_audiences(["invoices"]);
    [build().build().unwrap(), build().opaque_access_tokens().build().unwrap()]
}

fn bound(issuer: &TokenIssuer) -> TokenPair {
    ready(issuer.issue(grant("alice").confirmation(cnf("k1")))).unwrap()
}

fn send(verifier: &JwtAuth, token: &str, proof: &str) -> Result<Principal, Rejection> {
    let request = Request::get("/").header("authorization", format!("Bearer {token}"));
    let head = request.header("proof", proof).body(()).unwrap().into_parts().0;
    let authentication = verifier.authenticate(&head).unwrap();
    later(authentication).into_result()
}

#[test]
fn bound_token_is_accepted_only_with_its_key_also_after_a_refresh() {
    let fixture = Fixture::new();
    for issuer in issuers(&fixture) {
        let first = bound(&issuer);
        let second = next(&issuer, &first);
        let third = next(&issuer, &second);
        let binding = issuer.verifier_builder().binding(HeaderBinding).build().unwrap();
        for pair in [first, second, third] {
            let token = pair.access_token();
            assert_eq!(
                (pair.token_type(), &pair.to_json()["token_type"]),
                ("DPoP", &json!("DPoP"))
            );
            assert_rejected(&verify(&issuer, token), &TokenError::Unconfirmed);
            assert!(send(&issuer.verifier(), token, "k1").is_err());
            let caller = send(&binding, token, "k1").unwrap();
            assert_eq!(caller.confirmation(), Some(&cnf("k1")));
            assert!(send(&binding, token, "k2").is_err());
            let unconfirmed = later(issuer.verifier().verify_unconfirmed(token)).unwrap();
            assert_eq!(unconfirmed.confirmation(), Some(&cnf("k1")));
        }
        let plain = log_in(&issuer);
        assert_eq!(plain.to_json()["token_type"], "Bearer");
        assert_eq!(send(&binding, plain.access_token(), "k2").unwrap().confirmation(), None);
    }
}

#[test]
fn certificate_bound_token_is_sent_as_bearer() {
    let fixture = Fixture::new();
    for issuer in issuers(&fixture) {
        let cnf = Cnf::new(&json!({ "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2" }));
        let cnf = cnf.unwrap();
        let pair = ready(issuer.issue(grant("alice").confirmation(cnf.clone()))).unwrap();
        assert_eq!(pair.token_type(), "Bearer");
        let caller = later(issuer.verifier().verify_unconfirmed(pair.access_token())).unwrap();
        assert_eq!(caller.confirmation(), Some(&cnf));
    }
}

#[test]
fn token_of_a_client_can_be_bound() {
    let fixture = Fixture::new();
    for issuer in issuers(&fixture) {
        let client = verify(&issuer, log_in(&issuer).access_token()).unwrap();
        let request = issuer.issue_to_client(&client).confirmation(cnf("k1"));
        let token = ready(request.into_future()).unwrap();
        assert_eq!(token.token_type(), "DPoP");
        assert_rejected(&verify(&issuer, token.access_token()), &TokenError::Unconfirmed);
    }
}

#[test]
fn bound_token_is_exchanged_only_for_a_token_that_is_bound_to_another_key() {
    let fixture = Fixture::new();
    for issuer in issuers(&fixture) {
        let binding = issuer.verifier_builder().binding(HeaderBinding).build().unwrap();
        let caller = send(&binding, bound(&issuer).access_token(), "k1").unwrap();
        let exchange = || issuer.exchange(&caller, "invoices", ["read"]);
        let rejected = ready(exchange().into_future());
        assert!(matches!(rejected, Err(ExchangeError::Bound)), "{rejected:?}");
        let token = ready(exchange().confirmation(cnf("k2")).into_future()).unwrap();
        let invoices = issuer.verifier_builder().audience("invoices").build().unwrap();
        let acting = later(invoices.verify_unconfirmed(token.access_token())).unwrap();
        assert_eq!(acting.confirmation(), Some(&cnf("k2")));
        assert_eq!(acting.subject(), "alice");
    }
}

#[test]
fn confirmation_without_members_is_an_invalid_grant() {
    use tower_auth::issue::IssueError;

    let fixture = Fixture::new();
    for issuer in issuers(&fixture) {
        let empty = Cnf::new(&json!({})).unwrap();
        let result = ready(issuer.issue(grant("alice").confirmation(empty.clone())));
        assert!(matches!(result, Err(IssueError::Invalid(_))), "{result:?}");
        let client = verify(&issuer, log_in(&issuer).access_token()).unwrap();
        let request = issuer.issue_to_client(&client).confirmation(empty);
        let result = ready(request.into_future());
        assert!(matches!(result, Err(IssueError::Invalid(_))), "{result:?}");
    }
}
