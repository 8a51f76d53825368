use std::{
    env, fs,
    path::{Path, PathBuf},
};

use super::directory::files;
use crate::random::random_bytes;

/// A new directory, which is removed in the end.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        let name = format!("tower-auth-{:032x}", u128::from_ne_bytes(random_bytes()));
        let path = env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the text of all log files.
    pub(super) fn text(&self) -> String {
        let files = files(&self.0).unwrap().into_iter();
        files.map(|(path, _)| fs::read_to_string(path).unwrap()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
