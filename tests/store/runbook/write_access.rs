//! Write access to the store, without the secret.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use serde_json::json;
use tower_auth_test_support::redis::RedisServer;

use super::{Events, dump::start, is, secret};

/// A connection of a thief.
struct Connection(TcpStream);

impl Connection {
    fn new(server: &RedisServer) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(stream)
    }

    /// Sends a command, and returns the start of the answer, or nothing if there is none.
    fn send(&mut self, command: &str) -> String {
        let mut answer = [0; 256];
        let sent = self.0.write_all(format!("{command}\r\n").as_bytes());
        let length = sent.and_then(|()| self.0.read(&mut answer)).unwrap_or_default();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }
}

fn names(server: &RedisServer, purpose: &str) -> BTreeSet<String> {
    server.cli(&["KEYS", &format!("*{purpose}*")]).lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn new_password_killed_connections_and_a_new_secret_end_the_access_of_a_writer() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let events = Events::default();
    let here = start(&server.url(), secret(1), &events).await;
    let stolen = here.log_in("alice").await;
    let stolen_cookie = here.start_session("alice").await;
    let (bob, bobs_session) = (here.log_in("bob").await, here.start_session("bob").await);
    assert!(is(&here.session_user(&stolen_cookie).await, "alice"));

    // The thief has an access token and a cookie of alice, who logs out. The thief undoes that.
    let mut thief = Connection::new(&server);
    for name in names(&server, "session") {
        assert_eq!(thief.send(&format!("COPY {name} copy-of-{name}")), ":1\r\n");
    }
    let before = names(&server, "revocation");
    here.post("/logout", json!({ "refresh_token": stolen.refresh })).await;
    let [session] = &here.sessions.list("alice").await.unwrap()[..] else { panic!() };
    assert!(here.sessions.end_one("alice", session.id()).await.unwrap());
    assert!(here.token_user(&stolen.access).await.is_none());
    assert!(here.session_user(&stolen_cookie).await.is_none());
    let restore = |thief: &mut Connection| {
        for name in names(&server, "copy-of-") {
            let original = name.strip_prefix("copy-of-").unwrap();
            assert_eq!(thief.send(&format!("COPY {name} {original} REPLACE")), ":1\r\n");
        }
    };
    restore(&mut thief);
    // The counter of revocations remains, so that the loss is not detected.
    let is_counter = |name: &str| server.cli(&["STRLEN", name]).parse::<u32>().unwrap() < 8;
    let revoked = names(&server, "revocation");
    let mut deleted = 0;
    for name in revoked.difference(&before).filter(|name| !is_counter(name)) {
        assert_eq!(thief.send(&format!("DEL {name}")), ":1\r\n");
        deleted += 1;
    }
    assert_eq!(deleted, 1);
    assert!(is(&here.session_user(&stolen_cookie).await, "alice"));
    // A restart forgets the logouts of the process. Nothing was reported.
    let here = start(&server.url(), secret(1), &events).await;
    assert!(is(&here.token_user(&stolen.access).await, "alice"));
    assert!(is(&here.session_user(&stolen_cookie).await, "alice"));
    assert_eq!(events.take("store_reverted") + events.take("store_unreadable"), 0);

    // Step 1. A new password does not end the connections that exist.
    assert_eq!(server.cli(&["CONFIG", "SET", "requirepass", "new-password"]), "OK");
    assert_eq!(thief.send("PING"), "+PONG\r\n");
    server.cli(&["-a", "new-password", "CLIENT", "KILL", "TYPE", "normal"]);
    assert_eq!(thief.send("PING"), "");
    assert!(Connection::new(&server).send("PING").starts_with("-NOAUTH"));
    let request = here.api.get("/me").header("cookie", &stolen_cookie);
    assert_eq!(request.send().await.unwrap().status(), 503);

    // Step 2. With the old secret, what the thief has restored is still accepted.
    let url = format!("redis://:new-password@127.0.0.1:{}", server.port);
    let here = start(&url, secret(1), &events).await;
    assert!(is(&here.session_user(&stolen_cookie).await, "alice"));
    let here = start(&url, secret(2), &events).await;
    assert!(here.session_user(&stolen_cookie).await.is_none());
    assert!(here.token_user(&stolen.access).await.is_none());
    assert!(here.refresh(&stolen.refresh).await.is_none());
    // All users have to log in again.
    assert!(here.refresh(&bob.refresh).await.is_none());
    assert!(here.token_user(&bob.access).await.is_none());
    assert!(here.session_user(&bobs_session).await.is_none());
    let bob = here.log_in("bob").await;
    assert!(is(&here.token_user(&bob.access).await, "bob"));
}

#[tokio::test(flavor = "multi_thread")]
async fn record_that_a_writer_without_the_secret_has_made_is_reported_and_gives_no_access() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let events = Events::default();
    let here = start(&server.url(), secret(1), &events).await;
    let cookie = here.start_session("mallory").await;
    let before = names(&server, "session");
    let other = here.start_session("alice").await;
    // The record of alice in place of the one of mallory, and a record of the thief.
    let all = names(&server, "session");
    let new: Vec<_> = all.difference(&before).collect();
    let mut thief = Connection::new(&server);
    for value in ["COPY", "SET"] {
        for name in &before {
            for source in &new {
                let command = match value {
                    "COPY" => format!("COPY {source} {name} REPLACE"),
                    _ => format!("SET {name} admin"),
                };
                assert!(!thief.send(&command).starts_with('-'));
            }
        }
        let request = here.api.get("/me").header("cookie", &cookie);
        assert_eq!(request.send().await.unwrap().status(), 503, "{value}");
    }
    assert!(events.take("store_unreadable") > 0);
    assert!(is(&here.session_user(&other).await, "alice"));
}
