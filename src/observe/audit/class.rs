use crate::observe::{event::Event, event_class::EventClass};

/// The part of the queue of an [`AuditLog`](super::AuditLog) that an event takes space of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AuditClass {
    Admission,
    /// The rejection of a request before the caller was known.
    Rejection,
    /// The rejection of a request of a known caller. Many requests without credentials do not push
    /// it out, and it takes no space of the security events, because the caller determines how many
    /// there are.
    Denial,
    Security,
    Operation,
}

impl AuditClass {
    /// Returns `None` for an event that is not written.
    pub(super) fn of(event: &Event<'_>) -> Option<Self> {
        // The log cannot write about its own failure, and would report each attempt.
        if let Event::AuditFailed { .. } = event {
            return None;
        }
        Some(match event.class() {
            EventClass::Admission => Self::Admission,
            EventClass::Rejection if event.principal().is_some() => Self::Denial,
            EventClass::Rejection => Self::Rejection,
            EventClass::Security => Self::Security,
            EventClass::Operation => Self::Operation,
        })
    }
}

/// A value for each class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PerClass<T> {
    pub(super) admission: T,
    pub(super) rejection: T,
    pub(super) denial: T,
    pub(super) security: T,
    pub(super) operation: T,
}

impl<T> PerClass<T> {
    pub(super) fn get_mut(&mut self, class: AuditClass) -> &mut T {
        match class {
            AuditClass::Admission => &mut self.admission,
            AuditClass::Rejection => &mut self.rejection,
            AuditClass::Denial => &mut self.denial,
            AuditClass::Security => &mut self.security,
            AuditClass::Operation => &mut self.operation,
        }
    }
}
