//! HMAC secrets from the program, the environment and files.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    process::Command,
};

use tower_auth::{ConfigError, JwtAuth, jwt::Keys};
use tower_auth_test_support::{
    openssl::OpenSsl,
    token::{AUDIENCE, ISSUER, Signer, claims, encode, random},
};

use super::{send, serve};

/// A text of 64 characters, which is long enough for each algorithm.
fn secret() -> String {
    encode(random(48))
}

async fn assert_verifies_only(keys: Keys, algorithm: &'static str, secret: &[u8]) {
    let api = serve(keys).await;
    let token = Signer::secret(algorithm, None, secret).token(&claims());
    assert_eq!(send(&api, &token).await, (200, "hello user-1".into()), "{algorithm}");
    for (other, other_secret) in [
        (algorithm, [secret, b"\n"].concat()),
        (algorithm, random(64)),
        (if algorithm == "HS256" { "HS512" } else { "HS256" }, secret.to_vec()),
    ] {
        let forged = Signer::secret(other, None, &other_secret).token(&claims());
        assert_eq!(send(&api, &forged).await.0, 401, "{algorithm}, {other}");
    }
}

#[tokio::test]
async fn secret_verifies_only_its_own_tokens() {
    let secret = random(64);
    assert_verifies_only(Keys::hs256(&secret), "HS256", &secret).await;
    assert_verifies_only(Keys::hs384(&secret), "HS384", &secret).await;
    assert_verifies_only(Keys::hs512(&secret), "HS512", &secret).await;
    let array = [7; 32];
    assert_verifies_only(Keys::hs256(&array), "HS256", &array).await;
    let text = b"0123456789abcdef0123456789abcdef";
    assert_verifies_only(Keys::hs256(text), "HS256", text).await;
}

#[test]
fn weak_secret_is_a_config_error_of_build() {
    let build = |keys: Keys| JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE);
    let message = |keys: Keys| build(keys).build().unwrap_err().to_string();
    for keys in [Keys::hs256(&[7; 31]), Keys::hs384(&[7; 47]), Keys::hs512(&[7; 63])] {
        assert!(message(keys.clone()).contains("the secret is shorter than its hash"));
        assert!(build(keys).dangerous_allow_short_secrets().build().is_ok());
    }
    for keys in [Keys::hs256(b""), Keys::hs384(b""), Keys::hs512(b"")] {
        assert!(message(keys.clone()).contains("the secret is empty"));
        // There is no setting that allows an empty secret, so the error must not name one.
        let lenient = build(keys).dangerous_allow_short_secrets().build().unwrap_err().to_string();
        assert!(lenient.contains("the secret is empty"), "{lenient}");
        assert!(!lenient.contains("dangerous"), "{lenient}");
    }
}

type FromEnv = fn(&str) -> Result<Keys, ConfigError>;
type FromFile = fn(&std::path::Path) -> Result<Keys, ConfigError>;

const FROM_ENV: [(&str, FromEnv); 3] = [
    ("HS256", |name| Keys::hs256_from_env(name)),
    ("HS384", |name| Keys::hs384_from_env(name)),
    ("HS512", |name| Keys::hs512_from_env(name)),
];
const FROM_FILE: [(&str, FromFile); 3] = [
    ("HS256", |path| Keys::hs256_from_file(path)),
    ("HS384", |path| Keys::hs384_from_file(path)),
    ("HS512", |path| Keys::hs512_from_file(path)),
];

const SECRET: &str = "TOWER_AUTH_TEST_SECRET";
const PADDED: &str = "TOWER_AUTH_TEST_PADDED";
const BLANK: &str = "TOWER_AUTH_TEST_BLANK";
const NOT_UNICODE: &str = "TOWER_AUTH_TEST_NOT_UNICODE";

/// Runs a test of this file in a child process, whose environment can be set without `unsafe`.
fn run_child(test: &str, variables: &[(&str, &OsStr)]) {
    let output = Command::new(env::current_exe().unwrap())
        .args([&format!("keys::secrets::{test}"), "--exact", "--ignored"])
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn secret_is_read_from_the_environment_and_trimmed() {
    let secret = secret();
    let padded = format!(" \t{secret}\r\n\n");
    run_child("with_secret", &[(SECRET, secret.as_ref()), (PADDED, padded.as_ref())]);
}

#[tokio::test]
#[ignore = "a part of secret_is_read_from_the_environment_and_trimmed"]
async fn with_secret() {
    let secret = env::var(SECRET).unwrap();
    for name in [SECRET, PADDED] {
        for (algorithm, read) in FROM_ENV {
            assert_verifies_only(read(name).unwrap(), algorithm, secret.as_bytes()).await;
        }
    }
}

#[test]
fn unusable_variable_is_a_config_error_without_its_value() {
    #[cfg(unix)]
    let not_unicode: OsString = std::os::unix::ffi::OsStringExt::from_vec(b"s3cret\xff".to_vec());
    #[cfg(not(unix))]
    let not_unicode = OsString::from(" ");
    run_child("without_secret", &[(BLANK, " \n".as_ref()), (NOT_UNICODE, &not_unicode)]);
}

#[test]
#[ignore = "a part of unusable_variable_is_a_config_error_without_its_value"]
fn without_secret() {
    for (_, read) in FROM_ENV {
        for (name, expected) in [
            (SECRET, "is not set: set it to the secret"),
            (BLANK, "is empty: set it to the secret"),
            (NOT_UNICODE, if cfg!(unix) { "is not Unicode text" } else { "is empty" }),
        ] {
            let error = read(name).unwrap_err();
            let message = error.to_string();
            assert!(message.contains(&format!("variable {name} {expected}")), "{message}");
            assert!(message.contains("`openssl rand -base64 48`"), "{message}");
            assert!(!format!("{error:?} {message}").contains("s3cret"), "{error:?}");
        }
    }
}

#[tokio::test]
async fn secret_is_read_from_a_file_and_trimmed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    let secret = secret();
    for text in [secret.clone(), format!("{secret}\n"), format!("\n\t {secret} \r\n")] {
        fs::write(&path, text).unwrap();
        for (algorithm, read) in FROM_FILE {
            assert_verifies_only(read(&path).unwrap(), algorithm, secret.as_bytes()).await;
        }
    }
    // White space inside, and white space that is not ASCII, belongs to the secret.
    for inner in ["two words that are long enough, 32", "\u{a0}a no-break space is kept here\u{a0}"]
    {
        fs::write(&path, format!("{inner}\n")).unwrap();
        let keys = Keys::hs256_from_file(&path).unwrap();
        assert_verifies_only(keys, "HS256", inner.as_bytes()).await;
    }
}

#[test]
fn unusable_file_is_a_config_error_with_the_path_and_without_the_contents() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("blank"), " \r\n\t").unwrap();
    fs::write(path("binary"), b"s3cret\xff\n").unwrap();
    for (_, read) in FROM_FILE {
        for (path, expected) in [
            (path("missing"), "cannot be read: "),
            (dir.path().to_owned(), "cannot be read: "),
            (path("blank"), "is empty: write the secret to it"),
            (path("binary"), "is not UTF-8 text: pass the bytes of a binary secret to Keys::hs256"),
        ] {
            let error = read(&path).unwrap_err();
            let message = error.to_string();
            let expected = format!("the secret file {} {expected}", path.display());
            assert!(message.contains(&expected), "{message}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }
}

#[test]
fn secret_of_the_documented_command_is_long_enough_for_each_algorithm() {
    let Some(openssl) = OpenSsl::find() else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    fs::write(&path, openssl.text("rand -base64 48")).unwrap();
    for (algorithm, read) in FROM_FILE {
        let builder = JwtAuth::builder(read(&path).unwrap()).issuer(ISSUER).audience(AUDIENCE);
        assert!(builder.build().is_ok(), "{algorithm}");
    }
}

#[test]
fn debug_output_has_no_secret() {
    let keys = Keys::hs256(b"s3cret that is not printed, 32 b").with_id("1");
    let text = format!("{keys:?} {:?}", tower_auth::jwt::KeySource::from(keys.clone()));
    assert!(!text.contains("s3cret") && !text.contains("115, 51"), "{text}");
}
