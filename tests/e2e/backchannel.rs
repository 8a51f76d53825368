//! Real logout tokens: a user logs in at the provider and out again, and the provider notifies the
//! service.

use std::{future::IntoFuture as _, time::Duration};

use axum::{Router, routing::get};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_auth::{
    AuthenticateLayer, JwtAuth, Principal,
    jwt::Jwks,
    revocation::{BackchannelLogout, Revocations},
    store::SealedStore,
};
use tower_auth_test_support::provider::{Provider, client, token_part};

/// The audience of access tokens.
const RESOURCE: &str = "urn:orders";

/// A service that accepts access tokens and, at another path, the ID tokens of a client.
struct Service {
    provider: Provider,
    address: String,
}

impl Service {
    async fn start(client_id: &str) -> Option<Self> {
        let provider = Provider::start_script("logout_provider.mjs")?;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        provider.post_control(&format!("service?uri={address}/backchannel-logout")).await;

        let keys = || Jwks::discover(&*provider.issuer);
        let revocations = Revocations::builder(SealedStore::memory())
            .longest_token_life(Duration::from_secs(3_600))
            .staleness(Duration::ZERO)
            .build()
            .unwrap();
        let tokens = |audience| {
            let builder = JwtAuth::builder(keys()).audience(audience);
            builder.revocations(revocations.clone()).build().unwrap()
        };
        let logout = BackchannelLogout::builder(keys())
            .client_id(client_id)
            .revocations(revocations.clone())
            .build()
            .unwrap();
        let route = |tokens| {
            let handler = get(async |caller: Principal| caller.subject().to_owned());
            handler.layer(AuthenticateLayer::new(tokens))
        };
        let app = Router::new()
            .route("/access-token", route(tokens(RESOURCE)))
            .route("/id-token", route(tokens(client_id)))
            .route_service("/backchannel-logout", logout);
        tokio::spawn(axum::serve(listener, app).into_future());
        Some(Self { provider, address })
    }

    /// Logs alice in. Returns her access token and her ID token.
    async fn log_in(&self, client_id: &str, browser: &str) -> [String; 2] {
        let command = format!("login?client={client_id}&browser={browser}");
        let tokens = self.provider.get_control(&command).await;
        let token = |name: &str| match &tokens[name] {
            Value::String(token) => token.clone(),
            _ => panic!("{tokens}"),
        };
        [token("access_token"), token("id_token")]
    }

    /// Logs alice out at the provider. Returns the results of its requests to services.
    async fn log_out(&self, browser: &str) -> Value {
        self.provider.get_control(&format!("logout?browser={browser}")).await
    }

    async fn status(&self, path: &str, token: &str) -> u16 {
        let request = client().get(format!("{}/{path}", self.address)).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_logout_of_a_session_rejects_its_id_token() {
    let Some(service) = Service::start("with-sid").await else { return };
    let [_, phone] = service.log_in("with-sid", "phone").await;
    let [_, laptop] = service.log_in("with-sid", "laptop").await;
    let sid = |token: &str| token_part(token, 1)["sid"].as_str().map(str::to_owned);
    assert!(sid(&phone).is_some() && sid(&phone) != sid(&laptop));
    assert_eq!(service.status("id-token", &phone).await, 200);
    assert_eq!(service.status("id-token", &laptop).await, 200);

    assert_eq!(service.log_out("phone").await, json!(["with-sid: ok"]));
    assert_eq!(service.status("id-token", &phone).await, 401);
    assert_eq!(service.status("id-token", &laptop).await, 200);

    assert_eq!(service.log_out("laptop").await, json!(["with-sid: ok"]));
    assert_eq!(service.status("id-token", &laptop).await, 401);
}

/// The access tokens of the provider have no `sid`, so the client does not ask for it.
#[tokio::test(flavor = "multi_thread")]
async fn real_logout_of_a_subject_rejects_access_tokens_without_sid() {
    let Some(service) = Service::start("with-sub").await else { return };
    let [phone, _] = service.log_in("with-sub", "phone").await;
    let [laptop, _] = service.log_in("with-sub", "laptop").await;
    assert_eq!(token_part(&phone, 1).get("sid"), None);
    assert_eq!(service.status("access-token", &phone).await, 200);

    assert_eq!(service.log_out("phone").await, json!(["with-sub: ok"]));
    assert_eq!(service.status("access-token", &phone).await, 401);
    // Without `sid`, the user is logged out on all devices (§2.4).
    assert_eq!(service.status("access-token", &laptop).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn real_logout_token_for_another_client_is_rejected() {
    let Some(service) = Service::start("other").await else { return };
    let [phone, _] = service.log_in("with-sub", "phone").await;
    let results = service.log_out("phone").await;
    let result = results[0].as_str().unwrap();
    assert!(result.contains("400 Bad Request"), "{result}");
    assert_eq!(service.status("access-token", &phone).await, 200);
}
