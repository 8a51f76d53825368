//! Servers that discard records.

use std::sync::{Arc, Mutex};

use tower_auth::{
    observe::{Event, Observe},
    store::{Redis, Store},
};
use tower_auth_test_support::{redis::RedisServer, stub::wait_until};

use super::{key, ttl, value};

#[derive(Clone, Default)]
struct Policies(Arc<Mutex<Vec<String>>>);

impl Observe for Policies {
    fn observed(&self, event: &Event<'_>) {
        if let Event::StoreMayEvict { policy, .. } = event {
            self.0.lock().unwrap().push((*policy).to_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn evicting_policy_is_reported_once() {
    let Some(mut server) = RedisServer::redis(&["--maxmemory-policy", "allkeys-lru"]) else {
        return;
    };
    let policies = Policies::default();
    let store = Redis::builder(server.url()).unwrap().observer(policies.clone()).build().unwrap();
    store.put(&key(1), value(), ttl()).await.unwrap();
    let is_reported = || std::future::ready(!policies.0.lock().unwrap().is_empty());
    wait_until("a report", is_reported).await;
    for _ in 0..3 {
        server.kill();
        server.start_again();
        while store.put(&key(1), value(), ttl()).await.is_err() {}
        // The numbers include the questions of the test itself, except for the current one.
        let mut asked = 0;
        let mut is_asked = || {
            asked += 1;
            server.count_of("info") == asked
        };
        wait_until("a question", || std::future::ready(is_asked())).await;
    }
    assert_eq!(*policies.0.lock().unwrap(), ["allkeys-lru"]);
}
