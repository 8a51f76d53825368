//! Authenticators, verifiers and policies that are chosen at run time.

use std::sync::Arc;

use axum::{Router, routing::get};
use http::{HeaderValue, Method, header::CACHE_CONTROL, request::Parts};
use tower_auth::{
    AnyOf, AuthenticateLayer, Authentication, Authenticator, AuthorizeLayer, Challenge, Challenges,
    JwtAuth, Policy, Principal, Rejection, RejectionKind, RequireScopes, Scheme, any_of,
    authenticate::Outcome,
    authorize::{Methods, public},
    bearer::{BearerAuth, TokenVerifier},
    jwt::Issuers,
};
use tower_auth_test_support::api::{Api, Issuer, greet, staff};

fn app<A: Authenticator + 'static>(authenticator: A) -> Router {
    Router::new().route("/", get(greet)).layer(AuthenticateLayer::new(authenticator))
}

#[tokio::test]
async fn list_of_authenticators_accepts_each_scheme() {
    let issuer = Issuer::new();
    let schemes: Vec<Arc<dyn Authenticator>> = vec![Arc::new(issuer.auth()), Arc::new(staff())];
    let api = Api::serve(app(AnyOf::from_iter(schemes))).await;
    assert_eq!(api.get_with_token(&issuer.token(), "/").await.body, "hello user-1");
    assert_eq!(api.get_as_staff("secret", "/").await.body, "hello alice");
    assert_eq!(api.get_as_staff("wrong", "/").await.status, 401);
    let missing = api.get_anonymous("/").await;
    let both = [r#"Bearer realm="api""#, r#"Basic realm="staff", charset="UTF-8""#];
    assert_eq!((missing.status.as_u16(), missing.challenges()), (401, both.to_vec()));
}

#[tokio::test]
async fn authenticator_without_a_scheme_rejects_every_request_with_500() {
    let issuer = Issuer::new();
    let none: Option<JwtAuth> = None;
    for layer in [AuthenticateLayer::new, AuthenticateLayer::optional] {
        let no_scheme: [Arc<dyn Authenticator>; 4] = [
            Arc::new(AnyOf::from_iter(Vec::<Arc<dyn Authenticator>>::new())),
            Arc::new(none.clone()),
            Arc::new(any_of((none.clone(), none.clone()))),
            Arc::new(Box::new(none.clone()) as Box<dyn Authenticator>),
        ];
        for authenticator in no_scheme {
            let router = Router::new().route("/", get(async || "open"));
            let api = Api::serve(router.layer(layer(authenticator))).await;
            for reply in
                [api.get_anonymous("/").await, api.get_with_token(&issuer.token(), "/").await]
            {
                assert_eq!((reply.status.as_u16(), reply.challenges()), (500, vec![]));
            }
        }
    }
}

#[tokio::test]
async fn any_of_skips_none() {
    let issuer = Issuer::new();
    let none: Option<JwtAuth> = None;
    let api = Api::serve(app(any_of((none.clone(), Some(issuer.auth()), none)))).await;
    assert_eq!(api.get_with_token(&issuer.token(), "/").await.status, 200);
    let missing = api.get_anonymous("/").await;
    assert_eq!(
        (missing.status.as_u16(), missing.challenges()),
        (401, vec![r#"Bearer realm="api""#])
    );
}

/// A scheme whose name is its only credential.
#[derive(Clone)]
struct Named(Scheme);

impl Authenticator for Named {
    fn authenticate(&self, head: &Parts) -> Option<Authentication> {
        let sent = head.headers.get("authorization")?.to_str().ok()?;
        let caller = || Principal::builder(self.0.as_str(), self.0).build();
        (sent == self.0.as_str()).then(|| Authentication::ready(Ok(caller())))
    }

    fn challenges(&self, _: &Parts) -> Challenges {
        Challenge::new(self.0).into()
    }
}

#[tokio::test]
async fn tuple_of_six_tries_each_in_order() {
    const NAMES: [&str; 6] = ["A", "B", "C", "D", "E", "F"];
    let [a, b, c, d, e, f] = NAMES.map(|name| Named(Scheme::new(name)));
    let tuples: [Arc<dyn Authenticator>; 5] = [
        Arc::new(any_of((a.clone(), b.clone()))),
        Arc::new(any_of((a.clone(), b.clone(), c.clone()))),
        Arc::new(any_of((a.clone(), b.clone(), c.clone(), d.clone()))),
        Arc::new(any_of((a.clone(), b.clone(), c.clone(), d.clone(), e.clone()))),
        Arc::new(any_of((a, b, c, d, e, f))),
    ];
    for (authenticator, count) in tuples.into_iter().zip(2..) {
        let api = Api::serve(app(authenticator)).await;
        for (position, name) in NAMES.iter().enumerate() {
            let reply = api.get("/").header("authorization", *name).send().await.unwrap();
            let accepted = position < count;
            assert_eq!(reply.status(), if accepted { 200 } else { 401 }, "{name} of {count}");
        }
        assert_eq!(api.get_anonymous("/").await.challenges(), NAMES[..count]);
    }
}

/// Adds headers to the response, whether the credentials are valid or not.
struct WithNonce(JwtAuth);

impl Authenticator for WithNonce {
    fn authenticate(&self, head: &Parts) -> Option<Authentication> {
        let authentication = self.0.authenticate(head)?;
        Some(authentication.map(|outcome: Outcome| {
            outcome
                .with_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))
                .with_header("dpop-nonce".parse().unwrap(), HeaderValue::from_static("n-1"))
        }))
    }

    fn challenges(&self, head: &Parts) -> Challenges {
        self.0.challenges(head)
    }

    fn conceal(&self, head: &mut Parts) {
        self.0.conceal(head);
    }
}

#[tokio::test]
async fn headers_of_the_outcome_are_added_to_every_response() {
    let issuer = Issuer::new();
    let router = Router::new().route("/", get(async || [("cache-control", "max-age=60")]));
    let layer = AuthenticateLayer::new(WithNonce(issuer.auth()));
    let api = Api::serve(router.layer(layer)).await;
    for (token, status, cache_control) in [
        (issuer.token(), 200, vec!["max-age=60", "no-store"]),
        (issuer.expired_token(), 401, vec!["no-store"]),
    ] {
        let reply = api.get_with_token(&token, "/").await;
        assert_eq!(
            (reply.status.as_u16(), reply.headers["dpop-nonce"].as_bytes()),
            (status, &b"n-1"[..])
        );
        let values: Vec<_> = reply.headers.get_all(CACHE_CONTROL).iter().collect();
        assert_eq!(values, cache_control);
    }
    assert!(!api.get_anonymous("/").await.headers.contains_key("dpop-nonce"));
}

/// A scheme with credentials, but without a challenge.
struct WithoutChallenge;

impl Authenticator for WithoutChallenge {
    fn authenticate(&self, head: &Parts) -> Option<Authentication> {
        let kind = match head.headers.get("x-key")?.as_bytes() {
            b"invalid" => RejectionKind::InvalidCredentials,
            _ => RejectionKind::Unavailable,
        };
        Some(Authentication::ready(Err(Rejection::new(kind))))
    }

    fn challenges(&self, _: &Parts) -> Challenges {
        Challenges::default()
    }
}

#[tokio::test]
async fn invalid_credentials_without_a_challenge_return_500() {
    let api = Api::serve(app(WithoutChallenge)).await;
    for (key, status) in [("invalid", 500), ("outage", 503)] {
        let reply = api.get("/").header("x-key", key).send().await.unwrap();
        assert_eq!(reply.status(), status);
    }
}

#[tokio::test]
async fn token_verifier_is_chosen_at_run_time() {
    let issuer = Issuer::new();
    let verifier: Box<dyn TokenVerifier> = Box::new(issuer.auth());
    let shared: Arc<dyn TokenVerifier> = Arc::new(issuer.auth());
    for authenticator in [
        Arc::new(BearerAuth::new(verifier)) as Arc<dyn Authenticator>,
        Arc::new(BearerAuth::new(Arc::clone(&shared))),
        Arc::new(Issuers::new([shared]).unwrap()),
    ] {
        let api = Api::serve(app(authenticator)).await;
        assert_eq!(api.get_with_token(&issuer.token(), "/").await.body, "hello user-1");
        let expired = api.get_with_token(&issuer.expired_token(), "/").await;
        let challenge = r#"Bearer realm="api", error="invalid_token""#;
        assert_eq!((expired.status.as_u16(), expired.challenges()), (401, vec![challenge]));
    }
}

#[tokio::test]
async fn policy_is_chosen_at_run_time() {
    let issuer = Issuer::new();
    let read: Arc<dyn Policy> = Arc::new(RequireScopes::all(["read"]));
    let admin: Box<dyn Policy> = Box::new(RequireScopes::all(["admin"]));
    let either: Arc<dyn Policy> = Arc::new(Arc::clone(&read).and(admin.not()));
    let table = Methods::new().on([Method::GET], Arc::clone(&either)).on([Method::HEAD], public());
    let app = Router::new()
        .route("/one", get(greet).layer(AuthorizeLayer::new(Arc::clone(&either))))
        .route("/table", get(greet).layer(table))
        .layer(AuthenticateLayer::new(issuer.auth()));
    let api = Api::serve(app).await;
    for path in ["/one", "/table"] {
        for (scope, status) in [("read", 200), ("read admin", 403), ("write", 403)] {
            let token = issuer.token_with(serde_json::json!({ "scope": scope }));
            assert_eq!(api.get_with_token(&token, path).await.status, status, "{path} {scope}");
        }
    }
    assert_eq!(either.to_string(), "(scope read and not scope admin)");
}
