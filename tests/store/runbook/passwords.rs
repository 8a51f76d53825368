//! A file with password hashes.

use std::{fs, path::Path, time::SystemTime};

use tower_auth::{
    clock::Clock as _,
    password::{HashVerifier, Htpasswd},
};

use super::{Instance, SECOND, World, is, secret};

const OLD: &str = "correct horse battery staple";
const OLD_HASH: &str = "$2y$04$RsUsTxo9gdVriH3uH2v3huTbiBltLn8udvXzPxVgLS1oXydvopc3G";
const NEW: &str = "pässwörd ☃";
const NEW_HASH: &str = "$2y$04$DqoLA3lHIJ7dpC5zXEj5mepOs57fkTNvFpLyOY5BQzJlLVpd4ZOzi";

fn write(path: &Path, text: &str, modified: SystemTime) {
    fs::write(path, text).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn new_hashes_and_a_logout_of_all_users_end_the_access_of_a_thief() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    let both = format!("alice:{OLD_HASH}\nbob:{OLD_HASH}\n");
    write(&path, &both, world.clock.now());
    let users = Htpasswd::builder(&path).clock(world.clock.clone()).observer(world.events.clone());
    let verifier = HashVerifier::new(users.open().unwrap()).clock(world.clock.clone());
    let here = world.config(secret(1)).start_for(verifier).await;
    // The thief has found the password of alice.
    let by_thief = here.try_log_in("alice", OLD).await.unwrap();
    let cookie = here.start_session("alice").await;
    let api_key = here.create_key(&by_thief.access).await;
    let bob = here.try_log_in("bob", OLD).await.unwrap();

    // A user without a line is unknown, and cannot log in until the password was reset.
    world.advance(10 * SECOND);
    write(&path, &format!("alice:{NEW_HASH}\n"), world.clock.now());
    world.advance(SECOND);
    assert!(here.try_log_in("alice", OLD).await.is_none());
    assert!(here.try_log_in("bob", OLD).await.is_none());
    assert_eq!(world.events.take("password_file_reloaded"), 1);
    assert!(here.try_log_in("alice", NEW).await.is_some());

    // A new password alone ends nothing.
    let by_thief = here.refresh(&by_thief.refresh).await.unwrap();
    let has_access = async |here: &Instance| {
        [
            here.token_user(&by_thief.access).await.is_some(),
            here.refresh(&by_thief.refresh).await.is_some(),
            here.session_user(&cookie).await.is_some(),
            here.key_user(&api_key).await.is_some(),
        ]
    };
    assert_eq!(has_access(&here).await, [true; 4]);
    here.log_out_everyone().await;
    assert_eq!(has_access(&here).await, [false, false, false, true]);
    here.api_keys.revoke_all("alice").await.unwrap();
    assert_eq!(has_access(&here).await, [false; 4]);
    assert!(here.refresh(&bob.refresh).await.is_none(), "all users have to log in again");
    world.advance(SECOND);
    let alice = here.try_log_in("alice", NEW).await.unwrap();
    assert!(is(&here.token_user(&alice.access).await, "alice"));
}
