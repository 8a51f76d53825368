use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{target::RevocationTarget, token_ids::TokenIds};

/// The latest revocations of this process, which take effect before the store is asked again.
///
/// They are numbered. An answer of the store that was asked after a revocation has that number, or
/// a later one, so that only earlier answers are compared with the revocation.
pub(super) struct LocalWrites {
    /// The number of the latest revocation.
    latest: AtomicU64,
    /// Randomly seeded, so that names with equal hashes cannot be constructed.
    hasher: RandomState,
    log: RwLock<Log>,
}

#[derive(Default)]
struct Log {
    /// By the hash of what was revoked.
    entries: HashMap<u64, Entry>,
    /// The hashes and numbers of the entries, the oldest first.
    order: VecDeque<(u64, u64)>,
    /// The number of the latest revocation that is no longer in the log.
    forgotten: u64,
}

impl Log {
    /// Returns whether a revocation after the one with the number `since` affects what started at
    /// this instant.
    fn rejects(&self, hash: u64, started_at: u64, since: u64) -> bool {
        let entry = self.entries.get(&hash);
        entry.is_some_and(|entry| entry.number > since && entry.instant >= started_at)
    }

    /// Returns the standing of what no revocation in the log affects.
    fn standing_of_others(&self, since: u64) -> LocalStanding {
        match since < self.forgotten {
            true => LocalStanding::Unknown,
            false => LocalStanding::Unaffected,
        }
    }
}

struct Entry {
    instant: u64,
    number: u64,
}

/// What the latest revocations of this process mean for a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LocalStanding {
    /// None of them affects the token.
    Unaffected,
    Revoked,
    /// The store must be asked again.
    Unknown,
}

impl LocalWrites {
    /// The instant of a revocation that does not depend on when a token was issued.
    pub(super) const ALWAYS: u64 = u64::MAX;

    /// The number of revocations that are kept, about 200 KB.
    const MAX_ENTRIES: usize = 4_096;

    pub(super) fn new() -> Self {
        Self { latest: AtomicU64::new(0), hasher: RandomState::new(), log: RwLock::default() }
    }

    /// Returns the number of the latest revocation.
    #[inline]
    pub(super) fn latest(&self) -> u64 {
        self.latest.load(Ordering::SeqCst)
    }

    /// Adds a revocation: it affects tokens that were issued until `instant`.
    pub(super) fn record(
        &self,
        target: RevocationTarget,
        issuer: &str,
        value: &[u8],
        instant: u64,
    ) {
        let hash = self.hash(target, issuer, value);
        let mut log = self.log.write().unwrap_or_else(PoisonError::into_inner);
        let number = self.latest() + 1;
        let entry = log.entries.entry(hash).or_insert(Entry { instant, number });
        *entry = Entry { instant: entry.instant.max(instant), number };
        log.order.push_back((hash, number));
        if log.order.len() > Self::MAX_ENTRIES
            && let Some((hash, number)) = log.order.pop_front()
        {
            log.forgotten = number;
            if log.entries.get(&hash).is_some_and(|entry| entry.number == number) {
                log.entries.remove(&hash);
            }
        }
        self.latest.store(number, Ordering::SeqCst);
    }

    /// Makes all answers void that were asked before.
    pub(super) fn void_answers(&self) {
        let mut log = self.log.write().unwrap_or_else(PoisonError::into_inner);
        log.forgotten = self.latest() + 1;
        self.latest.store(log.forgotten, Ordering::SeqCst);
    }

    /// Returns what the revocations after the one with the number `since` mean for a token.
    pub(super) fn standing(&self, ids: &TokenIds<'_>, since: u64) -> LocalStanding {
        let log = self.log.read().unwrap_or_else(PoisonError::into_inner);
        let is_revoked = |target, value: &[u8]| {
            log.rejects(self.hash(target, &ids.issuer, value), ids.started_at, since)
        };
        let session = ids.session.iter().map(|sid| (RevocationTarget::Session, sid));
        let subjects = ids.subjects.iter().flatten().map(|sub| (RevocationTarget::Subject, sub));
        if is_revoked(RevocationTarget::Issuer, b"")
            || is_revoked(RevocationTarget::Token, &ids.token.value())
            || session.chain(subjects).any(|(target, name)| is_revoked(target, name.as_bytes()))
        {
            return LocalStanding::Revoked;
        }
        log.standing_of_others(since)
    }

    /// Like [`standing`](Self::standing), for a session that can be revoked by what has these
    /// hashes.
    #[cfg(feature = "session")]
    pub(super) fn standing_of(&self, hashes: &[u64], started_at: u64, since: u64) -> LocalStanding {
        let log = self.log.read().unwrap_or_else(PoisonError::into_inner);
        match hashes.iter().any(|hash| log.rejects(*hash, started_at, since)) {
            true => LocalStanding::Revoked,
            false => log.standing_of_others(since),
        }
    }

    pub(super) fn hash(&self, target: RevocationTarget, issuer: &str, value: &[u8]) -> u64 {
        self.hasher.hash_one((target, issuer, value))
    }
}
