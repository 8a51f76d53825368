//! Sends requests to the endpoints of a token issuer and compares the status with a model.
//!
//! The first byte of the input selects the endpoint (0 to 4, and `a`, `b` and `e` for those of
//! services), or the same with a cookie (5 to 9, `c`, `d` and `f`), and the second one the content
//! type. The rest is the body. With a cookie, the first line is the value of `Cookie`. `$R` stands
//! for a valid refresh token, `$A` for a valid access token, and `$O` for one that is not a JWT.
#![no_main]

#[path = "../src/unique_names.rs"]
mod unique_names;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    time::{Duration, UNIX_EPOCH},
};

use http::{
    HeaderMap, HeaderValue, Request,
    header::{CONTENT_TYPE, COOKIE, SET_COOKIE},
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tower_auth::{
    BasicAuth, Principal, Scheme,
    basic::Users,
    issue::{TokenIssuer, TokenPair, TokenRoute, TokenRoutes},
    store::{Memory, SealedStore, StoreSecret},
};
use tower_auth_test_support::cookies::CookieModel;
use tower_service::Service as _;

use self::unique_names::{UniqueNames, depth};

const PASSWORD: &str = "p";
/// The client `a` has the scope `r`, and this password.
const CLIENT_SECRET: &str = "s";
/// The numbers of the endpoints for services.
const TOKEN: u8 = 5;
const EXCHANGE: u8 = 6;
const INTROSPECT: u8 = 7;
const TYPES: [Option<&str>; 4] = [
    Some("application/x-www-form-urlencoded"),
    Some("application/json; charset=utf-8"),
    Some("text/plain"),
    None,
];

thread_local! {
    static RUNTIME: RefCell<Runtime> =
        RefCell::new(Builder::new_current_thread().enable_time().build().unwrap());
    static SERVICES: RefCell<Option<Services>> = const { RefCell::new(None) };
}

type Parameters = BTreeMap<String, Option<String>>;

fuzz_target!(|input: &[u8]| {
    let [endpoint, media_type @ b'0'..=b'3', rest @ ..] = input else { return };
    let (endpoint, has_cookie) = match endpoint {
        b'0'..=b'9' => ((endpoint - b'0') % 5, *endpoint >= b'5'),
        b'a'..=b'd' => (TOKEN + (endpoint - b'a') % 2, *endpoint >= b'c'),
        b'e' | b'f' => (INTROSPECT, *endpoint == b'f'),
        _ => return,
    };
    let media_type = TYPES[usize::from(media_type - b'0')];
    RUNTIME.with_borrow(|runtime| {
        runtime.block_on(check(endpoint, has_cookie, media_type, rest));
    });
});

/// Services whose tokens are valid, because no request has succeeded.
struct Services {
    tokens: TokenPair,
    /// With the opaque token of another login.
    opaque: TokenPair,
    with_cookie: TokenRoutes,
    without_cookie: TokenRoutes,
    /// The number of requests. Too many with a valid refresh token would be rejected.
    requests: u8,
}

impl Services {
    async fn start() -> Self {
        let clock = || UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let secret = StoreSecret::new(*b"0123456789abcdefghijklmnopqrstuv").unwrap();
        let store = SealedStore::new(Memory::with_clock(clock), secret);
        let builder = || {
            let builder = TokenIssuer::builder().issuer("https://login.example").audience("a");
            builder.store(store.clone()).clock(clock)
        };
        let issuer = builder().build().unwrap();
        let alice = Principal::builder("u", Scheme::BASIC).scopes(["r", "w"]).build();
        let tokens = issuer.issue(&alice).await.unwrap();
        let opaque = builder().opaque_access_tokens().build().unwrap();
        let opaque = opaque.issue(&alice).await.unwrap();
        let users = Users::default().with(alice, PASSWORD).unwrap();
        let routes = || {
            let passwords = BasicAuth::new("", users.clone()).unwrap();
            let client = Principal::builder("a", Scheme::BASIC).scopes("r").build();
            let clients = Users::default().with(client, CLIENT_SECRET).unwrap();
            TokenRoutes::builder(issuer.clone(), passwords)
                .client_passwords(BasicAuth::new("", clients).unwrap())
        };
        let with_cookie = routes().cookie().build().unwrap();
        let without_cookie = routes().build().unwrap();
        Self { tokens, opaque, with_cookie, without_cookie, requests: 0 }
    }
}

/// Sends a request. If it succeeds, the next one gets new services.
async fn check(endpoint: u8, has_cookie: bool, media_type: Option<&str>, rest: &[u8]) {
    let mut services = match SERVICES.take().filter(|services| services.requests < 100) {
        Some(services) => services,
        None => Services::start().await,
    };
    services.requests += 1;
    let (tokens, opaque) = (services.tokens.clone(), services.opaque.clone());
    let routes = if has_cookie { &services.with_cookie } else { &services.without_cookie };

    let mut request = Request::post("/");
    let rest = fill_in(rest, &tokens, &opaque);
    let (cookie, body) = match rest.iter().position(|byte| *byte == b'\n') {
        Some(end) if has_cookie => (&rest[..end], &rest[end + 1..]),
        _ => (&b""[..], &*rest),
    };
    if has_cookie {
        let Ok(value) = HeaderValue::from_bytes(cookie) else { return };
        request = request.header(COOKIE, value);
    }
    if let Some(media_type) = media_type {
        request = request.header(CONTENT_TYPE, media_type);
    }
    let request = request.body(http_body_util::Full::new(bytes::Bytes::copy_from_slice(body)));
    let mut service: TokenRoute = match endpoint {
        0 => routes.login(),
        1 => routes.refresh(),
        2 => routes.logout(),
        3 => routes.logout_everywhere(),
        4 => routes.revoke(),
        TOKEN => routes.token(),
        INTROSPECT => routes.introspect(),
        _ => routes.exchange(),
    };
    let response = service.call(request.unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let (head, answer) = response.into_parts();
    let answer = http_body_util::BodyExt::collect(answer).await.unwrap().to_bytes();
    let cookie = has_cookie.then(|| CookieModel::new([cookie], "__Host-refresh").values);
    check_headers(endpoint, status, &head.headers);
    if status >= 400 {
        SERVICES.set(Some(services));
    }
    let expected = match parse(endpoint, media_type, body) {
        Ok(Some(parameters)) => {
            if endpoint == INTROSPECT && status == 200 {
                let access = [tokens.access_token(), opaque.access_token()];
                let sent = parameters.get("token").cloned().flatten();
                let is_active = sent.is_some_and(|token| access.contains(&&*token));
                let answer: Value = serde_json::from_slice(&answer).unwrap();
                assert_eq!(answer["active"], is_active);
                assert_eq!(answer.get("sub").is_some(), is_active);
            }
            expected(endpoint, &parameters, cookie.as_deref(), &tokens)
        }
        // The model does not decide.
        Ok(None) => return assert!(status < 500),
        Err(status) => status,
    };
    assert_eq!(status, expected);
}

fn fill_in(text: &[u8], tokens: &TokenPair, opaque: &TokenPair) -> Vec<u8> {
    let mut filled = Vec::new();
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        let token = match rest {
            [b'$', b'R', ..] => Some(tokens.refresh_token()),
            [b'$', b'A', ..] => Some(tokens.access_token()),
            [b'$', b'O', ..] => Some(opaque.access_token()),
            _ => None,
        };
        match token {
            Some(token) => filled.extend(token.as_bytes()),
            None => filled.push(*byte),
        }
        rest = if token.is_some() { &after[1..] } else { after };
    }
    filled
}

fn check_headers(endpoint: u8, status: u16, headers: &HeaderMap) {
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers.contains_key("www-authenticate"), status == 401);
    let removes = |value: &HeaderValue| value.to_str().unwrap().ends_with("Max-Age=0");
    let is_removed = headers.get_all(SET_COOKIE).iter().any(removes);
    assert!(!is_removed || endpoint == 2 || endpoint == 3);
}

/// Returns the parameters, with `None` for values that are not text, or the status of the error.
/// Returns `Ok(None)` if that depends on details of the parser.
fn parse(endpoint: u8, media_type: Option<&str>, body: &[u8]) -> Result<Option<Parameters>, u16> {
    if body.len() > if endpoint >= TOKEN { 24 * 1024 } else { 8 * 1024 } {
        return Err(413);
    }
    let parameters = match media_type {
        _ if body.is_empty() => Parameters::new(),
        Some("application/x-www-form-urlencoded") => parse_form(body)?,
        Some("application/json; charset=utf-8") => {
            let text = std::str::from_utf8(body).map_err(|_| 400u16)?;
            let UniqueNames(value) = serde_json::from_str(text).map_err(|_| 400u16)?;
            if depth(&value) > 20 {
                return Ok(None);
            }
            let Value::Object(members) = value else { return Err(400) };
            let members = members.into_iter().filter(|(_, value)| !value.is_null());
            members.map(|(name, value)| (name, value.as_str().map(ToOwned::to_owned))).collect()
        }
        _ => return Err(415),
    };
    let is_empty = |value: &Option<String>| value.as_deref() == Some("");
    Ok(Some(parameters.into_iter().filter(|(_, value)| !is_empty(value)).collect()))
}

/// Parses a form by the rules of the WHATWG URL Standard, but rejects what is not UTF-8.
fn parse_form(body: &[u8]) -> Result<Parameters, u16> {
    let mut parameters = Parameters::new();
    for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let (name, value) = (&pair[..end], pair.get(end + 1..).unwrap_or_default());
        let [name, value] = [name, value].map(decode);
        let (name, value) = (name.ok_or(400u16)?, value.ok_or(400u16)?);
        if parameters.insert(name, Some(value)).is_some() {
            return Err(400);
        }
    }
    Ok(parameters)
}

fn decode(text: &[u8]) -> Option<String> {
    let (mut bytes, mut decoded) = (text.iter(), Vec::new());
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let mut digit = || ahead.next().and_then(|byte| char::from(*byte).to_digit(16));
        match (byte, digit(), digit()) {
            (b'+', ..) => decoded.push(b' '),
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).unwrap());
                bytes = ahead;
            }
            _ => decoded.push(*byte),
        }
    }
    // The service cannot distinguish this character from one that is not UTF-8.
    String::from_utf8(decoded).ok().filter(|text| !text.contains('\u{fffd}'))
}

/// Returns the status of a request with these parameters.
fn expected(
    endpoint: u8,
    parameters: &Parameters,
    cookie: Option<&[&[u8]]>,
    tokens: &TokenPair,
) -> u16 {
    const KNOWN: [&str; 15] = [
        "username",
        "password",
        "refresh_token",
        "token",
        "grant_type",
        "client_id",
        "client_secret",
        "scope",
        "subject_token",
        "subject_token_type",
        "actor_token",
        "actor_token_type",
        "requested_token_type",
        "audience",
        "resource",
    ];
    if KNOWN.iter().any(|name| parameters.get(*name).is_some_and(Option::is_none)) {
        return 400;
    }
    let get = |name: &str| parameters.get(name).cloned().flatten();
    let is_client = |id: &str| id.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    let is_granted = |scope: &str| {
        let mut scopes = scope.split(' ').filter(|scope| !scope.is_empty()).peekable();
        scopes.peek().is_some() && scopes.all(|scope| scope == "r" || scope == "w")
    };
    let is_granted = get("scope").is_none_or(|scope| is_granted(&scope));
    let sent = || match (get("refresh_token"), cookie) {
        (Some(_), Some([value])) if !value.is_empty() => None,
        (_, Some([_, _, ..])) => None,
        (None, Some([value])) if !value.is_empty() => {
            Some(Some(String::from_utf8_lossy(value).into_owned()))
        }
        (token, _) => Some(token),
    };
    match endpoint {
        0 => match (get("username"), get("password"), get("client_id")) {
            (None, ..) | (_, None, _) => 400,
            (.., Some(id)) if !is_client(&id) => 400,
            (Some(user), Some(password), _) if user.len() + password.len() >= 6 * 1024 => 400,
            (Some(user), Some(password), _) if user == "u" && password == PASSWORD => {
                if is_granted { 200 } else { 400 }
            }
            _ => 401,
        },
        1 => {
            let is_valid = sent().flatten().is_some_and(|token| token == tokens.refresh_token())
                && get("grant_type").is_none_or(|grant| grant == "refresh_token")
                && get("client_id").is_none_or(|id| id == "a")
                && is_granted;
            if is_valid { 200 } else { 400 }
        }
        2 => match sent() {
            Some(Some(_)) => 204,
            Some(None) if cookie.is_some() => 204,
            _ => 400,
        },
        3 => 401,
        4 if get("token").is_some() => 200,
        4 => 400,
        _ => expected_for_services(endpoint, parameters, cookie, tokens),
    }
}

/// Returns the status of a request to an endpoint for services.
fn expected_for_services(
    endpoint: u8,
    parameters: &Parameters,
    cookie: Option<&[&[u8]]>,
    tokens: &TokenPair,
) -> u16 {
    const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
    const TYPES: [&str; 2] =
        ["urn:ietf:params:oauth:token-type:access_token", "urn:ietf:params:oauth:token-type:jwt"];
    let get = |name: &str| parameters.get(name).cloned().flatten();
    let grant = get("grant_type").or_else(|| (endpoint == EXCHANGE).then(|| GRANT.to_owned()));
    let is_refresh = endpoint == TOKEN && grant.as_deref() == Some("refresh_token");
    let is_client = grant.as_deref() == Some("client_credentials") && endpoint == TOKEN;
    let is_question = endpoint == INTROSPECT;
    if !is_question && !is_refresh && !is_client && grant.as_deref() != Some(GRANT) {
        return 400;
    }
    match (get("client_id"), get("client_secret")) {
        (None, Some(_)) => return 400,
        (Some(id), Some(secret)) if id.len() + secret.len() >= 6 * 1024 => return 400,
        (Some(id), Some(secret)) if id == "a" && secret == CLIENT_SECRET => {}
        (Some(_), Some(_)) => return 401,
        (_, None) if is_refresh => {}
        (_, None) => return 401,
    }
    if is_question {
        return if get("token").is_some() { 200 } else { 400 };
    }
    if is_refresh {
        return expected(1, parameters, cookie, tokens);
    }
    let has_scopes = |granted: &[&str]| {
        get("scope").is_none_or(|scope| {
            let mut scopes = scope.split(' ').filter(|scope| !scope.is_empty()).peekable();
            scopes.peek().is_some() && scopes.all(|scope| granted.contains(&scope))
        })
    };
    let is_type = |name: &str| get(name).is_some_and(|text| TYPES.contains(&&*text));
    let is_valid = match is_client {
        true => get("audience").is_none_or(|audience| audience == "a") && has_scopes(&["r"]),
        false => {
            get("audience").is_some_and(|audience| audience == "a")
                && get("subject_token").is_some_and(|token| token == tokens.access_token())
                && is_type("subject_token_type")
                && (get("requested_token_type").is_none() || is_type("requested_token_type"))
                && get("actor_token").or_else(|| get("actor_token_type")).is_none()
                && has_scopes(&["r", "w"])
        }
    };
    if is_valid && get("resource").is_none() { 200 } else { 400 }
}
