//! Several schemes, optional authentication and asynchronous verifiers.

use axum::{Router, routing::get};
use tokio::sync::{mpsc, oneshot};
use tower_auth::{
    AuthenticateLayer, Authenticator, BasicAuth, Principal, RequireScopes, any_of,
    basic::{BasicCredentials, Verdict},
};
use tower_auth_test_support::raw;

use super::{Api, Issuer, greet, staff};

const BEARER: &str = r#"Bearer realm="api""#;
const BASIC: &str = r#"Basic realm="staff", charset="UTF-8""#;

/// `alice:secret`.
const ALICE: &str = "Basic YWxpY2U6c2VjcmV0";

fn app<A>(layer: AuthenticateLayer<A>) -> Router
where
    A: Authenticator + 'static,
{
    Router::new().route("/", get(greet)).layer(layer)
}

#[tokio::test]
async fn any_of_accepts_both_schemes() {
    let issuer = Issuer::new();
    let api = Api::serve(app(AuthenticateLayer::new(any_of((issuer.auth(), staff()))))).await;

    assert_eq!(api.get_with_token(&issuer.token(), "/").await.body, "hello user-1");
    assert_eq!(api.get_as_staff("secret", "/").await.body, "hello alice");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_scheme_has_its_own_challenge_line() {
    let issuer = Issuer::new();
    let api = Api::serve(app(AuthenticateLayer::new(any_of((issuer.auth(), staff()))))).await;

    let missing = raw::get(&api.address, "/", &[]);
    assert_eq!(missing.status, 401);
    assert_eq!(missing.header_values("www-authenticate"), [BEARER, BASIC]);

    let unknown = raw::get(&api.address, "/", &[("Authorization", "Digest username=\"alice\"")]);
    assert_eq!(unknown.status, 401);
    assert_eq!(unknown.header_values("www-authenticate"), [BEARER, BASIC]);

    let wrong = api.get_as_staff("guess", "/").await;
    assert_eq!(wrong.status, 401);
    assert_eq!(wrong.challenges(), [BEARER, BASIC]);

    let expired = api.get_with_token(&issuer.expired_token(), "/").await;
    assert_eq!(expired.status, 401);
    assert_eq!(expired.challenges(), [r#"Bearer realm="api", error="invalid_token""#, BASIC]);
}

#[tokio::test]
async fn token_rejected_by_first_authenticator_is_not_tried_by_second() {
    let (first, second) = (Issuer::new(), Issuer::new());
    let layer = AuthenticateLayer::new(any_of((first.auth(), second.auth())));
    let api = Api::serve(app(layer)).await;

    assert_eq!(api.get_with_token(&first.token(), "/").await.status, 200);
    assert_eq!(api.get_with_token(&second.token(), "/").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_authorization_headers_return_400() {
    let issuer = Issuer::new();
    let api = Api::serve(app(AuthenticateLayer::new(any_of((issuer.auth(), staff()))))).await;
    let bearer = format!("Bearer {}", issuer.token());

    for lines in [[&*bearer, ALICE], [ALICE, &*bearer], [&*bearer, &*bearer], [ALICE, "Digest x"]] {
        let response = raw::get(&api.address, "/", &lines.map(|line| ("Authorization", line)));
        assert_eq!(response.status, 400, "{response:?}");
        assert_eq!(response.body, "");
    }
    let single = raw::get(&api.address, "/", &[("Authorization", ALICE)]);
    assert_eq!(single.body, "hello alice");
}

#[tokio::test]
async fn optional_layer_accepts_missing_but_not_invalid_credentials() {
    async fn greet(caller: Option<Principal>) -> String {
        caller.map_or("hello anonymous".into(), |caller| format!("hello {}", caller.subject()))
    }
    let issuer = Issuer::new();
    let app = Router::new()
        .route("/", get(greet))
        .route("/orders", get(greet).layer(RequireScopes::all(["read"])))
        .layer(AuthenticateLayer::optional(any_of((issuer.auth(), staff()))));
    let api = Api::serve(app).await;

    assert_eq!(api.get_anonymous("/").await.body, "hello anonymous");
    assert_eq!(api.get_with_token(&issuer.token(), "/").await.body, "hello user-1");
    assert_eq!(api.get_as_staff("guess", "/").await.status, 401);
    assert_eq!(api.get_with_token(&issuer.expired_token(), "/").await.status, 401);

    let anonymous = api.get_anonymous("/orders").await;
    assert_eq!(anonymous.status, 401);
    assert_eq!(anonymous.challenges(), [BEARER, BASIC]);
    assert_eq!(api.get_with_token(&issuer.token(), "/orders").await.body, "hello user-1");
}

#[tokio::test]
async fn async_verifier_may_wait_for_another_task() {
    // A user store in a separate task, which checks passwords that it receives over a channel.
    let (requests, mut receiver) = mpsc::channel::<(String, oneshot::Sender<bool>)>(1);
    tokio::spawn(async move {
        while let Some((password, result)) = receiver.recv().await {
            result.send(password == "secret").unwrap();
        }
    });
    let verifier = move |credentials: BasicCredentials| {
        let requests = requests.clone();
        async move {
            let (result_sender, result) = oneshot::channel();
            requests.send((credentials.password().to_owned(), result_sender)).await.unwrap();
            match result.await {
                Ok(true) => Verdict::Verified(credentials.to_principal().build()),
                Ok(false) => Verdict::Invalid,
                Err(error) => Verdict::unavailable(error),
            }
        }
    };
    let layer = AuthenticateLayer::new(BasicAuth::new("staff", verifier).unwrap());
    let api = Api::serve(app(layer)).await;

    assert_eq!(api.get_as_staff("secret", "/").await.body, "hello alice");
    assert_eq!(api.get_as_staff("guess", "/").await.status, 401);
}

#[tokio::test]
async fn user_store_outage_returns_503_with_retry_after() {
    let verifier = |_: BasicCredentials| async { Verdict::unavailable("the directory is down") };
    let layer = AuthenticateLayer::optional(BasicAuth::new("staff", verifier).unwrap());
    let api = Api::serve(app(layer)).await;

    let reply = api.get_as_staff("secret", "/").await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.headers["retry-after"], "5");
    assert!(reply.challenges().is_empty(), "503 must have no challenge: {reply:?}");
    assert_eq!(reply.body, "");
}
