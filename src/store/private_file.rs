//! Files with secrets: only the owner and the group may read them, and each change is one step.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::config_error::ConfigError;
use crate::random::random_bytes;

/// A file with a secret, and how errors name it.
#[derive(Clone, Copy)]
pub(crate) struct PrivateFile<'a> {
    pub(crate) name: &'static str,
    pub(crate) path: &'a Path,
}

impl PrivateFile<'_> {
    /// Returns `None` if there is no file. A file that is longer than `limit` is an error.
    pub(crate) fn read(self, limit: usize) -> Result<Option<Zeroizing<Vec<u8>>>, ConfigError> {
        let path = self.path;
        let failed = |error: io::Error| {
            self.describe("cannot be read: check the path and its permissions").with_source(error)
        };
        // Before it is opened, which waits if it is a pipe.
        match fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() => {
                return Err(self.describe("is not a file: set the path of a file"));
            }
            Ok(_) => {}
            // Also if it is a link to nothing, so that it is not replaced.
            Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => {
                return Ok(None);
            }
            Err(error) => return Err(failed(error)),
        }
        let file = File::open(path).map_err(failed)?;
        self.check_permissions(&file.metadata().map_err(failed)?)?;
        // The capacity is fixed, so that no copy of the secret remains in memory.
        let mut text = Zeroizing::new(Vec::with_capacity(limit + 1));
        file.take(limit as u64).read_to_end(&mut text).map_err(failed)?;
        if text.len() == limit {
            let problem = format!("is too long ({limit} bytes or more): check the path");
            return Err(self.describe(&problem));
        }
        Ok(Some(text))
    }

    #[cfg(unix)]
    fn check_permissions(self, metadata: &Metadata) -> Result<(), ConfigError> {
        use std::os::unix::fs::PermissionsExt;

        let mode = metadata.permissions().mode();
        if mode & 0o007 == 0 {
            return Ok(());
        }
        Err(ConfigError::invalid(format!(
            "{name} {path} is accessible to all users (mode {mode:04o}): run `chmod o= {path}`, or \
             set the mode of the mounted secret to 0440, and replace the key if other users may \
             have read it",
            name = self.name,
            path = self.path.display(),
            mode = mode & 0o7777,
        )))
    }

    #[cfg(not(unix))]
    fn check_permissions(self, _: &Metadata) -> Result<(), ConfigError> {
        Ok(())
    }

    /// Creates the file, unless it exists. Returns whether it was created.
    ///
    /// The text is written to another file first. Linking it to its path is one step, and fails if
    /// another process was faster.
    pub(crate) fn create(self, text: &[u8]) -> io::Result<bool> {
        let temporary = self.write_temporary(text)?;
        match fs::hard_link(&temporary.0, self.path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
            linked => linked?,
        }
        drop(temporary);
        self.sync_folder();
        Ok(true)
    }

    /// Replaces the file in one step. If the path is a link, the file that it leads to.
    #[cfg(feature = "issue")]
    pub(crate) fn replace(self, text: &[u8]) -> io::Result<()> {
        let target = fs::canonicalize(self.path)?;
        let target = PrivateFile { path: &target, ..self };
        let temporary = target.write_temporary(text)?;
        fs::rename(&temporary.0, target.path)?;
        target.sync_folder();
        Ok(())
    }

    fn write_temporary(self, text: &[u8]) -> io::Result<Temporary> {
        let temporary = Temporary(temporary_path(self.path)?);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&temporary.0)?;
        file.write_all(text)?;
        file.sync_all()?;
        Ok(temporary)
    }

    /// Otherwise, a crash of the machine could undo the change after its effects are visible.
    fn sync_folder(self) {
        #[cfg(unix)]
        if let Some(folder) = folder(self.path) {
            // Not all file systems support this.
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
    }

    pub(crate) fn describe(self, problem: &str) -> ConfigError {
        ConfigError::io(format!("{} {} {problem}", self.name, self.path.display()))
    }
}

#[cfg(unix)]
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
