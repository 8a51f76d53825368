//! Sends callbacks of a login at a provider, and lets the provider answer with anything.
//!
//! The first byte of the input selects what the rest is: the query of the callback and, after a
//! line feed, the `Cookie` line (0), the claims of the signed ID token (1), or the body of the
//! token response (2). `$S` stands for the state, `$N` for the nonce, `$C` for the name and the
//! value of the login cookie, and `$I` for a valid ID token. Nothing panics or returns 500, and a
//! session starts only if everything is right.
#![no_main]

#[path = "../src/unique_names.rs"]
mod unique_names;

use std::{
    cell::RefCell,
    sync::{Arc, LazyLock, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response,
    header::{COOKIE, LOCATION, SET_COOKIE},
};
use http_body_util::Full;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tower_auth::{
    oidc_login::{Login, OidcLogin},
    session::Sessions,
    store::{Memory, SealedStore, StoreSecret},
};
use tower_auth_test_support::token::{ISSUER, Signer, encode};
use tower_service::Service as _;

use self::unique_names::{UniqueNames, depth};

const CLIENT: &str = "client";
const NOW: u64 = 1_800_000_000;
const SESSION: &str = "__Host-session=";

static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::generate("ES256", "1"));

thread_local! {
    static RUNTIME: RefCell<Runtime> =
        RefCell::new(Builder::new_current_thread().enable_time().build().unwrap());
    static SERVICE: RefCell<Option<App>> = const { RefCell::new(None) };
}

/// A login, and what the token endpoint of its provider returns.
struct App {
    login: OidcLogin,
    answer: Arc<Mutex<String>>,
    /// The number of requests. The store keeps each state.
    requests: u16,
}

impl App {
    fn start() -> Self {
        let clock = || UNIX_EPOCH + Duration::from_secs(NOW);
        let secret = StoreSecret::new(*b"0123456789abcdefghijklmnopqrstuv").unwrap();
        let store = SealedStore::new(Memory::with_clock(clock), secret);
        let answer = Arc::new(Mutex::new(String::new()));
        let current = Arc::clone(&answer);
        let client = move |request: Request<Bytes>| {
            let body = match request.uri().path() {
                "/token" => current.lock().unwrap().clone(),
                "/jwks" => json!({ "keys": [SIGNER.jwk()] }).to_string(),
                _ => json!({
                    "issuer": ISSUER,
                    "authorization_endpoint": format!("{ISSUER}/authorize"),
                    "token_endpoint": format!("{ISSUER}/token"),
                    "jwks_uri": format!("{ISSUER}/jwks"),
                })
                .to_string(),
            };
            std::future::ready(Ok::<_, std::io::Error>(Response::new(Bytes::from(body))))
        };
        let login = OidcLogin::discover(ISSUER)
            .client_id(CLIENT)
            .client_secret("secret")
            .redirect_uri("https://app.example/callback")
            .client(client)
            .clock(clock)
            .then(|login: Login| std::future::ready(Ok(login.principal().build())))
            .sessions(Sessions::builder(store).clock(clock).build().unwrap())
            .build()
            .unwrap();
        Self { login, answer, requests: 0 }
    }

    async fn get(
        &self,
        is_callback: bool,
        target: &str,
        cookie: &[u8],
    ) -> Option<Response<Full<Bytes>>> {
        let mut service = if is_callback { self.login.callback() } else { self.login.login() };
        let mut request = Request::get(target).header("host", "app.example");
        if !cookie.is_empty() {
            request = request.header(COOKIE, HeaderValue::from_bytes(cookie).ok()?);
        }
        let request = request.body(Full::<Bytes>::default()).ok()?;
        Some(service.call(request).await.unwrap())
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((mode @ b'0'..=b'2', rest)) = input.split_first() else { return };
    let rest = String::from_utf8_lossy(rest);
    let mut app = SERVICE.take().filter(|app| app.requests < 1_000).unwrap_or_else(App::start);
    app.requests += 1;
    RUNTIME.with_borrow(|runtime| runtime.block_on(check(&app, *mode, &rest)));
    SERVICE.set(Some(app));
});

async fn check(app: &App, mode: u8, rest: &str) {
    let begun = app.get(false, "/login?return_to=/page", b"").await.unwrap();
    let location = begun.headers()[LOCATION].to_str().unwrap();
    let parameter = |name: &str| {
        let start = location.find(&format!("{name}=")).unwrap() + name.len() + 1;
        location[start..].split('&').next().unwrap().to_owned()
    };
    let (state, nonce) = (parameter("state"), parameter("nonce"));
    let line = begun.headers()[SET_COOKIE].to_str().unwrap();
    let cookie = line.split(';').next().unwrap().to_owned();
    let claims = json!({
        "iss": ISSUER, "aud": CLIENT, "sub": "u", "iat": NOW, "exp": NOW + 60, "nonce": nonce,
    });
    let valid_token = SIGNER.token(&claims);
    let fill = |text: &str| {
        let text = text.replace("$S", &state).replace("$N", &nonce);
        text.replace("$C", &cookie).replace("$I", &valid_token)
    };
    let with_token = |token: &str| {
        json!({ "access_token": "a", "token_type": "Bearer", "id_token": token }).to_string()
    };

    let (mut query, mut cookies) = (fill("state=$S&code=c"), cookie.clone());
    let mut payload = claims.to_string();
    match mode {
        b'0' => {
            let (first, second) = rest.split_once('\n').unwrap_or((rest, ""));
            (query, cookies) = (fill(first), fill(second));
        }
        b'1' => payload = fill(rest),
        _ => {}
    }
    *app.answer.lock().unwrap() = match mode {
        b'1' => {
            let header = json!({ "alg": "ES256", "kid": "1" }).to_string();
            with_token(&SIGNER.sign(&encode(&header), &encode(&payload)))
        }
        b'2' => fill(rest),
        _ => with_token(&valid_token),
    };
    let target = format!("/callback?{query}");
    let Some(reply) = app.get(true, &target, cookies.as_bytes()).await else { return };

    let headers = reply.headers();
    let lines = headers.get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap());
    let has_session = lines.filter(|line| line.starts_with(SESSION)).count() == 1;
    assert_eq!(has_session, reply.status() == 303);
    assert!(matches!(reply.status().as_u16(), 303 | 400 | 403 | 502 | 503), "{}", reply.status());
    assert_eq!(headers["cache-control"], "no-store");
    if has_session {
        assert_eq!(headers[LOCATION], "/page");
        assert!(cookies.contains(&cookie), "no login cookie");
        assert!(is_valid_query(&target, &state), "{query}");
        if mode == b'1' {
            let UniqueNames(claims) = serde_json::from_str(&payload).expect("unique names");
            assert!(could_be_valid(&claims, &nonce), "{claims}");
        }
        if mode == b'2' {
            assert!(rest.contains("$I"), "{rest}");
        }
    } else if mode == b'0' && cookies == cookie {
        assert_ne!(query, fill("state=$S&code=c"), "a valid callback was rejected");
    }
}

/// Returns whether the query has one state and one code.
fn is_valid_query(target: &str, state: &str) -> bool {
    let uri: http::Uri = target.parse().unwrap();
    let pairs: Vec<_> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    let values = |name: &str| -> Vec<&str> {
        let values = pairs.iter().filter(|(other, _)| *other == name).map(|(_, value)| *value);
        // A parameter without a value counts as omitted (RFC 6749 §3.1).
        values.filter(|value| !value.is_empty()).collect()
    };
    // Names and values can be encoded, so this is only what must not be there.
    let states = values("state");
    let has_issuer = values("iss").iter().any(|iss| !iss.contains('%') && *iss != ISSUER);
    states.len() <= 1
        && values("code").len() <= 1
        && states.iter().all(|value| *value == state || value.contains('%'))
        && !has_issuer
}

/// Returns whether the claims are those of an ID token that could be valid now.
fn could_be_valid(claims: &Value, nonce: &str) -> bool {
    let (now, number) = (NOW as f64, |name: &str| claims[name].as_f64());
    let is_for_client = match &claims["aud"] {
        Value::Array(names) => names.iter().any(|name| name == CLIENT),
        aud => aud == CLIENT,
    };
    let is_client_or_absent = claims.get("azp").is_none_or(|azp| azp == CLIENT);
    claims["iss"] == ISSUER
        && is_for_client
        && is_client_or_absent
        && claims["nonce"] == nonce
        && claims["sub"].as_str().is_some_and(|sub| !sub.is_empty() && sub.len() <= 255)
        && number("exp").is_some_and(|end| end + 60.0 > now)
        && number("iat").is_some_and(|iat| iat <= now + 60.0)
        && claims.get("events").is_none()
        && depth(claims) <= 128
}
