//! Starts an issuer with any text as its file of keys. Nothing panics, an error never contains the
//! text, the keys that are published are public, and a text that is not accepted is not replaced.
#![no_main]

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::LazyLock};

use http::Request;
use http_body_util::BodyExt;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tower_auth::{
    issue::{SigningKeys, TokenIssuer},
    store::SealedStore,
};
use tower_service::Service;

static PATH: LazyLock<PathBuf> = LazyLock::new(|| {
    let name = format!("tower-auth-fuzz-key-ring-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
});

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().unwrap());

fuzz_target!(|text: &[u8]| {
    fs::write(&*PATH, text).unwrap();
    // No task may read the file while the next input is written.
    let issuer = TokenIssuer::builder()
        .issuer("https://issuer.example")
        .audience("orders")
        .store(SealedStore::memory())
        .keys(SigningKeys::eddsa().in_file(&*PATH))
        .build();
    let issuer = match issuer {
        Ok(issuer) => issuer,
        Err(error) => {
            let message = format!("{error:?} {error:#}");
            let parts = text.split(|byte| !byte.is_ascii_alphanumeric());
            let mut parts = parts.filter_map(|part| std::str::from_utf8(part).ok());
            // Shorter texts can be words of the message.
            assert!(!parts.any(|part| part.len() > 20 && message.contains(part)), "{message}");
            assert_eq!(fs::read(&*PATH).unwrap(), text);
            return;
        }
    };
    let response = RUNTIME.block_on(issuer.jwks_document().call(Request::new(()))).unwrap();
    if response.status() == 503 {
        assert_eq!(fs::read(&*PATH).unwrap(), text);
        return;
    }
    assert_eq!(response.status(), 200);
    let body = RUNTIME.block_on(response.into_body().collect()).unwrap().to_bytes();
    let set: Value = serde_json::from_slice(&body).unwrap();
    for key in set["keys"].as_array().unwrap() {
        for private in ["d", "p", "q", "k"] {
            assert!(key.get(private).is_none(), "{key}");
        }
    }
    // What was written can be read again.
    let keys = RUNTIME.block_on(issuer.keys()).unwrap();
    assert!(keys.len() >= 2);
});
