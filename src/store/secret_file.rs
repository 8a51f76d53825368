//! The file with the keys of a store.

use std::{io, path::Path};

use zeroize::Zeroizing;

use super::{
    private_file::PrivateFile,
    secret_text::{CREATE, Key},
};
use crate::config_error::ConfigError;
use crate::random::random_bytes;

/// A file with two keys and many blank lines is smaller.
const MAX_BYTES: usize = 4_096;

/// Reads the file, or creates it with a random key.
pub(super) fn read_or_create(path: &Path) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    let file = PrivateFile { name: "the secret file", path };
    if let Some(text) = file.read(MAX_BYTES)? {
        return Ok(text);
    }
    let key = Key::new(random_bytes()).map_err(|problem| problem.at("a random key"))?;
    // If another process has created it, its key counts.
    file.create(key.to_line().as_bytes()).map_err(|error: io::Error| {
        let problem = format!(
            "does not exist and cannot be created: check the permissions of its folder, or {CREATE}"
        );
        file.describe(&problem).with_source(error)
    })?;
    let text = file.read(MAX_BYTES)?;
    text.ok_or_else(|| file.describe("was removed when it had just been created"))
}
