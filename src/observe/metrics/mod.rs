//! Counts events with the crate `metrics`.
#![cfg(feature = "metrics")]

mod bounded_counters;
mod builder;
mod issuer_labels;
mod metrics;
#[cfg(all(
    test,
    feature = "api-key",
    feature = "audit",
    feature = "introspection",
    feature = "oidc-login",
    feature = "password-hash",
    feature = "redis",
    feature = "issue",
    feature = "webhook"
))]
mod metrics_tests;
mod names;
mod recorder;
mod scheme_labels;
mod series;

pub use self::{builder::MetricsBuilder, metrics::Metrics};
