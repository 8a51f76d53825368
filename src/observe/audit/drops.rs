use super::class::{AuditClass, PerClass};

/// How many events an [`AuditLog`](super::AuditLog) has dropped since it was built, because their
/// share of the queue was full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditDrops(PerClass<u64>);

impl AuditDrops {
    /// Returns the number of admitted requests and other normal uses.
    #[must_use]
    pub fn admissions(&self) -> u64 {
        self.0.admission
    }

    /// Returns the number of rejected requests whose caller was not known, and of failed logins.
    #[must_use]
    pub fn rejections(&self) -> u64 {
        self.0.rejection
    }

    /// Returns the number of rejected requests of known callers.
    #[must_use]
    pub fn denials(&self) -> u64 {
        self.0.denial
    }

    /// Returns the number of security events, such as logins and revocations.
    #[must_use]
    pub fn security(&self) -> u64 {
        self.0.security
    }

    /// Returns the number of events about the state of the service and its backends.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.0.operation
    }

    /// Returns the number of all dropped events.
    #[must_use]
    pub fn total(&self) -> u64 {
        let PerClass { admission, rejection, denial, security, operation } = self.0;
        [rejection, denial, security, operation].into_iter().fold(admission, u64::saturating_add)
    }

    pub(super) fn add(&mut self, class: AuditClass) {
        let count = self.0.get_mut(class);
        *count = count.saturating_add(1);
    }
}
