use std::sync::atomic::{AtomicUsize, Ordering};

use crate::store::key::{GroupKind, Groups, StoreKey};

/// The space for the records of a purpose, and how much of it is used.
pub(super) struct Quota {
    max_bytes: usize,
    used: AtomicUsize,
}

/// How much of the space a record may use, in percent. Coarser records have more of it, so that
/// there is always space to replace others.
const FINE: usize = 90;
const COARSE: usize = 95;
const COARSE_OF_OTHERS: usize = 98;

impl Quota {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, used: AtomicUsize::new(0) }
    }

    /// Reserves space for a record with this key. Returns `false` if there is none.
    ///
    /// `is_main_issuer` returns whether a record of the whole issuer would replace many others.
    pub(super) fn reserve(
        &self,
        key: &StoreKey,
        bytes: usize,
        is_main_issuer: impl FnOnce() -> bool,
    ) -> bool {
        let percent = match &key.groups {
            // The records of issuers are few, and a logout is never rejected.
            Groups { replaces: Some(GroupKind::Issuer), .. } => None,
            Groups { replaces: None, subject: Some(_), .. } => Some(FINE),
            // Of a subject, or of a session whose subject is unknown: only a record of the whole
            // issuer could replace it.
            Groups { issuer: Some(_), .. } => Some(COARSE),
            _ => Some(100),
        };
        let Some(percent) = percent else {
            self.used.fetch_add(bytes, Ordering::Relaxed);
            return true;
        };
        self.reserve_up_to(percent, bytes)
            || (percent == COARSE
                && !is_main_issuer()
                && self.reserve_up_to(COARSE_OF_OTHERS, bytes))
    }

    fn reserve_up_to(&self, percent: usize, bytes: usize) -> bool {
        let limit = self.percent(percent);
        let used = self.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if used > limit {
            self.release(bytes);
        }
        used <= limit
    }

    pub(super) fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Returns whether more than this part of the space is used.
    pub(super) fn is_above(&self, percent: usize) -> bool {
        self.used.load(Ordering::Relaxed) > self.percent(percent)
    }

    /// Returns whether fine records are rejected, or soon will be.
    pub(super) fn needs_coarser_records(&self) -> bool {
        // One record below the limit, because there was no space for another one.
        self.is_above(FINE - 1)
    }

    fn percent(&self, percent: usize) -> usize {
        (self.max_bytes / 100).saturating_mul(percent)
    }
}
