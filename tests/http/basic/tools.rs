//! Hashes from the tools that are installed on this machine, for random passwords.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use tower_auth::password::{HashVerifier, Htpasswd, PasswordHash};
use tower_auth_test_support::{ROOT, skip, token};

use super::{serve, status};

/// Returns a random password with letters, a space and non-ASCII characters.
fn random_password() -> String {
    format!("{} ☃ é", token::encode(token::random(12)))
}

/// Returns the output of a program, or `None` if the program is missing or fails.
fn run(program: &str, args: &[&str], input: &str) -> Option<String> {
    let python = Path::new(ROOT).join("target/python/bin/python");
    let path = if program == "python" { python.as_os_str() } else { program.as_ref() };
    let child = Command::new(path)
        .args(args)
        .env("PYTHONIOENCODING", "utf-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        skip(&format!("{program} is not installed"));
        return None;
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let (text, errors) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() && errors.contains("ModuleNotFoundError") {
        skip("install tests/e2e/requirements.txt into target/python");
        return None;
    }
    // Older versions do not support all kinds.
    if !output.status.success() {
        skip(&format!("{program} {args:?} failed: {errors}"));
        return None;
    }
    Some(text.trim().to_owned())
}

fn assert_verifies_only_its_password(password: &str, hash: &PasswordHash, label: &str) {
    assert!(hash.verify(password), "{label} of {password:?}");
    assert!(!hash.verify(&format!("{password}.")), "{label} of {password:?}");
}

#[tokio::test]
async fn users_of_a_file_written_by_htpasswd_can_log_in() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users").to_str().unwrap().to_owned();
    let (alice, bob) = (random_password(), random_password());
    let bcrypt = ["-ciB", "-C", "4", &path, "alice"];
    if run("htpasswd", &bcrypt, &alice).is_none() {
        return;
    }
    run("htpasswd", &["-iB", "-C", "4", &path, "jürgen"], &bob).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);

    let api = serve(HashVerifier::new(Htpasswd::open(&path).unwrap())).await;
    for (user_id, password, expected) in [
        ("alice", &alice, 200),
        ("jürgen", &bob, 200),
        ("alice", &bob, 401),
        ("jurgen", &bob, 401),
        ("", &bob, 401),
    ] {
        assert_eq!(status(&api, user_id, password).await, expected, "{user_id}");
    }
}

#[test]
fn htpasswd_hashes_of_every_kind_are_accepted() {
    let password = random_password();
    for flags in ["-niB", "-ni5", "-ni2", "-nim", "-nis"] {
        let Some(line) = run("htpasswd", &[flags, "u"], &password) else { continue };
        let hash = PasswordHash::dangerous_parse_insecure(line.strip_prefix("u:").unwrap());
        assert_verifies_only_its_password(&password, &hash.unwrap(), flags);
    }
}

#[test]
fn mkpasswd_hashes_are_accepted() {
    let password = random_password();
    for kind in ["bcrypt", "bcrypt-a", "sha512crypt", "sha256crypt", "scrypt"] {
        let Some(text) = run("mkpasswd", &["-s", "-m", kind], &password) else { continue };
        assert_verifies_only_its_password(&password, &PasswordHash::parse(&text).unwrap(), kind);
    }
}

#[test]
fn openssl_hashes_are_accepted() {
    let password = random_password();
    for kind in ["-5", "-6", "-apr1"] {
        let Some(text) = run("openssl", &["passwd", kind, "-stdin"], &password) else { continue };
        assert_verifies_only_its_password(
            &password,
            &PasswordHash::parse_or_apr1(&text).unwrap(),
            kind,
        );
    }
}

#[test]
fn python_hashes_are_accepted() {
    let password = random_password();
    let program = r#"
import sys, argon2, bcrypt
from passlib.hash import bcrypt_sha256, pbkdf2_sha256, pbkdf2_sha512, scrypt, sha256_crypt, sha512_crypt
word = sys.stdin.read()
print(argon2.PasswordHasher().hash(word))
print(argon2.PasswordHasher(time_cost=3, memory_cost=1000, parallelism=3, hash_len=24, salt_len=9).hash(word))
print(bcrypt.hashpw(word.encode(), bcrypt.gensalt(5)).decode())
print(bcrypt_sha256.using(rounds=5).hash(word * 5))
print(pbkdf2_sha256.using(rounds=2345, salt_size=31).hash(word))
print(pbkdf2_sha512.using(rounds=2345, salt_size=5).hash(word))
print(scrypt.using(rounds=8, block_size=5, parallelism=3).hash(word))
print(sha256_crypt.using(rounds=2345, salt_size=3).hash(word))
print(sha512_crypt.using(rounds=2345, salt_size=16).hash(word))
"#;
    let Some(text) = run("python", &["-c", program], &password) else { return };
    assert_eq!(text.lines().count(), 9);
    for line in text.lines() {
        let hash = PasswordHash::parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        if line.starts_with("$bcrypt-sha256$") {
            assert_verifies_only_its_password(&password.repeat(5), &hash, line);
        } else {
            assert_verifies_only_its_password(&password, &hash, line);
        }
    }
}

#[test]
fn new_hash_is_accepted_by_python() {
    let password = random_password();
    let hash = PasswordHash::new(&password).unwrap();
    let program = "
import sys, argon2
hash, word = sys.stdin.read().split('\\n', 1)
print(argon2.PasswordHasher().verify(hash, word))
";
    let input = format!("{}\n{password}", hash.as_str());
    let Some(text) = run("python", &["-c", program], &input) else { return };
    assert_eq!(text, "True");
}
