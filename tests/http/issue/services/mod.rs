//! The endpoints for services: token exchange, and tokens of clients.

mod chain;
mod clients;
mod exchange;
mod grants;
mod introspected;
mod introspection;
mod logout;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::header::AUTHORIZATION;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tower_auth::{
    BasicAuth, Principal, Scheme,
    api_key::{ApiKeys, MemoryApiKeys, NewApiKey},
    basic::{PasswordVerifier, Users},
    issue::{TokenIssuerBuilder, TokenRoutesBuilder},
    observe::Event,
    test_util::TestClock,
};
use tower_auth_test_support::api::Reply;

use super::{Client, PASSWORD, Setup, assert_error, checked, claims_of};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// The password of the client `orders`, with characters that oauth4webapi encodes.
const SECRET: &str = "s-e_c.r~e+t %41:&=ä";

fn setup() -> Setup {
    Setup::with(with_services)
}

fn with_services(issuer: TokenIssuerBuilder) -> TokenIssuerBuilder {
    issuer.service_audiences(["invoices", "payments"])
}

/// Returns the clients with a password: `orders` with the scopes `read` and `write`, and `stock`
/// with none.
fn passwords(setup: &Setup) -> BasicAuth<impl PasswordVerifier + use<>> {
    let orders = Principal::builder("orders", Scheme::BASIC).scopes(["read", "write"]).build();
    let stock = Principal::builder("stock", Scheme::BASIC).build();
    let users = Users::default().with(orders, SECRET).unwrap().with(stock, SECRET).unwrap();
    setup.limited(users)
}

fn keys(setup: &Setup) -> ApiKeys {
    keys_with(setup.clock.clone())
}

fn keys_with(clock: TestClock) -> ApiKeys {
    let keys = ApiKeys::builder("acme", MemoryApiKeys::new()).dangerous_trust_owners();
    keys.clock(clock).observer(|_: &Event<'_>| {}).build().unwrap()
}

/// Creates a key of an owner, with the scope `read`.
async fn key_of(keys: &ApiKeys, owner: &str) -> String {
    let request = NewApiKey::new("test").scopes("read");
    keys.dangerous_create_for(owner, request).await.unwrap().key().to_owned()
}

fn routes(setup: &Setup) -> TokenRoutesBuilder {
    setup.builder().client_passwords(passwords(setup))
}

/// Returns the parameters of an exchange for `invoices`.
fn parameters(token: &str) -> Value {
    json!({
        "grant_type": EXCHANGE, "subject_token": token, "subject_token_type": ACCESS_TOKEN,
        "audience": "invoices",
    })
}

/// Encodes text like a value in a form, and every byte of it that is not a letter or a digit.
fn encode(text: &str) -> String {
    let encode = |byte: u8| match byte.is_ascii_alphanumeric() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(id), encode(secret))))
}

fn form(parameters: &Value) -> String {
    let pairs = parameters.as_object().unwrap().iter();
    let pairs = pairs.map(|(name, value)| format!("{name}={}", encode(value.as_str().unwrap())));
    pairs.collect::<Vec<_>>().join("&")
}

/// Creates a request of the client `orders`.
fn as_orders(client: &Client, path: &str) -> RequestBuilder {
    client.post(path).header(AUTHORIZATION, basic("orders", SECRET))
}

/// Sends the parameters as a form.
async fn send(request: RequestBuilder, parameters: &Value) -> Reply {
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    Reply::to(request.body(form(parameters))).await
}

/// Sends the exchange of a token as the client `orders`.
async fn exchange(client: &Client, parameters: &Value) -> Reply {
    checked(send(as_orders(client, "/token"), parameters).await)
}

fn body(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{reply:?}");
    serde_json::from_str(&reply.body).unwrap()
}

fn issued(reply: &Reply) -> Value {
    claims_of(body(reply)["access_token"].as_str().unwrap())
}

fn without(parameters: &Value, name: &str) -> Value {
    let mut parameters = parameters.clone();
    parameters.as_object_mut().unwrap().remove(name);
    parameters
}

fn with(parameters: &Value, name: &str, value: impl Into<Value>) -> Value {
    let mut parameters = parameters.clone();
    parameters[name] = value.into();
    parameters
}
