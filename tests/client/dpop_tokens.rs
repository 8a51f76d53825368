//! `TokenEndpointBuilder::dpop` with an issuer in this process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response, header::AUTHORIZATION};
use serde_json::{Value, json};
use tower_auth::{
    client::{
        AttachError, AttachErrorKind, ClientCredentials, ExchangedToken, RefreshGrant,
        RefreshingToken, SubjectToken, TokenEndpoint, TokenEndpointBuilder, TokenSource as _,
    },
    dpop::DpopKey,
    observe::Event,
};
use tower_auth_test_support::provider::token_part;

use crate::BoxError;

/// Issues tokens to requests whose proof has the current nonce. The refresh token `r1` is valid at
/// first, each is accepted once.
#[derive(Clone, Default)]
struct TokenServer(Arc<Mutex<ServerState>>);

#[derive(Default)]
struct ServerState {
    nonce: Option<String>,
    /// Rejects each nonce.
    never_satisfied: bool,
    /// Sends another `token_type` than `DPoP`.
    token_type: Option<&'static str>,
    /// The nonce in successful responses.
    next_nonce: Option<&'static str>,
    generation: u32,
    requests: Vec<TokenRequest>,
}

struct TokenRequest {
    form: HashMap<String, String>,
    /// The claims of the proof.
    proof: Value,
    authorization: Option<String>,
}

impl ServerState {
    fn respond(&mut self, request: &Request<Bytes>) -> Response<Bytes> {
        let form = url_parts(request.body());
        let proof = request.headers().get("dpop").map(|proof| proof.to_str().unwrap());
        let proof = proof.map_or(Value::Null, |proof| token_part(proof, 1));
        let authorization = request.headers().get(AUTHORIZATION);
        let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
        let is_right = proof["nonce"].as_str() == self.nonce.as_deref();
        let refresh_token = form.get("refresh_token").cloned();
        self.requests.push(TokenRequest { form, proof, authorization });

        let mut response = Response::builder();
        if self.nonce.is_some() && (!is_right || self.never_satisfied) {
            response = response.header("dpop-nonce", self.nonce.as_deref().unwrap()).status(400);
            let body = json!({ "error": "use_dpop_nonce", "error_description": "get one" });
            return response.body(body.to_string().into()).unwrap();
        }
        if let Some(next) = self.next_nonce {
            self.nonce = Some(next.to_owned());
            response = response.header("dpop-nonce", next);
        }
        let mut body = json!({
            "access_token": format!("at-{}", self.requests.len()),
            "token_type": self.token_type.unwrap_or("DPoP"),
            "expires_in": 600,
        });
        if let Some(sent) = refresh_token {
            if sent != format!("r{}", self.generation + 1) {
                let body = json!({ "error": "invalid_grant" }).to_string();
                return response.status(400).body(body.into()).unwrap();
            }
            self.generation += 1;
            body["refresh_token"] = format!("r{}", self.generation + 1).into();
        }
        response.body(body.to_string().into()).unwrap()
    }
}

/// Parses a form whose values need no decoding.
fn url_parts(body: &Bytes) -> HashMap<String, String> {
    let body = str::from_utf8(body).unwrap();
    let pairs = body.split('&').map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl TokenServer {
    fn asking_for(nonce: &str) -> Self {
        let server = Self::default();
        server.set(|state| state.nonce = Some(nonce.to_owned()));
        server
    }

    fn set<T>(&self, change: impl FnOnce(&mut ServerState) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    fn builder(&self) -> TokenEndpointBuilder {
        let server = self.clone();
        TokenEndpoint::url("https://issuer.example:443/token?tenant=1").client_id("app").client(
            move |request: Request<Bytes>| {
                let response = server.set(|state| state.respond(&request));
                async move { Ok::<_, BoxError>(response) }
            },
        )
    }

    fn endpoint(&self) -> TokenEndpoint {
        self.builder().dpop(DpopKey::new().unwrap()).build().unwrap()
    }

    /// Returns the nonces of the proofs, in order.
    fn nonces(&self) -> Vec<Option<String>> {
        let nonce = |request: &TokenRequest| request.proof["nonce"].as_str().map(str::to_owned);
        self.set(|state| state.requests.iter().map(nonce).collect())
    }
}

fn some(nonce: &str) -> Option<String> {
    Some(nonce.to_owned())
}

async fn failure(endpoint: TokenEndpoint) -> (AttachErrorKind, String) {
    let error = ClientCredentials::new(endpoint).token().await.unwrap_err();
    let error = error.downcast::<AttachError>().unwrap();
    (error.kind(), format!("{error:#}"))
}

#[tokio::test]
async fn proof_for_the_token_endpoint_has_its_url_and_no_hash_of_a_token() {
    let server = TokenServer::default();
    let token = RefreshingToken::new(ClientCredentials::new(server.endpoint()));
    assert_eq!(token.header_value().await.unwrap(), "DPoP at-1");
    server.set(|state| {
        let [request] = &state.requests[..] else { panic!("{}", state.requests.len()) };
        assert_eq!(request.proof["htm"], "POST");
        assert_eq!(request.proof["htu"], "https://issuer.example/token");
        assert_eq!((request.proof.get("ath"), request.proof.get("nonce")), (None, None));
    });
}

#[tokio::test]
async fn nonce_of_the_issuer_is_kept_and_replaced() {
    let server = TokenServer::asking_for("n1");
    let grant = ClientCredentials::new(server.endpoint());
    for _ in 0..2 {
        drop(grant.token().await.unwrap());
    }
    assert_eq!(server.nonces(), [None, some("n1"), some("n1")]);
    // The nonce of a successful response, then one that has expired.
    server.set(|state| state.next_nonce = Some("n2"));
    for _ in 0..2 {
        drop(grant.token().await.unwrap());
    }
    server.set(|state| (state.nonce, state.next_nonce) = (some("n3"), None));
    drop(grant.token().await.unwrap());
    assert_eq!(server.nonces()[3..], [some("n1"), some("n2"), some("n2"), some("n3")]);
    let ids = server.set(|state| {
        let ids = state.requests.iter().map(|request| request.proof["jti"].to_string());
        ids.collect::<std::collections::HashSet<_>>()
    });
    assert_eq!(ids.len(), 7);
}

#[tokio::test]
async fn issuer_that_is_never_satisfied_gets_two_attempts() {
    let server = TokenServer::asking_for("n1");
    server.set(|state| state.never_satisfied = true);
    let (kind, text) = failure(server.endpoint()).await;
    assert_eq!(kind, AttachErrorKind::Source);
    assert!(text.contains("use_dpop_nonce"), "{text}");
    assert_eq!(server.nonces(), [None, some("n1")]);
}

#[tokio::test]
async fn bearer_token_is_rejected_if_a_bound_token_was_requested() {
    let server = TokenServer::default();
    for (token_type, hint) in [("Bearer", "is not DPoP"), ("mac", "is not DPoP")] {
        server.set(|state| state.token_type = Some(token_type));
        let (kind, text) = failure(server.endpoint()).await;
        assert_eq!(kind, AttachErrorKind::Source);
        assert!(text.contains(hint), "{text}");
    }
    server.set(|state| state.token_type = Some("dpop"));
    drop(ClientCredentials::new(server.endpoint()).token().await.unwrap());
    // Without a key, a bound token cannot be used.
    let (_, text) = failure(server.builder().build().unwrap()).await;
    assert!(text.contains("is not Bearer"), "{text}");
    let last = server.set(|state| state.requests.last().unwrap().proof.clone());
    assert_eq!(last, Value::Null);
}

#[tokio::test]
async fn refresh_token_is_sent_again_with_the_nonce_and_not_lost() {
    let server = TokenServer::asking_for("n1");
    let grant = RefreshGrant::new(server.endpoint(), "r1").observer(|_: &Event<'_>| {});
    for _ in 0..3 {
        drop(grant.token().await.unwrap());
    }
    let sent = server.set(|state| {
        let tokens = state.requests.iter().map(|request| request.form["refresh_token"].clone());
        tokens.collect::<Vec<_>>()
    });
    // The first request has not used `r1`.
    assert_eq!(sent, ["r1", "r1", "r2", "r3"]);
    // A response with a bearer token is rejected, but its refresh token is the valid one.
    server.set(|state| state.token_type = Some("Bearer"));
    assert!(grant.token().await.is_err());
    server.set(|state| state.token_type = None);
    drop(grant.token().await.unwrap());
}

#[tokio::test]
async fn exchanged_token_is_bound_to_the_key() {
    let server = TokenServer::asking_for("n1");
    let endpoint = server.builder().client_secret("s3cret").dpop(DpopKey::new().unwrap());
    let tokens = ExchangedToken::new(endpoint.build().unwrap()).observer(|_: &Event<'_>| {});
    let value = tokens.header_value(&SubjectToken::new("of-alice")).await.unwrap();
    assert_eq!(value, "DPoP at-2");
    server.set(|state| {
        for request in &state.requests {
            assert_eq!(request.form["subject_token"], "of-alice");
            assert!(request.authorization.as_ref().unwrap().starts_with("Basic "));
        }
    });
    server.set(|state| state.never_satisfied = true);
    let error = tokens.header_value(&SubjectToken::new("of-bob")).await.unwrap_err();
    assert_eq!(error.kind(), AttachErrorKind::Source);
}

/// An assertion of the client is accepted once, so the second attempt needs another one.
#[tokio::test]
async fn each_attempt_has_its_own_client_assertion() {
    let server = TokenServer::asking_for("n1");
    let pem = "-----BEGIN PRIVATE KEY-----\n\
               MC4CAQAwBQYDK2VwBCIEIKVku7uKMdQvgCKttcFQbRCELS5csGJs7o96x7fZp0Pa\n\
               -----END PRIVATE KEY-----\n";
    let endpoint = server.builder().client_key(pem).dpop(DpopKey::from_pem(pem).unwrap());
    drop(ClientCredentials::new(endpoint.build().unwrap()).token().await.unwrap());
    server.set(|state| {
        let [first, second] = &state.requests[..] else { panic!("{}", state.requests.len()) };
        let id = |request: &TokenRequest| {
            token_part(&request.form["client_assertion"], 1)["jti"].clone()
        };
        assert_ne!(id(first), id(second));
    });
}
