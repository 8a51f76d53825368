//! Several schemes, callers who need none, and a user store that has to be waited for.

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
    A: Authenticator<Future: Send> + Send + Sync + 'static,
{
    Router::new().route("/", get(greet)).layer(layer)
}

#[tokio::test]
async fn each_of_two_schemes_lets_its_callers_in() {
    let issuer = Issuer::new();
    let api = Api::serve(app(AuthenticateLayer::new(any_of(issuer.auth(), staff())))).await;

    assert_eq!(api.with(&issuer.token(), "/").await.body, "hello user-1");
    assert_eq!(api.as_staff("secret", "/").await.body, "hello alice");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_scheme_asks_on_a_line_of_its_own() {
    let issuer = Issuer::new();
    let api = Api::serve(app(AuthenticateLayer::new(any_of(issuer.auth(), staff())))).await;

    let missing = raw::get(&api.address, "/", &[]);
    assert_eq!(missing.status, 401);
    assert_eq!(missing.all("www-authenticate"), [BEARER, BASIC]);

    let unknown = raw::get(&api.address, "/", &[("Authorization", "Digest username=\"alice\"")]);
    assert_eq!(unknown.status, 401);
    assert_eq!(unknown.all("www-authenticate"), [BEARER, BASIC]);

    let wrong = api.as_staff("guess", "/").await;
    assert_eq!(wrong.status, 401);
    assert_eq!(wrong.challenges(), [BEARER, BASIC]);

    let expired = api.with(&issuer.expired_token(), "/").await;
    assert_eq!(expired.status, 401);
    assert_eq!(expired.challenges(), [r#"Bearer realm="api", error="invalid_token""#, BASIC]);
}

#[tokio::test]
async fn a_bad_credential_is_refused_even_where_another_scheme_would_take_it() {
    let (first, second) = (Issuer::new(), Issuer::new());
    let layer = AuthenticateLayer::new(any_of(first.auth(), second.auth()));
    let api = Api::serve(app(layer)).await;

    assert_eq!(api.with(&first.token(), "/").await.status, 200);
    assert_eq!(api.with(&second.token(), "/").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_lines_of_credentials_are_a_bad_request_however_good_each_is() {
    let issuer = Issuer::new();
    let api = Api::serve(app(AuthenticateLayer::new(any_of(issuer.auth(), staff())))).await;
    let bearer = format!("Bearer {}", issuer.token());

    for lines in [[&*bearer, ALICE], [ALICE, &*bearer], [&*bearer, &*bearer], [ALICE, "Digest x"]] {
        let answer = raw::get(&api.address, "/", &lines.map(|line| ("Authorization", line)));
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(answer.body, "");
    }
    let one = raw::get(&api.address, "/", &[("Authorization", ALICE)]);
    assert_eq!(one.body, "hello alice");
}

#[tokio::test]
async fn an_optional_layer_forgives_what_is_missing_and_nothing_else() {
    async fn greet(caller: Option<Principal>) -> String {
        caller.map_or("hello stranger".into(), |caller| format!("hello {}", caller.subject()))
    }
    let issuer = Issuer::new();
    let app = Router::new()
        .route("/", get(greet))
        .route("/orders", get(greet).layer(RequireScopes::all(["read"])))
        .layer(AuthenticateLayer::optional(any_of(issuer.auth(), staff())));
    let api = Api::serve(app).await;

    assert_eq!(api.anonymously("/").await.body, "hello stranger");
    assert_eq!(api.with(&issuer.token(), "/").await.body, "hello user-1");
    assert_eq!(api.as_staff("guess", "/").await.status, 401);
    assert_eq!(api.with(&issuer.expired_token(), "/").await.status, 401);

    let stranger = api.anonymously("/orders").await;
    assert_eq!(stranger.status, 401);
    assert_eq!(stranger.challenges(), [BEARER, BASIC]);
    assert_eq!(api.with(&issuer.token(), "/orders").await.body, "hello user-1");
}

#[tokio::test]
async fn a_verifier_may_ask_somebody_else_and_wait() {
    // A user store in a task of its own, which answers each question once it has heard it.
    let (questions, mut asked) = mpsc::channel::<(String, oneshot::Sender<bool>)>(1);
    tokio::spawn(async move {
        while let Some((password, answer)) = asked.recv().await {
            answer.send(password == "secret").unwrap();
        }
    });
    let verifier = move |sent: BasicCredentials| {
        let questions = questions.clone();
        async move {
            let (ask, answer) = oneshot::channel();
            questions.send((sent.password().to_owned(), ask)).await.unwrap();
            match answer.await {
                Ok(true) => Verdict::Verified(sent.to_principal().build()),
                Ok(false) => Verdict::Invalid,
                Err(error) => Verdict::unavailable(error),
            }
        }
    };
    let layer = AuthenticateLayer::new(BasicAuth::new("staff", verifier).unwrap());
    let api = Api::serve(app(layer)).await;

    assert_eq!(api.as_staff("secret", "/").await.body, "hello alice");
    assert_eq!(api.as_staff("guess", "/").await.status, 401);
}

#[tokio::test]
async fn an_outage_of_the_user_store_is_503_and_asks_for_time() {
    let verifier = |_: BasicCredentials| async { Verdict::unavailable("the directory is down") };
    let layer = AuthenticateLayer::optional(BasicAuth::new("staff", verifier).unwrap());
    let api = Api::serve(app(layer)).await;

    let reply = api.as_staff("secret", "/").await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.headers["retry-after"], "5");
    assert!(reply.challenges().is_empty(), "asking again would not help: {reply:?}");
    assert_eq!(reply.body, "");
}
