//! Reloading of a password file that changes while it is in use.

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tempfile::TempDir;
use tower_auth::{
    clock::Clock as _,
    password::{HashVerifier, Htpasswd},
    test_util::TestClock,
};
use tower_auth_test_support::api::Api;

use super::{PASSWORD, UNICODE_PASSWORD, cheap_hash, serve, status};

/// A server whose users are in a file.
struct Server {
    users: Htpasswd,
    path: PathBuf,
    clock: TestClock,
    api: Api,
    _dir: TempDir,
}

impl Server {
    async fn start(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("htpasswd");
        fs::write(&path, text).unwrap();
        let clock = TestClock::new();
        let users = Htpasswd::builder(&path).clock(clock.clone()).open().unwrap();
        let verifier = HashVerifier::new(users.clone()).clock(clock.clone());
        let api = serve(verifier).await;
        Self { users, path, clock, api, _dir: dir }
    }

    /// Overwrites the file and waits until the change can be seen.
    fn write(&self, text: &str) {
        self.write_without_waiting(text);
        self.clock.advance(Duration::from_secs(1));
    }

    fn write_without_waiting(&self, text: &str) {
        fs::write(&self.path, text).unwrap();
        self.set_modified(self.clock.now());
    }

    fn set_modified(&self, modified: SystemTime) {
        fs::File::options().write(true).open(&self.path).unwrap().set_modified(modified).unwrap();
    }

    async fn alice_status(&self, password: &str) -> u16 {
        status(&self.api, "alice", password).await
    }

    /// Returns the fault of the file after a login attempt.
    async fn fault(&self) -> Option<Arc<str>> {
        self.alice_status("a wrong password").await;
        self.users.fault()
    }
}

fn line(user_id: &str, password: &str) -> String {
    format!("{user_id}:{}\n", cheap_hash(password))
}

#[tokio::test]
async fn change_is_seen_after_one_second() {
    let server = Server::start(&line("alice", PASSWORD)).await;
    assert_eq!(server.alice_status(PASSWORD).await, 200);
    server.write_without_waiting(&line("alice", UNICODE_PASSWORD));
    server.clock.advance(Duration::from_millis(999));
    assert_eq!(server.alice_status(PASSWORD).await, 200);
    assert_eq!(server.alice_status(UNICODE_PASSWORD).await, 401);
    server.clock.advance(Duration::from_millis(1));
    assert_eq!(server.alice_status(UNICODE_PASSWORD).await, 200);
    assert_eq!(server.alice_status(PASSWORD).await, 401);
}

#[tokio::test]
async fn removed_user_is_rejected_despite_a_cached_verification() {
    let server = Server::start(&(line("alice", PASSWORD) + &line("bob", UNICODE_PASSWORD))).await;
    for _ in 0..3 {
        assert_eq!(server.alice_status(PASSWORD).await, 200);
        assert_eq!(status(&server.api, "bob", UNICODE_PASSWORD).await, 200);
    }
    server.write(&line("bob", UNICODE_PASSWORD));
    assert_eq!(server.alice_status(PASSWORD).await, 401);
    assert_eq!(status(&server.api, "bob", UNICODE_PASSWORD).await, 200);
    server.write(&(line("alice", PASSWORD) + &line("bob", UNICODE_PASSWORD)));
    assert_eq!(server.alice_status(PASSWORD).await, 200);
}

#[tokio::test]
async fn invalid_file_keeps_the_previous_users_until_it_is_fixed() {
    let server = Server::start(&(line("alice", PASSWORD) + &line("bob", UNICODE_PASSWORD))).await;
    let invalid =
        format!("{}\n{}oops\n", line("alice", UNICODE_PASSWORD), line("carol", UNICODE_PASSWORD));
    server.write(&invalid);
    for _ in 0..3 {
        assert_eq!(server.alice_status(PASSWORD).await, 200);
        assert_eq!(server.alice_status(UNICODE_PASSWORD).await, 401);
        assert_eq!(status(&server.api, "bob", UNICODE_PASSWORD).await, 200);
        assert_eq!(status(&server.api, "carol", UNICODE_PASSWORD).await, 401);
        let fault = server.users.fault().unwrap();
        assert!(fault.contains("htpasswd: line 4: "), "{fault}");
        assert!(!fault.contains("argon2"), "{fault}");
        assert_eq!(server.users.users(), 2);
        server.clock.advance(Duration::from_secs(5));
    }
    server.write(&invalid.replace("oops\n", ""));
    assert_eq!(server.alice_status(UNICODE_PASSWORD).await, 200);
    assert_eq!(server.alice_status(PASSWORD).await, 401);
    assert_eq!(status(&server.api, "bob", UNICODE_PASSWORD).await, 401);
    assert_eq!(status(&server.api, "carol", UNICODE_PASSWORD).await, 200);
    assert_eq!(server.users.fault(), None);
}

#[tokio::test]
async fn restored_file_clears_the_fault() {
    let valid = line("alice", PASSWORD);
    let server = Server::start(&valid).await;
    let original_date = server.clock.now() - Duration::from_secs(3600);
    server.set_modified(original_date);
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(server.fault().await, None);
    server.write("oops\n");
    assert!(server.fault().await.is_some());
    fs::write(&server.path, &valid).unwrap();
    server.set_modified(original_date);
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(server.fault().await, None);
}

#[tokio::test]
async fn missing_file_keeps_the_previous_users() {
    let server = Server::start(&line("alice", PASSWORD)).await;
    fs::remove_file(&server.path).unwrap();
    server.clock.advance(Duration::from_secs(60));
    assert_eq!(server.alice_status(PASSWORD).await, 200);
    let fault = server.users.fault().unwrap();
    assert!(fault.contains(server.path.to_str().unwrap()), "{fault}");
    // A directory and an oversized file are faults, too.
    fs::create_dir(&server.path).unwrap();
    server.clock.advance(Duration::from_secs(1));
    assert!(server.fault().await.is_some());
    fs::remove_dir(&server.path).unwrap();
    fs::File::create(&server.path).unwrap().set_len(Htpasswd::MAX_BYTES + 1).unwrap();
    server.clock.advance(Duration::from_secs(1));
    assert!(server.fault().await.unwrap().contains("64 MiB"));
    assert_eq!(server.alice_status(PASSWORD).await, 200);

    server.write(&line("alice", UNICODE_PASSWORD));
    assert_eq!(server.alice_status(UNICODE_PASSWORD).await, 200);
    assert_eq!(server.users.fault(), None);
}

/// Many programs replace a file by renaming a new one. Here, the new file is older.
#[tokio::test]
async fn replaced_file_with_an_older_date_is_seen() {
    let server = Server::start(&line("alice", PASSWORD)).await;
    server.clock.advance(Duration::from_secs(60));
    assert_eq!(server.alice_status(PASSWORD).await, 200);
    let replacement = server.path.with_extension("new");
    fs::write(&replacement, line("alice", UNICODE_PASSWORD)).unwrap();
    let file = fs::File::options().write(true).open(&replacement).unwrap();
    file.set_modified(server.clock.now() - Duration::from_secs(86_400)).unwrap();
    fs::rename(&replacement, &server.path).unwrap();
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(server.alice_status(UNICODE_PASSWORD).await, 200);
}

/// File systems have coarse timestamps: two changes can have the same date and the same length.
#[tokio::test]
async fn second_change_with_the_same_date_and_length_is_seen() {
    let server = Server::start(&line("alice", PASSWORD)).await;
    let (first, second) =
        (line("alice", PASSWORD), line("alice", PASSWORD).replace("alice", "clive"));
    assert_eq!(first.len(), second.len());
    let timestamp = server.clock.now();
    server.write(&first);
    assert_eq!(server.alice_status(PASSWORD).await, 200);
    fs::write(&server.path, &second).unwrap();
    server.set_modified(timestamp);
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(server.alice_status(PASSWORD).await, 401);
    assert_eq!(status(&server.api, "clive", PASSWORD).await, 200);
}

#[tokio::test]
async fn change_is_seen_after_the_clock_is_set_back() {
    let server = Server::start(&line("alice", PASSWORD)).await;
    let start = server.clock.now();
    server.clock.advance(Duration::from_secs(86_400));
    assert_eq!(server.alice_status(PASSWORD).await, 200);
    server.clock.set(start);
    server.write_without_waiting(&line("alice", UNICODE_PASSWORD));
    assert_eq!(server.alice_status(UNICODE_PASSWORD).await, 200);
    server.write(&line("alice", PASSWORD));
    assert_eq!(server.alice_status(PASSWORD).await, 200);
}

/// Logins during a reload see either the old or the new users.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_during_a_reload_return_200_or_401() {
    let (old, new) = (
        line("alice", PASSWORD) + &line("bob", PASSWORD),
        line("alice", UNICODE_PASSWORD) + &line("bob", UNICODE_PASSWORD),
    );
    let server = Arc::new(Server::start(&old).await);
    for round in 0..10 {
        let (text, valid) =
            if round % 2 == 0 { (&new, UNICODE_PASSWORD) } else { (&old, PASSWORD) };
        server.write(text);
        let logins: Vec<_> = (0..8)
            .map(|_| {
                let server = Arc::clone(&server);
                tokio::spawn(async move { server.alice_status(valid).await })
            })
            .collect();
        for login in logins {
            assert!([200, 401].contains(&login.await.unwrap()));
        }
        assert_eq!(server.alice_status(valid).await, 200);
        assert_eq!(status(&server.api, "bob", valid).await, 200);
    }
}

/// Copy tools and package managers can preserve the date of a file.
#[cfg(unix)]
#[tokio::test]
async fn replaced_file_with_the_same_date_and_length_is_seen() {
    let hash = cheap_hash(PASSWORD);
    let server = Server::start(&format!("alice:{hash}\n")).await;
    let long_ago = server.clock.now() - Duration::from_secs(1_000_000);
    server.set_modified(long_ago);
    server.clock.advance(Duration::from_secs(2));
    assert_eq!(server.alice_status(PASSWORD).await, 200);

    let replacement = server.path.with_extension("new");
    fs::write(&replacement, format!("aloys:{hash}\n")).unwrap();
    fs::File::options().write(true).open(&replacement).unwrap().set_modified(long_ago).unwrap();
    fs::rename(&replacement, &server.path).unwrap();
    server.clock.advance(Duration::from_secs(2));
    assert_eq!(server.alice_status(PASSWORD).await, 401);
    assert_eq!(status(&server.api, "aloys", PASSWORD).await, 200);
}
