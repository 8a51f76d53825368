use std::{
    fmt,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use zeroize::Zeroizing;

use super::{
    audit_log::AuditLog,
    directory::Directory,
    identity::Identities,
    line::MAX_LINE,
    queue::{Limits, Queue},
    shared::Shared,
    sink::Sink,
    worker::Worker,
};
use crate::{
    clock::{Clock, Deadline, SystemClock},
    config_error::ConfigError,
    observe::{Observe, observer::Observer},
};

/// An eighth of the bytes is a reserve, which must have space for a line.
const MIN_BYTES: usize = 8 * MAX_LINE;
const DEFAULT_RETENTION: u32 = 90;

/// Builds an [`AuditLog`].
#[must_use]
pub struct AuditLogBuilder {
    target: Target,
    retention: Option<u32>,
    limits: Limits,
    secret: Option<Zeroizing<Vec<u8>>>,
    clock: Arc<dyn Clock>,
    observer: Observer,
}

enum Target {
    Directory(PathBuf),
    Writer(Box<dyn Write + Send>),
}

impl AuditLogBuilder {
    pub(super) fn directory(path: &Path) -> Self {
        Self::new(Target::Directory(path.to_owned()))
    }

    pub(super) fn writer(writer: impl Write + Send + 'static) -> Self {
        Self::new(Target::Writer(Box::new(writer)))
    }

    fn new(target: Target) -> Self {
        Self {
            target,
            retention: None,
            limits: Limits { lines: 8_192, bytes: 8 * 1_024 * 1_024 },
            secret: None,
            clock: Arc::new(SystemClock),
            observer: Observer::default(),
        }
    }

    /// Sets for how many days files are kept. Older ones are removed when the log is built, and
    /// then once a day. The default is 90 days. `u32::MAX` keeps all files.
    ///
    /// Only files whose names have the form that the log gives them are removed, also those of
    /// other processes. The clock of the machine determines the age.
    pub fn retention(mut self, days: u32) -> Self {
        self.retention = Some(days);
        self
    }

    /// Sets how many events of each class wait to be written. The default is 8,192, and at most
    /// 8 MiB.
    ///
    /// The classes are admissions, rejections, denials, security events and operations, as in
    /// [`AuditDrops`](super::AuditDrops). Further events are dropped and counted. The memory for
    /// all queues is at most five times `bytes`, and twice that in a burst.
    ///
    /// An eighth of the queue of security events is the reserve of [`AuditLog::guard`].
    pub fn queue(mut self, events: usize, bytes: usize) -> Self {
        self.limits = Limits { lines: events, bytes };
        self
    }

    /// Writes subjects, services and client addresses as keyed hashes, and leaves out all text that
    /// could contain them: the policy, the path and the reason. The secret has 32 or more random
    /// bytes.
    ///
    /// Equal values have equal hashes, so events can be correlated. The issuer is not a part of
    /// the hash. [`AuditLog::hash_of`] returns the hash of a subject whose events you look for.
    ///
    /// # Security
    ///
    /// A plain hash of a subject or an address can be reversed: hash all of them. Who has the
    /// secret can do that here, so keep it apart from the log. If the secret is replaced, the
    /// hashes of earlier events can no longer be found, also not by [`AuditLog::forget`]. Without
    /// the secret, they cannot be assigned to users.
    pub fn hash_identities(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.secret = Some(Zeroizing::new(secret.as_ref().to_vec()));
        self
    }

    /// Sets the clock, which determines the times, the days of files and their age.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the observer of failures. The default is the default observer.
    ///
    /// It receives [`Event::AuditFailed`](crate::observe::Event::AuditFailed), at most once a
    /// minute. An audit log does not write this event.
    pub fn observer(mut self, observer: impl Observe + 'static) -> Self {
        self.observer = self.observer.with_observer(observer);
        self
    }

    /// Starts the thread that writes the log.
    ///
    /// # Errors
    ///
    /// Returns an error if the directory does not exist or all users can write to it, if a limit is
    /// too small, if the secret of the hashes is not random, if a retention is set for a writer, or
    /// if the thread cannot be started.
    pub fn build(self) -> Result<AuditLog, ConfigError> {
        let identities = match &self.secret {
            Some(secret) => Identities::hashed(secret)?,
            None => Identities::plain(),
        };
        let Limits { lines, bytes } = self.limits;
        if lines < 8 || bytes < MIN_BYTES {
            return Err(ConfigError::invalid(format!(
                "the queue of the audit log must have space for 8 events and {MIN_BYTES} bytes"
            )));
        }
        let sink = match (self.target, self.retention) {
            (Target::Directory(_), Some(0)) => {
                return Err(ConfigError::invalid(
                    "the retention of the audit log is zero: set at least one day",
                ));
            }
            (Target::Directory(path), days) => {
                Sink::Directory(Directory::open(&path, days.unwrap_or(DEFAULT_RETENTION))?)
            }
            (Target::Writer(_), Some(_)) => {
                return Err(ConfigError::conflict(
                    "an audit log with a writer has no retention: use AuditLog::directory",
                ));
            }
            (Target::Writer(writer), None) => Sink::Writer(writer),
        };
        let shared = Arc::new(Shared {
            queue: Queue::new(self.limits),
            identities,
            is_failing: AtomicBool::new(false),
            clock: self.clock,
            observer: self.observer,
            next_report: Deadline::passed(),
        });
        Worker::spawn(Arc::clone(&shared), sink).map_err(|error: io::Error| {
            ConfigError::io("cannot start the thread of the audit log").with_source(error)
        })?;
        Ok(AuditLog::new(shared))
    }
}

impl fmt::Debug for AuditLogBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("AuditLogBuilder");
        if let Target::Directory(path) = &self.target {
            debug.field("directory", path);
        }
        debug.field("retention", &self.retention).field("limits", &self.limits);
        debug.finish_non_exhaustive()
    }
}
