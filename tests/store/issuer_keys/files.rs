use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    sync::Barrier,
    time::Duration,
};

use tempfile::TempDir;
use tower_auth::{
    ConfigErrorKind,
    issue::SigningKeys,
    store::SealedStore,
    test_util::{TestClock, principal},
};

use super::{DAY, access_token, builder, get_jwks, is_accepted, issuer, kid, published};

fn keys_in(folder: &TempDir) -> (SigningKeys, std::path::PathBuf) {
    let path = folder.path().join("keys.json");
    (SigningKeys::eddsa().in_file(&path), path)
}

#[tokio::test]
async fn file_is_created_for_the_owner_only_and_read_again() {
    let (folder, clock) = (TempDir::new().unwrap(), TestClock::new());
    let (keys, path) = keys_in(&folder);
    let first = issuer(&SealedStore::memory(), &clock, keys.clone());
    assert!(!path.exists());
    let token = access_token(&first).await;
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);

    // A restart with another store.
    let restarted = issuer(&SealedStore::memory(), &clock, keys);
    assert_eq!(published(&restarted).await, published(&first).await);
    clock.advance(Duration::from_secs(90 * DAY));
    assert_eq!(published(&restarted).await.len(), 3);
    assert_eq!(mode(), 0o600);
    assert!(published(&first).await.contains(&kid(&token)));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "temporary files are left");
}

#[test]
fn processes_that_start_at_the_same_time_create_one_file() {
    let (folder, clock) = (TempDir::new().unwrap(), TestClock::new());
    let (keys, _) = keys_in(&folder);
    let barrier = Barrier::new(16);
    // One runtime and one issuer for each thread, as in different processes.
    let sets = std::thread::scope(|scope| {
        let start = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let issuer = issuer(&SealedStore::memory(), &clock, keys.clone());
            barrier.wait();
            runtime.block_on(published(&issuer))
        };
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(sets.iter().all(|set| *set == sets[0]), "{sets:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "temporary files are left");
}

#[test]
fn processes_that_rotate_at_the_same_time_agree_within_a_minute() {
    let (folder, clock) = (TempDir::new().unwrap(), TestClock::new());
    let (keys, _) = keys_in(&folder);
    let issuers: Vec<_> =
        (0..8).map(|_| issuer(&SealedStore::memory(), &clock, keys.clone())).collect();
    let barrier = Barrier::new(issuers.len());
    let read = &|issuer| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        barrier.wait();
        runtime.block_on(published(issuer))
    };
    let read_at_once = || {
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                issuers.iter().map(|issuer| scope.spawn(move || read(issuer))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        })
    };
    let mut active = read_at_once()[0][1].clone();
    for _ in 0..20 {
        clock.advance(Duration::from_secs(90 * DAY));
        // Each process may have created another successor, which is not used yet.
        assert!(read_at_once().iter().all(|set| set.contains(&active)));
        clock.advance(Duration::from_secs(61));
        let sets = read_at_once();
        assert!(sets.iter().all(|set| *set == sets[0]), "{sets:?}");
        active = sets[0].last().unwrap().clone();
    }
}

/// A crash can leave the file that was not renamed yet.
#[tokio::test]
async fn crash_before_the_rename_leaves_the_old_keys() {
    let (folder, clock) = (TempDir::new().unwrap(), TestClock::new());
    let (keys, path) = keys_in(&folder);
    let before = published(&issuer(&SealedStore::memory(), &clock, keys.clone())).await;
    let half = fs::read(&path).unwrap();
    fs::write(folder.path().join(".keys.json.0123"), &half[..half.len() / 2]).unwrap();
    let restarted = issuer(&SealedStore::memory(), &clock, keys);
    assert_eq!(published(&restarted).await, before);
    restarted.rotate_keys().await.unwrap();
    assert_eq!(published(&restarted).await[..2], before);
}

#[tokio::test]
async fn file_behind_a_link_is_replaced_where_it_is() {
    let (folder, clock) = (TempDir::new().unwrap(), TestClock::new());
    let (keys, path) = keys_in(&folder);
    published(&issuer(&SealedStore::memory(), &clock, keys)).await;
    let link = folder.path().join("link.json");
    symlink(&path, &link).unwrap();
    let linked = issuer(&SealedStore::memory(), &clock, SigningKeys::eddsa().in_file(&link));
    let before = fs::read(&path).unwrap();
    linked.rotate_keys().await.unwrap();
    assert_ne!(fs::read(&path).unwrap(), before);
    assert!(link.is_symlink());
}

#[tokio::test]
async fn file_that_is_damaged_foreign_or_too_open_is_a_config_error_and_stays() {
    let (folder, clock) = (TempDir::new().unwrap(), TestClock::new());
    let (keys, path) = keys_in(&folder);
    published(&issuer(&SealedStore::memory(), &clock, keys.clone())).await;
    let good = fs::read_to_string(&path).unwrap();
    let secret = good.split("\"key\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let build = || builder(&SealedStore::memory(), &clock).keys(keys.clone()).build();
    assert!(build().is_ok());
    for text in [
        String::new(),
        "{}".into(),
        "hunter2".into(),
        good[..good.len() - 1].into(),
        good.replace("\"version\":1", "\"version\":2"),
        good.replace("\"copies\"", "\"x\":1,\"copies\""),
        good.replacen(&secret, &format!("{secret}!"), 1),
        " ".repeat(65_536),
    ] {
        fs::write(&path, &text).unwrap();
        let error = build().unwrap_err();
        let message = format!("{error:#}");
        assert_eq!(error.kind(), ConfigErrorKind::Io, "{message}");
        assert!(message.contains(&*path.to_string_lossy()), "{message}");
        assert!(!message.contains(&secret) && !message.contains("hunter2"), "{message}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    fs::write(&path, &good).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
    let error = build().unwrap_err();
    assert!(error.to_string().contains("chmod o="), "{error}");
    let folder_error = builder(&SealedStore::memory(), &clock)
        .keys(SigningKeys::eddsa().in_file(folder.path()))
        .build()
        .unwrap_err();
    assert!(folder_error.to_string().contains("is not a file"), "{folder_error}");
}

#[tokio::test]
async fn file_that_is_damaged_while_the_issuer_runs_is_not_replaced() {
    let (folder, clock) = (TempDir::new().unwrap(), TestClock::new());
    let (keys, path) = keys_in(&folder);
    let issuer = issuer(&SealedStore::memory(), &clock, keys);
    let token = access_token(&issuer).await;
    let good = fs::read(&path).unwrap();
    fs::write(&path, "damaged").unwrap();
    clock.advance(Duration::from_secs(120));
    // The last keys stay in use.
    assert!(is_accepted(&issuer, &token).await);
    assert_eq!(get_jwks(&issuer, &[]).await.status(), 200);
    clock.advance(Duration::from_secs(DAY / 2));
    assert_eq!(get_jwks(&issuer, &[]).await.status(), 503);
    assert!(issuer.issue(&principal("alice").build()).await.is_err());
    assert!(issuer.rotate_keys().await.is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "damaged");
    fs::write(&path, good).unwrap();
    assert_eq!(get_jwks(&issuer, &[]).await.status(), 200);
}

/// The form of the file is right, so the fault is found when the keys are used.
#[tokio::test]
async fn file_with_a_damaged_key_is_not_replaced() {
    let (folder, clock) = (TempDir::new().unwrap(), TestClock::new());
    let (keys, path) = keys_in(&folder);
    published(&issuer(&SealedStore::memory(), &clock, keys.clone())).await;
    let good = fs::read_to_string(&path).unwrap();
    let damaged = good.replacen("\"key\":\"MC4C", "\"key\":\"MC4D", 1);
    assert_ne!(damaged, good);
    fs::write(&path, &damaged).unwrap();
    // Also if a key is due, or another algorithm is configured.
    for keys in [keys, SigningKeys::es256().in_file(&path)] {
        let restarted = issuer(&SealedStore::memory(), &clock, keys);
        assert_eq!(get_jwks(&restarted, &[]).await.status(), 503);
        assert!(restarted.remove_key("other").await.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
        clock.advance(Duration::from_secs(90 * DAY));
    }
}
