//! Three services that call each other in the name of a user, and the issuer of their tokens.

use std::{future::IntoFuture as _, net::SocketAddr};

use axum::{Router, extract::State, routing::get};
use http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tonic_health::{
    pb::{
        HealthCheckRequest, HealthCheckResponse,
        health_client::HealthClient,
        health_server::{Health, HealthServer},
    },
    server::{HealthReporter, HealthService},
};
use tower_auth::{
    AuthenticateLayer, BasicAuth, Denial, JwtAuth, Policy as _, Principal, RequireScopes, Scheme,
    basic::Users,
    issue::{TokenIssuer, TokenRoutes},
    jwt::Jwks,
    observe::Event,
    policy_fn,
    revocation::Revocations,
    test_util::TestClock,
};
use tower_auth_test_support::{
    api::{Api, Reply},
    store::SwitchedStore,
};

use super::super::{ACCESS_TOKEN, Client, EXCHANGE, PASSWORD, basic, key_of, keys_with, send};

/// How services authenticate at the issuer.
#[derive(Clone, Copy, Debug)]
pub(super) enum ClientSecret {
    ApiKey,
    Password,
}

/// The issuer, and the services: `orders` calls `stock` over gRPC, which calls `audit`.
pub(super) struct Chain {
    pub(super) clock: TestClock,
    pub(super) store: SwitchedStore,
    pub(super) issuer: String,
    /// Sends requests to the issuer.
    pub(super) login: Client,
    pub(super) orders: Api,
    pub(super) stock: Channel,
    pub(super) audit: Api,
    clients: Vec<ServiceClient>,
}

/// The scopes of `alice`: one for each service.
const SCOPES: [&str; 3] = ["orders:read", "stock:read", "audit:write"];

/// The password of each client.
pub(super) const SECRET: &str = "s3cret of a service";

impl Chain {
    pub(super) async fn start(secret: ClientSecret) -> Self {
        let clock = TestClock::new();
        let store = SwitchedStore::new(clock.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let url = format!("http://{address}");
        let issuer = TokenIssuer::builder()
            .issuer(&*url)
            .audience("orders")
            .service_audiences(["stock", "audit"])
            .store(store.sealed())
            .observer(|_: &Event<'_>| {})
            .clock(clock.clone())
            .build()
            .unwrap();
        let keys = keys_with(clock.clone());
        let user = |name: &str| Principal::builder(name, Scheme::BASIC).scopes(SCOPES).build();
        let staff = Users::default().with(user("alice"), PASSWORD).unwrap();
        let ids = ["orders", "stock", "audit", "nightly"];
        let services = ids
            .into_iter()
            .fold(Users::default(), |users, id| users.with(user(id), SECRET).unwrap());
        let routes = TokenRoutes::builder(issuer, BasicAuth::new("staff", staff).unwrap())
            .client_passwords(BasicAuth::new("services", services).unwrap())
            .client_keys(keys.clone())
            .build()
            .unwrap();
        tokio::spawn(axum::serve(listener, routes.into_router()).into_future());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut clients = Vec::new();
        for id in ids {
            let authentication = match secret {
                ClientSecret::ApiKey => ("x-api-key", key_of(&keys, id).await),
                ClientSecret::Password => ("authorization", basic(id, SECRET)),
            };
            let (issuer, http) = (url.clone(), http.clone());
            clients.push(ServiceClient { id, authentication, issuer, http });
        }
        let login = Client { api: Api { address, client: http } };
        let tokens = |audience: &str| {
            JwtAuth::builder(Jwks::discover(&*url))
                .audience(audience)
                .access_token_profile()
                .clock(clock.clone())
                .observer(|_: &Event<'_>| {})
        };
        let revocations = Revocations::builder(store.sealed())
            .longest_token_life(std::time::Duration::from_secs(90 * 24 * 3_600))
            .clock(clock.clone())
            .build()
            .unwrap();
        // `orders` and `stock` share the store of the issuer, and `audit` does not.
        let audit = serve_audit(tokens("audit").build().unwrap()).await;
        let stock_tokens = tokens("stock").revocations(revocations.clone()).build().unwrap();
        let stock = serve_stock(stock_tokens, clients[1].clone(), audit.address.clone()).await;
        let orders_tokens = tokens("orders").revocations(revocations).build().unwrap();
        let orders = serve_orders(orders_tokens, clients[0].clone(), stock.clone()).await;
        Self { clock, store, issuer: url, login, orders, stock, audit, clients }
    }

    pub(super) fn client(&self, id: &str) -> &ServiceClient {
        self.clients.iter().find(|client| client.id == id).unwrap()
    }

    /// Calls `orders`.
    pub(super) async fn get_orders(&self, token: &str) -> Reply {
        self.orders.get_with_token(token, "/orders").await
    }

    /// Calls `audit`.
    pub(super) async fn get_audit(&self, token: &str) -> Reply {
        self.audit.get_with_token(token, "/audit").await
    }

    /// Calls `stock`, and returns who called each service.
    pub(super) async fn get_stock(&self, token: &str) -> Result<Value, Status> {
        call_stock(&self.stock, token).await.map(|text| serde_json::from_str(&text).unwrap())
    }

    /// Returns a token that a service has exchanged another one for.
    pub(super) async fn exchanged(
        &self,
        client: &str,
        token: &str,
        audience: &str,
        scope: &str,
    ) -> String {
        let reply = self.client(client).exchange(token, audience, scope).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        access_token(&reply)
    }
}

/// A service in its role as a client of the issuer.
#[derive(Clone)]
pub(super) struct ServiceClient {
    id: &'static str,
    /// The name and the value of a header field.
    authentication: (&'static str, String),
    issuer: String,
    http: reqwest::Client,
}

impl ServiceClient {
    /// Exchanges a token.
    pub(super) async fn exchange(&self, token: &str, audience: &str, scope: &str) -> Reply {
        let parameters = json!({
            "grant_type": EXCHANGE, "subject_token": token, "subject_token_type": ACCESS_TOKEN,
            "audience": audience, "scope": scope,
        });
        self.send("/token/exchange", &parameters).await
    }

    /// Returns a token of the service itself.
    pub(super) async fn token_for(&self, audience: &str) -> String {
        let parameters = json!({ "grant_type": "client_credentials", "audience": audience });
        access_token(&self.send("/token", &parameters).await)
    }

    async fn send(&self, path: &str, parameters: &Value) -> Reply {
        let (name, value) = &self.authentication;
        let request = self.http.post(format!("{}{path}", self.issuer)).header(*name, value);
        send(request, parameters).await
    }
}

pub(super) fn access_token(reply: &Reply) -> String {
    let body: Value = serde_json::from_str(&reply.body).unwrap();
    body["access_token"].as_str().unwrap().to_owned()
}

/// Returns who calls a service, and what the next one returned.
fn callers(caller: &Principal, next: &str) -> String {
    let act = caller.claim::<Value>("act").unwrap_or_default();
    let next: Value = serde_json::from_str(next).unwrap();
    json!({ "sub": caller.subject(), "act": act, "next": next }).to_string()
}

async fn serve_audit(tokens: JwtAuth) -> Api {
    let through_stock =
        policy_fn("through stock", |caller, _| match caller.claim::<&str>("/act/sub") {
            Ok("stock") => Ok(()),
            _ => Err(Denial::forbidden()),
        });
    let app = Router::new()
        .route("/audit", get(async |caller: Principal| callers(&caller, "null")))
        .layer(RequireScopes::all(["audit:write"]).and(through_stock))
        .layer(AuthenticateLayer::new(tokens));
    Api::serve(app).await
}

async fn serve_stock(tokens: JwtAuth, client: ServiceClient, audit: String) -> Channel {
    let health = HealthService::from_health_reporter(HealthReporter::new());
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address: SocketAddr = incoming.local_addr().unwrap();
    let server = Server::builder()
        .layer(AuthenticateLayer::new(tokens))
        .layer(RequireScopes::all(["stock:read"]))
        .add_service(HealthServer::new(Stock { health, client, audit }));
    tokio::spawn(server.serve_with_incoming(incoming));
    Endpoint::new(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// A gRPC service that returns who called it in the metadata `callers`.
struct Stock {
    health: HealthService,
    client: ServiceClient,
    audit: String,
}

#[tonic::async_trait]
impl Health for Stock {
    type WatchStream = <HealthService as Health>::WatchStream;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let caller: Principal = request.extensions().get().cloned().unwrap();
        let token = bearer_token(request.metadata().as_ref());
        let reply = self.client.exchange(token, "audit", "audit:write").await;
        if reply.status != StatusCode::OK {
            return Err(Status::failed_precondition(reply.body));
        }
        let url = format!("http://{}/audit", self.audit);
        let audited = self.client.http.get(url).bearer_auth(access_token(&reply));
        let reply = Reply::to(audited).await;
        if reply.status != StatusCode::OK {
            return Err(Status::failed_precondition(reply.status.to_string()));
        }
        let mut response = self.health.check(request).await?;
        response.metadata_mut().insert("callers", callers(&caller, &reply.body).parse().unwrap());
        Ok(response)
    }

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}

/// Calls `stock` with a token, and returns who called it as JSON.
async fn call_stock(channel: &Channel, token: &str) -> Result<String, Status> {
    let mut request = Request::new(HealthCheckRequest::default());
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let response = HealthClient::new(channel.clone()).check(request).await?;
    Ok(response.metadata().get("callers").unwrap().to_str().unwrap().to_owned())
}

async fn serve_orders(tokens: JwtAuth, client: ServiceClient, stock: Channel) -> Api {
    let app = Router::new()
        .route("/orders", get(orders))
        .layer(RequireScopes::all(["orders:read"]))
        .layer(AuthenticateLayer::new(tokens))
        .with_state((client, stock));
    Api::serve(app).await
}

async fn orders(
    State((client, stock)): State<(ServiceClient, Channel)>,
    caller: Principal,
    headers: HeaderMap,
) -> Result<String, (StatusCode, String)> {
    let scope = "stock:read audit:write";
    let reply = client.exchange(bearer_token(&headers), "stock", scope).await;
    if reply.status != StatusCode::OK {
        return Err((StatusCode::BAD_GATEWAY, reply.body));
    }
    let next = call_stock(&stock, &access_token(&reply)).await;
    let next = next.map_err(|status| (StatusCode::BAD_GATEWAY, status.message().to_owned()))?;
    Ok(callers(&caller, &next))
}

fn bearer_token(headers: &HeaderMap) -> &str {
    headers[AUTHORIZATION].to_str().unwrap().strip_prefix("Bearer ").unwrap()
}
