use std::{
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use axum::{Router, routing::get};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower_auth::{
    AuthenticateLayer, BasicAuth, Principal, RequireScopes, Scheme,
    api_key::{ApiKeys, MemoryApiKeys, NewApiKey},
    basic::Users,
    clock::Clock as _,
    issue::{TokenIssuer, TokenRoutes},
    observe::{AuditLog, AuditLogBuilder},
    store::{Memory, SealedStore, StoreSecret},
    test_util::{TestClock, principal},
    throttle::Throttle,
    transport::Forwarded,
};
use tower_auth_test_support::api::{Api, Reply, greet};

use super::{lines, text};

const PASSWORD: &str = "correct horse";
/// The address that the proxy of these tests reports.
const CLIENT: &str = "203.0.113.9";

struct Service {
    api: Api,
    audit: AuditLog,
    folder: TempDir,
    clock: TestClock,
}

impl Service {
    async fn start(configure: impl FnOnce(AuditLogBuilder) -> AuditLogBuilder) -> Self {
        // At noon, because the log starts a file at midnight.
        let noon = UNIX_EPOCH + Duration::from_secs(20_000 * 86_400 + 43_200);
        let (folder, clock) = (tempfile::tempdir().unwrap(), TestClock::at(noon));
        let audit = AuditLog::directory(folder.path()).clock(clock.clone());
        let audit = configure(audit).build().unwrap();
        let secret = StoreSecret::new(*b"0123456789abcdefghijklmnopqrstuv").unwrap();
        let store = SealedStore::new(Memory::with_clock(clock.clone()), secret);
        let issuer = TokenIssuer::builder()
            .issuer("https://login.example")
            .audience("orders")
            .store(store)
            .observer(audit.clone())
            .clock(clock.clone());
        let issuer = issuer.build().unwrap();
        let alice = Principal::builder("alice", Scheme::BASIC).scopes(["read"]).build();
        let staff = BasicAuth::new("staff", Users::default().with(alice, PASSWORD).unwrap());
        let proxies = || Forwarded::from_proxies("127.0.0.0/8").unwrap();
        let throttle = Throttle::new(proxies()).clock(clock.clone());
        let staff = staff.unwrap().throttle(throttle).unwrap();
        let routes = TokenRoutes::builder(issuer.clone(), staff)
            .observer(audit.clone())
            .forwarded(proxies())
            .build()
            .unwrap();
        let app = Router::new()
            .route("/users/{id}", get(greet))
            .route("/admin", get(greet).layer(RequireScopes::all(["admin"])))
            .layer(
                AuthenticateLayer::new(issuer.verifier())
                    .observer(audit.clone())
                    .forwarded(proxies()),
            )
            .merge(routes.into_router());
        Self { api: Api::serve_with_addresses(app).await, audit, folder, clock }
    }

    async fn post(&self, path: &str, parameters: Value) -> Reply {
        let request = self.api.request(reqwest::Method::POST, path);
        let request = request.header("x-forwarded-for", CLIENT).header("sec-fetch-site", "none");
        let request = request.header("content-type", "application/json");
        Reply::to(request.body(parameters.to_string())).await
    }

    async fn get(&self, path: &str, token: &str) -> u16 {
        let request = self.api.get(path).header("x-forwarded-for", CLIENT).bearer_auth(token);
        Reply::to(request).await.status.as_u16()
    }

    async fn log_in(&self, password: &str) -> (u16, Value) {
        let reply = self.post("/login", json!({ "username": "alice", "password": password })).await;
        (reply.status.as_u16(), serde_json::from_str(&reply.body).unwrap_or_default())
    }

    async fn refresh(&self, token: &Value) -> (u16, Value) {
        let reply = self.post("/token/refresh", json!({ "refresh_token": token })).await;
        (reply.status.as_u16(), serde_json::from_str(&reply.body).unwrap_or_default())
    }

    async fn lines(&self) -> Vec<Value> {
        lines(&self.audit, self.folder.path()).await
    }
}

/// Runs a login, requests, refreshes, a reuse and a logout. Returns all secrets.
async fn run(service: &Service) -> Vec<String> {
    let mut secrets = vec![PASSWORD.to_owned(), "Wrong7".into()];
    let mut keep = |tokens: &Value| {
        for name in ["access_token", "refresh_token"] {
            secrets.push(tokens[name].as_str().unwrap().to_owned());
        }
    };
    assert_eq!(service.log_in("Wrong7").await.0, 401);
    let (status, first) = service.log_in(PASSWORD).await;
    assert_eq!(status, 200);
    keep(&first);
    let access = first["access_token"].as_str().unwrap();
    assert_eq!(service.get("/users/alice?code=hidden", access).await, 200);
    assert_eq!(service.get("/admin", access).await, 403);
    assert_eq!(service.get("/users/bob", "no-token").await, 401);

    let (status, second) = service.refresh(&first["refresh_token"]).await;
    assert_eq!(status, 200);
    keep(&second);
    service.clock.advance(Duration::from_secs(60));
    assert_eq!(service.refresh(&first["refresh_token"]).await.0, 400);
    let (_, third) = service.log_in(PASSWORD).await;
    keep(&third);
    let log_out = json!({ "refresh_token": third["refresh_token"] });
    assert!(service.post("/logout", log_out).await.status.is_success());
    secrets.push("hidden".into());
    secrets
}

/// Returns the lines with one of these names, without the time.
fn named<'a>(lines: &'a [Value], name: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == name).collect()
}

/// Asserts that the members of the line are these and the time.
#[track_caller]
fn assert_members(line: &Value, expected: Value) {
    let mut line = line.clone();
    let time = line.as_object_mut().unwrap().remove("time").unwrap();
    assert!(time.as_str().unwrap().ends_with('Z'), "{time}");
    line.as_object_mut().unwrap().remove("waited_ms");
    assert_eq!(line, expected);
}

#[tokio::test]
async fn flows_of_a_user_are_written_with_their_members() {
    let service = Service::start(|audit| audit).await;
    let secrets = run(&service).await;
    let lines = service.lines().await;
    let issuer = "https://login.example";
    let of_routes = |name: &str, path: &str| {
        json!({
            "event": name, "issuer": issuer, "subject": "alice", "client_id": "default",
            "method": "POST", "route": path, "path": path, "address": CLIENT,
        })
    };

    for (name, path, count) in [
        ("logged_in", "/login", 2),
        ("tokens_refreshed", "/token/refresh", 1),
        ("refresh_token_reused", "/token/refresh", 1),
    ] {
        let found = named(&lines, name);
        assert_eq!(found.len(), count, "{name} {lines:#?}");
        let mut expected = of_routes(name, path);
        expected["client_id"] = found[0]["client_id"].clone();
        assert_members(found[0], expected);
    }
    let [logged_out] = named(&lines, "logged_out")[..] else { panic!("{lines:#?}") };
    let mut expected = of_routes("logged_out", "/logout");
    expected.as_object_mut().unwrap().remove("client_id");
    expected["everywhere"] = false.into();
    assert_members(logged_out, expected);

    let admitted = json!({
        "event": "admitted", "scheme": "Bearer", "issuer": issuer, "subject": "alice",
        "method": "GET", "route": "/users/{id}", "path": "/users/alice", "address": CLIENT,
    });
    assert_members(named(&lines, "admitted")[0], admitted);
    let rejected = named(&lines, "rejected");
    let denied = rejected.iter().find(|line| line["path"] == "/admin").unwrap();
    assert_eq!(denied["kind"], "insufficient_scope");
    assert_eq!(denied["subject"], "alice");
    assert!(denied["policy"].as_str().unwrap().contains("admin"), "{denied}");
    let invalid = rejected.iter().find(|line| line["path"] == "/users/bob").unwrap();
    assert_eq!(invalid["kind"], "invalid_credentials");
    assert!(invalid.get("subject").is_none() && invalid["reason"].is_string(), "{invalid}");

    let text = text(service.folder.path());
    for secret in secrets {
        assert!(!text.contains(&secret), "{secret} is in {text}");
    }
}

#[tokio::test]
async fn throttled_login_is_written() {
    let service = Service::start(|audit| audit).await;
    for _ in 0..100 {
        if service.log_in("wrong").await.0 == 429 {
            let lines = service.lines().await;
            let throttled = named(&lines, "throttled");
            assert!(!throttled.is_empty(), "{lines:#?}");
            assert_eq!(throttled[0]["kind"], "too_many_requests");
            assert_eq!(throttled[0]["address"], CLIENT);
            return;
        }
    }
    panic!("no login was throttled");
}

#[tokio::test]
async fn api_keys_are_written_with_owner_and_id() {
    let folder = tempfile::tempdir().unwrap();
    let audit = AuditLog::directory(folder.path()).build().unwrap();
    let clock = TestClock::new();
    let keys = ApiKeys::builder("acme_test", MemoryApiKeys::new())
        .dangerous_trust_owners()
        .observer(audit.clone())
        .clock(clock.clone());
    let keys = keys.build().unwrap();
    let auth_time = clock.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({ "sub": "alice", "auth_time": auth_time });
    let caller = principal("alice").claims(&claims).unwrap().scopes(["read"]).build();
    let created = keys.create(&caller, NewApiKey::new("export").scopes(["read"])).await.unwrap();
    let id = created.info().id.to_string();
    keys.revoke("alice", &id).await.unwrap();
    let lines = lines(&audit, folder.path()).await;
    for (name, line) in ["api_key_created", "api_key_revoked"].iter().zip(&lines) {
        assert_members(line, json!({ "event": name, "subject": "alice", "key": id }));
    }
    assert!(!text(folder.path()).contains(created.key()));
}

#[tokio::test]
async fn forgotten_user_is_in_no_file_of_a_plain_or_hashed_log() {
    const SECRET: &str = "0123456789abcdefghijklmnopqrstuvwxyz";

    let service = Service::start(|audit| audit).await;
    run(&service).await;
    // Another process that writes hashes.
    let hashed = AuditLog::directory(service.folder.path()).hash_identities(SECRET);
    let hashed = hashed.clock(service.clock.clone()).build().unwrap();
    let app = Router::new().route("/users/{id}", get(greet));
    let users = Users::new([("alice", PASSWORD)]).unwrap();
    let layer = AuthenticateLayer::new(BasicAuth::new("staff", users).unwrap());
    let layer = layer.observer(hashed.clone());
    let api = Api::serve_with_addresses(app.layer(layer)).await;
    assert_eq!(api.get_as_staff(PASSWORD, "/users/alice").await.status, 200);
    let hash = hashed.hash_of("alice").unwrap();
    hashed.flush().await.unwrap();
    service.audit.flush().await.unwrap();
    let (before, count) = (text(service.folder.path()), files(service.folder.path()));
    assert!(before.contains("alice") && before.contains(&hash));
    assert_eq!(count, 2);

    let changed = hashed.forget("alice").await.unwrap();
    let after = text(service.folder.path());
    assert!(!after.contains("alice") && !after.contains(&hash), "{after}");
    assert!(changed >= 8, "{changed}");
    // The address of the user is gone as well. Those of failed logins are not assigned to a user.
    assert!(after.matches(CLIENT).count() < before.matches(CLIENT).count());
    assert_eq!(after.lines().count(), before.lines().count());
    assert_eq!(files(service.folder.path()), count);
    assert!(service.lines().await.iter().all(|line| line["event"].is_string()));
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}
