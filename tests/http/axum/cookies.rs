//! Tokens in cookies, over loopback connections.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::SET_COOKIE},
    routing::{get, post},
};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower_auth::{
    AnyOf, AuthenticateLayer, Authenticator, ConfigErrorKind, JwtAuth, Principal, Rejection,
    RejectionKind, any_of,
    bearer::BearerAuth,
    credentials::{SetCookie, SetCookieError, TokenLocation},
    jwt::{Issuers, JwtAuthBuilder},
    test_util::TestClock,
    transport::Forwarded,
};
use tower_auth_test_support::raw::{self, RawResponse};

use super::{Api, Issuer, greet, staff};

const NAME: &str = "__Host-token";
const INVALID_TOKEN: &str = r#"Bearer realm="api", error="invalid_token""#;

fn cookie() -> TokenLocation {
    TokenLocation::cookie(NAME)
}

fn reading(issuer: &Issuer, locations: impl IntoIterator<Item = TokenLocation>) -> JwtAuth {
    let builder =
        locations.into_iter().fold(issuer.builder(), |b, location| b.token_from(location));
    builder.build().unwrap()
}

/// Serves the subject of the caller.
async fn serve(authenticator: impl Authenticator + 'static) -> Api {
    let layer = AuthenticateLayer::new(authenticator);
    Api::serve(Router::new().route("/", get(greet).post(greet)).layer(layer)).await
}

fn get_with(api: &Api, lines: &[(&str, &str)]) -> RawResponse {
    raw::get(&api.address, "/", lines)
}

fn set(token: &str) -> String {
    format!("{NAME}={token}")
}

#[tokio::test(flavor = "multi_thread")]
async fn cookie_authenticates_like_a_header() {
    let issuer = Issuer::new();
    let api = serve(reading(&issuer, [cookie()])).await;
    let token = issuer.token();
    let get = |lines: &[(&str, &str)]| get_with(&api, lines);

    for line in [
        set(&token),
        format!("a=1; {}; b=2", set(&token)),
        format!("a=1;{};b", set(&token)),
        format!("$Version=1; a=\"x; {}; b=y\"; $Path=/", set(&token)),
        format!("ÿ=ÿ; {}", set(&token)),
    ] {
        assert_eq!(get(&[("Cookie", &line)]).body, "hello user-1", "{line}");
    }
    let lines = [("Cookie", "a=1"), ("cookie", &set(&token)), ("COOKIE", "b=2; c=3")];
    assert_eq!(get(&lines).body, "hello user-1");

    // Only the cookie is read, and a missing token is not an invalid one.
    let bearer = format!("Bearer {token}");
    for lines in [
        &[][..],
        &[("Authorization", bearer.as_str())],
        &[("Cookie", "a=1")],
        &[("Cookie", &set(""))],
        &[("Cookie", "")],
    ] {
        let response = get(lines);
        assert_eq!(response.status, 401, "{lines:?}");
        assert_eq!(response.header("www-authenticate"), r#"Bearer realm="api""#);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_cookies_have_exact_statuses() {
    let issuer = Issuer::new();
    let api = serve(reading(&issuer, [cookie()])).await;
    let token = issuer.token();
    let named = |name: &str| format!("{name}={token}");
    let latin1 = |text: &str| -> String { text.bytes().map(char::from).collect() };

    for (line, status) in [
        // Similar names are other cookies.
        (named("__host-token"), 401),
        (named("__HOST-TOKEN"), 401),
        (named("__Host-token "), 401),
        (named("=__Host-token"), 401),
        (named(" =__Host-token"), 401),
        (named("x=__Host-token"), 401),
        (named("__Host-token2"), 401),
        (named("\"__Host-token\""), 401),
        (named(&latin1("\u{2000}__Host-token")), 401),
        (named(&latin1("\u{3000}__Host-token")), 401),
        (named("\u{a0}__Host-token"), 401),
        (named("\u{85}__Host-token"), 401),
        (format!("a=1, {}", named(NAME)), 401),
        (NAME.to_owned(), 401),
        ("=".to_owned(), 401),
        (";;;; ; ;".to_owned(), 401),
        ("$Version=1; $Path=/".to_owned(), 401),
        // Invalid tokens.
        (format!("{NAME}=\"{token}\""), 401),
        (format!("{NAME}=\u{ff}"), 401),
        (format!("{NAME}=a.b.c"), 401),
        (format!("{NAME}=,"), 400),
        (format!("{NAME}={token} x"), 400),
        // The same name twice.
        (format!("{0}; {0}", named(NAME)), 400),
        (format!("{}; {NAME}=", named(NAME)), 400),
        (format!("{NAME}=; {NAME}="), 400),
        (format!("$Version=1; a=\"{0}\"; {0}; {0}", named(NAME)), 400),
        // 8 KiB of cookies.
        (format!("{}{}", "a=b; ".repeat(1500), named(NAME)), 200),
        (format!("{}{}", ";".repeat(8000), named(NAME)), 200),
        (format!("{}{}", " ".repeat(8000), named(NAME)), 200),
        (format!("a={}; {}", "=".repeat(8000), named(NAME)), 200),
        (format!("{}x", "__Host-token ;".repeat(600)), 401),
        ("__Host-token=;".repeat(600), 400),
        (format!("{NAME}={}", "a".repeat(8000)), 401),
    ] {
        let response = get_with(&api, &[("Cookie", &line)]);
        let shown = &line[..line.floor_char_boundary(60)];
        assert_eq!(response.status, status, "{shown}");
    }
    // Bytes that are not allowed in a header never arrive.
    for line in ["\u{b}__Host-token=x", "a=\u{0}", "a=\u{1}; b"] {
        assert_eq!(get_with(&api, &[("Cookie", line)]).status, 400, "{line:?}");
    }
    let two_lines = [("Cookie", set(&token)), ("Cookie", set(&token))];
    let two_lines = two_lines.each_ref().map(|(name, value)| (*name, value.as_str()));
    let response = get_with(&api, &two_lines);
    assert_eq!(response.status, 400);
    let challenge = r#"Bearer realm="api", error="invalid_request""#;
    assert_eq!(response.header("www-authenticate"), challenge);
    let expired = set(&issuer.expired_token());
    let response = get_with(&api, &[("Cookie", &expired)]);
    assert_eq!(response.status, 401);
    assert_eq!(response.header("www-authenticate"), INVALID_TOKEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn header_beside_a_cookie_is_400_or_wins_over_a_fallback() {
    let issuer = Issuer::new();
    let header = TokenLocation::authorization;
    let (valid, invalid) = (issuer.token(), issuer.expired_token());
    let other = issuer.token_with(serde_json::json!({ "sub": "user-2" }));
    let bearer = |token: &str| format!("Bearer {token}");

    let strict = serve(reading(&issuer, [header(), cookie()])).await;
    let lenient = serve(reading(&issuer, [cookie().fallback(), header()])).await;
    for (authorization, in_cookie, in_strict, in_lenient) in
        [(&valid, &other, 400, 200), (&valid, &invalid, 400, 200), (&invalid, &valid, 400, 401)]
    {
        let (authorization, in_cookie) = (bearer(authorization), set(in_cookie));
        let lines = [("Authorization", authorization.as_str()), ("Cookie", &in_cookie)];
        assert_eq!(get_with(&strict, &lines).status, in_strict);
        let response = get_with(&lenient, &lines);
        assert_eq!(response.status, in_lenient);
        assert!(response.status != 200 || response.body == "hello user-1", "{response:?}");
    }
    for api in [&strict, &lenient] {
        assert_eq!(get_with(api, &[("Cookie", &set(&valid))]).body, "hello user-1");
        // A cookie that was removed.
        let lines = [("Authorization", bearer(&valid)), ("Cookie", set(""))];
        let lines = lines.each_ref().map(|(name, value)| (*name, value.as_str()));
        assert_eq!(get_with(api, &lines).body, "hello user-1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_request_that_uses_the_cookie_is_checked_for_its_site() {
    let issuer = Issuer::new();
    let locations = [TokenLocation::authorization(), cookie().fallback()];
    let api = serve(reading(&issuer, locations)).await;
    let (bearer, cookie) = (format!("Bearer {}", issuer.token()), set(&issuer.token()));
    let post = |lines: &[(&str, &str)]| raw::send(&api.address, "POST", "/", lines, "").status;

    let cross_site = [("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")];
    assert_eq!(post(&[("Cookie", &cookie), cross_site[0], cross_site[1]]), 403);
    assert_eq!(post(&[("Cookie", &cookie), ("Sec-Fetch-Site", "same-origin")]), 200);
    let both = [("Authorization", bearer.as_str()), ("Cookie", &cookie)];
    assert_eq!(post(&[both[0], both[1], cross_site[0], cross_site[1]]), 200);
    // Without a token, there is nothing that another site could use.
    assert_eq!(post(&[("Cookie", "a=1"), cross_site[0]]), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn header_of_a_proxy_is_ambient_and_sensitive() {
    async fn describe(headers: HeaderMap) -> String {
        headers["x-jwt"].is_sensitive().to_string()
    }
    let issuer = Issuer::new();
    let layer = AuthenticateLayer::new(reading(&issuer, [TokenLocation::proxy_header("X-Jwt")]));
    let app = Router::new().route("/", get(describe).post(describe)).layer(layer);
    let api = Api::serve(app).await;
    let token = issuer.token();
    let send = |method, site| {
        let lines = [("X-Jwt", token.as_str()), ("Sec-Fetch-Site", site)];
        raw::send(&api.address, method, "/", &lines, "")
    };
    assert_eq!(send("GET", "cross-site").body, "true");
    assert_eq!(send("POST", "same-origin").body, "true");
    assert_eq!(send("POST", "cross-site").status, 403);
}

/// Describes all `Cookie` lines that a handler sees, with `!` before those that are sensitive.
async fn describe_cookies(headers: HeaderMap) -> String {
    let describe = |line: &HeaderValue| {
        let text = String::from_utf8_lossy(line.as_bytes()).into_owned();
        if line.is_sensitive() { format!("!{text}") } else { text }
    };
    let lines: Vec<_> = headers.get_all("cookie").iter().map(describe).collect();
    lines.join("|")
}

#[tokio::test(flavor = "multi_thread")]
async fn handler_does_not_see_the_cookie() {
    let issuer = Issuer::new();
    // Anonymous requests show that the cookie is hidden in any case.
    let serve = async |location: TokenLocation| {
        let layer = AuthenticateLayer::optional(reading(&issuer, [location]));
        Api::serve(Router::new().route("/", get(describe_cookies)).layer(layer)).await
    };
    let (removed, kept) = (serve(cookie()).await, serve(cookie().keep_cookie()).await);
    let token = set(&issuer.token());
    let between = format!("a=1; {token};b=2");
    for (lines, seen_removed, seen_kept) in [
        (&[token.as_str()][..], "", format!("!{token}")),
        (&[&between], "!a=1; b=2", format!("!{between}")),
        (&["a=1", &token, "b=2"], "!a=1; b=2", format!("!a=1|!{token}|!b=2")),
        (&["a=1;b=2"], "!a=1;b=2", "!a=1;b=2".to_owned()),
        (&["__Host-token="], "", "!__Host-token=".to_owned()),
        (&["__Host-token=; a=\""], "!a=\"", "!__Host-token=; a=\"".to_owned()),
    ] {
        let lines: Vec<_> = lines.iter().map(|line| ("Cookie", *line)).collect();
        assert_eq!(get_with(&removed, &lines).body, seen_removed, "{lines:?}");
        assert_eq!(get_with(&kept, &lines).body, seen_kept, "{lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_combination_reads_checks_and_hides_the_cookie() {
    let issuer = Issuer::new();
    let tokens = || reading(&issuer, [cookie()]);
    let issuers = BearerAuth::new(Issuers::new([issuer.auth()]).unwrap()).token_from(cookie());
    let combinations: [(&str, Arc<dyn Authenticator>); 8] = [
        ("any_of", Arc::new(any_of((staff(), tokens())))),
        ("any_of reversed", Arc::new(any_of((tokens(), staff())))),
        ("list", Arc::new(AnyOf::from_iter([Arc::new(tokens()) as Arc<dyn Authenticator>]))),
        ("option", Arc::new(Some(tokens()))),
        ("box", Arc::new(Box::new(tokens()) as Box<dyn Authenticator>)),
        ("map", Arc::new(Authenticator::map_principal(tokens(), |caller| caller))),
        ("issuers", Arc::new(issuers)),
        ("wrapped", Arc::new(BearerAuth::new(tokens()))),
    ];
    let token = set(&issuer.token());
    for (name, authenticator) in combinations {
        let layer = AuthenticateLayer::new(authenticator);
        let app = Router::new().route("/", get(describe_cookies).post(greet)).layer(layer);
        let api = Api::serve(app).await;
        let lines = [("Cookie", "a=1"), ("Cookie", token.as_str())];
        let response = get_with(&api, &lines);
        assert_eq!((response.status, &*response.body), (200, "!a=1"), "{name}");
        let post = |site| {
            let lines = [("Cookie", token.as_str()), ("Sec-Fetch-Site", site)];
            raw::send(&api.address, "POST", "/", &lines, "")
        };
        assert_eq!(post("same-origin").body, "hello user-1", "{name}");
        assert_eq!(post("cross-site").status, 403, "{name}");
    }
}

#[tokio::test]
async fn several_cookie_lines_over_http_2_are_one_list() {
    let issuer = Issuer::new();
    let api = serve(reading(&issuer, [cookie()])).await;
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let (first, second) = (set(&issuer.token()), set(&issuer.token()));
    for (lines, status) in [
        (vec!["a=1", &first, "b=2"], 200),
        (vec!["a=1; b=2", "c=3"], 401),
        (vec![&first, "a=1", &second], 400),
    ] {
        let mut request = axum::http::Request::get(format!("http://{}/", api.address))
            .body(Empty::<axum::body::Bytes>::new())
            .unwrap();
        for line in &lines {
            request.headers_mut().append("cookie", line.parse().unwrap());
        }
        let response = client.request(request).await.unwrap();
        assert_eq!(response.version(), axum::http::Version::HTTP_2);
        assert_eq!(response.status().as_u16(), status, "{lines:?}");
        response.into_body().collect().await.unwrap();
    }
}

/// A service with a login and a logout.
struct Session {
    tokens: JwtAuth,
    cookie: SetCookie,
}

type Cookies = [(HeaderName, HeaderValue); 1];

/// Stores the token in the body of the request.
async fn log_in(State(session): State<Arc<Session>>, token: String) -> Result<Cookies, Rejection> {
    let caller: Principal = session.tokens.verify(&token).await?;
    let cookie = session.cookie.header(&token, caller.expires_at()).map_err(|error| {
        let kind = match error {
            SetCookieError::Expired => RejectionKind::InvalidCredentials,
            _ => RejectionKind::Misconfigured,
        };
        Rejection::new(kind).because(error)
    })?;
    Ok([(SET_COOKIE, cookie)])
}

async fn log_out(State(session): State<Arc<Session>>) -> (StatusCode, Cookies) {
    (StatusCode::NO_CONTENT, [(SET_COOKIE, session.cookie.expired())])
}

/// Applies a `Set-Cookie` line to the cookies of a client at a time, as RFC 6265bis §5.7 does.
fn store(stored: &mut Option<String>, line: &str) -> u64 {
    let (pair, attributes) = line.split_once("; ").unwrap();
    let attributes: Vec<_> = attributes.split("; ").collect();
    assert!(pair.starts_with("__Host-"));
    for required in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
        assert_eq!(attributes.iter().filter(|one| **one == required).count(), 1, "{line}");
    }
    assert_eq!(attributes.len(), 5, "{line}");
    let max_age = attributes.iter().find_map(|one| one.strip_prefix("Max-Age=")).unwrap();
    let max_age = max_age.parse().unwrap();
    *stored = (max_age > 0).then(|| pair.to_owned());
    max_age
}

#[tokio::test(flavor = "multi_thread")]
async fn login_stores_the_token_until_it_expires_and_logout_removes_it() {
    let (issuer, clock) = (Issuer::new(), TestClock::new());
    let builder = issuer.builder().clock(clock.clone()).token_from(cookie());
    let session = Session {
        tokens: builder.build().unwrap(),
        cookie: SetCookie::new(NAME).unwrap().clock(clock.clone()),
    };
    let layer = AuthenticateLayer::new(session.tokens.clone());
    let app = Router::new()
        .route("/", get(greet).layer(layer))
        .route("/login", post(log_in))
        .route("/logout", post(log_out))
        .with_state(Arc::new(session));
    let api = Api::serve(app).await;
    let send = |method, path, stored: &Option<String>, body: &str| {
        let lines: Vec<_> = stored.iter().map(|pair| ("Cookie", pair.as_str())).collect();
        raw::send(&api.address, method, path, &lines, body)
    };

    let mut stored = None;
    let token = issuer.token();
    let response = send("POST", "/login", &stored, &token);
    assert_eq!(response.status, 200, "{response:?}");
    let max_age = store(&mut stored, response.header("set-cookie"));
    assert_eq!(send("GET", "/", &stored, "").body, "hello user-1");

    // The cookie does not outlive the token. The leeway of the token is 60 s.
    clock.advance(Duration::from_secs(max_age - 1));
    assert_eq!(send("GET", "/", &stored, "").status, 200);
    clock.advance(Duration::from_secs(1));
    let late = send("POST", "/login", &None, &token);
    assert_eq!((late.status, late.header_values("set-cookie").len()), (401, 0));

    let response = send("POST", "/logout", &stored, "");
    assert_eq!(response.status, 204);
    assert_eq!(store(&mut stored, response.header("set-cookie")), 0);
    assert_eq!(stored, None);
    assert_eq!(send("GET", "/", &stored, "").status, 401);
}

#[test]
fn settings_for_ambient_tokens_without_an_ambient_location_are_a_config_error() {
    let issuer = Issuer::new();
    type Setting = fn(JwtAuthBuilder) -> JwtAuthBuilder;
    let settings: [(&str, Setting); 3] = [
        ("trusted_origin", |builder| builder.trusted_origin("https://admin.example")),
        ("hosts", |builder| builder.hosts("app.example")),
        ("dangerous_allow_cross_site", JwtAuthBuilder::dangerous_allow_cross_site),
    ];
    for (name, set) in settings {
        for location in [TokenLocation::authorization(), TokenLocation::header("x-token")] {
            let error = set(issuer.builder().token_from(location)).build().unwrap_err();
            assert_eq!(error.kind(), ConfigErrorKind::Conflict, "{error}");
            assert!(error.to_string().contains(name), "{error}");
        }
        assert!(set(issuer.builder()).build().is_err(), "{name}");
        for location in [cookie(), TokenLocation::from_fn(|_| None)] {
            let builder = issuer.builder().token_from(TokenLocation::authorization());
            assert!(set(builder.token_from(location)).build().is_ok(), "{name}");
        }
    }
    assert!(issuer.builder().forwarded(Forwarded::direct()).build().is_ok());
}
