use std::{
    error::Error,
    fmt, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use tokio::task;
use zeroize::Zeroizing;

use super::{
    hash::{PasswordHash, kind::Accepted},
    store::{StoredUser, UserSet, UserStore},
};
use crate::{
    clock::{Clock, Deadline, SystemClock},
    config_error::ConfigError,
};

/// The users of a file that Apache's `htpasswd` writes: a `name:hash` a line, with `#` before comments. What follows the
/// hash after another colon is one, too.
///
/// ```no_run
/// use tower_auth::{BasicAuth, password::{HashVerifier, Htpasswd}};
///
/// let users = Htpasswd::open("/etc/site/htpasswd")?;
/// let staff = BasicAuth::new("staff", HashVerifier::new(users))?;
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
///
/// The file is watched: where it has changed, it is read again, at most once a second, when somebody asks. Its users are
/// swapped as a whole. A file that cannot be read, or with a line that is none, changes nothing:
/// [`fault`](Self::fault) names the line, and, with the feature `tracing`, a warning does.
///
/// bcrypt, as `htpasswd -B` makes it, and the other kinds of [`PasswordHash`] are taken; `$apr1$`, which `htpasswd` made
/// by default for long, where it is [allowed](HtpasswdBuilder::allow_apr1).
#[derive(Clone)]
pub struct Htpasswd(Arc<Inner>);

struct Inner {
    path: PathBuf,
    accepted: Accepted,
    clock: Arc<dyn Clock>,
    current: ArcSwap<Read>,
    /// When to look at the file again, in milliseconds since 1970.
    next_look: Deadline,
}

/// What was read last, and what has gone wrong since.
struct Read {
    users: Arc<UserSet>,
    stamp: Option<Stamp>,
    fault: Option<Arc<str>>,
}

/// What tells a file from the one that was read.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    length: u64,
    identity: (u64, u64, i64, i64),
    /// Whether it was changed so lately that it may have been again, within the precision of file systems.
    fresh: bool,
}

/// Builds an [`Htpasswd`] that takes weaker hashes as well.
#[must_use]
pub struct HtpasswdBuilder {
    path: PathBuf,
    accepted: Accepted,
    clock: Arc<dyn Clock>,
}

impl Htpasswd {
    /// The most that is read of a file, in bytes: 64 MiB.
    pub const MAX_BYTES: u64 = 64 * 1024 * 1024;

    const LOOK_EVERY: Duration = Duration::from_secs(1);

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is longer than [`MAX_BYTES`](Self::MAX_BYTES), or has a line that is none, which is named.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, ConfigError> {
        Self::builder(path).open()
    }

    /// Starts with the path, to say more than [`open`](Self::open) does.
    pub fn builder(path: impl Into<PathBuf>) -> HtpasswdBuilder {
        let clock = Arc::new(SystemClock);
        HtpasswdBuilder { path: path.into(), accepted: Accepted::default(), clock }
    }

    /// What was wrong with the file when it was last looked at, if anything: its users are those of before.
    #[must_use]
    pub fn fault(&self) -> Option<Arc<str>> {
        self.0.current.load().fault.clone()
    }

    /// How many users there are.
    #[must_use]
    pub fn users(&self) -> usize {
        self.0.current.load().users.len()
    }
}

impl HtpasswdBuilder {
    /// Takes `$apr1$`, too.
    ///
    /// # Security
    ///
    /// It is a thousand rounds of MD5: see [`PasswordHash::parse_or_apr1`].
    pub fn allow_apr1(mut self) -> Self {
        self.accepted.apr1 = true;
        self
    }

    /// Takes `$apr1$`, `{SHA}` and plain text, too.
    ///
    /// # Security
    ///
    /// See [`PasswordHash::dangerous_parse_insecure`].
    pub fn dangerous_allow_insecure(mut self) -> Self {
        self.accepted = Accepted { apr1: true, insecure: true };
        self
    }

    /// Reads the time from here: see [`clock`](crate::clock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// As [`Htpasswd::open`] does.
    pub fn open(self) -> Result<Htpasswd, ConfigError> {
        let Self { path, accepted, clock } = self;
        let now = clock.now();
        let (users, stamp) = read(&path, accepted, now).map_err(ConfigError::new)?;
        let read = Read { users: Arc::new(users), stamp: Some(stamp), fault: None };
        Ok(Htpasswd(Arc::new(Inner {
            path,
            accepted,
            next_look: Deadline::at(now + Htpasswd::LOOK_EVERY),
            clock,
            current: ArcSwap::from_pointee(read),
        })))
    }
}

impl Inner {
    /// Returns whether the caller has to check the file for changes.
    fn claim(&self) -> bool {
        self.next_look.claim(self.clock.now(), Htpasswd::LOOK_EVERY)
    }

    fn is_due(&self) -> bool {
        self.next_look.has_passed(self.clock.now(), Htpasswd::LOOK_EVERY)
    }

    /// Reads the file again where it has changed. Blocks.
    fn look(&self) {
        let now = self.clock.now();
        let known = self.current.load_full();
        let found = || Stamp::of(&fs::metadata(&self.path)?, now);
        if known.stamp.is_some_and(|stamp| !stamp.fresh && found().is_ok_and(|it| it == stamp)) {
            return;
        }
        let next = match read(&self.path, self.accepted, now) {
            Ok((users, stamp)) => Read { users: Arc::new(users), stamp: Some(stamp), fault: None },
            Err(fault) => {
                if known.fault.as_deref() != Some(&*fault) {
                    #[cfg(feature = "tracing")]
                    tracing::warn!(%fault, "the users of before stay: a password file cannot be used");
                }
                let users = Arc::clone(&known.users);
                Read { users, stamp: None, fault: Some(fault.into()) }
            }
        };
        self.current.store(Arc::new(next));
    }
}

impl UserStore for Htpasswd {
    async fn find(
        &self,
        user_id: &str,
    ) -> Result<Option<StoredUser>, Box<dyn Error + Send + Sync>> {
        if self.0.claim() {
            let inner = Arc::clone(&self.0);
            task::spawn_blocking(move || inner.look()).await?;
        }
        Ok(self.0.current.load().users.find(user_id))
    }

    fn find_now(&self, user_id: &str) -> Option<Option<StoredUser>> {
        (!self.0.is_due()).then(|| self.0.current.load().users.find(user_id))
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

fn read(path: &Path, accepted: Accepted, now: SystemTime) -> Result<(UserSet, Stamp), String> {
    let fault = |error: &dyn fmt::Display| format!("{}: {error}", path.display());
    let file = fs::File::open(path).map_err(|error| fault(&error))?;
    // Of the file that is read, and before it is, so that a change meanwhile is seen the next time.
    let stamp = file.metadata().and_then(|metadata| Stamp::of(&metadata, now));
    let stamp = stamp.map_err(|error| fault(&error))?;
    if stamp.length > Htpasswd::MAX_BYTES {
        return Err(fault(&"it is longer than 64 MiB"));
    }
    // In one piece from the start, so that no copy of it stays behind.
    let mut bytes = Zeroizing::new(Vec::new());
    bytes.reserve_exact(usize::try_from(stamp.length).unwrap_or_default().saturating_add(1));
    let length = file.take(Htpasswd::MAX_BYTES + 1).read_to_end(&mut bytes);
    if length.map_err(|error| fault(&error))? as u64 > Htpasswd::MAX_BYTES {
        return Err(fault(&"it is longer than 64 MiB"));
    }
    let mut users = UserSet::default();
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = str::from_utf8(line)
            .map_err(|_| fault(&format!("line {}: it is no UTF-8", at + 1)))?
            .trim_start_matches('\u{feff}')
            .trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let user = user(line, accepted).and_then(|user| users.add(user));
        user.map_err(|error| fault(&format!("line {}: {error}", at + 1)))?;
    }
    Ok((users, stamp))
}

/// What is wrong with a line is said without the line, which holds a hash.
fn user(line: &str, accepted: Accepted) -> Result<StoredUser, ConfigError> {
    let (user_id, hash) = line
        .split_once(':')
        .ok_or_else(|| ConfigError::new("there is no colon between a name and a hash"))?;
    // Apache and nginx leave the rest to comments. Plain text, and nothing else, may hold a colon.
    let hash = match hash.split_once(':') {
        Some((hash, _)) if hash.starts_with(['$', '{']) => hash,
        _ => hash,
    };
    if user_id.is_empty() {
        return Err(ConfigError::new("there is no name before the colon"));
    }
    Ok(StoredUser::new(user_id, PasswordHash::parse_as(hash, accepted)?))
}

impl Stamp {
    fn of(metadata: &fs::Metadata, now: SystemTime) -> io::Result<Self> {
        let modified = metadata.modified()?;
        let age = now.duration_since(modified).unwrap_or_default();
        let (length, fresh) = (metadata.len(), age < Duration::from_secs(3));
        Ok(Self { modified, length, identity: identity(metadata), fresh })
    }
}

/// What tells a file from another of the same length and date, as copies and package managers make them.
#[cfg(unix)]
fn identity(metadata: &fs::Metadata) -> (u64, u64, i64, i64) {
    use std::os::unix::fs::MetadataExt as _;

    (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> (u64, u64, i64, i64) {
    (0, 0, 0, 0)
}
