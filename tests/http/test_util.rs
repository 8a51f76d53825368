//! The testing kit as its users have it: over the layers and frameworks that they test, and with no socket.

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
    axum::Claims,
    jwt::{Algorithm, Jwks, JwtAuthBuilder, Keys},
    test_util::{AlwaysAs, StubIssuer, TestClock, TestToken, TokenMint, principal},
};
use tower_auth_test_support::{ROOT, stub::until, token::ISSUER};

const DAY: Duration = Duration::from_secs(86_400);

#[derive(serde::Deserialize)]
struct Tenant {
    tenant: String,
}

async fn list(caller: Principal) -> String {
    format!("orders of {}", caller.subject())
}

async fn tenant(Claims(claims): Claims<Tenant>) -> String {
    claims.tenant
}

async fn greet(caller: Option<Principal>) -> String {
    caller.map_or("who are you?".into(), |caller| format!("hello {}", caller.subject()))
}

/// The service under test, as its program builds it.
fn app(
    layer: AuthenticateLayer<impl Authenticator<Future: Send> + Send + Sync + 'static>,
) -> Router {
    Router::new()
        .route("/orders", get(list).layer(RequireScopes::all(["orders:read"])))
        .route("/tenant", get(tenant))
        .route("/", get(greet))
        .layer(layer)
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn challenge(&self) -> &str {
        self.headers[WWW_AUTHENTICATE].to_str().unwrap()
    }
}

async fn ask(app: &Router, path: &str, token: Option<&str>) -> Answer {
    let mut request = Request::get(path);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let answer = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    Answer {
        status: head.status,
        headers: head.headers,
        body: String::from_utf8(body.into()).unwrap(),
    }
}

/// The status that a token gets where nothing but a good one is asked for.
async fn status(app: &Router, token: &str) -> u16 {
    ask(app, "/", Some(token)).await.status.as_u16()
}

#[tokio::test]
async fn a_handler_is_tested_as_a_caller() {
    let alice = principal("alice").scopes(["orders:read"]).build();
    let app = app(AuthenticateLayer::new(AlwaysAs::new(alice)));
    let answer = ask(&app, "/orders", None).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, "orders of alice"));
    // Whatever is sent.
    assert_eq!(status(&app, "no token").await, 200);
    // It has claims, if not that one.
    assert_eq!(ask(&app, "/tenant", None).await.status, 401);
}

#[tokio::test]
async fn a_handler_reads_the_claims_that_it_is_given() {
    let alice = principal("alice").claims(&json!({ "tenant": "acme" })).unwrap().build();
    let app = app(AuthenticateLayer::new(AlwaysAs::new(alice)));
    assert_eq!(ask(&app, "/tenant", None).await.body, "acme");
}

#[tokio::test]
async fn a_caller_without_the_scope_is_refused_as_one_with_a_token_would_be() {
    let mint = TokenMint::new(ISSUER);
    let token = mint.token("bob").audience("orders").sign();
    let real = app(AuthenticateLayer::new(mint.validator("orders").build().unwrap()));
    let app = app(AuthenticateLayer::new(AlwaysAs::new(principal("bob").build())));
    let (answer, real) =
        (ask(&app, "/orders", None).await, ask(&real, "/orders", Some(&token)).await);
    assert_eq!(answer.status, 403);
    assert_eq!(answer.challenge(), r#"Bearer error="insufficient_scope", scope="orders:read""#);
    assert_eq!((answer.status, answer.challenge()), (real.status, real.challenge()));
}

#[tokio::test]
async fn nobody_is_asked_to_say_who_they_are() {
    let strict = app(AuthenticateLayer::new(AlwaysAs::anonymous()));
    let answer = ask(&strict, "/", None).await;
    assert_eq!((answer.status.as_u16(), answer.challenge()), (401, "Bearer"));
    let open = app(AuthenticateLayer::optional(AlwaysAs::anonymous()));
    assert_eq!(ask(&open, "/", None).await.body, "who are you?");
    assert_eq!(ask(&open, "/orders", None).await.status, 401);
}

#[test]
fn a_policy_is_tested_without_a_layer() {
    let (head, ()) = Request::new(()).into_parts();
    let policy = RequireScopes::any(["orders:read", "admin"]);
    assert!(policy.evaluate(&principal("alice").scopes(["admin"]).build(), &head).is_ok());
    assert!(policy.evaluate(&principal("alice").build(), &head).is_err());
}

#[tokio::test]
async fn a_service_is_tested_with_tokens() {
    let clock = TestClock::new();
    let mint = TokenMint::new(ISSUER).clock(clock.clone());
    let app = app(AuthenticateLayer::new(mint.validator("orders").build().unwrap()));
    let token = mint.token("alice").audience("orders").scopes(["orders:read"]).sign();

    let answer = ask(&app, "/orders", Some(&token)).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, "orders of alice"));
    assert_eq!(ask(&app, "/orders", None).await.status, 401);

    let poor = mint.token("bob").audience("orders").scopes(["orders:write"]).sign();
    assert_eq!(ask(&app, "/orders", Some(&poor)).await.status, 403);

    let of_acme = mint.token("alice").audience("orders").claim("tenant", "acme").sign();
    assert_eq!(ask(&app, "/tenant", Some(&of_acme)).await.body, "acme");

    let forged = mint.token("alice").audience("orders").signed_by_unknown_key().sign();
    let answer = ask(&app, "/orders", Some(&forged)).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.challenge(), r#"Bearer error="invalid_token""#);

    // Five minutes, and the leeway.
    clock.advance(Duration::from_secs(359));
    assert_eq!(ask(&app, "/orders", Some(&token)).await.status, 200);
    clock.advance(Duration::from_secs(1));
    assert_eq!(ask(&app, "/orders", Some(&token)).await.status, 401);
}

#[tokio::test]
async fn each_bad_token_is_refused() {
    let mint = TokenMint::new(ISSUER);
    let app = app(AuthenticateLayer::new(mint.validator("orders").build().unwrap()));
    let good = || mint.token("alice").audience("orders");
    let long_ago = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let far_ahead = long_ago + Duration::from_secs(4_000_000_000);
    let in_an_hour = SystemTime::now() + Duration::from_secs(3600);
    assert_eq!(status(&app, &good().sign()).await, 200);
    assert_eq!(status(&app, &good().audience("others").sign()).await, 200);
    assert_eq!(status(&app, &good().expires_in(Duration::from_secs(7200)).sign()).await, 200);
    let bad: &[(&str, TestToken)] = &[
        ("for nobody", mint.token("alice")),
        ("for others", mint.token("alice").audience("others")),
        ("expired", good().expired()),
        ("expired, however long it was good", good().expires_in(2 * DAY).expired()),
        ("of long ago", good().issued_at(long_ago)),
        ("of the future", good().issued_at(far_ahead)),
        ("not good yet", good().not_before(in_an_hour)),
        ("without a subject", good().without("sub")),
        ("without an end", good().without("exp")),
        ("of another type", good().typ("logout+jwt")),
        ("of another issuer", good().claim("iss", "https://other.example")),
        ("with a key that nobody has", good().header("kid", "none")),
        ("with an extension", good().header("crit", ["exp"])),
        ("by a stranger", good().signed_by_unknown_key()),
        ("by another mint", TokenMint::new(ISSUER).token("alice").audience("orders")),
    ];
    for (what, token) in bad {
        assert_eq!(status(&app, &token.sign()).await, 401, "{what}");
    }
}

#[tokio::test]
async fn a_plain_token_is_an_access_token_of_rfc_9068() {
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
    assert_ne!(token.sign(), token.sign(), "each has a jti of its own");
    for claim in ["jti", "client_id", "iat"] {
        assert_eq!(status(&app, &token.clone().without(claim).sign()).await, 401, "{claim}");
    }
}

#[tokio::test]
async fn each_algorithm_signs_and_is_held_to() {
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
        let good = mint.token("alice").audience("orders");
        for given in [mint.validator("orders"), published(&mint)] {
            let app = app(AuthenticateLayer::new(given.build().unwrap()));
            assert_eq!(status(&app, &good.sign()).await, 200, "{algorithm:?}");
            let forged = good.clone().signed_by_unknown_key().sign();
            assert_eq!(status(&app, &forged).await, 401, "{algorithm:?}");
            let confused = good.clone().header("alg", other).sign();
            assert_eq!(status(&app, &confused).await, 401, "{algorithm:?} as {other:?}");
        }
    }
}

/// A validator as a service has it that reads the set from somewhere.
fn published(mint: &TokenMint) -> JwtAuthBuilder {
    let keys = Keys::from_json(mint.jwks()).unwrap();
    JwtAuth::builder(keys).issuer(mint.issuer()).audience("orders")
}

#[tokio::test]
async fn given_keys_rotate_with_the_next_validator() {
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
async fn a_live_issuer_rotates_its_keys() {
    let live = Live::start();
    let old = live.token();
    assert_eq!(live.status(&old).await, 200);
    assert_eq!(live.issuer.fetches(), 1);

    live.issuer.rotate();
    assert_eq!(live.status(&live.token()).await, 200, "within the request that brings it");
    assert_eq!(live.status(&old).await, 200);
    assert_eq!(live.issuer.fetches(), 2);

    live.issuer.retire_old_keys();
    assert_eq!(live.status(&old).await, 200, "until the next fetch");
    live.clock.advance(Duration::from_secs(600));
    until("the old key is gone", async || live.status(&old).await == 401).await;
    assert_eq!(
        live.issuer.fetches(),
        4,
        "one that was due, and one for a name that no key has now"
    );
}

#[tokio::test]
async fn a_live_issuer_has_an_outage() {
    let live = Live::start();
    assert_eq!(live.status(&live.token()).await, 200);
    live.issuer.outage(true);
    live.clock.advance(Duration::from_secs(600));
    assert_eq!(live.status(&live.token()).await, 200, "the last keys serve on");
    until("a failure", async || live.issuer.failures() > 0).await;

    live.issuer.rotate();
    let answer = ask(&live.app, "/", Some(&live.token())).await;
    assert_eq!(answer.status, 503);
    assert!(answer.headers.contains_key(RETRY_AFTER));

    live.issuer.outage(false);
    live.clock.advance(Duration::from_secs(30));
    assert_eq!(live.status(&live.token()).await, 200);
    assert_eq!(live.issuer.fetches(), 2);

    live.issuer.outage(true);
    live.clock.advance(Duration::from_secs(2 * 3600));
    assert_eq!(live.status(&live.token()).await, 503, "keys are not kept for ever");
}

#[tokio::test]
async fn an_outage_from_the_start_ends() {
    let live = Live::start();
    live.issuer.outage(true);
    assert_eq!(live.status(&live.token()).await, 503);
    live.issuer.outage(false);
    live.clock.advance(Duration::from_secs(30));
    assert_eq!(live.status(&live.token()).await, 200);
}

#[tokio::test]
async fn an_issuer_is_where_it_says_and_nowhere_else() {
    let mint = TokenMint::new("https://issuer.example/tenants/1/");
    let issuer = StubIssuer::new(&mint);
    assert_eq!(issuer.jwks_uri(), "https://issuer.example/tenants/1/jwks");
    let token = mint.token("alice").audience("orders").sign();
    let answer = async |keys: Jwks, of: &str| {
        let tokens = JwtAuth::builder(keys.client(issuer.clone())).issuer(of).audience("orders");
        status(&app(AuthenticateLayer::new(tokens.build().unwrap())), &token).await
    };
    assert_eq!(answer(Jwks::discover(mint.issuer()), mint.issuer()).await, 200);
    assert_eq!(answer(Jwks::url(issuer.jwks_uri()), mint.issuer()).await, 200);
    assert_eq!(answer(Jwks::url("https://issuer.example/jwks"), mint.issuer()).await, 503);
    for other in ["https://issuer.example/tenants/1", "https://other.example/tenants/1/"] {
        assert_eq!(answer(Jwks::discover(other), other).await, 503, "{other}");
    }
}

/// The feature may be on in a program for production, where another part of a workspace asked for it.
#[test]
fn nothing_else_asks_whether_the_feature_is_on() {
    fn files(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { files(&path, found) } else { found.push(path) }
        }
    }
    let src = Path::new(ROOT).join("src");
    let mut found = Vec::new();
    files(&src, &mut found);
    let asks = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        text.matches("feature = \"test-util\"").count()
    };
    found.retain(|path| asks(path) > 0);
    // Its own module, and the README's example.
    assert_eq!((found.as_slice(), asks(&src.join("lib.rs"))), ([src.join("lib.rs")].as_slice(), 2));
}

/// A service with the keys of a live issuer.
struct Live {
    clock: TestClock,
    mint: TokenMint,
    issuer: StubIssuer,
    app: Router,
}

impl Live {
    fn start() -> Self {
        let clock = TestClock::new();
        let mint = TokenMint::new(ISSUER).clock(clock.clone());
        let issuer = StubIssuer::new(&mint);
        let keys = Jwks::discover(mint.issuer()).client(issuer.clone());
        let tokens =
            JwtAuth::builder(keys).audience("orders").clock(clock.clone()).build().unwrap();
        Self { clock, mint, issuer, app: app(AuthenticateLayer::new(tokens)) }
    }

    /// One that outlives every test.
    fn token(&self) -> String {
        self.mint.token("alice").audience("orders").expires_in(DAY).sign()
    }

    async fn status(&self, token: &str) -> u16 {
        status(&self.app, token).await
    }
}
