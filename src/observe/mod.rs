//! Events for the operator: who was admitted, what was rejected and why, and what is wrong.
//!
//! With the feature `tracing`, which is on by default, the events are written by [`Tracing`]. With
//! the feature `metrics`, `Metrics` counts them, and with the feature `audit`, `AuditLog` keeps a
//! record of them. For other uses, implement [`Observe`]. [`set_default`] sets the observers of the
//! whole process. [`AuthenticateLayer::observer`](crate::AuthenticateLayer::observer) sets one for
//! a layer, and for the policies and extractors inside it.
//!
//! # Security
//!
//! No event contains a password or a token. Events of revocations contain neither the subject nor
//! the session. Events of a shared store contain no data of its records. The reason of a cross-site
//! rejection contains `Origin`, `Sec-Fetch-Site` and the host; other headers are left out. An event
//! contains the path and, if the request was admitted, the [`Principal`](crate::Principal), whose
//! claims may be personal data. It contains the client address if
//! [`AuthenticateLayer::forwarded`](crate::AuthenticateLayer::forwarded) is called. An address may
//! be personal data, too. Reasons that you add with `because` must not contain secrets.
//!
//! The client chooses the path, and can choose parts of a reason. [`Tracing`] escapes both. An
//! observer that writes logs itself must do the same, so that a client cannot forge log lines or
//! control the terminal of a reader. `Debug` output is escaped.

#[cfg(feature = "audit")]
pub(crate) mod audit;
pub(crate) mod contained;
pub(crate) mod decided;
pub(crate) mod default;
pub(crate) mod escaped;
pub(crate) mod event;
pub(crate) mod event_class;
pub(crate) mod event_fields;
pub(crate) mod metrics;
pub(crate) mod observe;
pub(crate) mod observer;
pub(crate) mod request_summary;
#[cfg(test)]
pub(crate) mod test_events;
pub(crate) mod tracing;

#[cfg(feature = "audit")]
pub use self::audit::{AuditDrops, AuditGuard, AuditGuardLayer, AuditLog, AuditLogBuilder};
#[cfg(feature = "metrics")]
pub use self::metrics::{Metrics, MetricsBuilder};
#[cfg(feature = "tracing")]
pub use self::tracing::Tracing;
pub use self::{
    default::{DefaultIsSet, set_default},
    event::Event,
    event_class::EventClass,
    observe::Observe,
    request_summary::RequestSummary,
};
