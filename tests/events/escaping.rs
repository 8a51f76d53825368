//! Clients cannot forge log lines or control a terminal that shows the log.

use std::{
    fmt,
    future::ready,
    sync::{Arc, Mutex},
};

use axum::{Router, routing::get};
use serde_json::{Map, Value, json};
use tower_auth::{
    AuthenticateLayer, Authenticator, Challenge, Denial, Principal, Rejection, RejectionKind,
    Scheme,
    authorize::{Methods, RequireSubject, public},
    basic::{BasicCredentials, Verdict},
    extract::Claims,
    jwt::{Jwks, Tenants},
    observe::Event,
    policy_fn,
};
use tower_auth_test_support::{
    api::Issuer,
    raw,
    stub::{StubResponse, StubServer},
    token::{AUDIENCE, ISSUER, Signer, encode},
};
use tracing::{
    Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// Keeps the fields of each event, without any escaping.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<(tracing::Level, String, String)>>>);

impl Subscriber for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        if event.metadata().target() == "tower_auth" {
            event.record(&mut Fields(&self.0, *event.metadata().level()));
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Fields<'a>(&'a Mutex<Vec<(tracing::Level, String, String)>>, tracing::Level);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let field = (self.1, field.name().to_owned(), format!("{value:?}"));
        self.0.lock().unwrap().push(field);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let field = (self.1, field.name().to_owned(), value.to_owned());
        self.0.lock().unwrap().push(field);
    }
}

/// Terminal sequences in seven and eight bits, line separators, and characters that are invisible
/// or change the direction of text. The word is the part that a forged line would show.
const HOSTILE: [&str; 13] = [
    "\u{9b}31mforged",
    "\u{9d}0;forged\u{9c}",
    "\u{85}forged",
    "\u{2028}forged",
    "\u{2029}forged",
    "\u{202e}forged",
    "\u{2066}forged\u{2069}",
    "\u{200b}forged",
    "\u{feff}forged",
    "\u{a0}forged",
    // Only in claims and Basic credentials.
    "\u{7f}forged",
    "\u{1b}]0;forged\u{7}",
    "\r\nforged\0\u{8}\t",
];

/// Returns the text, or another one if HTTP does not allow it in a path.
fn in_path(text: &str) -> &str {
    if text.bytes().all(|byte| byte > b' ' && byte != 0x7f) { text } else { "plain" }
}

fn is_printable(character: char) -> bool {
    let is_format = matches!(
        character,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    !character.is_control() && !is_format && (character == ' ' || !character.is_whitespace())
}

async fn send(address: &str, path: &str, authorization: &str) -> raw::RawResponse {
    let (address, path) = (address.to_owned(), path.to_owned());
    let authorization = authorization.to_owned();
    let request = move || raw::get(&address, &path, &[("Authorization", &authorization)]);
    tokio::task::spawn_blocking(request).await.unwrap()
}

async fn serve<A>(authenticator: A) -> String
where
    A: Authenticator + 'static,
{
    let log_path = policy_fn("closed", |caller, head| {
        let reason = format!("{} must not read {}", caller.subject(), head.uri.path());
        Err::<(), _>(Denial::forbidden().because(reason))
    });
    let closed = get(async || "closed").layer(log_path);
    let unwired = get(async || "unwired").layer(RequireSubject::path_param("other"));
    let methods = get(async || "methods").layer(Methods::new());
    let app = Router::new()
        .route("/open/{name}", get(async || "open").layer(public()))
        .route("/closed/{name}", closed)
        .route("/unwired/{name}", unwired)
        .route("/methods/{name}", methods)
        .route("/claims/{name}", get(async |_: Claims<Objects>| "claims"))
        .layer(AuthenticateLayer::new(authenticator));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

/// Claims of any name. Each must be an object, and an error names the first that is not.
type Objects = std::collections::HashMap<String, Map<String, Value>>;

/// The runtime has one thread, so that the subscriber of this thread sees all events.
#[tokio::test]
async fn text_of_the_client_is_escaped_in_every_field() {
    let _alone = super::ALONE.lock().await;
    let recorder = Recorder::default();
    let _guard = tracing::subscriber::set_default(recorder.clone());

    let issuer = Issuer::new();
    let checked = issuer.builder().check(|caller: &Principal| {
        let subject = caller.subject();
        if subject.starts_with("blocked") { Err(format!("{subject} is blocked")) } else { Ok(()) }
    });
    let tokens = serve(checked.build().unwrap()).await;
    let basic = |sent: BasicCredentials| {
        let rejection = Rejection::new(RejectionKind::Unavailable);
        ready(Verdict::Rejected(rejection.because(format!("cannot find {}", sent.user_id()))))
    };
    let basic = serve(tower_auth::BasicAuth::new("staff", basic).unwrap()).await;
    let resolver = |issuer: String| {
        ready(Err::<Option<tower_auth::JwtAuth>, _>(format!("cannot find {issuer}")))
    };
    let tenants = serve(Tenants::new(Challenge::new(Scheme::BEARER), resolver).unwrap()).await;

    for hostile in HOSTILE {
        let in_path = in_path(hostile);
        let token = |claims: Value| format!("Bearer {}", issuer.token_with(claims));
        for (path, status) in
            [("open", 200), ("closed", 403), ("unwired", 500), ("methods", 403), ("none", 404)]
        {
            let path = format!("/{path}/{in_path}");
            let response = send(&tokens, &path, &token(json!({ "sub": hostile }))).await;
            assert_eq!(response.status, status, "{path:?}");
            assert_eq!(send(&tokens, &path, "Bearer a.b.c").await.status, 401, "{path:?}");
            // Header values are sent as Latin-1.
            let scheme: String = in_path.bytes().map(char::from).collect();
            assert_eq!(send(&tokens, &path, &scheme).await.status, 401, "{path:?}");
        }
        let blocked = token(json!({ "sub": format!("blocked{hostile}") }));
        assert_eq!(send(&tokens, "/open/a", &blocked).await.status, 401);
        let mismatch = token(json!({ hostile: 1 }));
        assert_eq!(send(&tokens, &format!("/claims/{in_path}"), &mismatch).await.status, 403);

        let user = base64_standard(&format!("{}:x", hostile.replace(char::is_control, "")));
        let status = send(&basic, "/open/a", &format!("Basic {user}")).await.status;
        assert_eq!(status, 503);
        let payload = encode(json!({ "iss": hostile }).to_string());
        let unsigned = format!("Bearer e30.{payload}.");
        assert_eq!(send(&tenants, "/open/a", &unsigned).await.status, 503);
    }
    drop(_guard);

    let fields = recorder.0.lock().unwrap();
    for (level, name, value) in &*fields {
        assert!(value.chars().all(is_printable), "{level} {name}: {value:?}");
    }
    // Every kind of event was recorded, with the text that it must escape.
    let has = |level: tracing::Level, field: &str, text: &str| {
        fields.iter().any(|(of, name, value)| *of == level && name == field && value.contains(text))
    };
    use tracing::Level;
    for (level, field, text) in [
        (Level::TRACE, "url.path", r"/open/\u{9b}31mforged"),
        (Level::DEBUG, "url.path", r"/closed/\u{202e}forged"),
        (Level::DEBUG, "error", r"\u{1b}]0;forged\u{7} must not read /closed/plain"),
        (Level::DEBUG, "error", r"must not read /closed/\u{2028}forged"),
        (Level::DEBUG, "error", r"blocked\r\nforged\0\u{8}\t is blocked"),
        (Level::ERROR, "url.path", r"/unwired/\u{9b}31mforged"),
        (Level::WARN, "url.path", r"/claims/\u{85}forged"),
        (Level::WARN, "claim", r"\u{1b}]0;forged\u{7}"),
        (Level::WARN, "error", r"\r\nforged\0"),
        (Level::WARN, "error", r"cannot find \u{200b}forged"),
        (Level::WARN, "error", r"cannot find \u{1b}]0;forged"),
    ] {
        assert!(has(level, field, text), "{level} {field} {text} in {fields:?}");
    }
}

#[tokio::test]
async fn text_of_a_key_set_is_escaped() {
    let _alone = super::ALONE.lock().await;
    let recorder = Recorder::default();
    let _guard = tracing::subscriber::set_default(recorder.clone());
    let stub = StubServer::start();
    let mut keys = HOSTILE.map(|id| Signer::generate("ES256", id).jwk());
    for key in keys.iter_mut().step_by(2) {
        key["alg"] = format!("alg{}", key["kid"].as_str().unwrap()).into();
        key["use"] = key["kid"].clone();
    }
    stub.publish_keys(keys);
    let tokens = tower_auth::JwtAuth::builder(Jwks::url(stub.url("/jwks")));
    let tokens = tokens.issuer(ISSUER).audience(AUDIENCE).build().unwrap();
    let wait = async |word: &str| {
        while !recorder.0.lock().unwrap().iter().any(|(_, _, value)| value.contains(word)) {
            tokio::task::yield_now().await;
        }
    };
    let _ = tokens.verify(&Signer::generate("ES256", "x").token(&json!({}))).await;
    tokio::time::timeout(std::time::Duration::from_secs(20), wait("key set changed"))
        .await
        .unwrap();
    stub.set_response("/jwks", StubResponse::Status(500));
    let fields = recorder.0.lock().unwrap();
    for (level, name, value) in &*fields {
        assert!(value.chars().all(is_printable), "{level} {name}: {value:?}");
    }
    let forged = |(_, _, value): &&(_, _, String)| value.contains("forged");
    assert!(fields.iter().filter(forged).count() > 5, "{fields:?}");
}

/// For observers that write `{event:?}`.
#[test]
fn debug_text_of_an_event_is_escaped() {
    let (texts, issuer) = (Arc::new(Mutex::new(Vec::new())), Issuer::new());
    let written = Arc::clone(&texts);
    let observer = move |event: &Event<'_>| written.lock().unwrap().push(format!("{event:?}"));
    let layer = AuthenticateLayer::new(issuer.auth()).observer(observer);
    let service = tower::Layer::layer(
        &layer,
        tower::service_fn(async |_: http::Request<()>| {
            Ok::<_, std::convert::Infallible>(http::Response::new(()))
        }),
    );
    for hostile in HOSTILE {
        for claims in
            [json!({ "sub": hostile, "cnf": { hostile: hostile } }), json!({ "sub": hostile })]
        {
            let path = in_path(hostile);
            let bearer = format!("Bearer {}", issuer.token_with(claims));
            let request = http::Request::get(format!("/{path}")).header("authorization", bearer);
            let response = tower::ServiceExt::oneshot(service.clone(), request.body(()).unwrap());
            futures_util::FutureExt::now_or_never(response).unwrap().unwrap();
        }
    }
    let texts = texts.lock().unwrap();
    assert_eq!(texts.len(), 2 * HOSTILE.len());
    for text in &*texts {
        assert!(text.chars().all(is_printable), "{text:?}");
    }
}

fn base64_standard(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
