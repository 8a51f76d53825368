//! A cluster. `.ci/weekly` runs these tests.

use std::time::{Duration, Instant};

use tower_auth::{
    store::{Redis, RedisBuilder, Store, StoreKey},
    test_util::{StoreSuite, TokenMint},
};
use tower_auth_test_support::{program::free_port, redis::RedisServer, stub::wait_until};

use super::{
    key,
    service::{ISSUER, Service, token},
    ttl, value,
};

/// Servers of a cluster with the ports of their bus. Only the first three have slots.
struct Cluster(Vec<(RedisServer, u16)>);

impl Cluster {
    async fn start(servers: usize) -> Option<Self> {
        let mut nodes = Vec::new();
        for _ in 0..servers {
            let bus = free_port();
            let arguments = [
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                "2000",
                "--cluster-port",
                &bus.to_string(),
            ];
            nodes.push((RedisServer::redis(&arguments)?, bus));
        }
        for (index, range) in ["0 5460", "5461 10922", "10923 16383"].iter().enumerate() {
            let mut command = vec!["CLUSTER", "ADDSLOTSRANGE"];
            command.extend(range.split(' '));
            nodes[index].0.cli(&command);
        }
        for (server, bus) in &nodes[1..] {
            let (port, bus) = (server.port.to_string(), bus.to_string());
            nodes[0].0.cli(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        let is_ready = |(server, _): &(RedisServer, u16)| {
            let info = server.cli(&["CLUSTER", "INFO"]);
            info.contains("cluster_state:ok")
                && info.contains(&format!("cluster_known_nodes:{servers}"))
        };
        wait_until("the cluster", async || nodes.iter().all(is_ready)).await;
        Some(Self(nodes))
    }

    fn builder(&self) -> RedisBuilder {
        let urls = self.0[..2].iter().map(|(server, _)| server.url());
        Redis::cluster(urls).unwrap().timeout(Duration::from_secs(5))
    }

    fn slot_of(&self, key: &StoreKey) -> u16 {
        let name = format!("tower-auth:{key}");
        self.0[0].0.cli(&["CLUSTER", "KEYSLOT", &name]).parse().unwrap()
    }

    fn owner_of(&self, slot: u16) -> &RedisServer {
        &self.0[usize::from(slot / 5461).min(2)].0
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow, in .ci/weekly"]
async fn cluster_follows_the_rules_of_a_store() {
    let Some(cluster) = Cluster::start(3).await else { return };
    let [one, other] = [(); 2].map(|()| cluster.builder().build().unwrap());
    StoreSuite::new(one).and(other).run().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow, in .ci/weekly"]
async fn redirections_are_followed_while_a_slot_moves() {
    let Some(cluster) = Cluster::start(4).await else { return };
    let store = cluster.builder().build().unwrap();
    store.put(&key(1), value(), ttl()).await.unwrap();
    let slot = cluster.slot_of(&key(1));
    // The target has no slots yet, so the store does not know it.
    let (source, target) = (cluster.owner_of(slot), &cluster.0[3].0);
    let [from, to] = [source, target].map(|server| server.cli(&["CLUSTER", "MYID"]));
    let slot = slot.to_string();
    target.cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from]);
    source.cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to]);
    let name = format!("tower-auth:{}", key(1));
    let port = target.port.to_string();
    source.cli(&["MIGRATE", "127.0.0.1", &port, &name, "0", "1000"]);
    // ASK
    assert_eq!(store.get(&[key(2), key(1)]).await.unwrap(), [None, Some(value())]);
    assert!(store.replace(&key(1), value(), "new".into(), ttl()).await.unwrap());
    for server in [target, source] {
        server.cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &to]);
    }
    // MOVED
    assert_eq!(store.take(&key(1)).await.unwrap(), Some("new".into()));
    assert_eq!(store.add(&[key(1), key(2), key(1)], 1, ttl()).await.unwrap(), [1, 1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow, in .ci/weekly"]
async fn logout_works_in_a_cluster_whose_node_restarts() {
    let Some(mut cluster) = Cluster::start(3).await else { return };
    let mint = TokenMint::new(ISSUER);
    let store = cluster.builder().timeout(super::service::TIMEOUT).build().unwrap();
    let service = Service::with(store.clone(), Duration::ZERO, &mint).await;
    let [valid, revoked] = ["valid", "revoked"].map(|jti| token(&mint, jti));
    assert_eq!(service.get(&valid).await, 200);
    assert_eq!(service.log_out(&revoked).await, 204);
    assert_eq!(service.get(&revoked).await, 401);
    for number in 0..3 {
        cluster.0[number].0.cli(&["SAVE"]);
        cluster.0[number].0.kill();
        let started = Instant::now();
        while store.get(&(0..32).map(key).collect::<Vec<_>>()).await.is_ok() {
            assert!(started.elapsed() < Duration::from_secs(2));
        }
        assert_ne!(service.get(&revoked).await, 200);
        cluster.0[number].0.start_again();
        let started = Instant::now();
        while service.get(&valid).await != 200 {
            // The cluster itself needs some time.
            assert!(started.elapsed() < Duration::from_secs(10));
        }
        assert_eq!(service.get(&revoked).await, 401);
    }
}
