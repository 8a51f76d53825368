//! A service that asks the endpoint of an issuer about tokens, with `Introspection`.

use axum::{Router, routing::get};
use http::request::Parts;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_auth::{
    AuthenticateLayer, Principal, Rejection, RejectionKind,
    bearer::BearerAuth,
    binding::{Binding, Cnf, Confirmation, Evidence},
    introspection::Introspection,
    issue::{Grant, TokenIssuerBuilder},
    store::StoreErrorKind,
    test_util::principal,
};
use tower_auth_test_support::api::{Api, Reply};

use super::{SECRET, Setup, routes, with_services};

type Configure = fn(TokenIssuerBuilder) -> TokenIssuerBuilder;

const FORMS: [Configure; 2] =
    [with_services, |issuer| with_services(issuer).opaque_access_tokens()];

/// An issuer on a socket, and a service on another one. They share a mock clock.
struct Fixture {
    setup: Setup,
    service: Api,
}

impl Fixture {
    async fn new(form: Configure) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let setup = Setup::with(|issuer| form(issuer).issuer(&url));
        let app = routes(&setup).build().unwrap().into_router();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let tokens = Introspection::discover(&url)
            .client_secret("orders", SECRET)
            .audience("orders")
            .clock(setup.clock.clone())
            .build()
            .unwrap();
        let tokens = BearerAuth::new(tokens).binding(HeaderBinding);
        let describe = async |caller: Principal| caller.claims::<Value>().unwrap().to_string();
        let app = Router::new().route("/me", get(describe)).layer(AuthenticateLayer::new(tokens));
        Self { service: Api::serve(app).await, setup }
    }

    async fn ask(&self, token: &str) -> Reply {
        self.service.get_with_token(token, "/me").await
    }

    async fn issue(&self, grant: Grant) -> tower_auth::issue::TokenPair {
        self.setup.issuer.issue(grant).await.unwrap()
    }
}

fn alice() -> Grant {
    Grant::new(&principal("alice").scopes(["read"]).build())
}

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

#[tokio::test]
async fn service_accepts_tokens_of_both_forms_until_the_logout() {
    for form in FORMS {
        let fixture = Fixture::new(form).await;
        let pair = fixture.issue(alice()).await;
        let reply = fixture.ask(pair.access_token()).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let claims: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!((&claims["sub"], &claims["scope"]), (&json!("alice"), &json!("read")));
        fixture.setup.issuer.logout(pair.refresh_token()).await.unwrap();
        // The service keeps an answer for 30 s.
        fixture.setup.advance(31);
        assert_eq!(fixture.ask(pair.access_token()).await.status, 401);
    }
}

#[tokio::test]
async fn service_rejects_tokens_that_are_not_for_it() {
    for form in FORMS {
        let fixture = Fixture::new(form).await;
        let pair = fixture.issue(alice()).await;
        let client = principal("job").scopes(["read"]).build();
        let other = fixture.setup.issuer.issue_to_client(&client).audience("invoices");
        let other = other.await.unwrap();
        for text in [other.access_token(), pair.refresh_token(), "x", "at_x"] {
            let reply = fixture.ask(text).await;
            assert_eq!(reply.status, 401, "{reply:?}");
        }
        let reply = fixture.ask(pair.access_token()).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
}

#[tokio::test]
async fn outage_of_the_store_of_the_issuer_is_an_outage_of_the_service() {
    for form in FORMS {
        let fixture = Fixture::new(form).await;
        let (known, pair) = (fixture.issue(alice()).await, fixture.issue(alice()).await);
        assert_eq!(fixture.ask(known.access_token()).await.status, 200);
        fixture.setup.store.set_fault(StoreErrorKind::Unavailable);
        let reply = fixture.ask(pair.access_token()).await;
        assert_eq!(reply.status, 503, "{reply:?}");
        assert!(reply.headers.contains_key("retry-after"), "{reply:?}");
        assert_eq!(fixture.ask(known.access_token()).await.status, 200);
        fixture.setup.store.set_fault(None);
        // The service does not ask again at once.
        fixture.setup.advance(60);
        assert_eq!(fixture.ask(pair.access_token()).await.status, 200);
    }
}

#[tokio::test]
async fn bound_token_needs_its_key_at_the_service() {
    for form in FORMS {
        let fixture = Fixture::new(form).await;
        let cnf = Cnf::new(&json!({ "jkt": "k1" })).unwrap();
        let pair = fixture.issue(alice().confirmation(cnf)).await;
        for (proof, status) in [("k1", 200), ("k2", 401), ("k1", 200)] {
            let request = fixture.service.get("/me").header("proof", proof);
            let reply = Reply::to(request.bearer_auth(pair.access_token())).await;
            assert_eq!(reply.status, status, "{reply:?}");
        }
        assert_eq!(fixture.ask(pair.access_token()).await.status, 401);
    }
}
