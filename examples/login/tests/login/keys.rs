//! API keys: their life, and who cannot create one.

use std::{
    thread,
    time::{Duration, SystemTime},
};

use rusqlite::Connection;
use serde_json::{Value, json};
use tower_auth::{
    issue::{Grant, TokenIssuer},
    store::{Redis, SealedStore, StoreSecret},
    test_util::principal,
};
use tower_auth_test_support::{
    raw::{RawResponse, send},
    redis::RedisServer,
};

use crate::{
    command_line::run,
    service::{Service, accounts, tokens},
};

/// A key of a user, and the access token of the user.
pub struct Key {
    pub id: String,
    pub key: String,
    pub token: String,
}

impl Service {
    pub fn create_key(&self, access_token: &str, body: &str) -> RawResponse {
        let authorization = format!("Bearer {access_token}");
        send(&self.address, "POST", "/api-keys", &[("authorization", &authorization)], body)
    }

    /// Logs alice in and creates a key.
    pub fn new_key(&self) -> Key {
        self.new_key_of("alice", "correct horse")
    }

    pub fn new_key_of(&self, user: &str, password: &str) -> Key {
        let token = tokens(&self.try_to_log_in(user, password)).access;
        let created = self.create_key(&token, "");
        assert_eq!(created.status, 201, "{created:?}");
        let created = created.json();
        let text = |name: &str| created[name].as_str().unwrap().to_owned();
        Key { id: text("id"), key: text("key"), token }
    }

    pub fn revoke_key(&self, access_token: &str, id: &str) -> RawResponse {
        let authorization = format!("Bearer {access_token}");
        let path = format!("/api-keys/{id}");
        send(&self.address, "DELETE", &path, &[("authorization", &authorization)], "")
    }

    fn list_keys(&self, access_token: &str) -> RawResponse {
        let authorization = format!("Bearer {access_token}");
        send(&self.address, "GET", "/api-keys", &[("authorization", &authorization)], "")
    }

    pub fn me_with_key(&self, key: &str) -> RawResponse {
        send(&self.address, "GET", "/me", &[("x-api-key", key)], "")
    }
}

#[test]
fn created_key_is_accepted_and_listed_without_its_secret() {
    let (_folder, file) = accounts();
    let service = Service::start(&file, &[]);
    let token = service.log_in().access;
    let created = service.create_key(&token, r#"{"name":"export","lifetime":3600}"#);
    assert_eq!((created.status, created.header("cache-control")), (201, "no-store"));
    let created = created.json();
    let key = created["key"].as_str().unwrap();
    let me = service.me_with_key(key);
    assert_eq!((me.status, me.json()), (200, json!({ "subject": "alice" })));

    let list = service.list_keys(&token);
    assert_eq!((list.status, list.header("cache-control")), (200, "no-store"));
    let secret = key.rsplit('_').next().unwrap();
    assert!(secret.len() > 20 && !list.body.contains(secret), "{list:?}");
    let listed = &list.json()["api_keys"][0];
    assert_eq!((&listed["id"], &listed["name"]), (&created["id"], &"export".into()));
    assert_eq!(listed["revoked_at"], Value::Null);
    let [from, to] = ["created_at", "expires_at"].map(|name| listed[name].as_u64().unwrap());
    assert_eq!(to - from, 3600);

    // The database has a hash of the key.
    let content = std::fs::read(&file).unwrap();
    assert!(content.windows(6).any(|bytes| bytes == b"export"));
    assert!(!content.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()));
    // The log names the key by its id.
    let log = service.program.kill();
    assert!(log.contains(created["id"].as_str().unwrap()) && !log.contains(secret), "{log}");
}

#[test]
fn key_without_a_body_is_valid_for_90_days() {
    let (_folder, file) = accounts();
    let service = Service::start(&file, &[]);
    let created = service.create_key(&service.log_in().access, "").json();
    let [from, to] = ["created_at", "expires_at"].map(|name| created[name].as_u64().unwrap());
    assert_eq!(to - from, 90 * 24 * 3600);
    assert_eq!((&created["name"], &created["scopes"]), (&"".into(), &json!([])));
}

#[test]
fn key_of_one_process_is_accepted_by_another_until_it_is_revoked() {
    let (_folder, file) = accounts();
    // Their logins are in the memory of each.
    let [one, two] = [(); 2].map(|()| Service::start(&file, &[]));
    let key = one.new_key();
    for service in [&one, &two] {
        assert_eq!(service.me_with_key(&key.key).status, 200);
    }
    let other = two.new_key();
    assert_eq!(two.revoke_key(&other.token, &key.id).status, 204);
    for service in [&one, &two] {
        assert_eq!(service.me_with_key(&key.key).status, 401);
        assert_eq!(service.me_with_key(&other.key).status, 200);
    }
    // Again, which has no effect.
    assert_eq!(one.revoke_key(&key.token, &key.id).status, 204);
    let listed = one.list_keys(&key.token).json();
    assert_eq!(listed["api_keys"].as_array().unwrap().len(), 2, "{listed}");
    assert!(listed["api_keys"][0]["revoked_at"].is_u64(), "{listed}");
}

#[test]
fn rotated_key_is_valid_for_a_day_beside_its_successor() {
    let (_folder, file) = accounts();
    let service = Service::start(&file, &[]);
    let old = service.new_key();
    let rotate = |token: &str, id: &str| {
        let path = format!("/api-keys/{id}/rotate");
        let authorization = format!("Bearer {token}");
        send(&service.address, "POST", &path, &[("authorization", &authorization)], "")
    };
    let rotated = rotate(&old.token, &old.id);
    assert_eq!((rotated.status, rotated.header("cache-control")), (201, "no-store"));
    let rotated = rotated.json();
    assert_ne!(rotated["id"], old.id);
    for key in [rotated["key"].as_str().unwrap(), &old.key] {
        assert_eq!(service.me_with_key(key).status, 200);
    }
    let listed = service.list_keys(&old.token).json();
    let [first, second] = [0, 1].map(|index| &listed["api_keys"][index]);
    assert_eq!((&first["id"], &second["id"]), (&old.id.into(), &rotated["id"]));
    let day = first["expires_at"].as_u64().unwrap() - second["created_at"].as_u64().unwrap();
    assert!((day).abs_diff(24 * 3600) <= 1, "{listed}");
    assert_eq!(rotate(&old.token, "guess").status, 404);
    let revoked = service.revoke_key(&old.token, rotated["id"].as_str().unwrap());
    assert_eq!(revoked.status, 204);
    assert_eq!(rotate(&old.token, rotated["id"].as_str().unwrap()).status, 400);
}

#[test]
fn keys_are_accepted_after_a_restart_and_a_logout() {
    let (_folder, file) = accounts();
    let service = Service::start(&file, &[]);
    let [kept, revoked] = [(); 2].map(|()| service.new_key());
    assert_eq!(service.revoke_key(&revoked.token, &revoked.id).status, 204);
    let remaining = service.post_with_token("/logout/all", &kept.token);
    assert_eq!(remaining.status, 200);
    let remaining = remaining.json();
    let remaining = remaining["api_keys"].as_array().unwrap();
    assert_eq!((remaining.len(), &remaining[0]["id"]), (1, &kept.id.clone().into()));
    assert_eq!(service.me(&kept.token).status, 401);
    assert_eq!(service.me_with_key(&kept.key).status, 200);
    drop(service);
    let service = Service::start(&file, &[]);
    assert_eq!(service.me_with_key(&kept.key).status, 200);
    assert_eq!(service.me_with_key(&revoked.key).status, 401);
}

#[test]
fn removed_account_rejects_its_keys_also_after_the_name_is_used_again() {
    let (_folder, file) = accounts();
    let service = Service::start(&file, &[]);
    let register = || run(&["register", "bob", "--accounts", &file], "battery staple\n");
    assert!(register().status.success());
    let key = service.new_key_of("bob", "battery staple");
    let others = service.new_key();
    assert_eq!(service.me_with_key(&key.key).status, 200);

    let removed = run(&["remove", "bob", "--accounts", &file], "");
    assert!(removed.status.success(), "{removed:?}");
    assert_eq!(String::from_utf8(removed.stdout).unwrap(), "removed bob\n");
    assert_eq!(service.me_with_key(&key.key).status, 401);
    // The access token of bob is valid for 10 minutes, but an account that does not exist gets no
    // key.
    assert_eq!(service.create_key(&key.token, "").status, 403);

    assert!(register().status.success());
    assert_eq!(service.me_with_key(&key.key).status, 401);
    assert_eq!(service.me_with_key(&others.key).status, 200);
}

#[test]
fn keys_of_other_users_and_unknown_keys_are_not_found() {
    let (_folder, file) = accounts();
    assert!(run(&["register", "bob", "--accounts", &file], "battery staple\n").status.success());
    let service = Service::start(&file, &[]);
    let alice = service.new_key();
    let bob = service.new_key_of("bob", "battery staple");
    for id in [&*alice.id, "guess", "%00", "%ff", &"x".repeat(4_000)] {
        let status = service.revoke_key(&bob.token, id).status;
        let expected = if id == "%ff" { 400 } else { 404 };
        assert_eq!(status, expected, "{id}");
    }
    assert_eq!(service.me_with_key(&alice.key).status, 200);
    let listed = service.list_keys(&bob.token).json();
    assert_eq!(listed["api_keys"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["api_keys"][0]["id"], bob.id);
}

#[test]
fn key_does_not_manage_keys() {
    let (_folder, file) = accounts();
    let service = Service::start(&file, &[]);
    let key = service.new_key();
    let bearer = format!("Bearer {}", key.key);
    let path = format!("/api-keys/{}", key.id);
    for header in [("x-api-key", &*key.key), ("authorization", &*bearer)] {
        for (method, path) in [("POST", "/api-keys"), ("GET", "/api-keys"), ("DELETE", &path)] {
            let response = send(&service.address, method, path, &[header], "");
            assert_eq!(response.status, 401, "{method} {header:?}");
        }
    }
    assert_eq!(service.me_with_key(&key.key).status, 200);
}

#[test]
fn cookie_of_the_page_does_not_manage_keys() {
    let (_folder, file) = accounts();
    let service = Service::start(&file, &[]);
    let alice = json!({ "username": "alice", "password": "correct horse" });
    let login = service.post("/page/login", alice);
    let cookie = login.header("set-cookie").split("; ").next().unwrap();
    for origin in ["https://attacker.example", &*format!("http://{}", service.address)] {
        let headers = [("cookie", cookie), ("origin", origin)];
        let response = send(&service.address, "POST", "/api-keys", &headers, "");
        assert_eq!(response.status, 401, "{response:?}");
    }
}

#[test]
fn login_older_than_5_minutes_creates_no_key() {
    let Some(redis) = RedisServer::redis(&[]) else { return };
    let (_folder, file) = accounts();
    let service = Service::start(&file, &["--store", &redis.url()]);
    let created = service.create_key(&service.log_in().access, "");
    assert_eq!(created.status, 201);

    let tokens = tokens_of_logins(&redis.url(), &file, [290, 310].map(Duration::from_secs));
    for (token, status) in tokens.iter().zip([201, 401]) {
        assert_eq!(service.me(token).status, 200);
        let response = service.create_key(token, "");
        assert_eq!(response.status, status, "{response:?}");
        if status == 401 {
            let challenge = response.header("www-authenticate");
            assert!(challenge.contains(r#"error="insufficient_user_authentication""#));
            assert!(challenge.contains(r#"max_age="300""#), "{challenge}");
        }
        // Other requests do not need a recent login.
        assert_eq!(service.list_keys(token).status, 200);
    }
}

/// Issues access tokens as the running instance does, for logins that were this long ago.
#[tokio::main(flavor = "current_thread")]
async fn tokens_of_logins(redis: &str, accounts: &str, ages: [Duration; 2]) -> Vec<String> {
    let secret = StoreSecret::from_file(format!("{accounts}.key")).unwrap();
    let store = SealedStore::new(Redis::builder(redis).unwrap().build().unwrap(), secret);
    let issuer = TokenIssuer::builder().issuer("https://login.example").audience("login");
    let issuer = issuer.store(store).build().unwrap();
    let alice = principal("alice").build();
    let mut tokens = Vec::new();
    for age in ages {
        let login = Grant::new(&alice).auth_time(SystemTime::now() - age);
        tokens.push(issuer.issue(login).await.unwrap().access_token().to_owned());
    }
    tokens
}

#[test]
fn concurrent_creations_in_two_processes_stop_at_the_limit() {
    let (_folder, file) = accounts();
    let instances = [(); 2].map(|()| Service::start(&file, &[]));
    let tokens = [0, 1].map(|index| instances[index].log_in().access);
    let database = Connection::open(&file).unwrap();
    let fill = "WITH RECURSIVE count(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count) \
        INSERT INTO api_keys (id, digest, owner, name, scopes, created_at, expires_at) \
        SELECT printf('%016d', n), zeroblob(32), 'alice', '', '', 0, ?1 FROM count LIMIT ?2";
    assert_eq!(database.execute(fill, (i64::MAX, 95)).unwrap(), 95);
    let statuses: Vec<_> = thread::scope(|scope| {
        let create = |index: usize| {
            let (instance, token) = (&instances[index % 2], &tokens[index % 2]);
            scope.spawn(move || instance.create_key(token, "").status)
        };
        let threads: Vec<_> = (0..64).map(create).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let count = |status| statuses.iter().filter(|other| **other == status).count();
    assert_eq!((count(201), count(409)), (5, 59), "{statuses:?}");
    let stored: u32 =
        database.query_row("SELECT count(*) FROM api_keys", [], |row| row.get(0)).unwrap();
    assert_eq!(stored, 100);
    // A key that has ended makes room for another one.
    assert_eq!(instances[0].revoke_key(&tokens[0], "0000000000000001").status, 204);
    assert_eq!(instances[1].create_key(&tokens[1], "").status, 201);
    assert_eq!(instances[1].create_key(&tokens[1], "").status, 409);
}

#[test]
fn database_that_is_locked_for_too_long_returns_503() {
    let (_folder, file) = accounts();
    let service = Service::start(&file, &[]);
    let key = service.new_key();
    let other = Connection::open(&file).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let response = service.me_with_key(&key.key);
    assert_eq!(response.status, 503, "{response:?}");
    assert!(response.header("retry-after").parse::<u32>().unwrap() > 0);
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(service.me_with_key(&key.key).status, 200);
}

#[test]
fn malformed_bodies_return_400_and_create_no_key() {
    let (_folder, file) = accounts();
    let service = Service::start(&file, &[]);
    let token = service.log_in().access;
    let long_name = json!({ "name": "x".repeat(1_000) }).to_string();
    for body in [
        "{",
        "null",
        "[]x",
        "\u{feff}{}",
        "{}{}",
        r#"{"name":1}"#,
        r#"{"name":"a","name":"b"}"#,
        r#"{"name":"\u0000"}"#,
        r#"{"lifetimes":1}"#,
        r#"{"lifetime":-1}"#,
        r#"{"lifetime":0}"#,
        r#"{"lifetime":7776001}"#,
        r#"{"lifetime":18446744073709551615}"#,
        r#"{"lifetime":1e99}"#,
        r#"{"scopes":"a b"}"#,
        &"[".repeat(8_000),
        &long_name,
    ] {
        let response = service.create_key(&token, body);
        assert_eq!(response.status, 400, "{body}: {response:?}");
    }
    assert_eq!(service.create_key(&token, &" ".repeat(10_000)).status, 413);
    for scope in ["", "a b", "a\"b", "\u{0}", "☃"] {
        let response = service.create_key(&token, &json!({ "scopes": [scope] }).to_string());
        assert!([400, 403].contains(&response.status), "{response:?}");
    }
    let response = service.create_key(&token, r#"{"scopes":["admin"]}"#);
    assert_eq!(response.status, 403);
    assert!(response.header("www-authenticate").contains(r#"error="insufficient_scope""#));
    assert_eq!(service.list_keys(&token).json(), json!({ "api_keys": [] }));
}

#[test]
fn malformed_and_duplicate_keys_are_rejected() {
    let (_folder, file) = accounts();
    let service = Service::start(&file, &[]);
    let key = service.new_key().key;
    for malformed in ["x", &key[1..], &key[..key.len() - 1], &format!("{key}0"), &"a".repeat(9_000)]
    {
        let response = service.me_with_key(malformed);
        assert_eq!(response.status, 401, "{response:?}");
        assert!(response.header("www-authenticate").starts_with("Bearer"), "{response:?}");
    }
    let headers = [("x-api-key", &*key), ("x-api-key", &*key)];
    assert_eq!(send(&service.address, "GET", "/me", &headers, "").status, 400);
    let response = send(&service.address, "GET", &format!("/me?api_key={key}"), &[], "");
    assert_eq!(response.status, 401);
}

#[test]
fn unknown_keys_return_429_but_a_key_in_use_is_accepted() {
    let [(_folder, file), (_other_folder, other_file)] = [accounts(), accounts()];
    let service = Service::start(&file, &[]);
    let [used, unused] = [(); 2].map(|()| service.new_key().key);
    assert_eq!(service.me_with_key(&used).status, 200);
    // A key of another service that has the same prefix.
    let unknown = Service::start(&other_file, &[]).new_key().key;
    let statuses: Vec<_> = (0..11).map(|_| service.me_with_key(&unknown).status).collect();
    assert_eq!(statuses, [[401; 10].as_slice(), &[429]].concat());
    let response = service.me_with_key(&unused);
    assert_eq!(response.status, 429);
    assert!(response.header("retry-after").parse::<u32>().unwrap() > 0);
    assert_eq!(service.me_with_key(&used).status, 200);
    // Logins have a limit of their own.
    service.log_in();
}
