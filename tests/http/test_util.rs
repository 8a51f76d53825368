//! The `test_util` module as applications use it: with the layers and axum, without sockets.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{
        HeaderMap, Request, StatusCode,
        header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    routing::get,
};
use serde_json::json;
use tower::ServiceExt as _;
use tower_auth::{
    AuthenticateLayer, Authenticator, JwtAuth, Policy as _, Principal, RequireScopes,
    extract::Claims,
    jwt::{Algorithm, Jwks, JwtAuthBuilder, Keys},
    test_util::{AlwaysAs, StubIssuer, TestClock, TestToken, TokenMint, principal},
};
use tower_auth_test_support::{ROOT, stub::wait_until, token::ISSUER};

const DAY: Duration = Duration::from_secs(86_400);

#[derive(serde::Deserialize)]
struct TenantClaims {
    tenant: String,
}

async fn list(caller: Principal) -> String {
    format!("orders of {}", caller.subject())
}

async fn tenant(Claims(claims): Claims<TenantClaims>) -> String {
    claims.tenant.clone()
}

async fn greet(caller: Option<Principal>) -> String {
    caller.map_or("who are you?".into(), |caller| format!("hello {}", caller.subject()))
}

/// The router under test, as an application builds it.
fn app(layer: AuthenticateLayer<impl Authenticator + 'static>) -> Router {
    Router::new()
        .route("/orders", get(list).layer(RequireScopes::all(["orders:read"])))
        .route("/tenant", get(tenant))
        .route("/", get(greet))
        .layer(layer)
}

struct TestResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl TestResponse {
    fn challenge(&self) -> &str {
        self.headers[WWW_AUTHENTICATE].to_str().unwrap()
    }
}

async fn send(app: &Router, path: &str, token: Option<&str>) -> TestResponse {
    let mut request = Request::get(path);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    TestResponse {
        status: head.status,
        headers: head.headers,
        body: String::from_utf8(body.into()).unwrap(),
    }
}

/// The status of a request with this token to a route that requires no scopes.
async fn status(app: &Router, token: &str) -> u16 {
    send(app, "/", Some(token)).await.status.as_u16()
}

#[tokio::test]
async fn always_as_authenticates_every_request() {
    let alice = principal("alice").scopes(["orders:read"]).build();
    let app = app(AuthenticateLayer::new(AlwaysAs::new(alice)));
    let response = send(&app, "/orders", None).await;
    assert_eq!((response.status.as_u16(), &*response.body), (200, "orders of alice"));
    // Sent credentials are ignored.
    assert_eq!(status(&app, "no token").await, 200);
    // The principal has claims, but not `tenant`.
    assert_eq!(send(&app, "/tenant", None).await.status, 403);
}

#[tokio::test]
async fn always_as_passes_claims_to_the_handler() {
    let alice = principal("alice").claims(&json!({ "tenant": "acme" })).unwrap().build();
    let app = app(AuthenticateLayer::new(AlwaysAs::new(alice)));
    assert_eq!(send(&app, "/tenant", None).await.body, "acme");
}

#[tokio::test]
async fn always_as_without_scope_is_rejected_like_a_token_without_scope() {
    let mint = TokenMint::new(ISSUER);
    let token = mint.token("bob").audience("orders").sign();
    let with_token = app(AuthenticateLayer::new(mint.validator("orders").build().unwrap()));
    let app = app(AuthenticateLayer::new(AlwaysAs::new(principal("bob").build())));
    let (response, with_token) =
        (send(&app, "/orders", None).await, send(&with_token, "/orders", Some(&token)).await);
    assert_eq!(response.status, 403);
    assert_eq!(response.challenge(), r#"Bearer error="insufficient_scope", scope="orders:read""#);
    assert_eq!(
        (response.status, response.challenge()),
        (with_token.status, with_token.challenge())
    );
}

#[tokio::test]
async fn always_as_anonymous_returns_401_unless_optional() {
    let required = app(AuthenticateLayer::new(AlwaysAs::anonymous()));
    let response = send(&required, "/", None).await;
    assert_eq!((response.status.as_u16(), response.challenge()), (401, "Bearer"));
    let optional = app(AuthenticateLayer::optional(AlwaysAs::anonymous()));
    assert_eq!(send(&optional, "/", None).await.body, "who are you?");
    assert_eq!(send(&optional, "/orders", None).await.status, 401);
}

#[test]
fn policy_can_be_evaluated_without_a_layer() {
    let (head, ()) = Request::new(()).into_parts();
    let policy = RequireScopes::any(["orders:read", "admin"]);
    let evaluate = |caller| policy.evaluate(&caller, &head).into_ready().unwrap();
    assert!(evaluate(principal("alice").scopes(["admin"]).build()).is_ok());
    assert!(evaluate(principal("alice").build()).is_err());
}

#[tokio::test]
async fn minted_tokens_are_accepted_until_they_expire() {
    let clock = TestClock::new();
    let mint = TokenMint::new(ISSUER).clock(clock.clone());
    let app = app(AuthenticateLayer::new(mint.validator("orders").build().unwrap()));
    let token = mint.token("alice").audience("orders").scopes(["orders:read"]).sign();

    let response = send(&app, "/orders", Some(&token)).await;
    assert_eq!((response.status.as_u16(), &*response.body), (200, "orders of alice"));
    assert_eq!(send(&app, "/orders", None).await.status, 401);

    let unscoped = mint.token("bob").audience("orders").scopes(["orders:write"]).sign();
    assert_eq!(send(&app, "/orders", Some(&unscoped)).await.status, 403);

    let with_tenant = mint.token("alice").audience("orders").claim("tenant", "acme").sign();
    assert_eq!(send(&app, "/tenant", Some(&with_tenant)).await.body, "acme");

    let forged = mint.token("alice").audience("orders").signed_by_unknown_key().sign();
    let response = send(&app, "/orders", Some(&forged)).await;
    assert_eq!(response.status, 401);
    assert_eq!(response.challenge(), r#"Bearer error="invalid_token""#);

    // Tokens are valid for five minutes, plus the leeway of one minute.
    clock.advance(Duration::from_secs(359));
    assert_eq!(send(&app, "/orders", Some(&token)).await.status, 200);
    clock.advance(Duration::from_secs(1));
    assert_eq!(send(&app, "/orders", Some(&token)).await.status, 401);
}

#[tokio::test]
async fn each_invalid_token_returns_401() {
    let mint = TokenMint::new(ISSUER);
    let app = app(AuthenticateLayer::new(mint.validator("orders").build().unwrap()));
    let valid = || mint.token("alice").audience("orders");
    let long_ago = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let far_ahead = long_ago + Duration::from_secs(4_000_000_000);
    let in_an_hour = SystemTime::now() + Duration::from_secs(3600);
    assert_eq!(status(&app, &valid().sign()).await, 200);
    assert_eq!(status(&app, &valid().audience("others").sign()).await, 200);
    assert_eq!(status(&app, &valid().expires_in(Duration::from_secs(7200)).sign()).await, 200);
    let invalid: &[(&str, TestToken)] = &[
        ("without audience", mint.token("alice")),
        ("other audience", mint.token("alice").audience("others")),
        ("expired", valid().expired()),
        ("expired, with a long lifetime", valid().expires_in(2 * DAY).expired()),
        ("issued long ago", valid().issued_at(long_ago)),
        ("issued in the future", valid().issued_at(far_ahead)),
        ("not yet valid", valid().not_before(in_an_hour)),
        ("without subject", valid().without("sub")),
        ("without expiry", valid().without("exp")),
        ("other type", valid().typ("logout+jwt")),
        ("other issuer", valid().claim("iss", "https://other.example")),
        ("unknown key id", valid().header("kid", "none")),
        ("critical extension", valid().header("crit", ["exp"])),
        ("signed by an unknown key", valid().signed_by_unknown_key()),
        ("signed by another mint", TokenMint::new(ISSUER).token("alice").audience("orders")),
    ];
    for (label, token) in invalid {
        assert_eq!(status(&app, &token.sign()).await, 401, "{label}");
    }
}

#[tokio::test]
async fn default_token_satisfies_the_rfc_9068_profile() {
    let clock = TestClock::new();
    let mint = TokenMint::new(ISSUER).clock(clock.clone());
    let tokens = mint.validator("orders").access_token_profile();
    let checked = tokens.check(|caller: &Principal| {
        let claims: serde_json::Value = caller.claims().map_err(|error| error.to_string())?;
        let seen = [&claims["acr"], &claims["auth_time"], &claims["roles"][0]];
        let wanted = [json!("mfa"), json!(1_700_000_000), json!("admin")];
        if seen.into_iter().eq(&wanted) { Ok(()) } else { Err(claims.to_string()) }
    });
    let app = app(AuthenticateLayer::new(checked.build().unwrap()));
    let at = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let token = mint.token("alice").audience("orders").acr("mfa").auth_time(at);
    let token = token.claim("roles", json!(["admin"]));
    assert_eq!(status(&app, &token.sign()).await, 200);
    assert_ne!(token.sign(), token.sign(), "each token has a unique jti");
    for claim in ["jti", "client_id", "iat"] {
        assert_eq!(status(&app, &token.clone().without(claim).sign()).await, 401, "{claim}");
    }
}

#[tokio::test]
async fn token_with_another_algorithm_than_the_key_is_rejected() {
    use Algorithm as A;
    let all = [
        (A::HS256, A::HS384),
        (A::HS384, A::HS512),
        (A::HS512, A::HS256),
        (A::RS256, A::PS256),
        (A::RS384, A::RS256),
        (A::RS512, A::RS256),
        (A::PS256, A::RS256),
        (A::PS384, A::RS256),
        (A::PS512, A::RS256),
        (A::ES256, A::ES384),
        (A::ES384, A::ES256),
        (A::EdDSA, A::ES256),
    ];
    for (algorithm, other) in all {
        let mint = TokenMint::new(ISSUER).algorithm(algorithm);
        let valid = mint.token("alice").audience("orders");
        for builder in [mint.validator("orders"), validator_from_jwks(&mint)] {
            let app = app(AuthenticateLayer::new(builder.build().unwrap()));
            assert_eq!(status(&app, &valid.sign()).await, 200, "{algorithm:?}");
            let forged = valid.clone().signed_by_unknown_key().sign();
            assert_eq!(status(&app, &forged).await, 401, "{algorithm:?}");
            let wrong_algorithm = valid.clone().header("alg", other).sign();
            assert_eq!(status(&app, &wrong_algorithm).await, 401, "{algorithm:?} as {other:?}");
        }
    }
}

/// A validator with the key set as the mint publishes it.
fn validator_from_jwks(mint: &TokenMint) -> JwtAuthBuilder {
    let keys = Keys::from_json(mint.jwks()).unwrap();
    JwtAuth::builder(keys).issuer(mint.issuer()).audience("orders")
}

#[tokio::test]
async fn rotated_keys_apply_to_the_next_validator() {
    let mint = TokenMint::new(ISSUER);
    let token = || mint.token("alice").audience("orders").sign();
    let validator = || app(AuthenticateLayer::new(mint.validator("orders").build().unwrap()));
    let (before, old) = (validator(), token());
    mint.rotate();
    let (both, new) = (validator(), token());
    assert_eq!([status(&before, &old).await, status(&before, &new).await], [200, 401]);
    assert_eq!([status(&both, &old).await, status(&both, &new).await], [200, 200]);
    mint.retire_old_keys();
    let after = validator();
    assert_eq!([status(&after, &old).await, status(&after, &new).await], [401, 200]);
}

#[tokio::test]
async fn rotated_keys_of_a_stub_issuer_are_fetched() {
    let fixture = IssuerFixture::start();
    let old = fixture.token();
    assert_eq!(fixture.status(&old).await, 200);
    assert_eq!(fixture.issuer.fetches(), 1);

    fixture.issuer.rotate();
    assert_eq!(
        fixture.status(&fixture.token()).await,
        200,
        "the request with the new token fetches the key"
    );
    assert_eq!(fixture.status(&old).await, 200);
    assert_eq!(fixture.issuer.fetches(), 2);

    fixture.issuer.retire_old_keys();
    assert_eq!(fixture.status(&old).await, 200, "the old key is valid until the next fetch");
    fixture.clock.advance(Duration::from_secs(600));
    wait_until("the old key is rejected", async || fixture.status(&old).await == 401).await;
    assert_eq!(
        fixture.issuer.fetches(),
        4,
        "one scheduled refresh, and one for the unknown key id"
    );
}

#[tokio::test]
async fn outage_keeps_cached_keys_until_they_are_too_old() {
    let fixture = IssuerFixture::start();
    assert_eq!(fixture.status(&fixture.token()).await, 200);
    fixture.issuer.outage(true);
    fixture.clock.advance(Duration::from_secs(600));
    assert_eq!(fixture.status(&fixture.token()).await, 200, "the cached keys stay in use");
    wait_until("a fetch fails", async || fixture.issuer.failures() > 0).await;

    fixture.issuer.rotate();
    let response = send(&fixture.app, "/", Some(&fixture.token())).await;
    assert_eq!(response.status, 503);
    assert!(response.headers.contains_key(RETRY_AFTER));

    fixture.issuer.outage(false);
    fixture.clock.advance(Duration::from_secs(30));
    assert_eq!(fixture.status(&fixture.token()).await, 200);
    assert_eq!(fixture.issuer.fetches(), 2);

    fixture.issuer.outage(true);
    fixture.clock.advance(Duration::from_secs(2 * 3600));
    assert_eq!(fixture.status(&fixture.token()).await, 503, "the cached keys are too old");
}

#[tokio::test]
async fn initial_outage_returns_503_until_it_ends() {
    let fixture = IssuerFixture::start();
    fixture.issuer.outage(true);
    assert_eq!(fixture.status(&fixture.token()).await, 503);
    fixture.issuer.outage(false);
    fixture.clock.advance(Duration::from_secs(30));
    assert_eq!(fixture.status(&fixture.token()).await, 200);
}

#[tokio::test]
async fn stub_issuer_responds_only_at_its_own_urls() {
    let mint = TokenMint::new("https://issuer.example/tenants/1/");
    let issuer = StubIssuer::new(&mint);
    assert_eq!(issuer.jwks_uri(), "https://issuer.example/tenants/1/jwks");
    let token = mint.token("alice").audience("orders").sign();
    let status_with = async |keys: Jwks, expected_issuer: &str| {
        let tokens = JwtAuth::builder(keys.client(issuer.clone()))
            .issuer(expected_issuer)
            .audience("orders");
        status(&app(AuthenticateLayer::new(tokens.build().unwrap())), &token).await
    };
    assert_eq!(status_with(Jwks::discover(mint.issuer()), mint.issuer()).await, 200);
    assert_eq!(status_with(Jwks::url(issuer.jwks_uri()), mint.issuer()).await, 200);
    assert_eq!(status_with(Jwks::url("https://issuer.example/jwks"), mint.issuer()).await, 503);
    for other in ["https://issuer.example/tenants/1", "https://other.example/tenants/1/"] {
        assert_eq!(status_with(Jwks::discover(other), other).await, 503, "{other}");
    }
}

/// Another package of a workspace may enable the feature in a production build.
#[test]
fn test_util_feature_enables_nothing_outside_its_module() {
    fn files(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { files(&path, found) } else { found.push(path) }
        }
    }
    let src = Path::new(ROOT).join("src");
    let mut found = Vec::new();
    files(&src, &mut found);
    let count = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        text.matches("feature = \"test-util\"").count()
    };
    found.retain(|path| count(path) > 0);
    // The module, and two that only documentation builds have: the guide and the README.
    assert_eq!(
        (found.as_slice(), count(&src.join("lib.rs"))),
        ([src.join("lib.rs")].as_slice(), 3)
    );
}

/// An application whose keys come from a [`StubIssuer`].
struct IssuerFixture {
    clock: TestClock,
    mint: TokenMint,
    issuer: StubIssuer,
    app: Router,
}

impl IssuerFixture {
    fn start() -> Self {
        let clock = TestClock::new();
        let mint = TokenMint::new(ISSUER).clock(clock.clone());
        let issuer = StubIssuer::new(&mint);
        let keys = Jwks::discover(mint.issuer()).client(issuer.clone());
        let tokens =
            JwtAuth::builder(keys).audience("orders").clock(clock.clone()).build().unwrap();
        Self { clock, mint, issuer, app: app(AuthenticateLayer::new(tokens)) }
    }

    /// A token that does not expire during a test.
    fn token(&self) -> String {
        self.mint.token("alice").audience("orders").expires_in(DAY).sign()
    }

    async fn status(&self, token: &str) -> u16 {
        status(&self.app, token).await
    }
}
