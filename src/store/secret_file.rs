//! The file with the keys of a store.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{
    seal::random_bytes,
    secret_text::{CREATE, Key},
};
use crate::config_error::ConfigError;

/// A file with two keys and many blank lines is smaller.
const MAX_BYTES: usize = 4_096;

/// Reads the file, or creates it with a random key.
pub(super) fn read_or_create(path: &Path) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    if let Some(text) = read(path)? {
        return Ok(text);
    }
    create(path)?;
    // Another process may have created it, and then its key counts.
    read(path)?.ok_or_else(|| describe(path, "was removed when it had just been created"))
}

/// Returns `None` if there is no file.
fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, ConfigError> {
    let failed = |error: io::Error| {
        describe(path, "cannot be read: check the path and its permissions").with_source(error)
    };
    // Before it is opened, which waits if it is a pipe.
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => {
            return Err(describe(path, "is not a file: set the path of a file"));
        }
        Ok(_) => {}
        // Also if it is a link to nothing, so that it is not replaced.
        Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => return Ok(None),
        Err(error) => return Err(failed(error)),
    }
    let file = File::open(path).map_err(failed)?;
    check_permissions(path, &file.metadata().map_err(failed)?)?;
    // The capacity is fixed, so that no copy of the key remains in memory.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
    file.take(MAX_BYTES as u64).read_to_end(&mut text).map_err(failed)?;
    if text.len() == MAX_BYTES {
        return Err(describe(path, &format!("is too long for one or two keys; {CREATE}")));
    }
    Ok(Some(text))
}

#[cfg(unix)]
fn check_permissions(path: &Path, metadata: &Metadata) -> Result<(), ConfigError> {
    use std::os::unix::fs::PermissionsExt;

    let mode = metadata.permissions().mode();
    if mode & 0o007 == 0 {
        return Ok(());
    }
    Err(ConfigError::invalid(format!(
        "the secret file {path} is accessible to all users (mode {mode:04o}): run `chmod o= \
         {path}`, or set the mode of the mounted secret to 0440, and replace the key if other \
         users may have read it",
        path = path.display(),
        mode = mode & 0o7777,
    )))
}

#[cfg(not(unix))]
fn check_permissions(_: &Path, _: &Metadata) -> Result<(), ConfigError> {
    Ok(())
}

/// Creates the file with a random key, unless it exists.
///
/// The key is written to another file first. Linking it to its path is one step, and fails if
/// another process was faster.
fn create(path: &Path) -> Result<(), ConfigError> {
    let failed = |error: io::Error| {
        let problem = format!(
            "does not exist and cannot be created: check the permissions of its folder, or {CREATE}"
        );
        describe(path, &problem).with_source(error)
    };
    let key = Key::new(random_bytes()).map_err(|problem| problem.at("a random key"))?;
    let temporary = Temporary(temporary_path(path).map_err(failed)?);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary.0).map_err(failed)?;
    file.write_all(key.to_line().as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    match fs::hard_link(&temporary.0, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => drop(temporary),
    }
    // Otherwise, a crash of the machine could undo it when records exist that need the key.
    #[cfg(unix)]
    if let Some(folder) = folder(path) {
        // Not all file systems support this.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(())
}

fn folder(path: &Path) -> Option<&Path> {
    let folder = path.parent()?;
    Some(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
}

/// Returns a new path in the same folder, because links do not cross file systems.
fn temporary_path(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{:032x}", u128::from_ne_bytes(random_bytes())));
    Ok(path.with_file_name(temporary))
}

/// Is removed in any case.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn describe(path: &Path, problem: &str) -> ConfigError {
    ConfigError::io(format!("the secret file {} {problem}", path.display()))
}
