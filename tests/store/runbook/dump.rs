//! A dump of the store, without the secret.

use std::{fs, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use tower_auth::{
    clock::SystemClock,
    issue::SigningKeys,
    store::{Redis, SealedStore, StoreSecret},
};
use tower_auth_test_support::redis::RedisServer;

use super::{Config, Events, Instance, World, forger::StolenSecret, is, secret};

pub async fn start(url: &str, secret: StoreSecret, events: &Events) -> Instance {
    let redis = Redis::builder(url).unwrap().build().unwrap();
    let config = Config {
        store: SealedStore::new(redis, secret).observer(events.clone()),
        keys: SigningKeys::eddsa(),
        clock: SystemClock,
        api_keys: Arc::default(),
        events: events.clone(),
        configure: |builder| builder,
    };
    config.start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn dump_without_the_secret_names_no_user_and_gives_no_access() {
    let Some(server) = RedisServer::redis(&["--rdbcompression", "no"]) else { return };
    let here = start(&server.url(), secret(1), &Events::default()).await;
    let alice = here.log_in("alice").await;
    let alice = here.refresh(&alice.refresh).await.unwrap();
    let session = here.start_session("alice").await;
    let id = here.sessions.list("alice").await.unwrap()[0].id().to_owned();
    here.issuer.revocations().subject("https://partner.example", "alice").await.unwrap();
    let names = server.cli(&["KEYS", "*"]);
    assert!(names.lines().count() >= 7, "{names}");
    server.cli(&["SAVE"]);
    let dump = fs::read(server.path("dump.rdb")).unwrap();

    let cookie = session.split_once('=').unwrap().1;
    let mut texts = vec!["alice".to_owned(), "login.example".into(), "partner".into(), id.clone()];
    texts.push(cookie.to_owned());
    texts.extend(alice.refresh.split('.').map(str::to_owned).filter(|part| part.len() > 8));
    let encoded = texts.iter().filter_map(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let forbidden = texts.iter().map(|text| text.clone().into_bytes()).chain(encoded);
    for text in forbidden.filter(|text| text.len() > 4) {
        assert!(!dump.windows(text.len()).any(|part| part == text), "{text:?}");
    }

    // A copy of the store with another secret.
    let Some(copy) = RedisServer::redis(&[]) else { return };
    let mut copy = copy;
    copy.kill();
    fs::write(copy.path("dump.rdb"), &dump).unwrap();
    copy.start_again();
    assert_eq!(copy.cli(&["DBSIZE"]), server.cli(&["DBSIZE"]));
    let thief = start(&copy.url(), secret(2), &Events::default()).await;
    assert!(thief.sessions.list("alice").await.unwrap().is_empty());
    assert!(thief.session_user(&session).await.is_none());
    // With the secret, it is all there.
    let thief = start(&copy.url(), secret(1), &Events::default()).await;
    assert_eq!(thief.sessions.list("alice").await.unwrap().len(), 1);

    // What is in the dump is no credential.
    for name in names.lines() {
        let hex = name.rsplit(':').next().unwrap();
        let bytes: Vec<u8> = (0..hex.len() / 2)
            .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        for part in bytes.chunks(16) {
            let text = URL_SAFE_NO_PAD.encode(part);
            assert!(here.session_user(&format!("__Host-session={text}")).await.is_none());
            assert!(here.token_user(&format!("at_{text}")).await.is_none());
        }
    }
    assert!(here.session_user(&format!("__Host-session={id}")).await.is_none());
    assert!(is(&here.session_user(&session).await, "alice"));
    assert!(is(&here.token_user(&alice.access).await, "alice"));
}

/// Why the first step is to find out whether the secret was stolen as well.
#[tokio::test(flavor = "multi_thread")]
async fn dump_with_the_secret_contains_the_signing_keys() {
    let world = World::new();
    let here = world.start().await;
    let own = here.log_in("mallory").await;
    assert!(StolenSecret::new(2).keys(&world.store).is_empty());
    let [keys] = &StolenSecret::new(1).keys(&world.store)[..] else { panic!() };
    let forged = keys.token_for("admin", &own.access, 0);
    assert!(is(&here.token_user(&forged).await, "admin"));
    let dump = world.store.snapshot();
    let plain = |text: &[u8]| {
        dump.values().any(|(value, _)| value.windows(text.len()).any(|part| part == text))
    };
    assert!(!plain(b"mallory") && !plain(json!("signing").to_string().as_bytes()));
}
