use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use super::date::Day;
use crate::{config_error::ConfigError, random::random_bytes};

const PREFIX: &[u8] = b"audit-";
const SUFFIX: &[u8] = b".jsonl";
/// The number of hexadecimal digits that tell the files of processes apart.
const ID_DIGITS: usize = 8;

/// A directory with a file per day, such as `audit-2026-11-30-5f3a9c1e.jsonl`.
///
/// No two logs write to the same file, so that no line can be inside another one.
pub(super) struct Directory {
    path: PathBuf,
    id: u32,
    /// How many days files are kept.
    retention: u32,
    file: Option<OpenFile>,
    /// The day on which old files were last removed.
    cleaned: Option<Day>,
}

struct OpenFile {
    file: File,
    path: PathBuf,
    day: Day,
}

impl Directory {
    pub(super) fn open(path: &Path, retention: u32) -> Result<Self, ConfigError> {
        let failed = |problem: &str| {
            ConfigError::io(format!("the directory of the audit log {} {problem}", path.display()))
        };
        // The path stays right if the process changes its working directory.
        let absolute = fs::canonicalize(path).map_err(|error| {
            failed("cannot be read: create it, with the mode 0700").with_source(error)
        })?;
        let metadata = fs::metadata(&absolute)
            .map_err(|error| failed("cannot be read: check its permissions").with_source(error))?;
        if !metadata.is_dir() {
            return Err(failed("is not a directory: set the path of a directory"));
        }
        if is_writable_by_all(&metadata) {
            return Err(failed(
                "is writable for all users, who could replace its files: run \
                               `chmod o-w` for it, or set another directory",
            ));
        }
        let id = u32::from_ne_bytes(random_bytes());
        Ok(Self { path: absolute, id, retention, file: None, cleaned: None })
    }

    /// Opens the file for lines of this day. Returns whether it is a new file.
    pub(super) fn select(&mut self, day: Day) -> io::Result<bool> {
        if let Some(open) = &self.file {
            if Self::is_same_file(open.day, day) && open.is_in_place() {
                return Ok(false);
            }
            // The rest of the old file must not be lost.
            self.sync()?;
            self.file = None;
        }
        self.file = Some(self.create(day)?);
        Ok(true)
    }

    /// Threads observe events in any order, so the first lines of a day can be followed by some of
    /// the previous day. They do not go back to its file.
    pub(super) fn is_same_file(selected: Day, day: Day) -> bool {
        day == selected || day.0.checked_add(1) == Some(selected.0)
    }

    fn create(&mut self, day: Day) -> io::Result<OpenFile> {
        let path = self.path.join(file_name(day, self.id));
        let mut options = OpenOptions::new();
        // A new file is never a link to another one.
        options.append(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).inspect_err(|error| {
            if error.kind() == ErrorKind::AlreadyExists {
                self.id = u32::from_ne_bytes(random_bytes());
            }
        });
        let file = file?;
        // Otherwise, a crash of the machine could lose the new file. Not all systems support this.
        #[cfg(unix)]
        let _ = File::open(&self.path).and_then(|folder| folder.sync_all());
        Ok(OpenFile { file, path, day })
    }

    pub(super) fn file(&mut self) -> io::Result<&mut File> {
        let open = self.file.as_mut().ok_or_else(|| io::Error::other("no file is open"))?;
        Ok(&mut open.file)
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), |open| open.file.sync_data())
    }

    /// Removes files that are older than the retention, once a day.
    ///
    /// # Errors
    ///
    /// Returns the last error. Other files are removed anyway.
    pub(super) fn clean(&mut self, today: Day) -> io::Result<()> {
        if self.cleaned == Some(today) {
            return Ok(());
        }
        self.cleaned = Some(today);
        let mut result = Ok(());
        for (path, day) in files(&self.path)? {
            if day.0.saturating_add(self.retention) < today.0 {
                match fs::remove_file(path) {
                    Err(error) if error.kind() != ErrorKind::NotFound => result = Err(error),
                    _ => {}
                }
            }
        }
        result
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl OpenFile {
    /// Returns whether the path still leads to the file. If an operator has removed or moved it,
    /// lines would be lost or would follow it.
    fn is_in_place(&self) -> bool {
        let Ok(found) = fs::symlink_metadata(&self.path) else { return false };
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;

            let is_same = |open: Metadata| (open.dev(), open.ino()) == (found.dev(), found.ino());
            self.file.metadata().is_ok_and(is_same)
        }
        #[cfg(not(unix))]
        found.is_file()
    }
}

/// Returns the log files in a directory and their days, in the order of their names. Links and all
/// other files are left out.
pub(super) fn files(directory: &Path) -> io::Result<Vec<(PathBuf, Day)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Some(day) = entry.file_name().to_str().and_then(|name| day_of(name.as_bytes())) else {
            continue;
        };
        // This is the type of a link, and not of what it leads to.
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            files.push((entry.path(), day));
        }
    }
    files.sort();
    Ok(files)
}

fn file_name(day: Day, id: u32) -> String {
    let mut date = Vec::new();
    day.write(&mut date);
    format!("audit-{}-{id:08x}.jsonl", String::from_utf8_lossy(&date))
}

fn day_of(name: &[u8]) -> Option<Day> {
    let middle = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let (date, id) = middle.split_at_checked("2026-11-30".len())?;
    let id = id.strip_prefix(b"-")?;
    let is_id =
        id.len() == ID_DIGITS && id.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if is_id { Day::parse(date) } else { None }
}

#[cfg(unix)]
fn is_writable_by_all(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;

    metadata.permissions().mode() & 0o002 != 0
}

#[cfg(not(unix))]
fn is_writable_by_all(_: &Metadata) -> bool {
    false
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
