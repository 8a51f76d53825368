//! Keys of stores in files and environment variables.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
    sync::Barrier,
    time::Duration,
};

use tempfile::TempDir;
use tower_auth::{ConfigError, ConfigErrorKind, store::StoreSecret};

const ONE: &str = "+/v7+/v7AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBk=";
const TWO: &str = "MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=";

fn folder_with(text: &str, mode: u32) -> (TempDir, std::path::PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.key");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    (folder, path)
}

fn error_of(path: &Path) -> ConfigError {
    let error = StoreSecret::from_file(path).unwrap_err();
    assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
    error
}

#[test]
fn secret_file_is_created_with_a_random_key_for_the_owner_only() {
    let folder = TempDir::new().unwrap();
    let texts = ["one", "two"].map(|name| {
        let path = folder.path().join(name);
        StoreSecret::from_file(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        // The second call reads it.
        StoreSecret::from_file(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        text
    });
    assert_ne!(texts[0], texts[1]);
    assert!(texts.iter().all(|text| text.len() == 45 && text.ends_with("=\n")));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "temporary files are left");
}

#[test]
fn created_key_can_be_passed_in_a_variable() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.key");
    StoreSecret::from_file(&path).unwrap();
    assert_child("CHILD_READS", &[("TOWER_AUTH_KEY", &fs::read_to_string(&path).unwrap())]);
}

#[test]
fn concurrent_threads_create_one_secret() {
    let folder = TempDir::new().unwrap();
    for round in 0..20 {
        let path = folder.path().join(format!("{round}"));
        let barrier = Barrier::new(64);
        let texts: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..64)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        StoreSecret::from_file(&path).unwrap();
                        fs::read_to_string(&path).unwrap()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(texts.iter().all(|text| *text == texts[0]), "{round}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 20, "temporary files are left");
}

#[test]
fn concurrent_processes_create_one_secret() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.key");
    let children: Vec<_> = (0..64)
        .map(|_| child("CHILD_PRINTS", &[("TOWER_AUTH_PATH", path.to_str().unwrap())]))
        .map(|mut command| command.stdout(std::process::Stdio::piped()).spawn().unwrap())
        .collect();
    let expected = "key=".to_owned() + fs::read_to_string(wait_for(&path)).unwrap().trim();
    for process in children {
        let output = process.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains(&expected), "{text}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "temporary files are left");
}

fn wait_for(path: &Path) -> &Path {
    while !path.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    path
}

#[test]
fn secret_file_for_all_users_is_an_error_that_says_how_to_fix_it() {
    for mode in [0o644, 0o604, 0o602, 0o601, 0o777] {
        let (_folder, path) = folder_with(ONE, mode);
        let error = error_of(&path);
        assert_eq!(error.kind(), ConfigErrorKind::Invalid);
        let text = error.to_string();
        assert!(text.contains("chmod o=") && text.contains(&format!("{mode:04o}")), "{text}");
        assert!(!format!("{error:?}").contains("AECAw"));
    }
    for mode in [0o600, 0o400, 0o640, 0o440] {
        let (_folder, path) = folder_with(ONE, mode);
        StoreSecret::from_file(&path).unwrap();
    }
}

#[test]
fn secret_file_has_one_or_two_keys() {
    let (_folder, path) = folder_with(&format!("{ONE}\n{TWO}\n"), 0o600);
    StoreSecret::from_file(&path).unwrap();
    for (text, kind) in [
        (String::new(), ConfigErrorKind::Missing),
        (format!("{ONE}\n{TWO}\n{TWO}\n"), ConfigErrorKind::Invalid),
        (format!("{ONE}\n{ONE}\n"), ConfigErrorKind::Conflict),
        (format!("{ONE} {TWO}"), ConfigErrorKind::Invalid),
        ("A".repeat(43), ConfigErrorKind::Key),
        (format!("{ONE}\n").repeat(1_000), ConfigErrorKind::Io),
    ] {
        let (_folder, path) = folder_with(&text, 0o600);
        let error = error_of(&path);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(!format!("{error:?} {error:#}").contains("AECAw"), "{error:?}");
    }
}

#[test]
fn path_without_a_usable_file_is_an_error() {
    let folder = TempDir::new().unwrap();
    assert_eq!(error_of(folder.path()).kind(), ConfigErrorKind::Io);
    assert_eq!(error_of(&folder.path().join("no/folder")).kind(), ConfigErrorKind::Io);
    // A link whose target is missing, for example an unmounted volume.
    let link = folder.path().join("link");
    symlink(folder.path().join("missing"), &link).unwrap();
    assert_eq!(error_of(&link).kind(), ConfigErrorKind::Io);
    assert!(link.is_symlink() && !link.exists());
    // Opening a pipe would wait for a writer.
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert_eq!(error_of(&pipe).kind(), ConfigErrorKind::Io);
    // A link to a file is followed, as Kubernetes mounts secrets.
    let (_target, path) = folder_with(ONE, 0o440);
    fs::remove_file(&link).unwrap();
    symlink(&path, &link).unwrap();
    StoreSecret::from_file(&link).unwrap();
}

#[test]
fn secret_is_read_from_a_variable() {
    for value in [ONE.to_owned(), format!("{ONE},{TWO}"), format!(" {ONE}\n{TWO} ")] {
        assert_child("CHILD_READS", &[("TOWER_AUTH_KEY", &value)]);
    }
    let repeated = format!("{ONE} {ONE}");
    for value in ["", "not a key", &repeated] {
        assert_child("CHILD_FAILS", &[("TOWER_AUTH_KEY", value)]);
    }
    let error = StoreSecret::from_env("TOWER_AUTH_NOT_SET").unwrap_err();
    assert_eq!(error.kind(), ConfigErrorKind::Missing);
    let text = error.to_string();
    assert!(text.contains("TOWER_AUTH_NOT_SET") && text.contains("openssl rand -base64 32"));
}

/// Another process of this test, because variables of this process cannot be set safely.
fn child(role: &str, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--nocapture", "secret::child_process"]);
    command.env("TOWER_AUTH_ROLE", role).envs(variables.iter().copied());
    command
}

fn assert_child(role: &str, variables: &[(&str, &str)]) {
    let output = child(role, variables).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("key="), "{variables:?}: {text}");
}

#[test]
fn child_process() {
    match std::env::var("TOWER_AUTH_ROLE").as_deref() {
        Ok("CHILD_PRINTS") => {
            let path = std::env::var("TOWER_AUTH_PATH").unwrap();
            StoreSecret::from_file(&path).unwrap();
            println!("\nkey={}", fs::read_to_string(&path).unwrap());
        }
        Ok("CHILD_READS") => {
            StoreSecret::from_env("TOWER_AUTH_KEY").unwrap();
            println!("\nkey=read");
        }
        Ok("CHILD_FAILS") => {
            let error = StoreSecret::from_env("TOWER_AUTH_KEY").unwrap_err();
            assert!(!format!("{error:?}").contains("not a key"));
            println!("\nkey=none");
        }
        _ => {}
    }
}
