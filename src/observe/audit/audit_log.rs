use std::{
    cell::RefCell,
    fmt,
    future::Future,
    io::{self, Write},
    net::IpAddr,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use super::{
    builder::AuditLogBuilder,
    class::AuditClass,
    date::Timestamp,
    drops::AuditDrops,
    guard::AuditGuardLayer,
    line::MAX_LINE,
    queue::Command,
    record::write_record,
    reply::{Receiver, reply},
    shared::Shared,
};
use crate::observe::{Observe, event::Event};

/// Writes each event as a line of JSON, on a thread of its own.
///
/// ```no_run
/// use tower_auth::observe::{self, AuditLog};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let audit = AuditLog::directory("/var/log/orders").build()?;
/// # #[cfg(feature = "tracing")]
/// observe::set_default((observe::Tracing::default(), audit.clone()))?;
///
/// // Serve requests. Before the program ends:
/// audit.flush().await?;
/// # Ok(())
/// # }
/// ```
///
/// ```json
/// {"time":"2026-11-30T13:55:04.120Z","event":"logged_out","subject":"alice","everywhere":true}
/// ```
///
/// A clone writes to the same log.
///
/// # Members
///
/// Each line has `time` (RFC 3339, UTC, milliseconds) and `event`
/// ([`Event::name`](super::super::Event::name)). The others are left out if they are not known.
/// Later versions can add members.
///
/// | member | value |
/// | --- | --- |
/// | `kind` | why a request or a login was rejected, such as `invalid_credentials` |
/// | `scheme` | the scheme of the credentials, such as `Bearer` |
/// | `issuer` | the issuer of the user, the tokens or the keys |
/// | `subject` | the user: the caller, or the owner of a session or an API key |
/// | `client_id` | the client or service that got tokens |
/// | `actor`, `audience` | the service that exchanged a token, and the one that accepts it |
/// | `session` | the id of a session, which is not secret |
/// | `key` | the id of an API key, or of the key that signs tokens |
/// | `added`, `removed` | ids of keys, as a list: at most 16 of each |
/// | `everywhere` | whether a user was logged out of all logins: `true` or `false` |
/// | `target` | what was revoked: `token`, `session`, `subject` or `issuer` |
/// | `sender`, `outcome` | of a webhook |
/// | `failures`, `keys_usable` | of fetches: a number, and `true` or `false` |
/// | `claim`, `expected` | of a malformed claim: its name, and what it must be |
/// | `purpose`, `eviction`, `outage_ms` | of a store: what a record is for, the policy, a number |
/// | `found`, `presented` | generations of refresh tokens: numbers |
/// | `policy` | the policy that admitted or rejected the request |
/// | `method`, `route`, `path` | of the request |
/// | `address` | the address of the client |
/// | `waited_ms` | how long the request waited for the decision: a number |
/// | `reason` | why something was rejected or has failed, with all causes |
/// | `admissions`, `rejections`, `denials`, `security`, `operations` | of `dropped`: numbers |
///
/// The event `dropped` is that of the log itself. It follows the lines after which events were
/// dropped.
///
/// A line has at most 16 KiB. Texts are cut at 1,024 bytes and end with `…`. Names longer than 256
/// bytes are cut, and a hash keeps them apart. Control characters, line separators and invisible
/// characters are escaped, so a client cannot forge a line.
///
/// # Queue
///
/// A request never waits for the log. If lines cannot be written as fast as events happen, events
/// are dropped and counted ([`dropped`](Self::dropped)), and a line with the event `dropped` says
/// how many. Admissions, rejections, denials, security events and operations have a limit each, so
/// many rejected requests do not push out the reuse of a refresh token. A denial is the rejection
/// of a known caller. With [`guard`](Self::guard), requests are rejected before a security event
/// is dropped.
///
/// If a write fails, the lines stay in the queue, and the thread tries again after 50 ms to 5 s.
/// [`Event::AuditFailed`](super::super::Event::AuditFailed) reports it at most once a minute.
///
/// # Security
///
/// The log contains personal data: subjects, addresses and paths. See
/// [`hash_identities`](AuditLogBuilder::hash_identities), [`forget`](Self::forget) and
/// [`retention`](AuditLogBuilder::retention). It contains no password, no token and no query of a
/// URI. A path that contains a secret is written.
///
/// The log is not protected against a person who can write to its files. Send the lines to another
/// machine if it must prove what such a person did.
///
/// A crash of the process loses the lines that were not written yet: security events of the last
/// milliseconds, others of 50 ms. Files are synced after security events, so a crash of the machine
/// loses no more of them.
#[derive(Clone)]
pub struct AuditLog(Arc<Handle>);

/// Closes the queue when the last clone is dropped.
struct Handle(Arc<Shared>);

thread_local! {
    /// The line that a thread formats.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl AuditLog {
    /// Writes to files in a directory, one per day in UTC and process, such as
    /// `audit-2026-11-30-5f3a9c1e.jsonl`.
    ///
    /// The directory must exist. Other users must not be able to write to it. Files have the
    /// mode 0600, and are kept for [90 days](AuditLogBuilder::retention). Processes can share a
    /// directory, but no file. To read all of a day, use `audit-2026-11-30-*.jsonl`.
    ///
    /// If a file is removed or moved, the next line goes to a new file. Do not compress files in
    /// the directory or copy them there, because [`forget`](Self::forget) does not find a subject
    /// in them.
    pub fn directory(path: impl AsRef<Path>) -> AuditLogBuilder {
        AuditLogBuilder::directory(path.as_ref())
    }

    /// Writes to a writer, such as [`io::stdout`] or a pipe.
    ///
    /// The thread of the log calls it, so it can block. If it panics, the write has failed. There
    /// is no retention, and [`forget`](Self::forget) returns an error: what receives the lines must
    /// do both.
    ///
    /// ```
    /// use tower_auth::observe::AuditLog;
    ///
    /// let audit = AuditLog::writer(std::io::stdout()).build()?;
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    pub fn writer(writer: impl Write + Send + 'static) -> AuditLogBuilder {
        AuditLogBuilder::writer(writer)
    }

    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(Arc::new(Handle(shared)))
    }

    /// Returns a layer that rejects requests with 503 while less than an eighth of the queue of
    /// security events is free.
    ///
    /// Use it if nothing may happen that is not in the log. Requests that are in progress still
    /// have the rest of the queue, so set a [queue](AuditLogBuilder::queue) of more than eight
    /// times the number of concurrent requests.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use tower_auth::observe::AuditLog;
    ///
    /// # fn f(audit: AuditLog, routes: Router) {
    /// let app = routes.layer(audit.guard()).route("/health", get(async || "ok"));
    /// # }
    /// ```
    ///
    /// Put it around the authentication layer. Routes for health checks and metrics stay outside.
    ///
    /// # Security
    ///
    /// Only security events count: logins, logouts, reuse of refresh tokens, revocations, changes
    /// of keys and permissions. Rejected requests do not, not even those of known callers, because
    /// then a caller could take the service down for everyone.
    ///
    /// The service is unavailable while the log cannot be written, for example because the disk is
    /// full, as soon as the queue is nearly full.
    pub fn guard(&self) -> AuditGuardLayer {
        AuditGuardLayer::new(self.clone())
    }

    /// Returns how many events were dropped, for example for a metric.
    #[must_use]
    pub fn dropped(&self) -> AuditDrops {
        self.shared().queue.dropped()
    }

    /// Returns whether the last attempt to write has failed, for example for a health check.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.shared().is_failing.load(Ordering::Relaxed)
    }

    /// Returns the hash of a subject, as lines contain it, or `None` if
    /// [`hash_identities`](AuditLogBuilder::hash_identities) was not called.
    ///
    /// Who can call this can find out which user an event is about.
    #[must_use]
    pub fn hash_of(&self, subject: &str) -> Option<String> {
        self.shared().identities.hash_of(subject).map(|hash| hash.to_string())
    }

    /// Returns the hash of a client address, like [`hash_of`](Self::hash_of).
    #[must_use]
    pub fn hash_of_address(&self, address: IpAddr) -> Option<String> {
        self.shared().identities.hash_of_address(address).map(|hash| hash.to_string())
    }

    /// Waits until all events that were observed before are written and, in a directory, synced.
    ///
    /// Call it before the program ends: the end of `main` ends the thread that writes. It can be
    /// called in any runtime. The work is done even if the future is dropped. It waits as long as
    /// the writer blocks, so use a timeout if the writer is a pipe or a network file system.
    ///
    /// # Errors
    ///
    /// Returns the error of the next attempt to write. The events stay in the queue.
    pub fn flush(&self) -> impl Future<Output = io::Result<()>> + Send + use<> {
        let (sender, receiver) = reply();
        self.shared().queue.command(Command::Flush(sender));
        // The log must not end before.
        answer(receiver, self.clone())
    }

    /// Removes a subject from all files of the directory, also from those of other processes, and
    /// from events that wait to be written. Returns the number of changed lines.
    ///
    /// A line that names the subject in `subject`, `actor` or `client_id` loses this text, and also
    /// `session`, `key`, `address`, `path` and `reason`. Lines lose `policy`, `path` or `reason` if
    /// it contains the subject as a word. The event, its time and all other members remain. A
    /// removed text is empty, and spaces follow it, so the file keeps its length.
    ///
    /// ```no_run
    /// # async fn f(audit: tower_auth::observe::AuditLog) -> std::io::Result<()> {
    /// let changed = audit.forget("alice").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The names and the [hashes](AuditLogBuilder::hash_identities) of the subject are removed, for
    /// all issuers. Later events of the subject are written again, so remove the user first. In
    /// other processes, flush the log first. The work is done even if the future is dropped. If
    /// the process ends meanwhile, each line is in its old or new form: call it again.
    ///
    /// # Errors
    ///
    /// Returns an error if the log was built with a writer, if the events that wait cannot be
    /// written, or if a file cannot be changed. All other files are changed. Call it again.
    pub fn forget(&self, subject: &str) -> impl Future<Output = io::Result<u64>> + Send + use<> {
        let (sender, receiver) = reply();
        let forms = self.shared().identities.forms(subject);
        self.shared().queue.command(Command::Forget(forms, sender));
        answer(receiver, self.clone())
    }

    pub(super) fn is_nearly_full(&self) -> bool {
        self.shared().queue.is_nearly_full()
    }

    #[cfg(test)]
    pub(super) fn shared_for_test(&self) -> Arc<Shared> {
        Arc::clone(&self.0.0)
    }

    fn shared(&self) -> &Shared {
        &self.0.0
    }

    /// Formats the line of an event, and adds it to the queue.
    fn add(&self, event: &Event<'_>, class: AuditClass, line: &mut Vec<u8>) {
        let shared = self.shared();
        let time = Timestamp::of(shared.clock.now());
        line.clear();
        write_record(line, time, event, &shared.identities);
        debug_assert!(line.len() <= MAX_LINE, "each member is bounded");
        if !shared.queue.push(line, class, time.day) {
            shared.report_drop();
        }
    }
}

async fn answer<T>(receiver: Receiver<io::Result<T>>, _log: AuditLog) -> io::Result<T> {
    let ended = || Err(io::Error::other("the thread of the audit log has ended"));
    receiver.await.unwrap_or_else(ended)
}

impl Observe for AuditLog {
    fn observed(&self, event: &Event<'_>) {
        let Some(class) = AuditClass::of(event) else { return };
        // Without the buffer, the thread is ending, or the description of a policy causes an event.
        let added = LINE.try_with(|line| {
            let line = line.try_borrow_mut();
            line.map(|mut line| self.add(event, class, &mut line)).is_ok()
        });
        if !added.unwrap_or_default() {
            self.add(event, class, &mut Vec::new());
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.queue.close();
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog")
            .field("dropped", &self.dropped())
            .field("is_failing", &self.is_failing())
            .finish_non_exhaustive()
    }
}
