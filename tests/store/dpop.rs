//! Equal DPoP proofs that arrive at the same time: with one store in memory, with one in Redis, and
//! in two processes that share Redis.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Command, Stdio},
    time::Duration,
};

use axum::http::{Request, request::Parts};
use serde_json::json;
use tokio::task::JoinSet;
use tower_auth::{
    Authenticator as _, JwtAuth, RejectionKind, Scheme,
    bearer::BearerAuth,
    dpop::DpopBinding,
    store::{Memory, Redis, SealedStore, StoreSecret},
    test_util::{TestClock, TokenMint},
    transport::Forwarded,
};
use tower_auth_test_support::{dpop::DpopClient, redis::RedisServer, token::now};

use crate::revocation::test_store::TestStore;

const URL: &str = "https://orders.example/orders";

fn secret() -> StoreSecret {
    StoreSecret::new(*b"0123456789abcdefghijklmnopqrstuv").unwrap()
}

fn binding(store: SealedStore) -> DpopBinding {
    let binding = DpopBinding::builder(store).forwarded(Forwarded::direct().tls());
    binding.rate_limit(10_000, 10_000).build().unwrap()
}

fn connect(url: &str) -> SealedStore {
    SealedStore::new(Redis::builder(url).unwrap().build().unwrap(), secret())
}

/// An issuer and a client with a bound token.
struct Setup {
    mint: TokenMint,
    client: DpopClient,
    token: String,
}

impl Setup {
    fn new() -> Self {
        let mint = TokenMint::new("https://issuer.example");
        let client = DpopClient::new("ES256");
        let cnf = json!({ "jkt": client.thumbprint() });
        let token = mint.token("alice").audience("orders").claim("cnf", cnf).sign();
        Self { mint, client, token }
    }

    fn instance(&self, store: &SealedStore) -> JwtAuth {
        self.mint.validator("orders").binding(binding(store.clone())).build().unwrap()
    }

    fn head(&self) -> Parts {
        head(&self.token, &self.client.proof("GET", URL, &self.token, now()))
    }
}

fn head(token: &str, proof: &str) -> Parts {
    let request = Request::get("/orders")
        .header("host", "orders.example")
        .header("authorization", format!("DPoP {token}"))
        .header("dpop", proof);
    request.body(()).unwrap().into_parts().0
}

/// Returns whether the request is admitted.
///
/// # Panics
///
/// If it is rejected as anything but an invalid proof.
async fn is_admitted(tokens: &JwtAuth, head: &Parts) -> bool {
    match tokens.authenticate(head).unwrap().await.into_result() {
        Ok(_) => true,
        Err(rejection) => {
            assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials, "{rejection:?}");
            false
        }
    }
}

/// Sends 64 equal proofs to two instances at the same time, several times.
async fn assert_one_of_64_is_admitted(stores: [SealedStore; 2]) {
    let setup = Setup::new();
    let instances = stores.each_ref().map(|store| setup.instance(store));
    for round in 0..20 {
        let head = setup.head();
        let mut tasks = JoinSet::new();
        for number in 0..64 {
            let (tokens, head) = (instances[number % 2].clone(), head.clone());
            tasks.spawn(async move { is_admitted(&tokens, &head).await });
        }
        let admitted = tasks.join_all().await.into_iter().filter(|admitted| *admitted).count();
        assert_eq!(admitted, 1, "round {round}");
        assert!(!is_admitted(&instances[0], &head).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_64_equal_proofs_is_admitted_with_memory() {
    let store = SealedStore::memory();
    assert_one_of_64_is_admitted([store.clone(), store]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_64_equal_proofs_is_admitted_with_redis() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    assert_one_of_64_is_admitted([(); 2].map(|()| connect(&server.url()))).await;
}

/// During a rotation of the secret, the instances have one or both of the secrets.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_64_equal_proofs_is_admitted_during_a_rotation_of_the_secret() {
    let memory = std::sync::Arc::new(Memory::new());
    let old = *b"vutsrqponmlkjihgfedcba9876543210";
    let new = *b"0123456789abcdefghijklmnopqrstuv";
    let both = || StoreSecret::new(new).unwrap().previous(old).unwrap();
    for other in [StoreSecret::new(old).unwrap(), StoreSecret::new(new).unwrap(), both()] {
        let stores = [both(), other].map(|secret| SealedStore::new(memory.clone(), secret));
        assert_one_of_64_is_admitted(stores).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_in_redis_expire_and_reveal_nothing() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let setup = Setup::new();
    let tokens = setup.instance(&connect(&server.url()));
    assert!(is_admitted(&tokens, &setup.head()).await);
    let keys = server.cli(&["KEYS", "*"]);
    let [key] = keys.lines().collect::<Vec<_>>()[..] else { panic!("{keys}") };
    let left: u128 = server.cli(&["PTTL", key]).parse().unwrap();
    // 60 s and a leeway of 5 s, from the second in which the proof was created.
    assert!((60_000..=65_000).contains(&left), "{left}");
    assert!(key.contains("dpop_proof:") && !key.contains(&setup.client.thumbprint()), "{key}");
}

#[tokio::test(flavor = "multi_thread")]
async fn request_gets_503_without_the_server_and_is_accepted_afterwards() {
    let Some(mut server) = RedisServer::redis(&[]) else { return };
    let setup = Setup::new();
    let tokens = setup.instance(&connect(&server.url()));
    assert!(is_admitted(&tokens, &setup.head()).await);
    server.kill();
    for _ in 0..3 {
        let result = tokens.authenticate(&setup.head()).unwrap().await.into_result();
        let rejection = result.unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::Unavailable);
        assert!(rejection.retry_after().is_some());
        assert_eq!(rejection.challenges().count(), 0);
    }
    server.start_again();
    for _ in 0..2_000 {
        if tokens.authenticate(&setup.head()).unwrap().await.into_result().is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the server does not answer");
}

const REQUESTS: &str = "TOWER_AUTH_DPOP_REQUESTS";
const ROUNDS: usize = 10;

/// Accepts all tokens, as bound to a key.
struct AnyToken(String);

impl tower_auth::bearer::TokenVerifier for AnyToken {
    fn verify(&self, _: &str) -> tower_auth::bearer::Verification {
        panic!("the token is bound")
    }

    fn verify_unconfirmed(&self, _: &str) -> tower_auth::bearer::Verification {
        let cnf = tower_auth::binding::Cnf::new(&json!({ "jkt": self.0 })).unwrap();
        let caller = tower_auth::Principal::builder("alice", Scheme::BEARER).confirmation(cnf);
        tower_auth::bearer::Verification::ready(Ok(caller.build()))
    }
}

/// What a process does: it writes how many of 32 equal requests it has admitted, for each round.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Ok(requests) = std::env::var(REQUESTS) else { return };
    let [url, thumbprint, token, proofs @ ..] = &requests.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{requests}")
    };
    let store = connect(url);
    let tokens = BearerAuth::new(AnyToken((*thumbprint).into())).binding(binding(store));
    let send = async |head: &Parts| tokens.authenticate(head).unwrap().await.into_result();
    assert!(send(&head(token, "connects")).await.is_err());
    println!("\nready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    for proof in proofs {
        let mut tasks = JoinSet::new();
        for _ in 0..32 {
            let (tokens, head) = (tokens.clone(), head(token, proof));
            tasks.spawn(async move { tokens.authenticate(&head).unwrap().await.into_result() });
        }
        let results = tasks.join_all().await;
        println!("\nadmitted={}", results.iter().filter(|result| result.is_ok()).count());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_64_equal_proofs_is_admitted_in_two_processes() {
    let Some(server) = RedisServer::redis(&[]) else { return };
    let setup = Setup::new();
    let proof = |_| setup.client.proof("GET", URL, &setup.token, now());
    let proofs: Vec<String> = (0..ROUNDS).map(proof).collect();
    let (url, thumbprint) = (server.url(), setup.client.thumbprint());
    let requests = format!("{url} {thumbprint} {} {}", setup.token, proofs.join(" "));
    let mut children = [(); 2].map(|()| {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["dpop::child", "--exact", "--nocapture", "--test-threads=1"])
            .env(REQUESTS, &requests)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while line.trim() != "ready" {
            line.clear();
            assert_ne!(out.read_line(&mut line).unwrap(), 0, "the process has ended");
        }
        (child, out)
    });
    for (child, _) in &mut children {
        child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }
    let admitted = children.map(|(mut child, mut out)| {
        let mut text = String::new();
        out.read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success(), "{text}");
        let counts = text.lines().filter_map(|line| line.strip_prefix("admitted="));
        counts.map(|count| count.parse::<usize>().unwrap()).collect::<Vec<_>>()
    });
    let sums: Vec<usize> = admitted[0].iter().zip(&admitted[1]).map(|(a, b)| a + b).collect();
    assert_eq!(sums, [1; ROUNDS], "{admitted:?}");
}

/// The guide to shared state says so.
#[tokio::test]
async fn proof_is_admitted_again_if_the_store_has_lost_its_record() {
    let clock = TestClock::at(std::time::SystemTime::now());
    let store = TestStore::new(&clock);
    let setup = Setup::new();
    let tokens = setup.instance(&SealedStore::new(store.clone(), secret()));
    let head = setup.head();
    assert!(is_admitted(&tokens, &head).await);
    assert!(!is_admitted(&tokens, &head).await);
    store.clear();
    assert!(is_admitted(&tokens, &head).await);
}
