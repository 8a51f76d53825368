//! Reads keys of stores from any text. Nothing panics, an error never contains the text, and a text
//! is accepted only if it has one key or two.
#![no_main]

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use tower_auth::store::StoreSecret;

static PATH: LazyLock<PathBuf> = LazyLock::new(|| {
    let name = format!("tower-auth-fuzz-secret-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
});

fuzz_target!(|text: &[u8]| {
    fs::write(&*PATH, text).unwrap();
    let parts = text.split(u8::is_ascii_whitespace).filter(|part| !part.is_empty());
    let parts: Vec<&[u8]> = parts.collect();
    match StoreSecret::from_file(&*PATH) {
        Ok(secret) => {
            assert!(parts.len() <= 2 && parts.iter().all(|part| matches!(part.len(), 43 | 44)));
            assert_eq!(format!("{secret:?}"), "StoreSecret { .. }");
        }
        Err(error) => {
            let message = format!("{error:?} {error:#}");
            let texts = parts.iter().filter_map(|part| std::str::from_utf8(part).ok());
            // Shorter texts can be words of the message.
            let mut texts = texts.filter(|text| text.len() > 20);
            assert!(!texts.any(|text| message.contains(text)), "{message}");
        }
    }
});
