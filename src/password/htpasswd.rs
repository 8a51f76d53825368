use std::{
    error::Error,
    fmt, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use super::{
    hash::{PasswordHash, kind::AcceptedKinds},
    store::{StoredUser, UserSet, UserStore},
};
use crate::{
    clock::{self, Clock, Deadline, SystemClock},
    config_error::ConfigError,
    observe::{Observe, event::Event, observer::Observer},
};

/// A store of users in a file that Apache's `htpasswd` writes.
///
/// Each line is `name:hash`. Lines that start with `#` are comments. Text after another colon is a
/// comment as well, except in a plain-text password.
///
/// ```no_run
/// use tower_auth::{BasicAuth, password::{HashVerifier, Htpasswd}};
///
/// let users = Htpasswd::open("/etc/site/htpasswd")?;
/// let staff = BasicAuth::new("staff", HashVerifier::new(users))?;
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
///
/// The file is checked for changes at most once per second, when a request needs it. If it has
/// changed, it is read again, and all users are replaced at once. If it cannot be read or has an
/// invalid line, the current users remain. [`fault`](Self::fault) then returns the reason with the
/// line number, and the [observer](HtpasswdBuilder::observer) is told, which by default logs a
/// warning.
///
/// The file is read on a blocking thread of tokio. Outside a tokio runtime, requests that need it
/// get 503.
///
/// All kinds of [`PasswordHash`] are accepted, for example bcrypt as `htpasswd -B` writes it.
/// `$apr1$`, a former default of `htpasswd`, must be [allowed](HtpasswdBuilder::allow_apr1).
///
/// The file is never written, so [`HashVerifier::renew_hashes`](super::HashVerifier::renew_hashes)
/// has no effect. Replace weak hashes with `htpasswd -B`.
#[derive(Clone)]
pub struct Htpasswd(Arc<HtpasswdState>);

struct HtpasswdState {
    path: PathBuf,
    accepted: AcceptedKinds,
    clock: Arc<dyn Clock>,
    observer: Observer,
    current: ArcSwap<LoadedFile>,
    next_check: Deadline,
}

/// The users that were read last, and why a later read failed, if it did.
struct LoadedFile {
    users: Arc<UserSet>,
    stamp: Option<FileStamp>,
    fault: Option<Arc<str>>,
}

/// Detects whether a file has changed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    modified: SystemTime,
    length: u64,
    identity: (u64, u64, i64, i64),
    /// Whether the file was modified so recently that another change may have the same time stamp.
    recently_modified: bool,
}

/// Builds an [`Htpasswd`] that accepts weaker hashes as well.
#[must_use]
pub struct HtpasswdBuilder {
    path: PathBuf,
    accepted: AcceptedKinds,
    clock: Arc<dyn Clock>,
    observer: Observer,
}

impl Htpasswd {
    /// The size limit of the file in bytes: 64 MiB.
    pub const MAX_BYTES: u64 = 64 * 1024 * 1024;

    const CHECK_INTERVAL: Duration = Duration::from_secs(1);

    /// Reads the users of a file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is larger than [`MAX_BYTES`](Self::MAX_BYTES), or has an invalid
    /// line. The message contains the line number.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, ConfigError> {
        Self::builder(path).open()
    }

    /// Returns a builder, for settings that [`open`](Self::open) does not have.
    pub fn builder(path: impl Into<PathBuf>) -> HtpasswdBuilder {
        HtpasswdBuilder {
            path: path.into(),
            accepted: AcceptedKinds::default(),
            clock: Arc::new(SystemClock),
            observer: Observer::default(),
        }
    }

    /// Returns why the file could not be read at the last check, if it could not.
    ///
    /// The users of the last successful read are then still in use.
    #[must_use]
    pub fn fault(&self) -> Option<Arc<str>> {
        self.0.current.load().fault.clone()
    }

    /// Returns the number of users.
    #[must_use]
    pub fn users(&self) -> usize {
        self.0.current.load().users.len()
    }
}

impl HtpasswdBuilder {
    /// Also accepts `$apr1$`.
    ///
    /// # Security
    ///
    /// `$apr1$` is 1000 rounds of MD5. See [`PasswordHash::parse_or_apr1`].
    pub fn allow_apr1(mut self) -> Self {
        self.accepted.apr1 = true;
        self
    }

    /// Also accepts `$apr1$`, `{SHA}` and plain text.
    ///
    /// # Security
    ///
    /// See [`PasswordHash::dangerous_parse_insecure`].
    pub fn dangerous_allow_insecure(mut self) -> Self {
        self.accepted = AcceptedKinds { apr1: true, insecure: true };
        self
    }

    /// Sets the clock. The default is [`SystemClock`]. See [`clock`](crate::clock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the observer of failed reloads. The default is the [default
    /// observer](crate::observe::set_default).
    pub fn observer(mut self, observer: impl Observe + 'static) -> Self {
        self.observer = Observer::default().with_observer(observer);
        self
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// As for [`Htpasswd::open`].
    pub fn open(self) -> Result<Htpasswd, ConfigError> {
        let Self { path, accepted, clock, observer } = self;
        let now = clock.now();
        let loaded = LoadedFile::read(&path, accepted, now)?;
        Ok(Htpasswd(Arc::new(HtpasswdState {
            path,
            accepted,
            next_check: Deadline::at(clock::saturating_add(now, Htpasswd::CHECK_INTERVAL)),
            clock,
            observer,
            current: ArcSwap::from_pointee(loaded),
        })))
    }
}

impl HtpasswdState {
    /// Returns whether the caller must check the file for changes.
    fn claim_check(&self) -> bool {
        self.next_check.claim(self.clock.now(), Htpasswd::CHECK_INTERVAL)
    }

    fn is_check_due(&self) -> bool {
        self.next_check.has_passed(self.clock.now(), Htpasswd::CHECK_INTERVAL)
    }

    /// Reads the file again if it has changed. Blocks.
    fn reload_if_changed(&self) {
        let now = self.clock.now();
        let current = self.current.load_full();
        let read_stamp = || FileStamp::new(&fs::metadata(&self.path)?, now);
        if let Some(stamp) = current.stamp
            && !stamp.recently_modified
            && read_stamp().is_ok_and(|found| found == stamp)
        {
            return;
        }
        let next = LoadedFile::read(&self.path, self.accepted, now).unwrap_or_else(|error| {
            let fault = format!("{error:#}");
            if current.fault.as_deref() != Some(&*fault) {
                self.observer.observe(&Event::PasswordFileFailed { fault: &fault });
            }
            let users = Arc::clone(&current.users);
            LoadedFile { users, stamp: None, fault: Some(fault.into()) }
        });
        let has_changed = !next.users.has_same_hashes(&current.users);
        let users = next.users.len();
        self.current.store(Arc::new(next));
        if has_changed {
            self.observer.observe(&Event::PasswordFileReloaded { users });
        }
    }
}

impl UserStore for Htpasswd {
    async fn find(
        &self,
        user_id: &str,
    ) -> Result<Option<StoredUser>, Box<dyn Error + Send + Sync>> {
        if self.0.is_check_due() {
            let runtime = Handle::try_current()
                .map_err(|_| "reading the file needs a tokio runtime, and none is running")?;
            if self.0.claim_check() {
                let state = Arc::clone(&self.0);
                runtime.spawn_blocking(move || state.reload_if_changed()).await?;
            }
        }
        Ok(self.0.current.load().users.get(user_id))
    }

    fn find_now(&self, user_id: &str) -> Option<Option<StoredUser>> {
        (!self.0.is_check_due()).then(|| self.0.current.load().users.get(user_id))
    }

    fn decoy(&self, user_id: &str) -> Option<PasswordHash> {
        self.0.current.load().users.decoy(user_id)
    }
}

impl fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Htpasswd")
            .field("path", &self.0.path)
            .field("users", &self.users())
            .field("fault", &self.fault())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for HtpasswdBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HtpasswdBuilder").field("path", &self.path).finish_non_exhaustive()
    }
}

impl LoadedFile {
    fn read(path: &Path, accepted: AcceptedKinds, now: SystemTime) -> Result<Self, ConfigError> {
        let unreadable = |error: io::Error| {
            ConfigError::io(format!(
                "{}: cannot read the file: check that it exists and that this process can read it",
                path.display()
            ))
            .with_source(error)
        };
        let too_large = || {
            ConfigError::invalid(format!(
                "{}: the file is larger than 64 MiB: keep so many users in a database",
                path.display()
            ))
        };
        let file = fs::File::open(path).map_err(unreadable)?;
        // Taken from the open file and before reading, so that the next check detects a change that
        // happens in the meantime.
        let stamp = file.metadata().and_then(|metadata| FileStamp::new(&metadata, now));
        let stamp = stamp.map_err(unreadable)?;
        if stamp.length > Htpasswd::MAX_BYTES {
            return Err(too_large());
        }
        // Reserved in advance: a vector that grows would leave copies that are not zeroed.
        let mut bytes = Zeroizing::new(Vec::new());
        bytes.reserve_exact(usize::try_from(stamp.length).unwrap_or_default().saturating_add(1));
        let length = file.take(Htpasswd::MAX_BYTES + 1).read_to_end(&mut bytes);
        if length.map_err(unreadable)? as u64 > Htpasswd::MAX_BYTES {
            return Err(too_large());
        }
        let mut users = UserSet::default();
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let invalid =
                |error: ConfigError| error.at(format_args!("{}: line {}", path.display(), at + 1));
            let line = str::from_utf8(line)
                .map_err(|_| invalid(ConfigError::invalid("invalid UTF-8: write it in UTF-8")))?
                .trim_start_matches('\u{feff}')
                .trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let added = parse_line(line, accepted).and_then(|user| users.add(user));
            added.map_err(invalid)?;
        }
        Ok(Self { users: Arc::new(users), stamp: Some(stamp), fault: None })
    }
}

/// Parses `name:hash`. Errors do not contain the line, because it may contain a hash.
fn parse_line(line: &str, accepted: AcceptedKinds) -> Result<StoredUser, ConfigError> {
    let (user_id, hash) = line
        .split_once(':')
        .ok_or_else(|| ConfigError::invalid("there is no colon between user id and hash"))?;
    // Apache and nginx ignore the text after another colon. Only plain-text passwords may contain
    // a colon.
    let hash = match hash.split_once(':') {
        Some((hash, _)) if hash.starts_with(['$', '{']) => hash,
        _ => hash,
    };
    if user_id.is_empty() {
        return Err(ConfigError::invalid("there is no user id before the colon"));
    }
    Ok(StoredUser::new(user_id, PasswordHash::parse_as(hash, accepted)?))
}

impl FileStamp {
    fn new(metadata: &fs::Metadata, now: SystemTime) -> io::Result<Self> {
        let modified = metadata.modified()?;
        let age = now.duration_since(modified).unwrap_or_default();
        let (length, recently_modified) = (metadata.len(), age < Duration::from_secs(3));
        Ok(Self { modified, length, identity: identity(metadata), recently_modified })
    }
}

/// Returns what distinguishes files of the same length and modification time, which copies and
/// package managers can create.
#[cfg(unix)]
fn identity(metadata: &fs::Metadata) -> (u64, u64, i64, i64) {
    use std::os::unix::fs::MetadataExt as _;

    (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> (u64, u64, i64, i64) {
    (0, 0, 0, 0)
}
