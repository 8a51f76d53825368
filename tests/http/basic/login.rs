//! A login form whose handler verifies a user id and a password, and scopes from a groups file.

use std::{collections::HashMap, fs, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    http::request::Parts,
    routing::{get, post},
};
use futures_util::future::join_all;
use http::header::RETRY_AFTER;
use reqwest::Method;
use serde_json::json;
use tower_auth::{
    AuthenticateLayer, BasicAuth, Principal, Rejection, RejectionKind, RequireScopes,
    basic::{BasicCredentials, DynPasswordVerifier, PasswordVerifier, Users, Verdict},
    password::{DynUserStore, HashVerifier, HashedUsers, Htpasswd, PasswordHash, UserStore},
    test_util::TestClock,
    throttle::Throttle,
};
use tower_auth_test_support::api::{Api, Reply, greet};

use super::{HashingPause, PASSWORD, basic_header, cheap_hash, on_one_thread, serve, status};

const CHALLENGE: &str = r#"Basic realm="staff", charset="UTF-8""#;

#[derive(serde::Deserialize)]
struct Login {
    user: String,
    password: String,
}

fn users() -> HashedUsers {
    HashedUsers::new([("alice", cheap_hash(PASSWORD)), ("bob", cheap_hash(PASSWORD))]).unwrap()
}

/// Serves `/` for HTTP Basic and `/login` for JSON, with the same authenticator.
async fn serve_login<V: PasswordVerifier>(staff: BasicAuth<V>) -> Api {
    let of_login = staff.clone();
    let log_in = async move |head: Parts, Json(login): Json<Login>| {
        let caller = of_login.verify(&login.user, &login.password, &head).await?;
        let scopes: Vec<_> = caller.scopes().iter().collect();
        Ok::<_, Rejection>(format!("hello {} {scopes:?}", caller.subject()))
    };
    let app = Router::new().route("/", get(greet)).layer(AuthenticateLayer::new(staff));
    Api::serve(app.route("/login", post(log_in))).await
}

async fn log_in(api: &Api, from: &str, user: &str, password: &str) -> Reply {
    let body = json!({ "user": user, "password": password }).to_string();
    let request = api.request(Method::POST, "/login").header("x-from", from);
    Reply::to(request.header("content-type", "application/json").body(body)).await
}

#[tokio::test]
async fn login_form_accepts_the_users_of_http_basic() {
    let verifier = HashVerifier::new(users()).map_principal(|user: Principal| {
        let scope = format!("{}:all", user.subject());
        user.to_builder().scopes([scope]).build()
    });
    let api = serve_login(BasicAuth::new("staff", verifier).unwrap()).await;
    for _ in 0..2 {
        let reply = log_in(&api, "192.0.2.1", "alice", PASSWORD).await;
        assert_eq!((reply.status.as_u16(), &*reply.body), (200, r#"hello alice ["alice:all"]"#));
    }
    let too_long = "x".repeat(7_000);
    for (user, password, status) in [
        ("alice", "wrong", 401),
        ("nobody", PASSWORD, 401),
        ("", "", 401),
        // HTTP Basic would read another user id and password.
        ("alice:", PASSWORD, 401),
        ("alice\0", PASSWORD, 401),
        ("alice", "pass\nword", 401),
        ("alice", &too_long, 431),
    ] {
        let reply = log_in(&api, "192.0.2.1", user, password).await;
        assert_eq!(reply.status.as_u16(), status, "{user:?}");
        assert_eq!(reply.challenges(), if status == 401 { vec![CHALLENGE] } else { vec![] });
    }
}

#[tokio::test]
async fn login_form_and_http_basic_share_the_throttle() {
    let clock = TestClock::new();
    let throttle =
        Throttle::by_address(|head| head.headers.get("x-from")?.to_str().ok()?.parse().ok());
    let throttle = throttle.failures(3, Duration::from_secs(30)).clock(clock.clone());
    let staff = BasicAuth::new("staff", HashVerifier::new(users())).unwrap();
    let api = serve_login(staff.throttle(throttle).unwrap()).await;
    let basic = async |password: &str| {
        let header = basic_header("alice", password);
        Reply::to(api.get("/").header("authorization", header).header("x-from", "192.0.2.1")).await
    };
    assert_eq!(log_in(&api, "192.0.2.1", "alice", "wrong 1").await.status, 401);
    assert_eq!(basic("wrong 2").await.status, 401);
    assert_eq!(log_in(&api, "192.0.2.1", "alice", "wrong 3").await.status, 401);
    let reply = log_in(&api, "192.0.2.1", "alice", PASSWORD).await;
    assert_eq!(reply.status, 429);
    assert_eq!(reply.headers[RETRY_AFTER], "10");
    assert!(reply.challenges().is_empty());
    assert_eq!(basic(PASSWORD).await.status, 429);
    assert_eq!(log_in(&api, "192.0.2.2", "alice", PASSWORD).await.status, 200);
    clock.advance(Duration::from_secs(10));
    assert_eq!(log_in(&api, "192.0.2.1", "alice", PASSWORD).await.status, 200);
}

/// One permit, no queue, and a paused thread: a check that needs another hash gets 503.
#[test]
fn login_form_and_http_basic_share_hashes_cache_and_permits() {
    on_one_thread(async {
        let verifier = HashVerifier::new(users()).permits(1).queue(0);
        let staff = BasicAuth::new("staff", verifier).unwrap();
        let head = http::Request::new(()).into_parts().0;
        let kind = async |user: &str, password: &str| {
            staff.verify(user, password, &head).await.map_err(|rejection| rejection.kind()).err()
        };
        let pause = HashingPause::start().await;
        let api = serve_login(staff.clone()).await;
        let checks = join_all((0..4).map(|_| kind("alice", PASSWORD)));
        let others = async {
            assert_eq!(kind("bob", PASSWORD).await, Some(RejectionKind::Unavailable));
            assert_eq!(kind("nobody", PASSWORD).await, Some(RejectionKind::Unavailable));
            assert_eq!(status(&api, "bob", PASSWORD).await, 503);
            drop(pause);
        };
        let (checks, ()) = tokio::join!(checks, others);
        assert_eq!(checks, [None; 4]);
        // The cache answers without a hash.
        let _pause = HashingPause::start().await;
        assert_eq!(kind("alice", PASSWORD).await, None);
        assert_eq!(status(&api, "alice", PASSWORD).await, 200);
        assert_eq!(log_in(&api, "192.0.2.1", "alice", PASSWORD).await.status, 200);
    });
}

#[tokio::test]
async fn verifier_is_called_in_a_handler_without_basic_auth() {
    let verifier = Arc::new(HashVerifier::new(users()));
    let log_in_with = async move |Json(login): Json<Login>| {
        let credentials = BasicCredentials::new(&login.user, &login.password)?;
        match verifier.verify(credentials).await {
            Verdict::Verified(user) => Ok(user.subject().to_owned()),
            other => other.into_result().map(|_| String::new()),
        }
    };
    let api = Api::serve(Router::new().route("/login", post(log_in_with))).await;
    assert_eq!(log_in(&api, "192.0.2.1", "alice", PASSWORD).await.body, "alice");
    for (user, password) in [("alice", "wrong"), ("nobody", PASSWORD), ("alice:x", PASSWORD)] {
        assert_eq!(log_in(&api, "192.0.2.1", user, password).await.status, 401, "{user}");
    }
}

/// Reads a groups file of Apache: `group: user user ...`.
fn scopes_by_user(groups: &str) -> HashMap<String, Vec<String>> {
    let mut scopes: HashMap<String, Vec<String>> = HashMap::new();
    for (group, users) in groups.lines().filter_map(|line| line.split_once(": ")) {
        for user in users.split_whitespace() {
            scopes.entry(user.to_owned()).or_default().push(group.to_owned());
        }
    }
    scopes
}

#[tokio::test]
async fn htpasswd_users_get_scopes_from_a_groups_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("htpasswd");
    let hash = cheap_hash(PASSWORD);
    fs::write(&file, format!("alice:{hash}\nbob:{hash}\ncarol:{hash}\n")).unwrap();
    let scopes = scopes_by_user("orders:read: alice bob\norders:write: alice\n");
    let users = HashVerifier::new(Htpasswd::open(file).unwrap());
    let users = users.map_principal(move |user: Principal| match scopes.get(user.subject()) {
        Some(scopes) => user.to_builder().scopes(scopes).build(),
        None => user,
    });
    let staff = BasicAuth::new("staff", users).unwrap();
    let app = Router::new()
        .route("/read", get(greet).layer(RequireScopes::all(["orders:read"])))
        .route("/write", get(greet).layer(RequireScopes::all(["orders:write"])));
    let api = Api::serve(app.layer(AuthenticateLayer::new(staff))).await;
    for (user, read, write) in [("alice", 200, 200), ("bob", 200, 403), ("carol", 403, 403)] {
        for (path, expected) in [("/read", read), ("/write", write), ("/read", read)] {
            let request = api.get(path).basic_auth(user, Some(PASSWORD));
            assert_eq!(Reply::to(request).await.status.as_u16(), expected, "{user} {path}");
        }
    }
    let unknown = api.get("/read").basic_auth("dave", Some(PASSWORD));
    assert_eq!(Reply::to(unknown).await.status, 401);
}

#[tokio::test]
async fn mapped_hash_verifier_answers_from_the_cache() {
    let verifier = Arc::new(HashVerifier::new(users()).map_principal(|user: Principal| user));
    let sent = BasicCredentials::new("alice", PASSWORD).unwrap();
    assert!(verifier.verify_now(&sent).is_none());
    assert!(matches!(verifier.verify(sent.clone()).await, Verdict::Verified(_)));
    assert!(matches!(verifier.verify_now(&sent), Some(Verdict::Verified(_))));
    let api = serve(verifier).await;
    assert_eq!(status(&api, "alice", PASSWORD).await, 200);
}

/// The shortcuts (`find_now`, `verify_now`) and the decoy are those of the store.
async fn assert_is_shortcut<V: PasswordVerifier>(verifier: V) {
    let sent = BasicCredentials::new("alice", PASSWORD).unwrap();
    assert!(matches!(verifier.verify(sent.clone()).await, Verdict::Verified(_)));
    assert!(matches!(verifier.verify_now(&sent), Some(Verdict::Verified(_))));
    let wrong = BasicCredentials::new("alice", "wrong").unwrap();
    assert!(matches!(verifier.verify(wrong).await, Verdict::Invalid));
    let api = serve(verifier).await;
    assert_eq!(status(&api, "alice", PASSWORD).await, 200);
    assert_eq!(status(&api, "alice", "wrong").await, 401);
    assert_eq!(status(&api, "nobody", PASSWORD).await, 401);
}

#[tokio::test]
async fn user_store_can_be_chosen_at_run_time_and_shared() {
    let decoy = users().decoy("nobody").map(|hash: PasswordHash| hash.as_str().to_owned());
    assert!(decoy.is_some());
    let shared: Arc<dyn DynUserStore> = Arc::new(users());
    let boxed: Box<dyn DynUserStore> = Box::new(users());
    let typed = Arc::new(Box::new(users()));
    for of_store in [shared.decoy("nobody"), boxed.decoy("nobody"), typed.decoy("nobody")] {
        assert_eq!(of_store.map(|hash| hash.as_str().to_owned()), decoy);
    }
    assert!(shared.find("alice").await.unwrap().is_some());
    assert!(shared.find("nobody").await.unwrap().is_none());
    assert_is_shortcut(HashVerifier::new(shared)).await;
    assert_is_shortcut(HashVerifier::new(boxed)).await;
    assert_is_shortcut(HashVerifier::new(typed)).await;
}

#[tokio::test]
async fn password_verifier_can_be_chosen_at_run_time_and_shared() {
    let plain = Users::new([("alice", PASSWORD)]).unwrap();
    let verifiers: [Arc<dyn DynPasswordVerifier>; 3] = [
        Arc::new(plain.clone()),
        Arc::new(HashVerifier::new(users())),
        Arc::new(Box::new(plain) as Box<dyn DynPasswordVerifier>),
    ];
    for verifier in verifiers {
        assert_is_shortcut(Arc::clone(&verifier)).await;
        assert_is_shortcut(Box::new(verifier) as Box<dyn DynPasswordVerifier>).await;
    }
    let never = Arc::new(|_| std::future::ready(Verdict::Invalid)) as Arc<dyn DynPasswordVerifier>;
    assert!(never.verify_now(&BasicCredentials::new("alice", PASSWORD).unwrap()).is_none());
    assert_eq!(status(&serve(never).await, "alice", PASSWORD).await, 401);
}
